"""What a dataset is, and which ones this process has loaded."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

PARTS = ("train", "validation", "test")

_loaded = {}


class DataError(ValueError):
    """A file or table that cannot be used; the message names it and the mend.

    Examples
    --------
    >>> import kpretrain as kp
    >>> kp.data.from_folder("no_photos")
    Traceback (most recent call last):
    kpretrain.data.dataset.DataError: no_photos: no such folder. ...
    """


class Part(NamedTuple):
    """One part of a dataset: `x` raw rows, `y` class numbers (int64), both of length n.

    Examples
    --------
    >>> x, y = Part(np.array(["a text", "another"]), np.array([0, 1]))
    >>> len(x), y.tolist()
    (2, [0, 1])
    """

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Dataset:
    """Raw rows in three parts that share no row.

    Attributes
    ----------
    train, validation, test : Part
        `(x, y)`; `x` is uint8 `(n, height, width, channels)`, or strings, or paths.
    class_names : list of str
        `class_names[k]` is the name of class `k`.
    source : str
        Where the rows come from, in words.
    removed : pandas.DataFrame
        Rows left out, each with its `reason`. Often empty.
    near_duplicates : pandas.DataFrame
        Of a folder of images: the pictures (`path`) that are near duplicates of one another, with their `group`. Those
        of one group stand in one part.

    Raises
    ------
    DataError
        If `x` and `y` of a part differ in length.

    Examples
    --------
    >>> rows = Part(np.zeros((4, 28, 28, 1), "uint8"), np.array([0, 1, 0, 1]))
    >>> photos = Dataset("photos", rows, rows, rows, ["ant", "bee"], "an example")
    >>> photos
    photos: 4 train, 4 validation, 4 test rows in 2 classes, from an example
    >>> photos.every(3).train.y.tolist()
    [0, 1]
    """

    name: str
    train: Part
    validation: Part
    test: Part
    class_names: list
    source: str
    removed: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({"reason": []}))
    near_duplicates: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({"path": [], "group": []}))

    def __post_init__(self):
        for part in PARTS:
            x, y = getattr(self, part) or ((), ())  # a comparison needs no validation part
            if len(x) != len(y):
                raise DataError(f"{self.name}: {part} has {len(x):,} rows in x and {len(y):,} in y.")

    @property
    def unlabelled(self):
        """The rows of `train` without their labels."""
        return self.train.x

    def every(self, step):
        """Return a Dataset of every `step`-th row of each part, for a quick look; the tables stay as they are."""
        return replace(self, **{name: Part(*(values[::step] for values in getattr(self, name))) for name in PARTS})

    def __repr__(self):
        sizes = ", ".join(f"{len(getattr(self, part).y):,} {part}" for part in PARTS)
        text = f"{self.name}: {sizes} rows in {len(self.class_names)} classes, from {self.source}"
        text += left_out(self.removed)
        if count := len(self.near_duplicates):
            groups = self.near_duplicates["group"].nunique()
            text += f"; {count:,} near-duplicate pictures in {groups:,} group{'s' * (groups > 1)} stay in one part"
        return text


def left_out(removed):
    """Say how many rows were left out, and why; "" where none were.

    Examples
    --------
    >>> left_out(pd.DataFrame({"reason": ["empty text", "missing label", "empty text"]}))
    '; left out 2 (empty text), 1 (missing label)'
    """
    counts = removed["reason"].value_counts()
    return "; left out " * bool(len(counts)) + ", ".join(f"{n:,} ({reason})" for reason, n in counts.items())


def loaded():
    """Return what this process has loaded so far: dataset name -> source.

    Examples
    --------
    >>> remember("digits", "scikit-learn's load_digits")
    >>> loaded()["digits"]
    "scikit-learn's load_digits"
    """
    return dict(_loaded)


def remember(name, source):
    """Note that this process has loaded a dataset, and from where: run records and the notebooks' stamp name it.

    Examples
    --------
    >>> remember("reviews", "the table reviews.csv")
    """
    _loaded[name] = source


def announce(dataset):
    """Print what a dataset holds, `remember` it, and return it.

    Examples
    --------
    >>> rows = Part(np.array(["hot", "cold"]), np.array([1, 0]))
    >>> words = announce(Dataset("words", rows, rows, rows, ["down", "up"], "an example"))
    words: 2 train, 2 validation, 2 test rows in 2 classes, from an example
    """
    remember(dataset.name, dataset.source)
    print(dataset)
    return dataset
