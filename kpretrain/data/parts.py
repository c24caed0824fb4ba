"""From a table of rows to the three parts of a dataset, so that no two rows that are alike stand in two parts."""

import hashlib

import numpy as np
import pandas as pd

from .. import clean
from .dataset import PARTS, DataError, Dataset, Part, left_out

SIZES = (0.8, 0.1, 0.1)  # shares of train, validation and test


def stable_part(keys):
    """Assign each key to a part by its SHA-256: 80 % train, 10 % validation, 10 % test, the same on every machine.

    Parameters
    ----------
    keys : iterable of str
        Rows with the same key, such as a module's lines, go to the same part.

    Returns
    -------
    numpy.ndarray of str, (n,)
        "train", "validation" or "test".

    Examples
    --------
    >>> stable_part(["numpy/numpy.module_0", "numpy/numpy.module_3"]).tolist()
    ['train', 'test']
    """
    number = {key: int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) % 10 for key in set(keys)}
    return np.array(["test", "validation", *["train"] * 8])[[number[key] for key in keys]]


def twins(part, cluster):
    """Tell why a row must leave its part: its duplicate stands in the test part, or in the validation part.

    Parameters
    ----------
    part : ndarray of str, (n,)
    cluster : ndarray of int, (n,)
        Rows of one number are duplicates.

    Returns
    -------
    ndarray of str, (n,)
        The reason, or "" where the row may stay.

    Examples
    --------
    >>> twins(np.array(["train", "train", "test"]), np.array([0, 1, 0])).tolist()
    ['duplicate of a test row', '', '']
    """
    near_test = (part != "test") & np.isin(cluster, cluster[part == "test"])
    near_validation = (part == "train") & np.isin(cluster, cluster[part == "validation"])
    reasons = ["duplicate of a test row", "duplicate of a validation row"]
    return np.select([near_test, near_validation], reasons, default="")


def enough_per_class(table, label, least, name, removed):
    """Take out the classes with fewer than `least` rows; the message of an error counts what was `removed` before.

    Returns
    -------
    kept, rare : pandas.DataFrame
        The rare rows have a `reason`.

    Raises
    ------
    DataError
        If fewer than two classes are left.

    Examples
    --------
    >>> table = pd.DataFrame({"label": ["ant", "bee", "ant", "bee", "wasp"]})
    >>> kept, rare = enough_per_class(table, "label", 2, "photos", removed=table[:0].assign(reason=""))
    >>> rare["reason"].tolist()
    ['class with fewer than 2 rows']
    """
    counts = table[label].map(table[label].value_counts())
    usable, rare = table[counts >= least].copy(), table[counts < least]
    if usable[label].nunique() < 2:
        few = f"{usable[label].nunique()} of {table[label].nunique()} classes have {least} or more usable rows"
        few = f"{few}; two are needed" if len(table) else "no row can be used"
        raise DataError(f"{name}: {few}{left_out(removed)}. Add rows or classes, or take other labels.")
    return usable, rare.assign(reason=f"class with fewer than {least} rows")


def split_rows(labels, sizes, *, groups, seed, name):
    """Return the part of each row by name, from `clean.split`.

    Raises
    ------
    DataError
        With the name of the data, where `clean.split` has a ValueError.

    Examples
    --------
    >>> part = split_rows(pd.Series(["a", "b"] * 10), SIZES, groups=None, seed=0, name="letters")
    >>> [int((part == name).sum()) for name in PARTS]
    [16, 2, 2]
    """
    try:
        split = clean.split(labels.to_numpy(), sizes, groups=groups, seed=seed)
    except ValueError as error:
        raise DataError(f"{name}: {error}.") from error
    return np.select([np.isin(np.arange(len(labels)), positions) for positions in split], PARTS, default="")


def assemble(table, part, *, x, y, removed, name, source):
    """Make a Dataset of a table whose rows have their parts.

    Parameters
    ----------
    table : pandas.DataFrame
    part : ndarray of str, (n,)
        Of each row.
    x, y : str
        The columns of the raw rows, and of the classes by name.
    removed : pandas.DataFrame
        Rows that were left out before, each with its `reason`. Those of classes that train lacks join them.
    name, source : str
        As in `Dataset`.

    Returns
    -------
    Dataset
        Classes are numbered in the order of their names.

    Raises
    ------
    DataError
        If train has fewer than two classes, or a part has no rows.

    Examples
    --------
    >>> table = pd.DataFrame({"text": list("abcdef"), "tone": ["high", "low"] * 3})
    >>> part = np.array(["train", "train", "validation", "validation", "test", "test"])
    >>> assemble(table, part, x="text", y="tone", removed=table[:0], name="tones", source="an example").test
    Part(x=array(['e', 'f'], dtype=object), y=array([0, 1]))
    """
    class_names = sorted(table.loc[part == "train", y].unique())
    if len(class_names) < 2:
        few = f"train has {len(class_names)} class(es), two are needed{left_out(removed)}"
        raise DataError(f"{name}: {few}. Add rows or classes.")
    number = pd.Index(class_names).get_indexer(table[y])  # -1: train has no such class
    removed = pd.concat([removed, table[number < 0].assign(reason="class that train does not have")])
    chosen = {which: (part == which) & (number >= 0) for which in PARTS}
    if empty := [which for which, rows in chosen.items() if not rows.any()]:
        none = f"no rows are left for the {empty[0]} part{left_out(removed)}"
        raise DataError(f"{name}: {none}. Add rows, or change the sizes.")
    parts = [Part(table[x].to_numpy(object)[rows], number[rows]) for rows in chosen.values()]
    return Dataset(name, *parts, class_names, source, removed)
