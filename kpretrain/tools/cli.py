"""The command line: python -m kpretrain run | doctor | compare | record | results | links."""

import argparse
import sys
import warnings

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
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    reuse_memory()
    if options.command is None:
        parser.print_help()
        return 0
    try:
        return options.command(options)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "kpretrain":
            raise
        return _mend(f"the package {error.name} is not installed; python -m kpretrain doctor says how to mend it")
    except OSError as error:
        return _mend(error)
    except KeyboardInterrupt:
        return 130


def _mend(message):
    """Say on one line what the user can mend."""
    print(f"kpretrain: {' '.join(str(message).split())}", file=sys.stderr)
    return 2


def _run(options):
    from .run import CourseError, exit_code, run

    try:
        results = run(
            options.notebooks,
            profile=options.profile,
            only=options.only,
            out=options.out,
            in_place=options.in_place,
            timeout=options.timeout,
            jobs=options.jobs,
        )
    except CourseError as error:
        return _mend(error)
    return exit_code(results)


def _doctor(options):
    from . import doctor

    return doctor.report()


def _compare(options):
    from . import own

    names = ("text", "label", "group", "encoding", "encoder", "out", "seeds", "labels", "updates", "minutes")
    # scikit-learn takes a few rows of very many classes for a regression, and says so in each fit
    warnings.filterwarnings("ignore", "The number of unique classes is greater")
    try:
        own.run(options.path, **{name: getattr(options, name) for name in names})
    except ValueError as error:  # DataError, PresetError, ComparisonError, and what compare refuses
        return _mend(error)
    return 0


def _record(options):
    from .records import record

    try:
        return record(options.only, options.seeds, profile=options.profile, out=options.out, in_place=options.in_place)
    except ValueError as error:  # CourseError, and records that cannot be pooled
        return _mend(error)


def _results(options):
    from .. import results

    try:
        return results.main(write=options.write) or 0
    except ValueError as error:  # a record that does not hold what it should
        return _mend(error)


def _links(options):
    from . import links

    try:
        changed = links.update(write=options.write)
    except ValueError as error:
        return _mend(error)
    for name in changed:
        print(f"{name}: {'mended' if options.write else 'another address than in pyproject.toml'}")
    if changed and not options.write:
        print("python -m kpretrain links --write mends it.")
        return 1
    if not changed:
        print("All links agree with pyproject.toml.")
    return 0


def _numbers(text):
    return [int(number) for number in text.split(",")]


def _sizes(text):
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and int(word) for word in words) or len(set(map(int, words))) < len(words):
        raise argparse.ArgumentTypeError(f"{text!r} must be different whole numbers from 1, such as 5,10,50")
    return [int(word) for word in words]


def _positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _seconds(text):
    value = float(text)
    if not value >= 0:
        raise argparse.ArgumentTypeError("must be 0 (no limit) or more")
    return value


def _parser():
    parser = argparse.ArgumentParser(prog="python -m kpretrain", description="A Keras 3 course on pretraining.")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="command")

    run = commands.add_parser(
        "run",
        help="execute the notebooks and write one page with what they found",
        description="Execute the numbered notebooks in order, each from a fresh kernel. A failing notebook does not "
        "stop the others. Ctrl-C stops cleanly and keeps what is done. Exit code: 0 all passed, 1 one failed, "
        "2 a mistake in the call, 130 stopped.",
    )
    run.add_argument(
        "--profile",
        choices=["fast", "full"],
        default="fast",
        help="small settings in minutes, or the full ones (default: fast)",
    )
    run.add_argument("--only", metavar="03,07", help="run these notebooks only, by number")
    run.add_argument(
        "--out",
        default="course-run",
        metavar="DIR",
        help="folder for executed copies and index.html (default: course-run)",
    )
    run.add_argument("--in-place", action="store_true", help="also write each notebook that passed over its source")
    run.add_argument(
        "--timeout",
        type=_seconds,
        default=1800,
        metavar="SECONDS",
        help="limit for one cell, 0 for none (default: 1800)",
    )
    run.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="notebooks at a time; 2 is quicker in all on two cores, and each takes longer (default: 1)",
    )
    run.add_argument("--notebooks", metavar="DIR", help="folder with NN_*.ipynb (default: the repository's notebooks)")
    run.set_defaults(command=_run)

    doctor = commands.add_parser(
        "doctor",
        help="tell whether this machine is ready, package by package",
        description="Check packages, memory, disk, data and that TensorFlow works. Exit code 1 if one needs mending.",
    )
    doctor.set_defaults(command=_doctor)

    compare = commands.add_parser(
        "compare",
        help="does pretraining help on your own images or texts?",
        description="Compare frozen and fine-tuned pretrained networks with training from scratch and a plain baseline "
        "on your own data, print one plain answer, and write DIR/index.html and DIR/comparison.json. What is run "
        "follows from the data alone; draws of labels are added until the minutes are used up. Ctrl-C stops and writes "
        "the page from the whole draws; the same command again goes on, and adds at least one draw. Of fewer than 500 "
        "rows, two in five are for the test. Exit code: 0, 2 for data, a backbone or settings that cannot be used, 130 "
        "after Ctrl-C.",
    )
    compare.add_argument("path", help="a folder of class folders with images, or a CSV, TSV, JSONL or Parquet table")
    compare.add_argument("--text", metavar="COLUMN", help="the table's column of texts (default: guessed, and said)")
    compare.add_argument("--label", metavar="COLUMN", help="the table's column of labels (default: guessed, and said)")
    compare.add_argument(
        "--group", metavar="COLUMN", help="a column, such as an author, whose rows stay on one side of the test"
    )
    compare.add_argument("--encoding", metavar="NAME", help="of the table's text, such as latin-1 (default: utf-8)")
    compare.add_argument(
        "--encoder", metavar="NAME", help="a preset's name or folder (default: resnet_cifar10 or bert_docstrings)"
    )
    compare.add_argument("--out", default="comparison", metavar="DIR", help="the report's folder (default: comparison)")
    compare.add_argument(
        "--seeds", type=_positive, default=20, metavar="N", help="the most draws of labels (default: 20)"
    )
    compare.add_argument(
        "--labels", type=_sizes, metavar="5,10,50", help="labels per class (default: chosen from the data)"
    )
    compare.add_argument(
        "--updates", type=_positive, default=100, metavar="N", help="updates of trained networks (default: 100)"
    )
    compare.add_argument(
        "--minutes",
        type=_seconds,
        default=10,
        metavar="N",
        help="draws are added until then, three at least; 0 for no limit (default: 10)",
    )
    compare.set_defaults(command=_compare)

    record = commands.add_parser(
        "record",
        help="run notebooks under several seeds and store their scores in data/results",
        description="Run the named notebooks once for each seed, and pool what they measured into "
        "data/results/NAME.json. Nothing is stored if a run fails.",
    )
    record.add_argument("only", metavar="03,07", help="these notebooks, by number")
    record.add_argument(
        "--seeds", type=_numbers, default=[0], metavar="0,1,2", help="one run for each seed (default: 0)"
    )
    record.add_argument("--profile", choices=["fast", "full"], default="full", help="default: full")
    record.add_argument(
        "--out", default="course-run", metavar="DIR", help="folder for executed copies (default: course-run)"
    )
    record.add_argument("--in-place", action="store_true", help="also write the notebooks over their sources")
    record.set_defaults(command=_record)

    results = commands.add_parser(
        "results",
        help="show the stored results as a table",
        description="Show the stored run records as a table.",
    )
    results.add_argument("--write", action="store_true", help="render the README's tables from the records")
    results.set_defaults(command=_results)

    links = commands.add_parser(
        "links",
        help="check that badges and set-up cells use pyproject.toml's address",
        description="Compare the Colab badges, set-up cells and clone commands with Repository in pyproject.toml. "
        "Exit code 1 if one disagrees.",
    )
    links.add_argument("--write", action="store_true", help="mend the files that disagree")
    links.set_defaults(command=_links)
    return parser
