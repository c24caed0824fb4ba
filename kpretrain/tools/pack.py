"""The course in one folder for machines without a network: its files, wheels of all that it needs, a start script."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

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
_INSTALL = "install --quiet --no-compile --no-index --find-links wheels"  # most of what it would compile is never used

START_SH = f"""#!/bin/sh
# Sets the course up from this folder alone, once. Then opens it, or runs the command that is given to this script.
set -eu
cd "$(dirname "$0")"
export PYTHONPATH="$PWD/course" PATH="$PWD/venv/bin:$PATH" KPRETRAIN_OFFLINE=1
if [ ! -f venv/ready ]; then
  for python in python{VERSION} python3 python none; do
    if "$python" -c "{FITS}" 2>/dev/null; then break; fi
  done
  if [ "$python" = none ]; then echo "This needs Python {VERSION} on {MACHINE}."; exit 1; fi
  echo "Setting up, once. This takes some minutes and about 3 GB of disk."
  rm -rf venv
  "$python" -m venv venv
  python -m pip --isolated {_INSTALL} -r course/requirements.txt
  touch venv/ready
  python -m kpretrain doctor
fi
cd course/notebooks
if [ $# = 0 ]; then set -- python -m jupyterlab; fi
exec "$@"
"""

START_BAT = f"""@echo off
rem Sets the course up from this folder alone, once. Then opens it, or runs the command that is given to this script.
setlocal
cd /d "%~dp0"
set "PYTHONPATH=%CD%\\course"
set "PATH=%CD%\\venv\\Scripts;%PATH%"
set KPRETRAIN_OFFLINE=1
if exist venv\\ready goto open
set "base=py -{VERSION}"
%base% -c "{FITS}" 2>nul || set base=python
%base% -c "{FITS}" 2>nul || (echo This needs Python {VERSION} on {MACHINE}. & goto failed)
echo Setting up, once. This takes some minutes and about 3 GB of disk.
if exist venv rmdir /s /q venv
%base% -m venv venv || goto failed
python -m pip --isolated {_INSTALL} -r course\\requirements.txt || goto failed
type nul > venv\\ready
python -m kpretrain doctor || goto failed
:open
cd course\\notebooks
if "%~1"=="" (python -m jupyterlab) else (%*)
exit /b
:failed
pause
exit /b 1
"""

_READ_ME = f"""kpretrain: a Keras 3 course on pretraining, to be used without a network

It needs {MACHINE} with Python {VERSION}, 3 GB of memory and 5 GB of disk. Nothing else is installed, and nothing is
downloaded. Copy this folder to your own disk first, since your work is kept in it.
Start: {{start}}
The first start sets everything up, which takes some minutes, checks it, and opens JupyterLab. Begin with 00_start_here.
Your bets are kept in course/notebooks/bets.json; hand in this file if you are asked to.
Without JupyterLab: {{start}} python -m kpretrain run
If the check finds something to mend, it says how, and the next start opens the course anyway.
To set up anew delete the folder venv; to remove everything delete this folder.
Data: {{data}}
"""


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
    script, text, newline = ("start.bat", START_BAT, "\r\n") if WINDOWS else ("start.sh", START_SH, "\n")
    (out / script).write_text(text, encoding="utf8", newline=newline)
    (out / script).chmod(0o755)
    words = {"start": script if WINDOWS else f"sh {script}", "data": ", ".join([*brought, "stand-ins for the others"])}
    (out / "READ-ME.txt").write_text(_READ_ME.format(**words), encoding="utf8")
    print(f"{course}: {_megabytes(course)}; now the wheels, which takes some minutes.", flush=True)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", wheels, "-r", requirements]
    if subprocess.run(pip).returncode:
        raise ValueError("pip could not get all wheels, as it says above. Delete the folder, and try again.")
    print(f"{wheels}: {len(list(wheels.iterdir()))} wheels, {_megabytes(wheels)}.")
    print(f"{out}: {_megabytes(out)} in all, for {MACHINE} with Python {VERSION}. What to do with it: READ-ME.txt")


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
