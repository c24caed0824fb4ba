"""Tables of labelled texts: your own, and those of the course."""

import codecs
import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from .. import clean
from .dataset import DataError, announce
from .parts import SIZES, assemble, enough_per_class, split_rows


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
    faults = {"empty text": text, "missing label": label} | ({} if group is None else {"missing group": group})
    for column in faults.values():
        if column not in rows.columns:
            raise DataError(f"{name}: no column {column!r}; it has {', '.join(map(str, rows.columns[:50]))}.")
    reason = np.select([_blank(rows[column]) for column in faults.values()], list(faults), default="")
    good = reason == ""
    removed, usable = rows[~good].assign(reason=reason[~good]), rows[good].copy()
    usable[label] = usable[label].convert_dtypes().astype(str)  # whole numbers that a gap made floats are whole again
    usable[text] = usable[text].astype(str)
    usable, rare = enough_per_class(usable, label, 3, name, removed)
    groups = [clean.duplicates(usable[text].tolist())] + ([] if group is None else [usable[group].to_numpy()])
    part = split_rows(usable[label], sizes, groups=groups, seed=seed, name=name)
    removed = pd.concat([removed, rare])
    source = source or f"the table {name}"
    return announce(assemble(usable, part, x=text, y=label, removed=removed, name=name, source=source))


def _blank(column):
    return column.isna() | (column.astype(object).map(str).str.strip() == "")


def _read_csv(path, encoding, separator=","):
    """The separator is the usual one or, where the header has none of that, one that it has."""
    with path.open(encoding=encoding) as file:
        header = file.readline(2**20)
    present = next((one for one in (separator, ";", "\t", ",") if one in header), separator)
    if present != separator:
        print(f"{path.name}: the header has no {separator!r}, so its columns are those between {present!r}.")
    return pd.read_csv(path, sep=present, encoding=encoding, low_memory=False)


def _read_jsonl(path, encoding):
    """Read as one list, so that an error names the line."""
    text = path.read_text(encoding="utf-8-sig" if encoding == "utf-8" else encoding)
    rows = json.loads("[" + ",\n".join(filter(str.strip, text.split("\n"))) + "]")
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError('its lines are not all objects, such as {"text": "fine", "label": "good"}')
    return pd.DataFrame(rows)


_READERS = {
    ".csv": _read_csv,
    ".tsv": partial(_read_csv, separator="\t"),
    ".jsonl": _read_jsonl,
    ".parquet": lambda path, encoding: pd.read_parquet(path),
}


def _mend(path, encoding, error):
    """What to do about a file that cannot be read."""
    if isinstance(error, LookupError):
        return "Name an encoding that Python knows, for instance utf-8, latin-1 or utf-16."
    if isinstance(error, UnicodeError):
        with path.open("rb") as file:
            marked = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        likely = "utf-16" if marked else "latin-1" if encoding == "utf-8" else "utf-8"
        return f"Name its encoding, for instance encoding='{likely}', or --encoding {likely} on the command line."
    return "Mend it there, or save the table anew."


def read_table(path, encoding="utf-8"):
    """Read a table from a file.

    A CSV or TSV file may be parted by semicolons, tabs or commas: the header decides, and a line says so where it has
    not the usual one.

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
        If the file is missing, empty, of another kind or encoding, or its rows have more fields than its header.

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
        raise DataError(f"{path}: no such file or folder. Name one that is there.")
    if kind not in _READERS:
        raise DataError(f"{path}: the name of a table ends in one of {', '.join(_READERS)}. Save it as one of these.")
    try:
        table = _READERS[kind](path, encoding=encoding)
    except (ValueError, OSError, LookupError) as error:  # pandas' and pyarrow's parser errors are ValueErrors
        why = f"cannot be read as {kind[1:].upper()} ({str(error).strip()})"
        raise DataError(f"{path}: {why}. {_mend(path, encoding, error)}") from error
    if table.empty:
        raise DataError(f"{path}: the table has no rows. Add some below the names of the columns.")
    if kind in (".csv", ".tsv") and not isinstance(table.index, pd.RangeIndex):
        # pandas takes the surplus for row names, and every column shifts.
        raise DataError(f"{path}: the rows have more fields than the header. Quote the texts that hold a separator.")
    return table
