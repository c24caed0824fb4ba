"""A wheel brings the course along: presets, records and notebooks, found from any folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from test_package import LINES, PACKAGE, ROOT

# Each command in turn, in one process, in a folder that has nothing to do with the course.
PROGRAM = """
import pathlib, kpretrain
from kpretrain import presets, results
from kpretrain.__main__ import main
from kpretrain.tools import doctor, run
print(kpretrain.__file__)
print(len(presets.available()), presets.manifest("resnet_cifar10")["seconds"] > 0, results.load("02_mlp_mnist")["name"])
print([path.name for path in run.find(None, "02")])
print([str(check) for check in doctor.checks(smoke=False) if "notebooks" in check.text or "keras" in check.text])
for words in ("results", "copy mine", "links", "record 02", "results --write", "run --in-place --only 02"):
    print(words, "->", main(words.split()), flush=True)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel as pip does, but without fetching what builds it."""
    for name in ("hatchling", "hatch_requirements_txt"):
        pytest.importorskip(name, reason=f"{name} builds the wheel; the extra [test] brings it")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_course_and_what_it_needs(wheel):
    with zipfile.ZipFile(wheel) as file:
        held = set(file.namelist())
        told = file.read(next(name for name in held if name.endswith("dist-info/METADATA"))).decode()
    folders = [ROOT / "data" / "presets", ROOT / "data" / "results", ROOT / "notebooks"]
    course = [path for folder in folders for path in folder.rglob("[0-9a-zA-Z]*") if path.is_file()]
    course = {path.relative_to(ROOT).as_posix() for path in course if ".ipynb_checkpoints" not in path.parts}
    assert {"notebooks/README.md", "notebooks/trials.md", "data/presets/resnet_cifar10/model.weights.h5"} < course
    assert {f"kpretrain/course/{name}" for name in course} <= held
    package = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.*") if path.suffix != ".pyc"}
    assert "kpretrain/tools/page.html" in package and package <= held
    assert not any(name.endswith(("mnist.npz", ".zip", ".tar.gz", ".pyc")) for name in held)  # .gitignore is heeded
    assert {name.split("/")[0].split("-")[0] for name in held} == {"kpretrain"}
    assert sum(line.startswith("Requires-Dist") and "extra ==" not in line for line in told.splitlines()) == len(LINES)


def test_the_commands_work_from_another_folder(wheel, tmp_path):
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with zipfile.ZipFile(wheel) as file:
        file.extractall(site)
    for path in site.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = {path: path.stat().st_mtime_ns for path in site.rglob("*")}
    environment = os.environ | {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    options = {"cwd": elsewhere, "env": environment, "capture_output": True, "text": True, "timeout": 300}
    done = subprocess.run([sys.executable, "-c", PROGRAM], **options)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert Path(lines[0]) == site / "kpretrain" / "__init__.py"
    assert lines[1] == f"{len(list((ROOT / 'data' / 'presets').glob('*/manifest.json')))} True 02_mlp_mnist"
    assert lines[2] == "['02_mlp_mnist.ipynb']"
    count = len(list((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")))
    assert f"[ok]   {count} notebooks in {site / 'kpretrain' / 'course' / 'notebooks'}" in lines[3]
    assert "keras-nlp" in lines[3] and "(needs >=" in lines[3]
    codes = dict(line.split(" -> ") for line in lines if " -> " in line)
    needing = ["links", "record 02", "results --write", "run --in-place --only 02"]
    assert codes == {"results": "0", "copy mine": "0"} | dict.fromkeys(needing, "2")
    assert (elsewhere / "mine" / "solutions" / "02_mlp_mnist_solutions.ipynb").is_file()
    refused = [line for line in done.stderr.splitlines() if "needs a clone of the repository" in line]
    assert [line.split()[1] for line in refused] == [words.split()[0] for words in needing]
    assert {path: path.stat().st_mtime_ns for path in site.rglob("*")} == before
