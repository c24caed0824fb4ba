"""Is this machine ready for the course? Every requirement with [ok] or [fail], and the mend.

This must work where packages are missing or broken, so it imports nothing but the standard library and, inside
functions, `packaging`.
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

PYTHON_NEEDED = ">=3.11,<3.14"
MEMORY_NEEDED = 3.0  # GB, what the largest notebook takes in the full profile
DISK_NEEDED = 1.0  # GB, for data and cached features
SMOKE_SECONDS = 180
SMOKE_TEST = """
import keras, tensorflow as tf
assert float(tf.reduce_sum(tf.ones((2, 3)) @ tf.ones((3, 2)))) == 12.0 == float(keras.ops.sum(keras.ops.ones((2, 6))))
"""


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
    """

    status: str
    text: str
    mend: str = ""

    def __str__(self):
        """Return the line as it is printed."""
        line = f"[{self.status}]".ljust(7) + self.text
        return line + "".join(f"\n       {part}" for part in self.mend.splitlines())


def report(smoke=True):
    """Print every check as it is made.

    Parameters
    ----------
    smoke : bool, default=True
        Also start a Python process that imports TensorFlow and multiplies with it.

    Returns
    -------
    code : int
        0 if the machine is ready, 1 if something must be mended.
    """
    failed = 0
    for check in checks(smoke):
        print(check, flush=True)
        failed += check.status == "fail"
    if failed:
        print(f"\nNot ready: {failed} to mend.{_mend_all()}")
        return 1
    print("\nReady. Next: python -m kpretrain run")
    return 0


def checks(smoke=True):
    """Yield a `Check` for everything that the course needs.

    Parameters
    ----------
    smoke : bool, default=True
        Also start a Python process that imports TensorFlow and multiplies with it.
    """
    yield _python()
    broken = False
    for check in _packages():
        broken = broken or check.status == "fail"
        yield check
    yield _processor()
    yield _memory()
    yield from _cache()
    yield _notebooks()
    yield from _data()
    if smoke and not installed("tensorflow"):
        yield Check("note", "TensorFlow is not tried out, since it is not installed")
    elif smoke:
        yield _smoke_test()


def _mend_all():
    requirements = ROOT / "requirements.txt"
    if not requirements.is_file():
        return ""
    return f'\nAll packages at once: {_pip()} install -r "{requirements}"'


def _pip():
    """Return the pip that belongs to this Python, which need not be the first one on the path."""
    return f'"{sys.executable}" -m pip' if " " in sys.executable else f"{sys.executable} -m pip"


def installed(package):
    """Return the installed version, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _python():
    needed = PYTHON_NEEDED
    pyproject = ROOT / "pyproject.toml"
    if pyproject.is_file():
        found = re.search(r'^requires-python\s*=\s*"([^"]+)"', pyproject.read_text(encoding="utf-8"), re.MULTILINE)
        needed = found.group(1) if found else needed
    version = platform.python_version()
    try:
        from packaging.specifiers import SpecifierSet

        fits = SpecifierSet(needed).contains(version, prereleases=True)
    except ImportError:
        fits = (3, 11) <= sys.version_info[:2] < (3, 14)
    text = f"Python {version} (needs {needed}), {sys.executable}"
    if fits:
        return Check("ok", text)
    return Check("fail", text, "make a virtual environment with a Python that fits: python3.12 -m venv .venv")


def _requirement_lines():
    """Return the requirements as text: the repository's own list, or what the installed package declares."""
    requirements = ROOT / "requirements.txt"
    if requirements.is_file():
        lines = [
            re.sub(r"(^|\s)#.*", "", line).strip() for line in requirements.read_text(encoding="utf-8").splitlines()
        ]
        return [line for line in lines if line and not line.startswith("-")]
    try:
        return importlib.metadata.requires("kpretrain") or []
    except importlib.metadata.PackageNotFoundError:
        return []


def _packages():
    try:
        from packaging.requirements import Requirement
    except ImportError:
        yield Check("fail", "packaging is not installed, so no version can be compared", f"{_pip()} install packaging")
        return
    lines = _requirement_lines()
    if not lines:
        yield Check("fail", "the list of requirements is not there", "run this in a clone of the repository")
    for line in lines:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _package(requirement)


def _package(requirement):
    version = installed(requirement.name)
    mend = f'{_pip()} install "{requirement.name}{requirement.specifier}"'
    if version is None:
        return Check("fail", f"{requirement.name} is not installed (needs {requirement.specifier})", mend)
    text = f"{requirement.name} {version} (needs {requirement.specifier})"
    if requirement.specifier.contains(version, prereleases=True):
        return Check("ok", text)
    return Check("fail", text, mend)


def cores():
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _processor():
    count = cores()
    text = f"{count} processor core{'s' if count != 1 else ''}, {platform.system()} {platform.machine()}"
    if count >= 2:
        return Check("ok", text)
    return Check("note", text, "the times in the notebooks are for two cores; expect about twice as long")


def _memory_gigabytes():
    """Return this machine's memory, or the container's limit where that is lower; None if the system won't tell."""
    try:
        import psutil

        total = psutil.virtual_memory().total
    except ImportError:
        try:
            total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, ValueError, OSError):  # Windows has no sysconf
            return None
    try:
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # no container, or no limit ("max")
        pass
    return total / 1e9


def _memory():
    memory = _memory_gigabytes()
    if memory is None:
        return Check("note", f"memory unknown (the full profile takes up to {MEMORY_NEEDED:g} GB)")
    text = f"{memory:.1f} GB of memory (the full profile takes up to {MEMORY_NEEDED:g} GB)"
    if memory >= MEMORY_NEEDED:
        return Check("ok", text)
    return Check("note", text, "stay with the fast profile and close other programs")


def _cache():
    folder = os.environ.get("KPRETRAIN_CACHE")
    if not folder:
        try:
            import platformdirs
        except ImportError:
            yield Check("note", "the cache folder is not checked, since platformdirs is not installed")
            return
        folder = platformdirs.user_cache_dir("kpretrain", appauthor=False)
    folder = Path(folder).expanduser().absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    mend = "set KPRETRAIN_CACHE to a folder that you can write to"
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
        yield Check("ok", f"the cache folder can be written: {folder}")
    except OSError as error:
        yield Check("fail", f"the cache folder can't be written: {folder} ({error.strerror or error})", mend)
    free = shutil.disk_usage(existing).free / 1e9
    text = f"{free:.1f} GB of disk free in the cache folder (needs {DISK_NEEDED:g} GB)"
    yield Check("ok", text) if free >= DISK_NEEDED else Check("fail", text, f"free some space, or {mend}")


def _notebooks():
    folder = ROOT / "notebooks"
    found = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if found:
        return Check("ok", f"{len(found)} notebooks in {folder}")
    return Check("fail", f"no notebooks in {folder}", "run this in a clone of the repository")


def _data():
    named = os.environ.get("KPRETRAIN_DATA")
    if named and not Path(named).expanduser().is_dir():
        yield Check("fail", f"KPRETRAIN_DATA is {named!r}, which is not a folder", "correct it, or unset it")
    elif named:
        yield Check("ok", f"data are looked for in KPRETRAIN_DATA first: {Path(named).expanduser().resolve()}")
    else:
        yield Check("ok", "KPRETRAIN_DATA is not set: data come from the repository, a cache or a download")
    if (ROOT / "data" / "mnist.npz").is_file():
        yield Check("ok", f"MNIST lies in {ROOT / 'data'}")
    if os.environ.get("KPRETRAIN_OFFLINE", "") not in ("", "0"):
        yield Check(
            "note", "KPRETRAIN_OFFLINE is set: nothing is downloaded; built-in data stand in for what is missing"
        )


def _smoke_test():
    started = time.perf_counter()
    environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="2", PYTHONIOENCODING="utf-8")
    command = [sys.executable, "-c", SMOKE_TEST]
    # If a package is present but broken, a fresh copy is the usual mend.
    mend = f"{_pip()} install --force-reinstall tensorflow keras"
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, errors="replace", timeout=SMOKE_SECONDS
        )
    except subprocess.TimeoutExpired:
        return Check("fail", f"TensorFlow did not import within {SMOKE_SECONDS} s", mend)
    seconds = time.perf_counter() - started
    if done.returncode == 0:
        return Check("ok", f"TensorFlow and Keras import and multiply ({seconds:.1f} s)")
    tail = "\n".join(f"| {line}" for line in done.stderr.strip().splitlines()[-12:])
    code = f"exit code {done.returncode}"
    if done.returncode == -4:
        mend = "this processor lacks instructions that TensorFlow was built for (AVX); use Colab or another machine"
    return Check("fail", f"TensorFlow does not import or multiply ({code})", f"{tail}\n{mend}" if tail else mend)
