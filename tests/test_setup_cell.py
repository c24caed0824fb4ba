"""The first cell of every notebook: it finds the course, fetches it in Colab alone, never waits, says what to do."""

import http.server
import os
import runpy
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
PATHS = sorted(path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
SENTENCE = "The course is missing. To get it: pip install {}"
NOWHERE = "http://127.0.0.1:1/nowhere.zip"

# A kernel in which the course is not installed, wherever the tests run: kpretrain is found alone in what the cell adds,
# to the path or by pip, which is told to install into a folder of the test's own.
KERNEL = """
import os
import sys
from importlib.machinery import PathFinder
from types import ModuleType

installed, others, colab, source = sys.path[:], sys.meta_path[:], sys.argv[1] == "colab", sys.argv[2]
if colab:
    sys.modules["google.colab"] = ModuleType("google.colab")

class Only:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "kpretrain":
            added = [place for place in sys.path if place not in installed or place in ("", os.environ["PIP_TARGET"])]
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


def run(folder, colab=False, source=None, before=""):
    """Run the cell of notebook 00 alone in a folder, in a fresh kernel. Returns what was printed."""
    cell = dict((path.stem, cells[0]) for path, cells in setup_cells())["00_start_here"]
    site = folder.with_name(f"{folder.name}-site")
    for made in (folder, site):
        made.mkdir(parents=True, exist_ok=True)
    environment = os.environ | dict.fromkeys(["PIP_TARGET", "PYTHONPATH"], str(site))
    environment["KPRETRAIN_SOURCE"] = str(source or "")
    command = [sys.executable, "-c", KERNEL, "colab" if colab else "elsewhere", before + cell]
    options = {
        "cwd": folder,
        "env": environment,
        "stdin": subprocess.DEVNULL,
        "timeout": 120,
    }  # to wait, or to ask, fails
    done = subprocess.run(command, capture_output=True, text=True, **options)
    return done.stdout + done.stderr


BACKEND = """
import zipfile

def build_wheel(folder, *_):
    name, info = "kpretrain-0.1-py3-none-any.whl", "kpretrain-0.1.dist-info"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        for file in ("__init__", "__main__"):
            wheel.write(f"kpretrain/{file}.py")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: kpretrain\\nVersion: 0.1\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
"""


@pytest.fixture
def course(tmp_path):
    """A course in small that pip can install: it tells its seed, and how it was asked to install what it needs."""
    place = tmp_path / "course" / "kpretrain"
    place.mkdir(parents=True)
    (place / "__init__.py").write_text("def setup(seed):\n    print('set up')\n    return seed\n")
    (place / "__main__.py").write_text("import sys\nprint('asked to', *sys.argv[1:])\n")
    (place.parent / "backend.py").write_text(BACKEND)
    build = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    (place.parent / "pyproject.toml").write_text(build)
    return place.parent


def test_the_cell_is_the_same_everywhere():
    found = {path.name: cells for path, cells in setup_cells()}
    assert len(found) == 2 * len(list((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")))
    (cell,) = {cell for cells in found.values() for cell in cells}
    assert all(len(cells) == 1 for cells in found.values())
    assert len([line for line in cell.splitlines() if line.strip()]) <= 22
    lines = cell.splitlines()
    assert lines.index("# %env KPRETRAIN_PROFILE=full") < lines.index("SEED = kp.setup(seed=0)")


def test_the_line_for_the_full_profile_works(course):
    source = "%env KPRETRAIN_PROFILE=full\nimport os\nprint('profile', os.environ['KPRETRAIN_PROFILE'])\n"
    told = run(course / "notebooks", before=source)
    assert "profile full" in told and "SEED 0" in told


@pytest.mark.parametrize("where", ["notebooks", "notebooks/solutions"])
@pytest.mark.parametrize("colab", [False, True])
def test_in_a_copy_of_the_course_the_copy_is_used(course, where, colab):
    told = run(course / where, colab=colab, source=NOWHERE)
    assert "set up" in told and f"FROM {course / 'kpretrain' / '__init__.py'}" in told
    assert ("asked to doctor --install" in told) == colab and "Fetching" not in told


def test_a_course_that_is_installed_is_used(course, tmp_path):
    before = f"import sys; sys.path.append({str(course)!r})\n"
    told = run(tmp_path / "alone", colab=True, source=NOWHERE, before=before)
    assert f"FROM {course / 'kpretrain' / '__init__.py'}" in told and "Fetching" not in told
    assert "asked to doctor --install" in told  # an installation that was interrupted goes on


@pytest.mark.parametrize("source", [NOWHERE, None])
def test_alone_in_a_folder_it_says_in_one_sentence_what_to_do(tmp_path, source):
    (tmp_path / "alone" / "kpretrain").mkdir(parents=True)  # a folder that only has the name does not count
    told = run(tmp_path / "alone", source=source, colab=source is None)
    assert told.splitlines() == [SENTENCE.format(source or "a copy (no address is settled yet)"), "SEED None FROM None"]
    assert [path.name for path in (tmp_path / "alone").iterdir()] == ["kpretrain"]


@pytest.fixture(params=["wheel", "wheel's address", "zip", "git"])
def source(request, course, tmp_path, monkeypatch):
    """The small course in each form in which a class may be given it."""
    pytest.importorskip("pip", reason="Colab has pip; this environment does not")
    if request.param.startswith("wheel"):
        monkeypatch.chdir(course)
        wheel = tmp_path / runpy.run_path("backend.py")["build_wheel"](tmp_path)
        return wheel.as_uri() if "address" in request.param else wheel
    if request.param == "zip":
        return shutil.make_archive(tmp_path / "course-main", "zip", tmp_path, "course")
    bare = tmp_path / "bare.git"
    for command in (
        ["init", "--quiet"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "all"],
        ["clone", "--quiet", "--bare", ".", str(bare)],
    ):
        subprocess.run(["git", *command], cwd=course, check=True)
    return bare.as_uri()


def test_in_colab_the_course_is_fetched_and_what_it_needs(source, tmp_path):
    content = tmp_path / "content"
    told = run(content, colab=True, source=source)
    assert told.startswith(f"Fetching the course (40 MB, half a minute) from {source}\n")
    assert "asked to doctor --install" in told and "set up" in told and "SEED 0" in told
    assert f"FROM {tmp_path / 'content-site' / 'kpretrain' / '__init__.py'}" in told
    assert list(content.iterdir()) == []


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


@pytest.mark.parametrize("ending", [".zip", ".git"])
@pytest.mark.parametrize("reached", [True, False])
def test_in_colab_a_course_that_cannot_be_had_is_no_question_and_no_wait(private, tmp_path, reached, ending):
    source = (private if reached else "http://127.0.0.1:1/jane/course") + ending
    told = run(tmp_path / "content", colab=True, source=source)
    assert told.splitlines()[1:] == [SENTENCE.format(source), "SEED None FROM None"]
    assert list((tmp_path / "content").iterdir()) == []
