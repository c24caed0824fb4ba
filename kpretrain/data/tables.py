"""Tables of labelled texts: your own, and those of the course."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from .. import clean
from .dataset import DataError, announce
from .parts import SIZES, assemble, enough_per_class, split_rows

_READERS = {
    ".csv": pd.read_csv,
    ".tsv": partial(pd.read_csv, sep="\t"),
    ".jsonl": partial(pd.read_json, lines=True),
    ".parquet": lambda path, encoding: pd.read_parquet(path),
}


def from_table(
    table, text="text", label="label", *, group=None, sizes=SIZES, encoding="utf-8", seed=0, name=None, source=None
):
    """Read a table of labelled texts.

    Near duplicates (`clean.duplicates`), and rows of one `group`, never cross from one part to another.

    Parameters
    ----------
    table : path or pandas.DataFrame
        A CSV, TSV, JSONL or Parquet file, told by its ending.
    text, label : str
        Column names.
    group : str, optional
        A column whose values must stay together, for instance a user or a document.
    sizes : three floats
        Shares of train, validation and test.
    encoding : str
        Of a CSV, TSV or JSONL file.
    seed : int
        Draws the parts.
    name, source : str, optional
        What the dataset is called, and where it comes from in words; the file's name by default.

    Returns
    -------
    Dataset
        `x` holds strings. `removed` lists the rows left out, and why in the column `reason`: missing label or group,
        empty text, rare class.

    Raises
    ------
    DataError
        If the file is missing, empty, of another kind or encoding, lacks a column, or has fewer than two classes.

    Examples
    --------
    >>> table = pd.DataFrame({"text": [f"number {k}" for k in range(20)], "label": ["even", "odd"] * 10})
    >>> numbers = from_table(table)
    table: 16 train, 2 validation, 2 test rows in 2 classes, from the table table
    >>> numbers.class_names
    ['even', 'odd']
    """
    rows = table if isinstance(table, pd.DataFrame) else read_table(table, encoding)
    name = name or ("table" if rows is table else Path(table).name)
    if rows.empty:
        raise DataError(f"{name}: the table has no rows.")
    faults = {"empty text": text, "missing label": label} | ({} if group is None else {"missing group": group})
    for column in faults.values():
        if (count := rows.columns.tolist().count(column)) != 1:
            has = ", ".join(map(str, rows.columns))
            raise DataError(f"{name}: {count or 'no'} column{'s' * (count > 1)} {column!r}; it has {has}.")
    reason = np.select([_blank(rows[column]) for column in faults.values()], list(faults), default="")
    removed, kept = rows.assign(reason=reason)[reason != ""], rows[reason == ""].copy()
    kept[label] = kept[label].convert_dtypes().astype(str)  # whole numbers that a gap made floats are whole again
    kept[text] = kept[text].astype(str)
    kept, rare = enough_per_class(kept, label, 3, name)
    groups = [clean.duplicates(kept[text].tolist())] + ([] if group is None else [kept[group].to_numpy()])
    part = split_rows(kept[label], sizes, groups=groups, seed=seed, name=name)
    removed = pd.concat([removed, rare])
    source = source or f"the table {name}"
    return announce(assemble(kept, part, x=text, y=label, removed=removed, name=name, source=source))


def _blank(column):
    return column.isna() | (column.astype(object).map(str).str.strip() == "")


def read_table(path, encoding="utf-8"):
    """Read a table from a file.

    Parameters
    ----------
    path : path
        A CSV, TSV, JSONL or Parquet file, told by its ending.
    encoding : str
        Of a CSV, TSV or JSONL file.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    DataError
        If the file is missing, of another kind or encoding, or its rows have more fields than its header.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "reviews.csv").write_text("text,label\\nfine,good\\n")
    ...     read_table(f"{folder}/reviews.csv")
       text label
    0  fine  good
    """
    path = Path(path)
    kind = path.suffix.lower()
    if not path.is_file():
        raise DataError(f"{path}: no such file.")
    if kind not in _READERS:
        raise DataError(f"{path}: cannot read {path.suffix or 'this'!r} files; use one of {', '.join(_READERS)}.")
    try:
        table = _READERS[kind](path, encoding=encoding)
    except (ValueError, OSError) as error:  # pandas' and pyarrow's parser errors are ValueErrors
        mend = " Name its encoding, for instance encoding='latin-1', or --encoding latin-1 on the command line."
        mend = mend if isinstance(error, UnicodeDecodeError) else ""
        raise DataError(f"{path}: cannot be read as {kind[1:].upper()} ({error}).{mend}") from error
    if kind in (".csv", ".tsv") and not isinstance(table.index, pd.RangeIndex):
        # pandas takes the surplus for row names, and every column shifts.
        raise DataError(f"{path}: the rows have more fields than the header. Quote the texts that hold a separator.")
    return table
