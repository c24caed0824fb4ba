"""Is this machine ready for the course? Every requirement with [ok] or [fail], and the mend.

This must work where packages are missing or broken, so it imports nothing but the standard library and, inside
functions, `packaging`, `psutil` and `platformdirs`.
"""

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ..paths import ROOT
from ..session import version

PYTHON_FROM, PYTHON_BELOW = (3, 11), (3, 14)  # as in pyproject.toml, which an older Python could not read
DISK_NEEDED = 1.0  # GB, for data and cached features
SMOKE_SECONDS = 180
SMOKE_TEST = """
import keras, tensorflow as tf
assert float(tf.reduce_sum(tf.ones((2, 3)) @ tf.ones((3, 2)))) == 12.0 == float(keras.ops.sum(keras.ops.ones((2, 6))))
"""
# The pip that belongs to this Python, which need not be the first one on the path.
PIP = f'"{sys.executable}" -m pip' if " " in sys.executable else f"{sys.executable} -m pip"
CLONE = "run this in a clone of the repository"
MEMORY_NEEDED = 5.0  # GB, for the full profile of the largest chapter
# What requirements.txt does not ask for on every machine: what is missing without it, and the mend.
EXTRAS = {
    "tensorflow-text": (
        "chapters 10, 11 cannot run to the end",
        "it does not exist for Windows; Colab and WSL have it",
    ),
    "dask": ("chapter 16 leaves out what needs it", f'in a clone: {PIP} install -e ".[scale]"'),
}
RUNS_NOTEBOOKS = {"jupyterlab", "ipykernel", "ipython", "jupyter-client"}


@dataclass
class Check:
    """One line of the report.

    Attributes
    ----------
    status : {"ok", "note", "fail"}
        A note is worth knowing and keeps nothing from running.
    text : str
        What was found.
    mend : str
        What to do about it, empty if nothing.

    Examples
    --------
    >>> print(Check("fail", "keras is not installed", "pip install keras"))
    [fail] keras is not installed
           pip install keras
    """

    status: str
    text: str
    mend: str = ""

    def __str__(self):
        """Return the line as it is printed."""
        line = f"[{self.status}]".ljust(7) + self.text
        return line + "".join(f"\n       {part}" for part in self.mend.splitlines())


def main(install=False):
    """Install what is missing, or print every check; return the exit code."""
    return install_missing() if install else report()


def report():
    """Print every check as it is made.

    Returns
    -------
    code : int
        0 if the machine is ready, 1 if something must be mended.
    """
    failed = 0
    for check in checks():
        print(check, flush=True)
        failed += check.status == "fail"
    if not failed:
        print("\nReady. Next: python -m kpretrain run")
        return 0
    print(f"\nNot ready: {failed} to mend.")
    if (requirements := ROOT / "requirements.txt").is_file():
        print(f'All packages at once: {PIP} install -r "{requirements}"')
    return 1


def install_missing():
    """Install the packages that are missing or too old, and nothing else: what the first cell does in Colab.

    A TensorFlow that will do stays as it is, since Colab's own is built for its accelerators. What runs the notebook
    that asks for this stays, too: it cannot be replaced under a running notebook. What was replaced is named.

    Returns
    -------
    code : int
        0 if nothing is missing any more.

    Examples
    --------
    >>> install_missing()  # doctest: +SKIP
    Installing keras-nlp>=0.32, numpy>=2.1 in place of 2.0.2: one to five minutes.
    Done in 50 s: 5 packages are new. Replaced: numpy 2.0.2 by 2.4.6.
    0
    """
    lacking, pinned, described = [], [], []
    for needed, installed, fits in _requirements():
        runs = _spelt(needed.name) in RUNS_NOTEBOOKS
        if installed and (runs or (fits and needed.name == "tensorflow")):
            pinned.append(f"{needed.name}=={installed}")
        elif not (fits or runs):
            lacking.append(f"{needed.name}{needed.specifier}")
            described.append(lacking[-1] + (f" in place of {installed}" if installed else ""))
    if not lacking:
        return 0
    print(f"Installing {', '.join(described)}: one to five minutes.", flush=True)
    before, started = _installed(), time.perf_counter()
    command = [sys.executable, "-m", "pip", "install", "--quiet", *lacking, *pinned]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:  # else pip may only have found that what was there already conflicts
        print(done.stdout, done.stderr, sep="")
    after, seconds = _installed(), time.perf_counter() - started
    changed = [(name, after.get(name, "nothing")) for name in sorted(before) if after.get(name) != before[name]]
    replaced = ", ".join(f"{name} {before[name]} by {new}" for name, new in changed) or "none"
    print(
        f"{'Failed' if done.returncode else 'Done'} in {seconds:.0f} s: {len(after.keys() - before.keys())} packages "
        f"are new. Replaced: {replaced}."
    )
    return done.returncode


def _installed():
    """Return the version of each installed package, by name."""
    return {_spelt(distribution.name): distribution.version for distribution in importlib.metadata.distributions()}


def _spelt(name):
    """Return the one spelling of a package's name: a wheel says jupyter-client for jupyter_client."""
    return re.sub(r"[-_.]+", "-", name).lower()


def checks(smoke=True):
    """Yield a `Check` for everything that the course needs.

    Parameters
    ----------
    smoke : bool, default=True
        Also start a Python process that imports TensorFlow and multiplies with it.

    Examples
    --------
    >>> print(next(checks(smoke=False)))
    [ok]   Python 3... (needs 3.11 to 3.13), ...
    """
    yield _python()
    yield from _packages()
    yield _processor()
    yield _memory()
    yield from _cache()
    notebooks = list((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    yield _judged(notebooks, f"{len(notebooks) or 'no'} notebooks in {ROOT / 'notebooks'}", CLONE)
    yield from _extras()
    yield from _data()
    if smoke:
        yield _smoke_test()


def _judged(good, text, mend, otherwise="fail"):
    """Say "ok" and what was found, or else the mend, too."""
    return Check("ok", text) if good else Check(otherwise, text, mend)


def _python():
    needs = f"needs {'.'.join(map(str, PYTHON_FROM))} to {PYTHON_BELOW[0]}.{PYTHON_BELOW[1] - 1}"
    return _judged(
        PYTHON_FROM <= sys.version_info[:2] < PYTHON_BELOW,
        f"Python {platform.python_version()} ({needs}), {sys.executable}",
        "make a virtual environment with a Python that fits: python3.12 -m venv .venv",
    )


def _packages():
    try:
        for needed, installed, fits in _requirements():
            text = f"{needed.name} {installed or 'is not installed'} (needs {needed.specifier})"
            yield _judged(fits, text, f'{PIP} install "{needed.name}{needed.specifier}"')
    except ImportError:
        yield Check("fail", "packaging is not installed, so no version can be compared", f"{PIP} install packaging")


def _listed():
    """Return the lines of requirements.txt, or what an installed wheel says of itself in its place."""
    if (requirements := ROOT / "requirements.txt").is_file():
        return requirements.read_text(encoding="utf-8").splitlines()
    return importlib.metadata.requires("kpretrain")


def _requirements():
    """Yield each requirement that holds on this system, the version that is installed or None, and whether it fits."""
    from packaging.requirements import Requirement

    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in _listed())
    for needed in map(Requirement, filter(None, lines)):
        if needed.marker is None or needed.marker.evaluate():
            installed = version(needed.name, None)
            yield needed, installed, installed is not None and needed.specifier.contains(installed, prereleases=True)


def _processor():
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    text = f"{cores} processor core{'s' * (cores != 1)}, {platform.system()} {platform.machine()}"
    mend = "the times in the notebooks are for two cores; expect about twice as long"
    return _judged(cores >= 2, text, mend, "note")


def _memory():
    """Look at this machine's memory, or at the container's limit where that is lower."""
    needs = f"the full profile takes up to {MEMORY_NEEDED:g} GB"
    try:
        import psutil
    except ImportError:
        return Check("note", f"memory unknown, since psutil is not installed ({needs})")
    memory, limit = psutil.virtual_memory().total, Path("/sys/fs/cgroup/memory.max")
    limit = limit.read_text(encoding="utf8").strip() if limit.is_file() else "max"
    memory = min(memory, int(limit)) if limit.isdecimal() else memory
    mend = "stay with the fast profile in the larger chapters, and close other programs"
    return _judged(memory >= MEMORY_NEEDED * 1e9, f"{memory / 1e9:.1f} GB of memory ({needs})", mend, "note")


def _extras():
    for name, (what, mend) in EXTRAS.items():
        if version(name, None) is None:
            yield Check("note", f"{what}: {name} is not installed", mend)


def nearest(folder):
    """Return the folder itself, or the first one above it that exists, and why no file can be written there.

    Returns
    -------
    existing : pathlib.Path
    problem : str
        Empty if a file can be written.

    Examples
    --------
    >>> nearest("/nowhere/at/all")[0].as_posix()
    '/'
    """
    folder = Path(folder).absolute()
    existing = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    try:
        with tempfile.TemporaryFile(dir=existing):
            return existing, ""
    except OSError as error:
        return existing, error.strerror or str(error)


def must_write(name, folder):
    """Refuse a folder in which no file can be written, before any work is done for it.

    Raises
    ------
    OSError
        With what the folder is for.

    Examples
    --------
    >>> must_write("--out", "/dev/null/report")
    Traceback (most recent call last):
    OSError: --out /dev/null/report cannot be written (/dev/null: Not a directory). Name another folder.
    """
    there, problem = nearest(folder)
    if problem:
        raise OSError(f"{name} {folder} cannot be written ({there}: {problem}). Name another folder.")


def _cache():
    folder = os.environ.get("KPRETRAIN_CACHE")
    if not folder:
        try:
            import platformdirs
        except ImportError:
            yield Check("note", "the cache folder is not checked, since platformdirs is not installed")
            return
        folder = platformdirs.user_cache_dir("kpretrain", appauthor=False)
    folder, mend = Path(folder).expanduser().absolute(), "set KPRETRAIN_CACHE to a folder that you can write to"
    existing, problem = nearest(folder)
    can = f"can't be written: {folder} ({problem})" if problem else f"can be written: {folder}"
    yield _judged(not problem, f"the cache folder {can}", mend)
    free = shutil.disk_usage(existing).free / 1e9
    text = f"{free:.1f} GB of disk free in the cache folder (needs {DISK_NEEDED:g} GB)"
    yield _judged(free >= DISK_NEEDED, text, f"free some space, or {mend}")


def _data():
    if named := os.environ.get("KPRETRAIN_DATA"):
        text = f"data are looked for in KPRETRAIN_DATA first: {Path(named).expanduser().resolve()}"
        yield _judged(Path(named).expanduser().is_dir(), text, "this is no folder: correct it, or unset KPRETRAIN_DATA")
    if os.environ.get("KPRETRAIN_OFFLINE", "") not in ("", "0"):
        text = "KPRETRAIN_OFFLINE is set: nothing is downloaded; built-in data stand in for what is missing"
        yield Check("note", text)


def _smoke_test():
    if version("tensorflow", None) is None:
        return Check("note", "TensorFlow is not tried out, since it is not installed")
    started = time.perf_counter()
    environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="2", PYTHONIOENCODING="utf-8")
    options = {"env": environment, "capture_output": True, "text": True, "errors": "replace", "timeout": SMOKE_SECONDS}
    # If a package is present but broken, a fresh copy is the usual mend.
    mend = f"{PIP} install --force-reinstall tensorflow keras"
    try:
        done = subprocess.run([sys.executable, "-c", SMOKE_TEST], **options)
    except subprocess.TimeoutExpired:
        return Check("fail", f"TensorFlow did not import within {SMOKE_SECONDS} s", mend)
    if done.returncode == 0:
        return Check("ok", f"TensorFlow and Keras import and multiply ({time.perf_counter() - started:.1f} s)")
    if done.returncode == -4:
        mend = "this processor lacks instructions that TensorFlow was built for (AVX); use Colab or another machine"
    tail = [f"| {line}" for line in done.stderr.strip().splitlines()[-12:]]
    text = f"TensorFlow does not import or multiply (exit code {done.returncode})"
    return Check("fail", text, "\n".join([*tail, mend]))
