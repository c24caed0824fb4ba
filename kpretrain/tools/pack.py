"""The course in one folder for machines without a network: its files, wheels of all that it needs, a start script."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import jinja2

from ..data.fetch import SOURCES, find
from ..paths import ROOT

PACKAGE = Path(__file__).resolve().parents[1]
TOP = ("notebooks", "data", "requirements.txt", "pyproject.toml", "README.md", "LICENSE")
# Wheels are made for one Python on one kind of machine.
WINDOWS = os.name == "nt"
MACHINE, VERSION = f"{platform.system()} {platform.machine()}", f"{sys.version_info[0]}.{sys.version_info[1]}"
FITS = (
    "import platform as p, sys; "
    f"sys.exit((p.system() + ' ' + p.machine(), *sys.version_info[:2]) != {(MACHINE, *sys.version_info[:2])})"
)


def pack(out, data=()):
    """Make the folder, and print what is in it and how large it is.

    Parameters
    ----------
    out : path
        A new folder, or an empty one. It gets `course/` (the notebooks as they are now, presets, results, kpretrain),
        `wheels/`, a start script for this kind of machine, and READ-ME.txt.
    data : sequence of str
        Data sets that go along, by their names for `kp.data.load`; each is looked for, or downloaded, as there.

    Raises
    ------
    ValueError
        If `out` holds something, if a data set has no such name or cannot be had, or if pip cannot get the wheels.
    """
    out = Path(out)
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty; name a new folder.")
    if unknown := [name for name in data if name not in SOURCES]:
        raise ValueError(f"There is no data set {', '.join(unknown)}; there are {', '.join(SOURCES)}.")
    brought = {name: find(name)[0] for name in data}
    course, wheels = out / "course", out / "wheels"
    for source in [PACKAGE, *(ROOT / name for name in TOP if (ROOT / name).exists())]:
        _copy(source, course / source.name, ignore=partial(_left_out, {ROOT, out.resolve()}))
    for source in brought.values():
        _copy(source, course / "data" / source.name)
    for path in course.rglob("*"):  # an installed package may be read-only, but students write
        path.chmod(0o755 if path.is_dir() else 0o644)
    if not (requirements := course / "requirements.txt").exists():  # an installed package has them in its metadata
        needed = [line for line in importlib.metadata.requires("kpretrain") if "extra ==" not in line]
        requirements.write_text("\n".join(needed), encoding="utf8")
    script, start, newline = ("start.bat", "start.bat", "\r\n") if WINDOWS else ("start.sh", "sh start.sh", "\n")
    (out / script).write_text(filled(script), encoding="utf8", newline=newline)
    (out / script).chmod(0o755)
    text = filled("READ-ME.txt", start=start, data=", ".join([*brought, "stand-ins for the others"]))
    (out / "READ-ME.txt").write_text(text, encoding="utf8")
    print(f"{course}: {_megabytes(course)}; now the wheels, which takes some minutes.", flush=True)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", wheels, "-r", requirements]
    if subprocess.run(pip).returncode:
        raise ValueError("pip could not get all wheels, as it says above. Delete the folder, and try again.")
    print(f"{wheels}: {len(list(wheels.iterdir()))} wheels, {_megabytes(wheels)}.")
    print(f"{out}: {_megabytes(out)} in all, for {MACHINE} with Python {VERSION}. What to do with it: READ-ME.txt")


def filled(name, **words):
    """Return the text of a file beside this one, for this machine and Python.

    Examples
    --------
    >>> filled("start.sh").splitlines()[0]
    '#!/bin/sh'
    """
    template = jinja2.Template(Path(__file__).with_name(name).read_text(encoding="utf8"), keep_trailing_newline=True)
    return template.render(version=VERSION, machine=MACHINE, fits=FITS, **words)


def _left_out(paths, folder, names):
    """What stays: one's own bets and downloads, and these paths; in an installed package ROOT is copied by itself."""
    files = [file for source in SOURCES.values() for file in source.files]
    left = shutil.ignore_patterns(".*", "__pycache__", "bets.json", "course-run", *files)(folder, names)
    return left | {name for name in names if Path(folder, name) in paths}


def _copy(source, target, ignore=None):
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=ignore)
    else:
        shutil.copy2(source, target)


def _megabytes(folder):
    return f"{sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()) / 1e6:,.0f} MB"
