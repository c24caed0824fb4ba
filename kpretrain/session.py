"""What every notebook starts and ends with: `setup`, `profile` and `stamp`."""

import contextlib
import ctypes
import datetime
import functools
import importlib.metadata
import json
import os
import platform
import re
import sys
import tempfile
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

# glibc's settings, with malloc.h's numbers for them: no memory beside the heap, which never shrinks, and one heap.
_MALLOC = {"MMAP_MAX": (-4, 0), "TRIM_THRESHOLD": (-1, 2**31 - 1), "ARENA_MAX": (-8, 1)}

_state = {"started": None, "seed": None}


@contextlib.contextmanager
def quiet():
    """Hold back what C++ libraries write to file descriptor 2, and show it if the block raises.

    TensorFlow's C++ side reports CPU features and missing GPU drivers before its own logging
    starts, so that no setting of TensorFlow's reaches those lines. Its converter to LiteRT does so, too.

    Examples
    --------
    >>> with quiet():
    ...     _ = os.write(2, b"a line that nobody sees")
    """
    with contextlib.suppress(AttributeError, ValueError):  # a stream without a buffer has nothing to flush
        sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(original, held.read())
            raise
        finally:
            os.dup2(original, 2)
            os.close(original)


def reuse_memory():
    """Let the C library keep freed memory for the next batch; call it before TensorFlow is imported.

    glibc takes large arrays from the system one by one and gives them back, page by page, with every batch again:
    100,000 page faults an update and more. On a virtual machine a training of convolutions took twice as long by that
    (tests/benchmarks/bench_short_fits.py). Here the arrays come from one heap that only grows. Processes started later
    take the settings from the environment. Nothing happens where the C library is not glibc, or where
    `$MALLOC_MMAP_MAX_` is set already.

    Examples
    --------
    >>> reuse_memory()
    """
    if "MALLOC_MMAP_MAX_" in os.environ or platform.libc_ver()[0] != "glibc":
        return
    for name, (number, value) in _MALLOC.items():
        os.environ[f"MALLOC_{name}_"] = str(value)
        ctypes.CDLL(None).mallopt(number, value)


def spare_the_tuner():
    """Let `tf.data` iterate without its tuner, unless a data set asks for it: `fit` then ends when it has ended.

    The tuner is a thread that wakes after 10, 20, 40 ms and so on. When its iterator is deleted, TensorFlow 2.21 wakes
    it before the iterator counts as cancelled. If it is quick, it sleeps on and its iterator waits, so that fits last
    10.2 seconds, 20.5 or 41, whatever they have to do. Small networks on two cores gain nothing from the tuner.
    Nothing happens where TensorFlow is not loaded.

    Examples
    --------
    >>> spare_the_tuner()
    """
    if "tensorflow" not in sys.modules:
        return
    import tensorflow as tf

    iterate = tf.data.Dataset.__iter__
    if hasattr(iterate, "__wrapped__"):
        return

    @functools.wraps(iterate)
    def untuned(dataset):
        if dataset.options().autotune.enabled is None:
            options = tf.data.Options()
            options.autotune.enabled = False
            dataset = dataset.with_options(options)
        return iterate(dataset)

    tf.data.Dataset.__iter__ = untuned


def version(distribution, missing="not installed"):
    """Return the version of an installed distribution, or what stands for one that is missing.

    Examples
    --------
    >>> version("a-package-that-nobody-wrote")
    'not installed'
    """
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return missing


def backend():
    """Return the name and the version of Keras's backend: "tensorflow 2.21.0", or "no backend" before Keras is loaded.

    Examples
    --------
    >>> backend() == "no backend" or version(backend().split()[0]) in backend()
    True
    """
    if "keras" not in sys.modules:
        return "no backend"
    name = sys.modules["keras"].backend.backend()
    return f"{name} {version(name)}"


def active_profile():
    """Return the profile in force, "fast" or "full", from `$KPRETRAIN_PROFILE` (default "fast").

    Examples
    --------
    >>> active_profile()
    'fast'
    """
    name = os.environ.get("KPRETRAIN_PROFILE", "fast").strip().lower() or "fast"
    if name not in ("fast", "full"):
        raise ValueError(f"KPRETRAIN_PROFILE is {name!r}; set it to 'fast' or 'full'.")
    return name


class Settings(SimpleNamespace):
    """The settings of one profile, read as attributes: `settings.epochs`.

    Examples
    --------
    >>> Settings(epochs=3, rows=500).as_dict()
    {'epochs': 3, 'rows': 500}
    """

    def as_dict(self):
        return dict(vars(self))


def profile(*, fast, full):
    """Choose between two sets of settings that stand side by side in a notebook.

    Parameters
    ----------
    fast, full : dict
        The same keys in both. `full` makes the stored outputs; `fast` is for a class, for CI and
        for a first look.

    Returns
    -------
    Settings
        The chosen values as attributes. `$KPRETRAIN_PROFILE` chooses; the default is "fast". `$KPRETRAIN_SETTINGS`,
        a JSON object, overrides single ones: `python -m kpretrain record` asks so for a larger grid.

    Raises
    ------
    ValueError
        If a key stands in one profile only, or `$KPRETRAIN_PROFILE` is neither "fast" nor "full", or
        `$KPRETRAIN_SETTINGS` names a setting that is not there.

    Examples
    --------
    >>> import kpretrain as kp
    >>> settings = kp.profile(fast={"epochs": 1}, full={"epochs": 10})
    >>> settings.epochs
    1
    """
    if fast.keys() != full.keys():
        odd = ", ".join(sorted(fast.keys() ^ full.keys()))
        raise ValueError(f"fast and full must hold the same settings; only one of them has: {odd}.")
    override = json.loads(os.environ.get("KPRETRAIN_SETTINGS") or "{}")
    if odd := ", ".join(sorted(override.keys() - full.keys())):
        raise ValueError(f"KPRETRAIN_SETTINGS may only change settings that the notebook has, not: {odd}.")
    return Settings(**((fast if active_profile() == "fast" else full) | override))


def setup(seed=0):
    """Start a notebook: load the backend quietly, seed it, and print what runs.

    Once kpretrain is imported, TensorFlow starts quietly, even without `setup`. What it writes while a script imports
    Keras or TensorFlow before kpretrain cannot be held back: it is written by then, and how much TensorFlow tells later
    is fixed. Import kpretrain first, or set `TF_CPP_MIN_LOG_LEVEL=3`, which leaves a few of these lines.

    Parameters
    ----------
    seed : int
        Seeds Python, NumPy and the backend. `$KPRETRAIN_SEED` overrides it, so that one command
        can run a notebook under several seeds.

    Returns
    -------
    int
        The seed in force.

    Raises
    ------
    RuntimeError
        If a package was replaced after this process had loaded it, as an installation in a notebook may do.

    Examples
    --------
    >>> import kpretrain as kp
    >>> seed = kp.setup(seed=7)
    kpretrain ... · Python ... · keras ... on ... · profile fast · seed 7
    """
    if value := os.environ.get("KPRETRAIN_SEED", "").strip():
        if not value.isdecimal():
            raise ValueError(f"KPRETRAIN_SEED is {value!r}; set it to a whole number from 0, or unset it.")
        seed = int(value)
    _state.update(started=time.perf_counter(), seed=seed)
    _refuse_replaced()
    reuse_memory()
    with quiet():
        import keras

        keras.ops.convert_to_numpy(keras.ops.ones(1) + 1)  # the first operation finds the devices, and logs it
    spare_the_tuner()
    # keras_hub and keras_cv import tqdm's notebook bar; the course draws none, so its widgets need not be installed.
    warnings.filterwarnings("ignore", message="IProgress not found")
    keras.utils.set_random_seed(seed)
    print(
        f"kpretrain {version('kpretrain')} · Python {platform.python_version()} · keras {keras.__version__} "
        f"on {backend()} · profile {active_profile()} · seed {seed}"
    )
    return seed


def _refuse_replaced():
    """What is loaded must be what is installed: a newer TensorFlow breaks on an older NumPy, and says no such thing."""
    for name in ("numpy", "pandas", "matplotlib"):  # of what the course needs, Colab has loaded these
        loaded = getattr(sys.modules.get(name), "__version__", None)
        if loaded and (installed := version(name, loaded)) != loaded:
            restart = "Restart the kernel (in Colab: Runtime, Restart session), and run this cell again"
            raise RuntimeError(f"{restart}: {name} {loaded} is loaded, and {installed} is installed now.")


def peak_memory():
    """Peak resident memory of this process in GB, or None where the system does not tell it.

    Examples
    --------
    >>> peak_memory() is None or peak_memory() > 0.005
    True
    """
    status = Path("/proc/self/status")
    if status.is_file():  # Linux, where getrusage counts what the parent held when it started this process
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="utf8")).group(1)) * 1024 / 1e9
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9


def run_facts():
    """Return what ran, as a dict: date, profile, seed, seconds, memory, versions, machine, data.

    Seconds count from `setup`. Memory is the peak of this process, in GB.

    Examples
    --------
    >>> sorted(run_facts())
    ['backend', 'data', 'date', 'keras', 'machine', 'peak_memory_gb', 'profile', 'python', 'seconds', 'seed']
    """
    from . import data

    started = _state["started"]
    return {
        "date": datetime.date.today().isoformat(),
        "profile": active_profile(),
        "seed": _state["seed"],
        "seconds": None if started is None else round(time.perf_counter() - started, 1),
        "peak_memory_gb": None if (peak := peak_memory()) is None else round(peak, 2),
        "python": platform.python_version(),
        "keras": version("keras"),
        "backend": backend(),
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "data": data.loaded(),
    }


def stamp():
    """Print the last line of a notebook: when, where and how its outputs were made.

    Examples
    --------
    >>> import kpretrain as kp
    >>> seed = kp.setup()
    kpretrain ...
    >>> kp.stamp()
    Executed ... · profile fast · seed 0 · ... s...
    Python ... · keras ... on ... cores, ...
    """
    facts = run_facts()
    if facts["seconds"] is None:
        raise RuntimeError("Run the cell with kp.setup first: the stamp tells the seconds since then.")
    memory = "" if facts["peak_memory_gb"] is None else f" · peak memory {facts['peak_memory_gb']:.1f} GB"
    print(
        f"Executed {facts['date']} · profile {facts['profile']} · seed {facts['seed']} · "
        f"{facts['seconds']:.0f} s{memory}\n"
        f"Python {facts['python']} · keras {facts['keras']} on {facts['backend']} · {facts['machine']}"
    )
    for name, source in facts["data"].items():
        print(f"data: {name} from {source}")
