"""Your own data, one call: a folder of images or a table of texts in, a fair comparison on one page out."""

import shlex
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from . import arms as standard
from . import data, notebook, page
from .comparison import as_markdown, compare, label_sizes
from .comparison import few_test_rows as _few
from .comparison import per_class as _per_class
from .comparison import round_time as _time
from .comparison.words import FEW_TEST_ROWS as _FEW_TEST_ROWS

_LABEL_NAMES = {"label", "labels", "class", "target", "category", "stars", "sentiment", "rating", "topic"}
_MOST_CLASSES = 50  # of a column that is taken for the labels without being called so
_MOST_TEST_ROWS = 1000  # each cell of the grid predicts them all
_LEAST_ROWS = 5  # training rows of a class; fewer would keep the whole grid at very few labels
_PROBE_ROWS, _PROBE_UPDATES = 64, 10
_DEFAULTS = {"images": ("resnet_cifar10", "pixels"), "texts": ("bert_docstrings", "TF-IDF")}


@dataclass(frozen=True)
class Plan:
    """What a comparison will run: labels per class, draws, and updates of the arms that are trained."""

    labels: tuple
    seeds: int
    updates: int

    def __str__(self):
        return f"{_per_class(*self.labels)}, {self.seeds} draw{'s' * (self.seeds > 1)}, {self.updates} updates"


def run(
    path,
    *,
    text=None,
    label=None,
    encoder=None,
    out="comparison",
    seeds=5,
    labels=None,
    updates=300,
    minutes=10,
):
    """Compare pretrained and other models on your own data, and write `index.html` and `comparison.json`.

    Parameters
    ----------
    path : path
        A folder with a subfolder of images for each class, or a CSV, TSV, JSONL or Parquet table.
    text, label : str, optional
        A table's columns; None guesses them and says which it took.
    encoder : str or path, optional
        A backbone (`kp.backbones`); None is "resnet_cifar10" for images, "bert_docstrings" for texts.
    out : path
        The folder of the report.
    seeds : int
        Draws of labels.
    labels : sequence of int, optional
        Labels per class; None chooses them from the data.
    updates : int
        Of the arms that are trained.
    minutes : float
        The time that all may take. A short trial of each arm tells how long the comparison will be; where that is too
        long, updates, sizes and draws are cut, with a word, but never to fewer than 3 draws. 0 is no limit, and no
        trial.

    Returns
    -------
    Comparison

    Raises
    ------
    DataError
        If the data cannot be used, or a column cannot be guessed.
    PresetError
        If the backbone cannot be loaded.
    ValueError
        If labels or seeds cannot be used; ComparisonError, if an arm fails.
    """
    started = time.perf_counter()
    notebook.setup()
    kind = "images" if Path(path).is_dir() else "texts"
    if kind == "images" and (text or label):
        raise data.DataError(f"{path}: a folder of images has no columns; leave --text and --label out.")
    source = data.from_folder(path) if kind == "images" else _read_table(Path(path), text, label)
    dataset, left_out = _trimmed(source)
    encoder, baseline = encoder or _DEFAULTS[kind][0], _DEFAULTS[kind][1]
    arms = _arms(kind, dataset, encoder, baseline, updates, left_out)
    chosen, why = (sorted(labels), "") if labels else label_sizes(dataset)
    _say(*left_out, why, _few(len(dataset.test.y)) if len(dataset.test.y) < _FEW_TEST_ROWS else "")
    plan, cuts = Plan(tuple(chosen), seeds, updates), []
    if minutes:
        cost = _cost(arms, dataset, plan.labels)
        behind = time.perf_counter() - started
        plan, cuts = _fit_into(plan, cost, 0.8 * (60 * minutes - behind))  # trials tell the rest to a fifth, at best
        _say(*cuts, f"To come: {plan}; about {_time(cost(plan))}, and {_time(behind)} are behind.")
    comparison = compare(_with_updates(arms, plan.updates), dataset, plan.labels, plan.seeds)
    words = ["python -m kpretrain compare", shlex.quote(str(path)), f"--encoder {shlex.quote(str(encoder))}"]
    words += [f"--{name} {shlex.quote(value)}" for name, value in (("text", text), ("label", label)) if value]
    words += [f"--labels {','.join(map(str, plan.labels))} --seeds {plan.seeds} --updates {plan.updates} --minutes 0"]
    command, notes = " ".join(words), [*left_out, why, *cuts]
    comparison.save(Path(out) / "comparison.json", name=Path(path).name, title=f"{Path(path).name}", command=command)
    seconds = time.perf_counter() - started
    with data.replacing(Path(out) / "index.html") as temporary:
        temporary.write_text(report(comparison, dataset, plan, notes, command, seconds), encoding="utf8")
    _say("", comparison.summary().to_string(), "", comparison.verdict(), "", _ledger(comparison).to_string(index=False))
    _say(f"\nThe page: {Path(out) / 'index.html'}, made in {_time(seconds)}.")
    return comparison


def _say(*lines):
    print("\n".join(line for position, line in enumerate(lines) if line or position == 0), flush=True)


# ---------------------------------------------------------------- what is compared


def _read_table(path, text, label):
    text, label, how = columns(data._read_table(path, "utf-8"), text, label)
    print(f"{path.name}: texts from the column {text!r}, labels from {label!r}{how}.")
    return data.from_table(path, text, label)


def columns(table, text=None, label=None):
    """Guess which column of a table holds the texts and which the labels.

    Texts: the column of strings with the longest ones. Labels: the column called label, class, target, category, stars
    or the like, or else the only one with few values: up to 50, and ten times as many rows.

    Parameters
    ----------
    table : pandas.DataFrame
    text, label : str, optional
        What is known already.

    Returns
    -------
    text, label : str
    how : str
        " (guessed; ...)", or "" if nothing was.

    Raises
    ------
    DataError
        If none fits, or several do as well; the message lists the columns.
    """
    values = {column: table[column].dropna() for column in table.columns}
    distinct = {column: found.astype(str).nunique() for column, found in values.items()}
    lengths = {
        column: found.str.len().mean()
        for column, found in values.items()
        if column != label and len(found) and found.map(lambda value: isinstance(value, str)).all()
    }
    listed = "; ".join(f"{column!r} ({distinct[column]:,} values)" for column in table.columns)
    guessed = " (guessed; --text and --label name others)" if text is None or label is None else ""
    if text is None:
        longest = sorted(lengths, key=lengths.get, reverse=True)
        if not longest or (len(longest) > 1 and lengths[longest[1]] > 0.8 * lengths[longest[0]]):
            several = (
                f"{longest[0]!r} and {longest[1]!r} hold texts of like length" if longest else "no column of texts"
            )
            raise data.DataError(f"Which column holds the texts? {several}; name it with --text. Columns: {listed}.")
        text = longest[0]
    if label is None:
        others = [column for column in table.columns if column != text]
        most = min(_MOST_CLASSES, len(table) / 10)
        fitting = [column for column in others if str(column).strip().lower() in _LABEL_NAMES]
        fitting = fitting or [column for column in others if 2 <= distinct[column] <= most]
        if len(fitting) != 1:
            several = f"{' and '.join(map(repr, fitting))} may" if fitting else "none is called so or has few values"
            raise data.DataError(f"Which column holds the labels? {several}; name it with --label. Columns: {listed}.")
        label = fitting[0]
    return text, label, guessed


def _trimmed(dataset):
    """The dataset without rare classes and surplus test rows, and lines on all that was left out."""
    counts = dataset.removed["reason"].value_counts()
    lines = [f"Left out while reading: {number:,} rows, {reason}." for reason, number in counts.items()]
    sizes = np.bincount(dataset.train.y, minlength=len(dataset.class_names))
    keep = sizes >= _LEAST_ROWS
    if not keep.all() and keep.sum() >= 2 and sizes[~keep].sum() < 0.1 * sizes.sum():
        number, parts = np.cumsum(keep) - 1, (dataset.train, dataset.validation, dataset.test)
        parts = [data.Part(part.x[keep[part.y]], number[part.y[keep[part.y]]]) for part in parts]
        lost = sum(len(old) for old, *_ in (dataset.train, dataset.validation, dataset.test)) - sum(
            len(new.y) for new in parts
        )
        rare = [name for name, kept in zip(dataset.class_names, keep, strict=True) if not kept]
        shown = ", ".join(rare[:10]) + (", ..." if len(rare) > 10 else "")
        lines.append(f"Left out: {lost:,} rows of classes with fewer than {_LEAST_ROWS} training rows ({shown}).")
        names = [name for name, kept in zip(dataset.class_names, keep, strict=True) if kept]
        dataset = replace(dataset, train=parts[0], validation=parts[1], test=parts[2], class_names=names)
    if (rows := len(dataset.test.y)) > _MOST_TEST_ROWS:
        dataset = replace(dataset, test=_some(dataset.test, _MOST_TEST_ROWS))
        lines.append(f"Left out: {rows - _MOST_TEST_ROWS:,} of {rows:,} test rows, evenly over the classes, for speed.")
    return dataset, lines


def _some(part, most):
    """So many rows of a part, evenly over its classes."""
    rows = np.argsort(part.y, kind="stable")[np.linspace(0, len(part.y) - 1, min(most, len(part.y))).astype(int)]
    return data.Part(part.x[np.sort(rows)], part.y[np.sort(rows)])


def _arms(kind, dataset, encoder, baseline, updates, left_out):
    """The standard arms; frozen and fine-tuned are compared with what people would use instead of them."""
    arms = getattr(standard, kind)(dataset, encoder, updates=updates)
    for name in ("frozen", "fine-tuned"):
        arms[name] = replace(arms[name], against=(baseline, "scratch"))
    if (seconds := arms["frozen"].pretraining_seconds) and "scratch, longer" not in arms:
        left_out.append(
            f"Left out: the arm scratch trained for the {seconds:,.0f} s of the pretraining more, in each of its fits."
        )
    return arms


# ---------------------------------------------------------------- how long it takes


def _with_updates(arms, updates):
    """The same arms, those that are trained with another number of updates."""
    return {
        name: replace(arm, estimator=type(arm.estimator)(**(params | {"updates": updates})))
        if "updates" in (params := arm.estimator.get_params(deep=False))
        else arm
        for name, arm in arms.items()
    }


def _cost(arms, dataset, labels):
    """A function from a plan to seconds, from two small draws of each arm.

    The first draw holds what is done once (compiling, features of the test rows), the second is the pace. What is
    trained is fitted with no updates and with a few, so that the time of an update is known.
    """
    trained = [name for name, arm in _with_updates(arms, 0).items() if arm is not arms[name]]
    trial = _with_updates(arms, _PROBE_UPDATES)
    trial |= {f"{name}, untrained": _with_updates(arms, 0)[name] for name in trained}
    few = replace(dataset, test=_some(dataset.test, _PROBE_ROWS))
    sizes = sorted({labels[0], max([n for n in labels if n * len(dataset.class_names) <= 300], default=labels[0])})
    with tempfile.TemporaryDirectory() as folder:
        only = {name: sizes[:1] for name in trained}
        table = compare(trial, few, sizes, 2, only=only, folder=folder, progress=False).table()
    took = table.set_index(["arm", "labels", "seed"])[["fit_seconds", "predict_seconds"]].sort_index()
    once, each, per_update, share = 0.0, {}, {}, len(dataset.test.y) / len(few.test.y)
    for name in arms:
        steady = f"{name}, untrained" if name in trained else name
        (first, start), (fit, predict) = (took.loc[(name, sizes[0], seed)] for seed in (0, 1))
        once += max(first - fit, 0) + max(start - predict, 0) * share
        seconds = [took.loc[(steady, n, 1), "fit_seconds"] for n in sizes]
        slope = max(seconds[-1] - seconds[0], 0) / max(sizes[-1] - sizes[0], 1)
        per_update[name] = max(fit - seconds[0], 1e-3) / _PROBE_UPDATES if name in trained else 0.0
        each[name] = {n: seconds[0] + slope * (n - sizes[0]) + predict * share for n in labels}

    def cost(plan):
        cells = [each[name][n] + plan.updates * per_update[name] for name in arms for n in plan.labels]
        return once + plan.seeds * sum(cells)

    return cost


def _fit_into(plan, cost, seconds):
    """The plan cut until it takes so many seconds, the least loss first, and lines on what was cut."""
    cuts = [
        lambda plan: replace(plan, updates=min(plan.updates, 150)),
        lambda plan: replace(plan, updates=min(plan.updates, 75)),
        lambda plan: replace(plan, labels=tuple(sorted({plan.labels[0], plan.labels[-1]}))),
        lambda plan: replace(plan, seeds=min(plan.seeds, 5)),
        lambda plan: replace(plan, seeds=min(plan.seeds, 4)),
        lambda plan: replace(plan, seeds=min(plan.seeds, 3)),
        lambda plan: replace(plan, labels=plan.labels[:1]),
        lambda plan: replace(plan, updates=min(plan.updates, 30)),
    ]
    wanted, lines = plan, []
    for cut in cuts:
        if cost(plan) <= seconds:
            break
        plan = cut(plan)
    if plan != wanted:
        lines.append(f"{wanted} would take about {_time(cost(wanted))}: cut to {plan}. More --minutes allow more.")
    if cost(plan) > seconds:
        lines.append("Even so it takes longer than --minutes allow. Ctrl-C stops it; the same command goes on.")
    return plan, lines


# ---------------------------------------------------------------- the page


def _ledger(comparison):
    """Seconds of each arm: pretraining, a fit, and all its fits and predictions here."""
    table = comparison.table()
    table["all here"] = table["fit_seconds"] + table["predict_seconds"]
    groups = table.groupby("arm", sort=False)
    columns = {
        "arm": list(groups.groups),
        "pretraining, s": groups["pretraining_seconds"].mean().map("{:,.0f}".format).tolist(),
        "a fit, s": groups["fit_seconds"].mean().map("{:.1f}".format).tolist(),
        "all fits and predictions here, s": groups["all here"].sum().map("{:,.1f}".format).tolist(),
    }
    return pd.DataFrame(columns).assign(arm=table["arm"].unique())


def _best(comparison):
    """The highest mean at each size, in a sentence."""
    means = comparison.table().groupby(["labels", "arm"])["score"].mean()
    best = [f"{means[n].idxmax()} at {_per_class(n)} ({means[n].max():.1f} %)" for n in means.index.unique("labels")]
    return f"Highest mean: {'; '.join(best)}. What of that is more than chance, the verdict says."


def _differences(comparison):
    """The contrasts that the verdict speaks of."""
    found = comparison.differences()
    rounded = {name: found[name].map("{:+.1f}".format) for name in ("points", "low", "high")}
    shown = found[["arm", "against"]].assign(**{"labels per class": found["labels"], **rounded})
    return shown.assign(**{"p": found["p"].map("{:.4f}".format), "p, Holm": found["p_holm"].map("{:.4f}".format)})


def report(comparison, dataset, plan, notes, command, seconds):
    """Return the report as one self-contained HTML page (str)."""
    facts, arms = comparison.facts, [name for name in ("frozen", "fine-tuned") if name in comparison.against]
    figure = Figure(figsize=(7.4, 4), layout="constrained")
    comparison.plot(figure.subplots())
    drawn = page.picture(
        figure, f"Accuracy on the test rows against labels per class, a curve for each arm. {_best(comparison)}"
    )
    saved = [comparison.labels_saved(arm).assign(arm=arm)[["arm", "labels", "needed", "low", "high"]] for arm in arms]
    verdict = "\n".join(f"- {line}" for line in comparison.verdict().splitlines())
    left_out = "\n".join(f"- {line}" for line in notes if line) or "Nothing."
    settings = [
        f"- {plan}.",
        *(f"- {name}: {note}." for name, note in facts["notes"].items()),
        f"- Versions: {', '.join(f'{name} {version}' for name, version in facts['versions'].items())}.",
        "- Every single score and all settings: comparison.json, beside this page.",
        f"\nMade again by:\n\n`{command}`",
    ]
    cards = {
        "Verdict": verdict,
        "Scores: percent correct and 95 % interval": comparison.markdown_table(),
        "Differences in points, with 95 % intervals": as_markdown(_differences(comparison)),
        "Labels per class that scratch needs for the same score": as_markdown(pd.concat(saved))
        if len(plan.labels) > 1
        else "",
        "What it cost": as_markdown(_ledger(comparison)),
        "Chosen, cut and left out": left_out,
        "Settings": "\n".join(settings),
    }
    cards = [
        {"id": f"part-{number}", "title": title, "markdown": text, "heading": ""}
        for number, (title, text) in enumerate(cards.items())
        if text
    ]
    cards[0]["figures"] = [drawn]
    head = [
        ("Data", dataset.source),
        ("Classes", f"{len(dataset.class_names):,}"),
        ("Rows", f"{len(dataset.train.y):,} for training, {len(dataset.test.y):,} for the test"),
        ("Draws", str(plan.seeds)),
        ("Date", facts["date"]),
        ("Time", _time(seconds)),
        ("Machine", facts["machine"]),
    ]
    return page.render_page(f"Does pretraining help on {dataset.name}?", head, cards, _best(comparison))
