"""The first cell of every notebook: it finds the course, fetches it in Colab alone, never waits, says what to do."""

import http.server
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
PATHS = sorted(path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
SENTENCE = "This notebook needs the whole course: get {}, and open it there."

# A kernel in which the course is not installed, wherever the tests run: kpretrain is found in what the cell adds alone.
KERNEL = """
import sys
from importlib.machinery import PathFinder
from types import ModuleType

installed, others, colab, source = sys.path[:], sys.meta_path[:], sys.argv[1] == "colab", sys.argv[2]
if colab:
    sys.modules["google.colab"] = ModuleType("google.colab")

class Only:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "kpretrain":
            added = [place for place in sys.path if place not in installed or not place]
            return PathFinder.find_spec(name, path or added)
        return next((spec for one in others if (spec := one.find_spec(name, path, target))), None)

from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance(colors="NoColor")
sys.meta_path[:] = [Only()]
result = shell.run_cell(source)
print("SEED", shell.user_ns.get("SEED"), "FROM", getattr(shell.user_ns.get("kp"), "__file__", None))
"""


def setup_cells():
    for path in PATHS:
        cells = nbformat.read(path, as_version=4).cells
        yield path, [cell.source for cell in cells if "setup" in cell.metadata.get("tags", [])]


def run(folder, colab=False, repository=None, before=""):
    """Run the cell of notebook 00 alone in a folder, in a fresh kernel. Returns what was printed, and the seconds."""
    source = dict((path.stem, cells[0]) for path, cells in setup_cells())["00_start_here"]
    if repository:
        source = re.sub(r'REPOSITORY = ".*"', f"REPOSITORY = {str(repository)!r}", source)
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    command = [sys.executable, "-c", KERNEL, "colab" if colab else "elsewhere", before + source]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    return done.stdout + done.stderr, time.perf_counter() - start


@pytest.fixture
def course(tmp_path):
    """A course in small: it tells its seed, and writes down how it was asked to install itself."""
    place = tmp_path / "course" / "kpretrain"
    place.mkdir(parents=True)
    (place / "__init__.py").write_text("def setup(seed):\n    print('set up')\n    return seed\n")
    (place / "__main__.py").write_text("import sys\nprint('asked to', *sys.argv[1:])\n")
    return place.parent


def test_the_cell_is_the_same_everywhere():
    found = {path.name: cells for path, cells in setup_cells()}
    assert len(found) == 2 * len(list((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")))
    (cell,) = {cell for cells in found.values() for cell in cells}
    assert all(len(cells) == 1 for cells in found.values())
    assert len([line for line in cell.splitlines() if line.strip()]) <= 20
    lines = cell.splitlines()
    assert lines.index("# %env KPRETRAIN_PROFILE=full") < lines.index("SEED = kp.setup(seed=0)")


def test_the_line_for_the_full_profile_works(course):
    source = "%env KPRETRAIN_PROFILE=full\nimport os\nprint('profile', os.environ['KPRETRAIN_PROFILE'])\n"
    told, _ = run(course / "notebooks", before=source)
    assert "profile full" in told and "SEED 0" in told


@pytest.mark.parametrize("where", ["notebooks", "notebooks/solutions"])
@pytest.mark.parametrize("colab", [False, True])
def test_in_a_copy_of_the_course_the_copy_is_used(course, where, colab):
    told, _ = run(course / where, colab=colab, repository="http://127.0.0.1:1/nowhere")
    assert "set up" in told and f"FROM {course / 'kpretrain' / '__init__.py'}" in told
    assert "asked to" not in told and "fatal" not in told


def test_a_course_that_is_installed_is_used(course, tmp_path):
    before = f"import sys; sys.path.append({str(course)!r})\n"
    told, _ = run(tmp_path / "alone", colab=True, repository="http://127.0.0.1:1/nowhere", before=before)
    assert f"FROM {course / 'kpretrain' / '__init__.py'}" in told and "asked to" not in told and "fatal" not in told


def test_alone_in_a_folder_it_says_in_one_sentence_what_to_do(tmp_path):
    (tmp_path / "alone" / "kpretrain").mkdir(parents=True)  # a folder that only has the name does not count
    told, seconds = run(tmp_path / "alone", repository="http://127.0.0.1:1/nowhere")
    assert told.splitlines() == [SENTENCE.format("http://127.0.0.1:1/nowhere"), "SEED None FROM None"]
    assert seconds < 10
    assert [path.name for path in (tmp_path / "alone").iterdir()] == ["kpretrain"]


@pytest.fixture
def bare(course, tmp_path):
    """The small course as a repository that can be cloned."""
    work, bare = course, tmp_path / "bare.git"
    for command in (
        ["init", "--quiet"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "all"],
        ["clone", "--quiet", "--bare", ".", str(bare)],
    ):
        subprocess.run(["git", *command], cwd=work, check=True)
    return bare


def test_in_colab_the_course_is_fetched_and_what_it_needs(bare, tmp_path):
    (tmp_path / "content" / "course").mkdir(parents=True)  # what an earlier attempt may have left behind
    told, _ = run(tmp_path / "content", colab=True, repository=bare.as_uri())
    assert "asked to doctor --install" in told and "set up" in told and "SEED 0" in told
    assert str(tmp_path / "course") not in told  # from the clone, not from where it was made


class Login(http.server.BaseHTTPRequestHandler):
    """A server that wants to know who asks."""

    def do_GET(self):
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="private"')
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def private():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Login)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/jane/course"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("reached", [True, False])
def test_in_colab_a_repository_that_cannot_be_had_is_no_question_and_no_wait(private, tmp_path, reached):
    repository = private if reached else "http://127.0.0.1:1/jane/course"
    told, seconds = run(tmp_path / "content", colab=True, repository=repository)
    assert seconds < 20
    why, *rest = told.splitlines()  # git's own line tells why
    assert why.startswith("fatal: ") and ("terminal prompts disabled" in why) == reached
    assert rest == [SENTENCE.format(repository), "SEED None FROM None"]
    assert list((tmp_path / "content").iterdir()) == []
