"""`python -m kpretrain pack`: the folder sets itself up and starts, from local wheels and without a network."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from kpretrain.tools import pack
from kpretrain.tools.cli import main


def wheel(folder, name, files):
    """Write a wheel of these files (path in it -> text)."""
    info = f"{name}-1.0.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"]))


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A small course: JupyterLab is a line, and pip has a folder of wheels in place of its index."""
    root, wheels = tmp_path / "course", tmp_path / "index"
    for folder in ("notebooks/.ipynb_checkpoints", "data/presets", "data/results"):
        (root / folder).mkdir(parents=True)
    (root / "notebooks" / "00_demo.ipynb").write_text("{}")
    (root / "notebooks" / "00_demo.ipynb").chmod(0o444)
    (root / "requirements.txt").write_text("jupyterlab>=1  # where learners work\npackaging>=1  # doctor\n")
    for private in ("notebooks/bets.json", "data/mnist.npz", "notebooks/.ipynb_checkpoints/00_demo.ipynb"):
        (root / private).write_text("mine")
    wheels.mkdir()
    lab = "import os, sys; print('JupyterLab in', os.getcwd(), 'offline', os.environ['KPRETRAIN_OFFLINE'], sys.prefix)"
    wheel(wheels, "jupyterlab", {"jupyterlab/__init__.py": "", "jupyterlab/__main__.py": lab})
    files = [file for file in importlib.metadata.files("packaging") if file.suffix == ".py"]
    wheel(wheels, "packaging", {str(file): file.read_text() for file in files})
    monkeypatch.setattr(pack, "ROOT", root)
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(name, value)
    return root


def test_a_packed_folder_sets_itself_up_once_and_opens(course, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("KPRETRAIN_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mnist.npz").write_text("digits")
    made = tmp_path / "my pack"
    assert main(["pack", "--out", str(made), "--data", "mnist"]) == 0
    out = capfd.readouterr().out
    assert "2 wheels" in out and f"for {pack.MACHINE} with Python {pack.VERSION}" in out
    files = {path.relative_to(made).as_posix() for path in made.rglob("*")}
    assert {"course/kpretrain/__main__.py", "course/notebooks/00_demo.ipynb", "course/data/mnist.npz"} <= files
    assert not [name for name in files if "__pycache__" in name or "checkpoints" in name or "bets.json" in name]
    assert (made / "course" / "data" / "mnist.npz").read_text() == "digits"  # the one that was asked for
    assert (made / "course" / "notebooks" / "00_demo.ipynb").stat().st_mode & 0o200  # students write
    assert "Data: mnist, " in (made / "READ-ME.txt").read_text()

    shutil.rmtree(course)
    moved = tmp_path / "elsewhere" / made.name
    shutil.move(made, moved)
    path = os.pathsep.join([str(Path(sys.base_prefix, "bin")), os.environ["PATH"]])  # where this Python comes from
    environment = {"PATH": path, "HOME": str(tmp_path), "KPRETRAIN_CACHE": str(tmp_path / "cache")}
    if os.name == "nt":
        pytest.skip("the start script for Windows is looked at, not run")

    def start(*command, **variables):
        line = ["sh", moved / "start.sh", *command]
        return subprocess.run(line, env=environment | variables, cwd=tmp_path, capture_output=True, text=True)

    (moved / "venv" / "bin").mkdir(parents=True)
    (moved / "venv" / "half").touch()  # as a start leaves it that was broken off
    first = start()
    assert first.returncode == 0, first.stdout + first.stderr
    assert "Setting up, once." in first.stdout and "[ok]   packaging 1.0" in first.stdout and "Ready." in first.stdout
    last = f"JupyterLab in {moved / 'course' / 'notebooks'} offline 1 {moved / 'venv'}"
    assert first.stdout.splitlines()[-1] == last
    assert not (moved / "venv" / "half").exists()
    assert start().stdout.splitlines() == [last]  # nothing is set up twice
    again = start("python", "-c", "import kpretrain; print(kpretrain.__file__)")
    assert again.stdout.strip() == str(moved / "course" / "kpretrain" / "__init__.py")
    assert start("python", "-c", "raise SystemExit(3)").returncode == 3


def test_another_python_is_refused_in_one_line(tmp_path):
    (tmp_path / "bin").mkdir()
    for name in (f"python{pack.VERSION}", "python3", "python"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "dirname").symlink_to(shutil.which("dirname"))
    (tmp_path / "start.sh").write_text(pack.filled("start.sh"))
    environment = {"PATH": f"{tmp_path / 'bin'}:{tmp_path}"}
    done = subprocess.run([shutil.which("sh"), tmp_path / "start.sh"], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == f"This needs Python {pack.VERSION} on {pack.MACHINE}.\n" and done.stderr == ""
    fits = "import platform as p, sys; sys.version_info = (3, 7); " + pack.FITS
    assert [subprocess.run([sys.executable, "-c", code]).returncode for code in (pack.FITS, fits)] == [0, 1]


def test_an_installed_course_is_packed_as_a_clone_is(course, tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "kpretrain"
    shutil.copytree(course, package / "course")  # as a wheel brings it
    (package / "course" / "requirements.txt").unlink()
    (package / "__init__.py").touch()
    monkeypatch.setattr(pack, "PACKAGE", package)
    monkeypatch.setattr(pack, "ROOT", package / "course")
    needed = ["packaging>=1", 'dask>=2025.1; extra == "scale"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: needed)
    assert main(["pack", "--out", str(tmp_path / "pack")]) == 0
    files = {path.relative_to(tmp_path / "pack").as_posix() for path in (tmp_path / "pack").rglob("*.*")}
    assert {"course/kpretrain/__init__.py", "course/notebooks/00_demo.ipynb", "course/requirements.txt"} <= files
    assert not any("kpretrain/course" in name for name in files)
    assert [name for name in files if name.endswith(".whl")] == ["wheels/packaging-1.0-py3-none-any.whl"]


def test_windows_gets_a_script_of_its_own(course, tmp_path, monkeypatch):
    monkeypatch.setattr(pack, "WINDOWS", True)
    monkeypatch.chdir(course / "notebooks")  # where JupyterLab opens its terminals: the pack does not hold itself
    assert main(["pack", "--out", "pack"]) == 0
    assert [path.name for path in Path("pack", "course", "notebooks").iterdir()] == ["00_demo.ipynb"]
    script = Path("pack", "start.bat").read_bytes()
    assert script.count(b"\r\n") == script.count(b"\n") > 20 and not Path("pack", "start.sh").exists()
    assert f"py -{pack.VERSION}".encode() in script and b"start.bat" in Path("pack", "READ-ME.txt").read_bytes()


def test_what_cannot_be_packed_is_said_in_one_line(course, tmp_path, capfd, monkeypatch):
    (course / "requirements.txt").write_text("a-package-that-nobody-wrote>=1\n")
    for words, message in (
        (["--out", str(course)], "is not empty; name a new folder."),
        (["--data", "mnist,photos"], "There is no data set photos; there are mnist, "),
        (["--out", str(tmp_path / "pack")], "pip could not get all wheels"),
    ):
        monkeypatch.chdir(tmp_path)
        assert main(["pack", *words]) == 2
        assert message in capfd.readouterr().err.splitlines()[-1]
