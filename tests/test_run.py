"""The runner: what passes, fails, hangs, dies or is stopped, and the page that tells of it."""

import base64
import html.parser
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat import v4
from PIL import Image

from kpretrain.paths import ROOT
from kpretrain.tools import run as course
from kpretrain.tools.cli import main
from kpretrain.tools.progress import Progress
from kpretrain.tools.report import closing_table
from kpretrain.words import duration

FIGURE = """import matplotlib.pyplot as plt
fig, axes = plt.subplots(1, {panels}, figsize=({width}, 3), squeeze=False)
axes[0, 0].plot([1, 2])
plt.show()"""
KEY_RESULT = """from IPython.display import Markdown
Markdown("**Gain: 12.3 points** <script>alert(1)</script> ![far](https://example.org/a.png) [away](https://example.org)"
         "\\n\\n| arm | a long column heading | another long column heading |\\n|---|---|---|\\n| scratch | 1 | 2 |")"""


TABLE = """for shown in ({'text/plain': '93 % on another machine'},
              {'text/html': '<table></table>', 'text/plain': '       arm  mean\\n0  scratch    93'}):
    display(shown, raw=True, metadata={'stored-record': True})"""


def write_notebook(folder, name, *cells, title="A title"):
    """Write a notebook of code cells; a pair is a source and its tags."""
    made = [v4.new_markdown_cell(f"# {title}\n\n[![Open](badge)](link)", id="head")]
    for number, cell in enumerate(cells):
        source, tags = cell if isinstance(cell, tuple) else (cell, [])
        made.append(v4.new_code_cell(source, id=f"code-{number}", metadata={"tags": tags} if tags else {}))
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(v4.new_notebook(cells=made), folder / name)
    return folder / name


def outputs_text(path):
    return json.dumps(nbformat.read(path, as_version=4).cells)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """One run over a notebook of every fate."""
    folder = tmp_path_factory.mktemp("course")
    notebooks, out = folder / "notebooks", folder / "out"
    first = (
        "import os, sys",
        "print(sys.executable, os.getcwd(), os.environ['KPRETRAIN_PROFILE'], os.environ['KPRETRAIN_DATA'])",
        FIGURE.format(panels=1, width=6),
        FIGURE.format(panels=3, width=13),
        (KEY_RESULT, ["key-result"]),
        TABLE,
    )
    path = write_notebook(notebooks, "00_good.ipynb", *first, title="Good & <i>quick</i>")
    notebook = nbformat.read(path, as_version=4)
    to = (
        "01_fails.ipynb#A-title",
        "notes.ipynb",
        "../data/a%20b.csv",
        "README.md",
        "https://example.org",
        "#head",
        "gone.md",
        "./",
    )
    notebook.cells.insert(1, v4.new_markdown_cell(" ".join(f"[to {address}]({address})" for address in to), id="to"))
    notebook.cells.insert(2, v4.new_markdown_cell("![Open](https://example.org/badge.svg) $x^2$", id="badge"))
    nbformat.write(notebook, path)
    (folder / "data").mkdir()
    (folder / "data" / "a b.csv").touch()
    (notebooks / "README.md").touch()
    message = "raise ValueError('no <b>bold</b> & \"quotes\"')"
    stale = v4.new_output("stream", text="from an earlier run")
    failing = write_notebook(notebooks, "01_fails.ipynb", "print('kept')", message, "print('not reached')")
    notebook = nbformat.read(failing, as_version=4)
    notebook.cells[-1].outputs = [stale]
    nbformat.write(notebook, failing)
    write_notebook(notebooks, "02_hangs.ipynb", "import time", "print('before', flush=True)\ntime.sleep(60)")
    write_notebook(notebooks, "03_dies.ipynb", "import os, sys\nos.write(2, b'out of luck')\nos._exit(1)")
    (notebooks / "04_broken.ipynb").write_text("{ no notebook")
    write_notebook(notebooks, "05_good.ipynb", ("1 / 0", ["raises-exception"]), "print('last')")
    write_notebook(notebooks, "notes.ipynb", "raise SystemError('not numbered, never run')")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("KPRETRAIN_DATA", "data")
        patch.setenv("MPLBACKEND", "agg")
        results = course.run(notebooks, out="out", timeout=8)
    return folder, results, (out / "index.html").read_text(encoding="utf-8")


def test_every_notebook_is_tried(mixed):
    _, results, _ = mixed
    assert [result.status for result in results] == ["passed", "failed", "failed", "failed", "failed", "passed"]
    assert course.exit_code(results) == 1


def test_kernel_is_this_python_in_the_notebooks_folder(mixed):
    folder, _, _ = mixed
    text = outputs_text(folder / "out" / "00_good.ipynb")
    assert f"{sys.executable} {folder / 'notebooks'} fast {folder / 'data'}" in text


def test_failures_name_cell_and_reason(mixed):
    _, results, _ = mixed
    assert results[1].reason() == '01_fails: failed in cell 2 of 3: ValueError: no <b>bold</b> & "quotes"'
    assert "longer than the 8 s" in results[2].error
    assert results[2].cell == 2
    assert "the kernel died (exit code 1)" in results[3].error
    assert results[3].traceback == "out of luck"
    assert "can't be read" in results[4].error


def test_executed_copies_keep_partial_outputs_and_no_stale_ones(mixed):
    folder, _, _ = mixed
    fails = outputs_text(folder / "out" / "01_fails.ipynb")
    assert "kept" in fails
    assert "earlier run" not in fails
    hangs = outputs_text(folder / "out" / "02_hangs.ipynb")
    assert "before" in hangs
    assert "CellTimeoutError" in hangs
    assert "DeadKernelError" in outputs_text(folder / "out" / "03_dies.ipynb")
    assert not [*(folder / "out").glob(".*"), *(folder / "out").glob("*.part")]


def test_sources_are_untouched_without_in_place(mixed):
    folder, _, _ = mixed
    assert "seconds" not in (folder / "notebooks" / "00_good.ipynb").read_text()


def test_summary_names_what_failed(mixed):
    _, results, _ = mixed
    summary = closing_table(results)
    assert "key result of this run" in summary
    assert re.search(r"00_good +passed +\d.* +2 +Gain: 12.3 points", summary)
    assert "another machine" not in summary
    assert "03_dies: failed in cell 1 of 1: the kernel died" in summary


def test_a_run_leaves_the_bets_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("KPRETRAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KPRETRAIN_BETS", str(tmp_path / "mine.json"))
    for name in ("00_a", "01_b"):
        source = (
            "from kpretrain import check\nfrom kpretrain.check.bets import bets_file\n"
            "check.bet('q', 0, 1)\nprint(len(check.bets()), bets_file())"
        )
        write_notebook(tmp_path / "nb", f"{name}.ipynb", source)
    (tmp_path / "mine.json").write_text('{"q": {"low": 5, "high": 6}}')
    found = course.run(tmp_path / "nb", out=tmp_path / "out", jobs=2, timeout=100)
    assert [result.status for result in found] == ["passed", "passed"]
    assert (tmp_path / "mine.json").read_text() == '{"q": {"low": 5, "high": 6}}'
    assert not (tmp_path / "cache" / "bets.json").exists()
    told = [re.search(r"1 (/\S+json)", outputs_text(result.executed)).group(1) for result in found]
    assert told[0] != told[1] and not Path(told[0]).exists()


class Page(html.parser.HTMLParser):
    """Collects a page's tags, with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.captions = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data
        if self.tags and self.tags[-1][0] == "figcaption" and data.strip():
            self.captions.append(data)

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


def test_page_is_self_contained(mixed):
    folder, _, text = mixed
    page = Page(text)
    assert len(page.all("img")) == 2
    for image in page.all("img"):
        kind, content = image["src"].split(",", 1)
        assert kind == "data:image/png;base64"
        assert base64.b64decode(content, validate=True).startswith(b"\x89PNG\r\n\x1a\n")
        assert image["alt"]
        assert image["loading"] == "lazy"
    assert [text for text in page.captions] == ["Good & <i>quick</i>"] * 2
    identities = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    for link in page.all("a"):
        target = link["href"]
        assert target[1:] in identities if target.startswith("#") else (folder / "out" / target).is_file()
    assert not {"script", "iframe", "b", "i"} & {tag for tag, _ in page.tags}
    assert [link["href"] for link in page.all("link")] == ["data:,"]
    assert not re.search(r"url\(|@import|https?://", text.split("</style>")[0])
    assert "example.org" not in text
    assert page.all("html") == [{"lang": "en"}]


def test_page_tells_everything_escaped(mixed):
    _, _, text = mixed
    page = Page(text)
    for expected in (
        "Good & <i>quick</i>",
        'Cell 2 of 3: ValueError: no <b>bold</b> & "quotes"',
        "Traceback",
        "<script>alert(1)</script>",
        "2 passed, 4 failed",
        "fast",
        "Python 3.",
    ):
        assert expected in page.text
    assert "\x1b" not in text
    assert [tag for tag, _ in page.tags].count("h1") == 1


def test_the_key_result_is_this_runs_and_the_stored_record_stands_apart(mixed):
    _, results, text = mixed
    assert "12.3" in results[0].key_result and "another machine" not in results[0].key_result
    apart = text.split("Stored record (made earlier, not by this run)")
    assert len(apart) == 2 and "Key result of this run" in apart[0]
    assert re.match(r"</h3>\s*<div class=.result stored.>", apart[1]) and "93 % on another machine" in apart[1]
    assert re.search(r'<code class="language-table">\s+arm  mean\n0  scratch    93\n', apart[1])
    assert "another machine" not in apart[0]


def test_executed_notebooks_open_as_html_without_a_network(mixed):
    folder, results, text = mixed
    links = [link["href"] for link in Page(text).all("a")]
    for result in results:
        if result.executed:
            assert {f"{result.name}.html", f"{result.name}.ipynb"} <= set(links)
    page = Page((folder / "out" / "00_good.html").read_text(encoding="utf-8"))
    targets = {link["href"] for link in page.all("a")}
    assert {
        "01_fails.html#A-title",
        "../notebooks/notes.ipynb",
        "../data/a%20b.csv",
        "../notebooks/README.md",
    } <= targets
    assert {"index.html", "https://example.org", "#head", "gone.md", "../notebooks"} <= targets
    assert not {"script", "iframe"} & {tag for tag, _ in page.tags}
    loaded = [attributes.get("src") or attributes["href"] for tag, attributes in page.tags if tag in ("img", "link")]
    remote = [address for address in loaded if not address.startswith("data:")]
    assert len(loaded) == 4 and remote == ["badge"]  # which the notebook itself names wrongly
    assert "$x^2$" in page.text and "Open" in page.text and "Good & <i>quick</i>" in page.text


def test_a_notebook_that_was_not_run_is_linked_as_it_stands(tmp_path):
    path = write_notebook(tmp_path / "nb", "00_a.ipynb", "1")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source = "[next](01_b.ipynb)"
    nbformat.write(notebook, path)
    write_notebook(tmp_path / "nb", "01_b.ipynb", "2")
    course.run(tmp_path / "nb", out=tmp_path / "out", only="00")
    assert 'href="../nb/01_b.ipynb"' in (tmp_path / "out" / "00_a.html").read_text()
    course.run(tmp_path / "nb", out=tmp_path / "out")
    assert 'href="01_b.html"' in (tmp_path / "out" / "00_a.html").read_text()


def test_only_and_exit_code_zero(tmp_path, capsys):
    notebooks = tmp_path / "notebooks"
    write_notebook(notebooks, "00_a.ipynb", "raise SystemError")
    write_notebook(notebooks, "07_b.ipynb", "print('ran')", ("print('in plain text')", ["key-result"]))
    code = main(["run", "--notebooks", str(notebooks), "--out", str(tmp_path / "out"), "--only", "7"])
    told = capsys.readouterr()
    assert code == 0
    assert "[1/1] 07_b: passed" in told.err
    assert "in plain text" in told.out
    assert str(tmp_path / "out" / "index.html") in told.out
    assert not (tmp_path / "out" / "00_a.ipynb").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--only", "03,99"], "no notebook 99; there are 03"),
        (["--only", ","], "there are 03"),
        (["--notebooks", "nowhere"], "--notebooks"),
    ],
)
def test_mistakes_in_the_call_are_one_line(tmp_path, capsys, arguments, expected):
    write_notebook(tmp_path, "03_a.ipynb", "1")
    assert main(["run", "--notebooks", str(tmp_path), "--out", str(tmp_path / "out"), *arguments]) == 2
    told = capsys.readouterr().err
    assert expected in told
    assert told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_in_place_writes_back_what_passed_and_stays_stable(tmp_path):
    good = write_notebook(tmp_path, "00_good.ipynb", "import time\ntime.sleep(0.3)", "print('done')")
    bad = write_notebook(tmp_path, "01_bad.ipynb", "print('x')", "1 / 0")
    before = bad.read_text()
    versions = []
    for _ in range(2):
        course.run(tmp_path, out=tmp_path / "out", in_place=True)
        versions.append(good.read_text())
    assert bad.read_text() == before
    first, second = (re.sub(r'"seconds": [\d.]+', '"seconds": 0', text) for text in versions)
    assert first == second
    notebook = nbformat.read(good, as_version=4)
    assert [cell.id for cell in notebook.cells] == ["head", "code-0", "code-1"]
    assert notebook.cells[1].metadata.kpretrain.seconds >= 0.3
    assert "execution" not in notebook.cells[1].metadata
    assert "widgets" not in notebook.metadata


def test_the_time_left_comes_from_the_table(tmp_path, capsys):
    names = ("00_a", "01_b", "02_c")
    paths = [write_notebook(tmp_path / "nb", f"{name}.ipynb", "1", "2") for name in names]
    rows = ["| notebook | fast | full |", "|---|---|---|", "| [00_a](00_a.ipynb) | 40 s | 4 min |"]
    (tmp_path / "nb" / "README.md").write_text("\n".join([*rows, "| [01_b](01_b.ipynb) | 20 s | 1 min |"]))
    fast, full = ([course._plan(path, profile) for path in paths] for profile in ("fast", "full"))
    assert [plan.expected for plan in fast] == [40, 20, 2]  # where the table lacks one, a second for each cell
    assert [plan.expected for plan in full] == [240, 60, 2]
    assert Progress(fast).left() == 62
    assert Progress(fast, 2).left() == 40  # the longest takes longer than all others
    assert "3 notebooks, about 40 s in all" in capsys.readouterr().err


def test_the_time_left_follows_the_pace(tmp_path):
    paths = [write_notebook(tmp_path, f"0{k}_a.ipynb", "1") for k in range(3)]
    plans = [course._plan(path, "fast") for path in paths]
    for plan in plans:
        plan.expected = 100.0
    progress = Progress(plans)
    progress.start_notebook(plans[0])
    assert progress.left() == pytest.approx(300, abs=1)
    plans[0].status, plans[0].seconds = "passed", 200.0
    progress.end_notebook(plans[0])
    assert progress.left() == pytest.approx(200 * 220 / 120, abs=1)
    progress.start_notebook(plans[1])
    progress.running[plans[1].path] = (plans[1], time.perf_counter() - 500)  # longer than expected
    assert progress.left() == pytest.approx(50 + 100 * 220 / 120, abs=1)


def test_durations():
    assert [duration(seconds) for seconds in (0.04, 8.44, 59.7, 185.2, 3725, 9000)] == [
        "less than 0.1 s",
        "8.4 s",
        "60 s",
        "3 min",
        "62 min",
        "2 h 30 min",
    ]


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "took too long"
        time.sleep(0.05)


@pytest.mark.skipif(os.name == "nt", reason="signals differ on Windows")
def test_control_c_keeps_what_is_done(tmp_path):
    pids = tmp_path / "pids"
    note = (
        f"import os, pathlib\nwith open({str(pids)!r}, 'a') as file:\n    print(os.getpid(), file=file)\nprint('done')"
    )
    write_notebook(tmp_path / "nb", "00_a.ipynb", note)
    write_notebook(tmp_path / "nb", "01_b.ipynb", note, "import time\ntime.sleep(120)")
    write_notebook(tmp_path / "nb", "02_c.ipynb", note)
    command = [
        sys.executable,
        "-m",
        "kpretrain",
        "run",
        "--notebooks",
        str(tmp_path / "nb"),
        "--out",
        str(tmp_path / "out"),
    ]
    running = subprocess.Popen(
        command,
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A test run in the background of a shell ignores SIGINT, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
        time.sleep(0.5)
        running.send_signal(signal.SIGINT)
        stdout, stderr = running.communicate(timeout=30)
    finally:
        running.kill()
    assert running.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert re.search(r"00_a +passed", stdout)
    assert "01_b: stopped in cell 2 of 2: Ctrl-C" in stdout
    assert re.search(r"02_c +not run", stdout)
    assert "done" in outputs_text(tmp_path / "out" / "01_b.ipynb")
    assert "1 passed, 1 stopped, 1 not run" in (tmp_path / "out" / "index.html").read_text()
    for process in map(int, pids.read_text().split()):
        wait_until(lambda process=process: not is_alive(process), 5)


def test_two_jobs_run_side_by_side_and_in_order(tmp_path, capsys):
    """Each notebook waits for a file that the other one writes: alone, neither would end."""
    notebooks = tmp_path / "nb"
    meet = (
        "import pathlib, time\npathlib.Path({mine!r}).touch()\n"
        "while not pathlib.Path({other!r}).exists():\n    time.sleep(0.05)"
    )
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    write_notebook(notebooks, "00_a.ipynb", meet.format(mine=a, other=b), "print('met')")
    write_notebook(notebooks, "01_b.ipynb", meet.format(mine=b, other=a), "1 / 0", "2")
    write_notebook(notebooks, "02_c.ipynb", "print('then')")
    found = course.run(notebooks, out=tmp_path / "out", timeout=60, jobs=2)
    assert [(result.name, result.status) for result in found] == [
        ("00_a", "passed"),
        ("01_b", "failed"),
        ("02_c", "passed"),
    ]
    assert found[1].cell == 2 and "met" in outputs_text(tmp_path / "out" / "00_a.ipynb")
    told = capsys.readouterr().err
    assert told.index("01_b: started, 3 cells") < told.index("00_a: passed")
    ended = re.findall(r"\[(\d)/3\] \w+: (\w+)", told)  # the brackets count what has ended, and nothing else
    assert [number for number, _ in ended] == ["1", "2", "3"] and {how for _, how in ended} == {"passed", "failed"}
    assert told.count("[") == 3 and told.count(": started") == 3


@pytest.mark.parametrize(("jobs", "own", "expected"), [(1, None, None), (64, None, "1"), (64, "3", "3")])
def test_notebooks_side_by_side_share_the_cores(tmp_path, monkeypatch, jobs, own, expected):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if own:
        monkeypatch.setenv("OMP_NUM_THREADS", own)
    write_notebook(tmp_path / "nb", "00_a.ipynb", "import os\nprint('threads:', os.environ.get('OMP_NUM_THREADS'))")
    course.run(tmp_path / "nb", out=tmp_path / "out", timeout=60, jobs=jobs)
    assert f"threads: {expected}\\n" in outputs_text(tmp_path / "out" / "00_a.ipynb")
    assert os.environ.get("OMP_NUM_THREADS") == own


def test_jobs_below_one_are_refused(capsys):
    with pytest.raises(SystemExit):
        main(["run", "--jobs", "0"])
    assert "1 or more" in capsys.readouterr().err


def test_no_arguments_prints_help(capsys):
    assert main([]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in ("run", "doctor", "results", "links"))


def test_run_names_a_missing_package():
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from kpretrain.__main__ import main; sys.exit(main(['run']))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert re.fullmatch(r"kpretrain: the package \w+ is not installed; .*doctor.*\n", done.stderr)


def test_figures_are_kept_with_a_palette_and_grey_ones_lose_nothing():
    random = np.random.default_rng(0)
    grey = random.integers(0, 256, (200, 200), dtype="uint8")
    cells = []
    for pixels in (np.stack([grey] * 3, axis=-1), random.integers(0, 256, (200, 200, 3), dtype="uint8")):
        file = io.BytesIO()
        Image.fromarray(np.dstack([pixels, np.full((200, 200), 255, "uint8")])).save(file, "PNG")
        png = base64.b64encode(file.getvalue()).decode("ascii")
        cells.append(v4.new_code_cell("draw()", outputs=[v4.new_output("display_data", {"image/png": png})]))
    before = [cell.outputs[0].data["image/png"] for cell in cells]
    course._halve_figures(v4.new_notebook(cells=cells))
    after = [cell.outputs[0].data["image/png"] for cell in cells]
    assert all(len(new) < len(old) for new, old in zip(after, before, strict=True))
    kept = np.asarray(Image.open(io.BytesIO(base64.b64decode(after[0]))).convert("RGB"))
    np.testing.assert_array_equal(kept, np.stack([grey] * 3, axis=-1))
