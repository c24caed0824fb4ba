"""Which backbone for your own data? All that are at hand, ranked by a few labelled rows; nothing is trained."""

from pathlib import Path

import numpy as np

from .. import session
from ..words import listed, per_class, quoted, span
from . import own

_SHOWN = {"kNN": "{:.1f}", "LogME": "{:.3f}", "H-score": "{:.2f}", "probe": "{:.1f}", "seconds": "{:.1f}"}


def run(path, *, text=None, label=None, group=None, encoding=None, rows=500):
    """Rank the backbones at hand on your own labelled rows, print the table, advice, and what to run next.

    Parameters
    ----------
    path : path
        A folder with a subfolder of images for each class, or a CSV, TSV, JSONL or Parquet table.
    text, label, group, encoding : str, optional
        As in `kpretrain.tools.own.run`.
    rows : int
        The most labelled rows that are looked at, evenly over the classes. The test part is never looked at, so that
        `compare` can still use it.

    Returns
    -------
    pandas.DataFrame
        Of `kp.ranking.rank`.

    Raises
    ------
    DataError
        If the data cannot be used, or a column cannot be guessed.
    ValueError
        If a class is left with fewer than two rows.
    """
    path = Path(path)
    dataset, notes = own.read(path, text=text, label=label, group=group, encoding=encoding)
    x, y = _few(dataset.train, rows)
    session.setup()
    from .. import backbones, ranking  # which bring Keras, so after the quiet start

    kind = "images" if path.is_dir() else "texts"
    candidates = ranking.at_hand(x)
    each = np.unique(y, return_counts=True)[1]
    print(*[line for line in notes if line], sep="\n")
    print(
        f"{len(candidates)} backbones on {len(y):,} labelled rows, {per_class(int(each.min()))} at least.", flush=True
    )
    table = ranking.rank(candidates, x, y)
    shown = table.assign(**{"for new rows": [span(*ends, 1) for ends in zip(table["low"], table["high"], strict=True)]})
    for column, form in _SHOWN.items():
        shown[column] = table[column].map(form.format)
    shown["parameters"] = table["parameters"].map("{:,}".format)
    columns = ["parameters", "seconds", "kNN", "LogME", "H-score", "probe", "for new rows"]
    print("", shown[columns].to_string(), "", sep="\n")
    print(advice(table))
    takes = [name for name in table.index if name in ("resnet_cifar10", "bert_docstrings", *backbones.kept(kind))]
    named = {"text": text, "label": label, "group": group, "encoding": encoding}
    columns = "".join(f" --{name} {quoted(value)}" for name, value in named.items() if value)
    command = f"python -m kpretrain compare {quoted(str(path))}{columns} --encoder {takes[0]}"
    print(f"Next, in full and on test rows: {command}")
    return table


def _few(part, rows):
    """At most so many rows, as evenly over the classes as they allow, drawn at random but always the same."""
    random, chosen = np.random.default_rng(0), []
    labels = np.unique(part.y)
    for label in labels:
        chosen.extend(random.permutation(np.flatnonzero(part.y == label))[: max(2, rows // len(labels))])
    return part.x[np.sort(chosen)], part.y[np.sort(chosen)]


def advice(table):
    """Say which backbone to take by the probe, and how sure that is.

    Two are compared row by row: a lead counts as told if the 95 % interval of the difference lies above zero.

    Parameters
    ----------
    table : pandas.DataFrame
        Of `kp.ranking.rank`.

    Returns
    -------
    str

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"parameters": [9, 0]}, index=["net", "pixels"])
    >>> table.attrs["hits"] = {"net": [True] * 50, "pixels": [True] * 30 + [False] * 20}
    >>> advice(table)
    'Take net: by the probe it is ahead of all others, of the next one by +40.0 points (26.3 to 53.7, for new rows).'
    """
    hits = {name: np.array(right, float) for name, right in table.attrs["hits"].items()}
    first, *others = table.index
    gaps = {name: _gap(hits[first], hits[name]) for name in others}
    tied = [name for name, (_, low, _) in gaps.items() if low <= 0]
    if not others:
        return f"{first} is the only one."
    points, low, high = gaps[others[0]]
    lead = f"{points:+.1f} points ({span(low, high, 1)}, for new rows)"
    if not tied:
        return f"Take {first}: by the probe it is ahead of all others, of the next one by {lead}."
    small = min([first, *tied], key=lambda name: table.loc[name, "parameters"])
    return (
        f"{first} is first by the probe, but cannot be told apart from {listed(tied)} with so few rows; its lead on "
        f"{others[0]} is {lead}. Of these {small} is the smallest."
    )


def _gap(one, other):
    """The mean difference of hits in points, and its 95 % interval over the rows."""
    difference = 100 * (one - other)
    half = 1.96 * difference.std(ddof=1) / np.sqrt(len(difference))
    return difference.mean(), difference.mean() - half, difference.mean() + half
