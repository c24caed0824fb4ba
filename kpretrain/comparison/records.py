"""Stored comparisons: one JSON file each, and how several are pooled."""

import base64
import json
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from .. import words
from ..files import write

_FACTS = (
    "date",
    "profile",
    "python",
    "machine",
    "versions",
    "data",
    "settings",
    "notes",
    "fingerprints",
    "test_classes",
)


def record(comparison, name, title, command):
    """Return what `Comparison.record` promises.

    Examples
    --------
    >>> from kpretrain.comparison import Comparison
    >>> import pandas as pd
    >>> table = pd.DataFrame({"arm": ["tuned"] * 4 + ["scratch"] * 4, "labels": 5, "seed": [0, 1, 2, 3] * 2})
    >>> table["score"] = [80.0, 81, 82, 83, 70, 71, 70, 71]
    >>> found = Comparison(table, {"tuned": ["scratch"]}, test_rows=200)
    >>> kept = record(found, "mine", "A title", "")
    >>> kept["name"], kept["seeds"], kept["against"]
    ('mine', [0, 1, 2, 3], {'tuned': ['scratch']})
    """
    table = comparison.table()
    versions = comparison.facts.get("versions", {})
    content = {
        "kind": "comparison",
        "name": name,
        "title": title,
        "unit": "accuracy, %",
        **{key: value for key, value in comparison.facts.items() if key != "file"},
        **{key: versions.get(key) for key in ("keras", "backend")},
        "against": {arm: list(rivals) for arm, rivals in comparison.against.items()},
        "test_rows": comparison.test_rows,
        "seeds": sorted(set(table["seed"].tolist())),
        "runs": sorted(set(table["run"])),
        "seconds": [round(float(table[["fit_seconds", "predict_seconds"]].sum().sum()), 1)],
        "command": command,
        "scores": table.replace({np.nan: None}).to_dict("records"),
    }
    if comparison.over_rows:
        content["hits"] = _packed(comparison.hits(), comparison.test_rows)
    return content


def _packed(hits, rows):
    """The hits of all cells as text: bit by bit, a test row after the other, since most cells agree on a row."""
    bits = np.array([np.unpackbits(np.frombuffer(cell, "uint8"), count=rows) for cell in hits])  # (cells, rows)
    return base64.b64encode(zlib.compress(np.packbits(bits.T).tobytes(), 9)).decode()


def _unpacked(text, cells, rows):
    """What `_packed` was given: a list of bytes."""
    bits = np.unpackbits(np.frombuffer(zlib.decompress(base64.b64decode(text)), "uint8"), count=cells * rows)
    return [np.packbits(cell).tobytes() for cell in bits.reshape(rows, cells).T]


def save(comparison, path, name, title, command):
    """Write a comparison as one JSON file, and return the record.

    Examples
    --------
    >>> from kpretrain.comparison import Comparison
    >>> import pandas as pd
    >>> table = pd.DataFrame({"arm": ["tuned"] * 4 + ["scratch"] * 4, "labels": 5, "seed": [0, 1, 2, 3] * 2})
    >>> table["score"] = [80.0, 81, 82, 83, 70, 71, 70, 71]
    >>> found = Comparison(table, {"tuned": ["scratch"]}, test_rows=200)
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     kept = save(found, f"{folder}/mine.json", None, "A title", "")
    ...     Comparison.load(f"{folder}/mine.json").arms
    ['tuned', 'scratch']
    """
    path = Path(path)
    content = record(comparison, name or path.stem, title, command)
    write(path, json.dumps(content, indent=1) + "\n")
    return content


def load(path):
    """Return (table, against, test rows, facts) of a record, or of its file.

    Examples
    --------
    >>> from kpretrain.comparison import Comparison
    >>> import pandas as pd
    >>> table = pd.DataFrame({"arm": ["tuned"] * 4 + ["scratch"] * 4, "labels": 5, "seed": [0, 1, 2, 3] * 2})
    >>> table["score"] = [80.0, 81, 82, 83, 70, 71, 70, 71]
    >>> found = Comparison(table, {"tuned": ["scratch"]}, test_rows=200)
    >>> table, against, test_rows, facts = load(record(found, "mine", "A title", ""))
    >>> len(table), against, test_rows
    (8, {'tuned': ['scratch']}, 200)
    """
    where = "the record" if isinstance(path, dict) else str(path)
    try:
        content = path if isinstance(path, dict) else json.loads(Path(path).read_text(encoding="utf8"))
        if content["kind"] != "comparison":
            raise KeyError("kind")
        facts = {key: content[key] for key in _FACTS if key in content} | {"file": where}
        table = pd.DataFrame(content["scores"]).astype({"fit_seconds": float})
        if "balanced" in table:
            table["balanced"] = table["balanced"].astype(float)
        if "hits" in content:
            table["hits"] = _unpacked(content["hits"], len(table), content["test_rows"])
        return table, content["against"], content["test_rows"], facts
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise ValueError(f"{where}: not a readable record of a comparison ({error!r}).") from error


def refuse_repeats(table):
    """Raise where a cell stands twice, is not a number, or two pretraining runs share a draw.

    Examples
    --------
    >>> import pandas as pd
    >>> row = {"run": "", "seed": 3, "arm": "scratch", "labels": 5, "score": 80.0}
    >>> refuse_repeats(pd.DataFrame([row, row]))
    Traceback (most recent call last):
    ValueError: The seed 3 stands twice (arm 'scratch', 5 labels per class).
    """
    twice = table[table.duplicated(["run", "seed", "arm", "labels"])]
    if len(twice):
        row = twice.iloc[0]
        raise ValueError(f"The seed {row.seed} stands twice (arm {row.arm!r}, {words.per_class(row.labels)}).")
    if table["score"].isna().any():
        raise ValueError("A score is not a number.")
    runs = table.groupby("seed")["run"].nunique()
    if (runs > 1).any():
        raise ValueError(
            f"The seed {runs.idxmax()} stands in several pretraining runs; give each run draws (seeds) of its own."
        )


def pool(comparisons):
    """Return (table, against, test rows, facts) of comparisons of the same arms on the same data.

    Examples
    --------
    >>> from kpretrain.comparison import Comparison
    >>> import pandas as pd
    >>> table = pd.DataFrame({"arm": ["tuned"] * 4 + ["scratch"] * 4, "labels": 5, "seed": [0, 1, 2, 3] * 2})
    >>> table["score"] = [80.0, 81, 82, 83, 70, 71, 70, 71]
    >>> found = Comparison(table, {"tuned": ["scratch"]}, test_rows=200)
    >>> pool([found, found])
    Traceback (most recent call last):
    ValueError: The records cannot be pooled: the seed 0 stands in comparison 1 and in comparison 2.
    """
    first, *others = comparisons
    names = [c.facts.get("file") or f"comparison {number}" for number, c in enumerate(comparisons, 1)]
    names = [name if name != "the record" else f"record {k}" for k, name in enumerate(names, 1)]
    short = [Path(name).name for name in names]  # unless all students gave their file the same name
    names = short if len(set(short)) == len(set(names)) else ["/".join(Path(name).parts[-2:]) for name in names]
    facts, prints = dict(first.facts), dict(first.facts.get("fingerprints", {}))
    for name, other in zip(names[1:], others, strict=True):
        for key in ("against", "test_rows"):
            _same(getattr(first, key), getattr(other, key), (key,), names[0], name)
        for key in ("settings", "versions"):
            _same(first.facts.get(key), other.facts.get(key), (key,), names[0], name)
        for run, theirs in other.facts.get("fingerprints", {}).items():
            known = prints.get(run, theirs)
            if differing := [arm for arm in theirs if known.get(arm) != theirs[arm]]:
                raise ValueError(
                    f"The records cannot be pooled: in the run {run!r}, {words.listed(differing)} differ in {name}, in "
                    "weights or code. Encoders of other pretraining runs need other names: compare(..., run='second')."
                )
            prints[run] = theirs
    _refuse_shared_seeds(comparisons, names)
    facts["fingerprints"] = prints
    for key in ("machine", "python", "profile", "date"):
        if values := sorted({c.facts[key] for c in comparisons if key in c.facts}):
            facts[key] = values[-1] if key == "date" else "; ".join(values)
    facts.pop("file", None)
    tables = [c.table().assign(hits=c.hits()) for c in comparisons]
    return pd.concat(tables, ignore_index=True), first.against, first.test_rows, facts


def _refuse_shared_seeds(comparisons, names):
    seen = {}
    for name, comparison in zip(names, comparisons, strict=True):
        for seed in comparison.table()["seed"].unique().tolist():
            if seed in seen:
                raise ValueError(f"The records cannot be pooled: the seed {seed} stands in {seen[seed]} and in {name}.")
            seen[seed] = name


def _same(mine, theirs, path, first, second):
    """Raise at the first setting that differs, and name it and the files in one line."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        for key in dict.fromkeys([*mine, *theirs]):
            _same(mine.get(key), theirs.get(key), (*path, str(key)), first, second)
    elif isinstance(mine, list | tuple) and isinstance(theirs, list | tuple) and len(mine) == len(theirs):
        for position, pair in enumerate(zip(mine, theirs, strict=True)):
            _same(*pair, (*path, str(position)), first, second)
    elif mine != theirs and not (mine != mine and theirs != theirs):  # NaN, as in scikit-learn's error_score
        named = [part for part in path[1:] if not part.isdigit() and part not in ("arms", "estimator", "steps")]
        what = ": ".join([f"arm {named[0]!r}", *named[1:]]) if path[1:2] == ("arms",) else ": ".join(named or path)
        what = f"what {path[1]!r} is compared with" if path[0] == "against" else what
        raise ValueError(
            f"The records cannot be pooled: {what} is {_short(mine)} in {first} and {_short(theirs)} in {second}."
        )


def _short(value):
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
