"""The command line: python -m kpretrain run | doctor | compare | choose | ship | copy | pack | pool | record ..."""

import _thread
import argparse
import contextlib
import importlib
import signal
import sys
import threading
from functools import partial

from ..session import reuse_memory


def main(arguments=None):
    """Run one command and return its exit code.

    Parameters
    ----------
    arguments : list of str, default=None
        What follows `python -m kpretrain`; None takes it from the command line.

    Returns
    -------
    code : int
        0 for success, 1 if something failed or disagrees, 2 for a mistake in the call, 130 after Ctrl-C.

    Examples
    --------
    >>> main(["links"])
    All links agree with pyproject.toml, and the translations with the English.
    0
    """
    _write_what_can_be()
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    reuse_memory()
    if "call" not in options:
        parser.print_help()
        return 0
    module, function = options.pop("call").split(".")
    try:
        with _interrupts_heeded():
            # imported only now: the others must work where a package that this command needs is missing
            code = getattr(importlib.import_module(f".{module}", __package__), function)(**options)
            return code if isinstance(code, int) else 0  # what else it returns is for callers in Python
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "kpretrain":
            raise
        return _mend(f"the package {error.name} is not installed; python -m kpretrain doctor says how to mend it")
    except (OSError, ValueError) as error:  # CourseError, DataError, ... and what compare and the records refuse
        return _mend(error)
    except KeyboardInterrupt:
        return 130


def _once(*_):
    """Heed the first Ctrl-C, and let the second end the process at once, whatever it is in."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise KeyboardInterrupt


def _write_what_can_be():
    """Let a question mark stand for a sign that a pipe or a file cannot hold: on Windows those are not in UTF-8."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not in a notebook
            stream.reconfigure(errors="replace")


@contextlib.contextmanager
def _interrupts_heeded():
    """Ctrl-C again, a moment later, where it came within a `__del__`: what is raised there, Python prints and drops."""
    before, usual = sys.unraisablehook, signal.getsignal(signal.SIGINT)

    def hook(unraisable):
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            if ours:
                signal.signal(signal.SIGINT, _once)
            threading.Timer(0.05, _thread.interrupt_main).start()  # at once would be within the `__del__` again
        else:
            before(unraisable)

    sys.unraisablehook = hook
    # not where it is ignored, as after nohup
    ours = usual is signal.default_int_handler and threading.current_thread() is threading.main_thread()
    if ours:
        signal.signal(signal.SIGINT, _once)
    try:
        yield
    finally:
        sys.unraisablehook = before
        if ours:
            signal.signal(signal.SIGINT, usual)


def _mend(message):
    """Say on one line what the user can mend."""
    print(f"kpretrain: {' '.join(str(message).split())}", file=sys.stderr)
    return 2


def _number(text, kind=int, least=1):
    with contextlib.suppress(ValueError):
        if (value := kind(text)) >= least:
            return value
    raise argparse.ArgumentTypeError(f"{text[:20]!r} must be a {'whole ' * (kind is int)}number, {least} or more")


def _numbers(text, least=0):
    with contextlib.suppress(ValueError):
        numbers = [int(word) for word in text.split(",")]
        if min(numbers) >= least and len(set(numbers)) == len(numbers):
            return numbers
    raise argparse.ArgumentTypeError(f"{text[:60]!r} must be different whole numbers from {least}, such as 5,10,50")


def _parser():
    parser = argparse.ArgumentParser(prog="python -m kpretrain", description="A Keras 3 course on pretraining.")
    commands = parser.add_subparsers(title="commands", metavar="command")

    def add(name, call, help, description):
        """Add a command that calls a function in one of the files beside this one; return what adds an option to it."""
        one = commands.add_parser(name, help=help, description=description)
        one.set_defaults(call=call)
        return one.add_argument

    def add_running(option, profile):
        """Add the options of commands that run notebooks."""
        what = f"small settings in minutes, or the full ones (default: {profile})"
        option("--profile", choices=["fast", "full"], default=profile, help=what)
        option("--out", default="course-run", metavar="DIR", help="folder for what was executed (default: course-run)")
        option("--in-place", action="store_true", help="also write each notebook that passed over its source")

    def add_data(option):
        """Add the path and the columns of commands that read your own data."""
        option("path", help="a folder of class folders with images, or a CSV, TSV, JSONL or Parquet table")
        option("--text", metavar="COLUMN", help="the table's column of texts (default: guessed, and said)")
        option("--label", metavar="COLUMN", help="the table's column of labels (default: guessed, and said)")
        text = "a column, such as an author, whose rows stay on one side of the test"
        option("--group", metavar="COLUMN", help=text)
        option("--encoding", metavar="NAME", help="of the table's text, such as latin-1 (default: utf-8)")

    option = add(
        "run",
        "run.main",
        "execute the notebooks and write one page with what they found",
        "Execute the numbered notebooks in order, each from a fresh kernel. A failing notebook does not stop the "
        "others. Ctrl-C stops cleanly and keeps what is done. Exit code: 0 all passed, 1 one failed, 2 a mistake in "
        "the call, 130 stopped.",
    )
    add_running(option, "fast")
    option("--only", metavar="03,07", help="run these notebooks only, by number")
    text = "limit for one cell, 0 for none (default: 1800)"
    option("--timeout", type=partial(_number, kind=float, least=0), default=1800, metavar="SECONDS", help=text)
    text = "notebooks at a time; 2 is quicker in all on two cores, and each takes longer (default: 1)"
    option("--jobs", type=_number, default=1, metavar="N", help=text)
    option("--notebooks", metavar="DIR", help="folder with NN_*.ipynb (default: the course's own)")

    option = add(
        "doctor",
        "doctor.main",
        "tell whether this machine is ready, package by package",
        "Check packages, memory, disk, data and that TensorFlow works. Exit code 1 if one needs mending.",
    )
    text = "install the packages that are missing, and nothing else, as the notebooks do in Colab"
    option("--install", action="store_true", help=text)

    option = add(
        "compare",
        "own.run",
        "does pretraining help on your own images or texts?",
        "Compare frozen and fine-tuned pretrained networks with training from scratch and a plain baseline on your own "
        "data, print one plain answer, and write DIR/index.html and DIR/comparison.json. What is run follows from the "
        "data alone; draws of labels are added until the minutes are used up. Ctrl-C stops and writes the page from "
        "the whole draws; the same command again goes on, and adds at least one draw. Of fewer than 500 rows, two in "
        "five are for the test. Exit code: 0, 2 for data, a backbone or settings that cannot be used, 130 after "
        "Ctrl-C.",
    )
    add_data(option)
    text = "a preset's name or folder (default: resnet_18_imagenet or all_minilm_l6_v2_en, or else the course's own)"
    option("--encoder", metavar="NAME", help=text)
    option("--out", default="comparison", metavar="DIR", help="the report's folder (default: comparison)")
    option("--seeds", type=_number, default=20, metavar="N", help="the most draws of labels (default: 20)")
    text = "labels per class (default: chosen from the data)"
    option("--labels", type=partial(_numbers, least=1), metavar="5,10,50", help=text)
    option("--updates", type=_number, default=100, metavar="N", help="updates of trained networks (default: 100)")
    text = "draws are added until then, three at least; 0 for no limit (default: 10)"
    option("--minutes", type=partial(_number, kind=float, least=0), default=10, metavar="N", help=text)
    text = "train large networks too (minutes a fit): fine-tuned, from scratch, and contrastively on texts"
    option("--tune", action="store_true", help=text)

    option = add(
        "choose",
        "choose.run",
        "which backbone for your own images or texts?",
        "Rank the backbones that are on this machine by scores of their frozen features on your labelled training "
        "rows: nearest neighbour, LogME, H-score and a cross-validated linear probe. Nothing is trained or downloaded, "
        "and the test rows are not looked at. Exit code: 0, 2 for data that cannot be used, 130 after Ctrl-C.",
    )
    add_data(option)
    option("--rows", type=_number, default=500, metavar="N", help="the most labelled rows to look at (default: 500)")

    option = add(
        "ship",
        "ship.ship",
        "make of a .keras file a folder that runs without Keras",
        "Write a classifier as ONNX and LiteRT, in float and in int8, measure each in a process of its own, and write "
        "DIR with the files, a ledger of bytes, milliseconds and agreement, a small HTTP service and its Dockerfile.",
    )
    option("model", help="a .keras file, as model.save writes it")
    text = "rows of the training part for int8: a folder of pictures, a .npy, or a .npz by the names of the inputs"
    option("--calibrate", metavar="PATH", help=text)
    text = "rows on which all forms are compared, likewise; a .npz may hold labels y (default: random rows)"
    option("--rows", metavar="PATH", help=text)
    option("--out", default="shipped", metavar="DIR", help="the folder (default: shipped)")

    option = add(
        "copy",
        "copy.copy",
        "copy the notebooks into a folder of your own",
        "Copy the notebooks, their solutions and the map of the course into DIR, to run and change them there. A file "
        "that is there already and differs stays as it is, and is named: to have the course's, move yours away first.",
    )
    option("folder", metavar="DIR", help="the folder; it is made where it is missing")

    option = add(
        "pack",
        "pack.pack",
        "make a folder that brings the course to machines without a network",
        "Write DIR with the course, the wheels of all packages that it needs, and a script that sets it up and opens "
        "it. It is for machines of this kind with this Python, and holds about 1 GB.",
    )
    option("--out", default="course-pack", metavar="DIR", help="a new folder (default: course-pack)")
    text = "data sets that go along; without, the embedded ones serve"
    option("--data", type=lambda names: names.split(","), default=(), metavar="mnist,hymenoptera", help=text)

    option = add(
        "pool",
        "pool.pool",
        "pool what a class has handed in: its records and its bets",
        "Pool the records of a class, each of draws of its own, into one curve for each experiment, tell how often the "
        "bets held, and write DIR/index.html and DIR/pool.json. A file that cannot be used is named and left out.",
    )
    option("paths", nargs="+", metavar="RECORDS", help="JSON files, or folders of them")
    option("--out", default="class", metavar="DIR", help="the page's folder (default: class)")

    option = add(
        "record",
        "records.record",
        "run notebooks under several seeds and store their scores in data/results",
        "Run the named notebooks once for each seed, and pool what they measured into data/results/NAME.json. Nothing "
        "is stored if a run fails.",
    )
    option("only", metavar="03,07", help="these notebooks, by number")
    option("--seeds", type=_numbers, default=[0], metavar="0,1,2", help="one run for each seed (default: 0)")
    add_running(option, "full")

    text = "show the stored results as a table"
    option = add("results", "readme.main", text, "Show the stored run records as a table.")
    option("--write", action="store_true", help="render the README's tables from the records")

    option = add(
        "links",
        "links.main",
        "check that badges and set-up cells use pyproject.toml's address",
        "Compare the Colab badges and set-up cells with Repository in pyproject.toml, and list the "
        "sections of the translations whose English has changed. "
        "Exit code 1 if one disagrees.",
    )
    option("--write", action="store_true", help="mend the files that disagree")
    return parser
