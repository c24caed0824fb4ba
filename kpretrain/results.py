"""Stored run records: one JSON file a result, and the tables that are rendered from them."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd

from .files import write
from .paths import ROOT
from .session import run_facts

FOLDER = ROOT / "data" / "results"
STORED = "stored-record"  # the mark of an output that shows a stored record, in its metadata


def interval(values, confidence=0.95):
    """Mean and two-sided t interval of independent repeats.

    Parameters
    ----------
    values : sequence of float
        For a paired comparison, the differences.
    confidence : float

    Returns
    -------
    (float, float, float)
        Mean, low, high. Low and high are NaN for a single value: one run has no interval.

    Examples
    --------
    >>> import kpretrain as kp
    >>> [round(number, 2) for number in kp.results.interval([1, 2, 3])]
    [2.0, -0.48, 4.48]
    """
    from scipy.stats import t

    values = np.asarray(values, float)
    if values.size == 0:
        raise ValueError("An interval needs at least one value.")
    mean = values.mean()
    if values.size == 1:
        return float(mean), float("nan"), float("nan")
    half = t.ppf((1 + confidence) / 2, values.size - 1) * values.std(ddof=1) / np.sqrt(values.size)
    return float(mean), float(mean - half), float(mean + half)


def save(name, scores, *, title, unit, settings):
    """Describe a finished experiment as a record, and store it if `$KPRETRAIN_RESULTS` names a folder.

    `python -m kpretrain record` sets that folder; a reader's own run stores nothing.

    Parameters
    ----------
    name : str
        The notebook's name, and the record's file name.
    scores : list of dict
        Every single score: `arm`, `score`, and what else tells them apart, such as `seed` and `seconds`.
    title, unit : str
        What was measured, and in what.
    settings : Settings
        From `kp.profile`.

    Returns
    -------
    dict
        The record.

    Examples
    --------
    >>> import kpretrain as kp
    >>> settings = kp.profile(fast={"epochs": 1}, full={"epochs": 1})
    >>> scores = [{"arm": "scratch", "score": 81.0, "seed": 0}]
    >>> record = kp.results.save("00_demo", scores, title="A demonstration", unit="accuracy, %", settings=settings)
    >>> record["title"], record["settings"], record["scores"]
    ('A demonstration', {'epochs': 1}, [{'arm': 'scratch', 'score': 81.0, 'seed': 0}])
    """
    facts = run_facts()
    record = {"name": name, "title": title, "unit": unit, "settings": settings.as_dict(), "scores": scores, **facts}
    if folder := os.environ.get("KPRETRAIN_RESULTS"):
        text = json.dumps(record, indent=1, default=lambda number: number.item())
        write(Path(folder) / f"{name}-seed{facts['seed']}.json", text)
    return record


def beside(comparison, name, *, title, folder=FOLDER):
    """Show what a comparison found, and under it the stored record of the same notebook.

    First come the verdict and the figure of this run. Then, marked as such, those of the record: it has more sizes,
    draws and pretraining runs, and of its arms those are shown that this run has too. It is shown if it answers the
    same question, which is the same data set, and in the arms that both have the same architecture. The tables are
    folded away. Where `python -m kpretrain record` runs the notebook, the comparison is stored, and no earlier record
    is shown.

    Parameters
    ----------
    comparison : Comparison
        Of `kp.compare`.
    name, title : str
        The notebook's name, which is the record's, and what was compared.
    folder : path

    Returns
    -------
    Comparison
        The record where it is shown, else `comparison`: what there is to read more from.

    Examples
    --------
    >>> import pandas as pd
    >>> import kpretrain as kp
    >>> rows = pd.DataFrame({"arm": ["scratch", "frozen"], "labels": 5, "seed": 0, "score": [80.0, 90.0]})
    >>> found = kp.Comparison(rows.assign(fit_seconds=1.0), {"frozen": ["scratch"]}, test_rows=100)
    >>> record = kp.results.beside(found, "99_demo", title="A demonstration")  # doctest: +ELLIPSIS
    <IPython.core.display.Markdown object>
    Figure(...)
    <IPython.core.display.HTML object>
    No stored record yet: `python -m kpretrain record 99 --seeds 0,1,2` makes it.
    """
    _show(comparison, "**This run**")
    if save_comparison(comparison, name, title=title):
        return comparison
    if not (Path(folder) / f"{name}.json").is_file():
        print(f"No stored record yet: `python -m kpretrain record {name[:2]} --seeds 0,1,2` makes it.")
        return comparison
    record = load(name, folder)
    stored = _of_arms(_comparison(record), comparison.arms)
    if why := _another_question(comparison.facts, stored.facts):
        print(f"The stored record is of {why}, so it is not shown here; `python -m kpretrain results` shows it.")
        return comparison
    _show(stored, caption(record).replace("Stored record", "**Stored record**", 1), {STORED: True})
    return stored


def save_comparison(comparison, name, *, title):
    """Store what `kp.compare` found as a record, if `$KPRETRAIN_RESULTS` names a folder, and tell whether it does.

    Examples
    --------
    >>> import pandas as pd
    >>> import kpretrain as kp
    >>> rows = pd.DataFrame({"arm": ["scratch", "frozen"], "labels": 5, "seed": 0, "score": [80.0, 90.0]})
    >>> found = kp.Comparison(rows.assign(fit_seconds=1.0), {"frozen": ["scratch"]}, test_rows=100)
    >>> kp.results.save_comparison(found, "99_demo", title="A demonstration")  # a reader's own run stores nothing
    False
    """
    folder = os.environ.get("KPRETRAIN_RESULTS")
    if folder:
        comparison.save(Path(folder) / f"{name}-seed{run_facts()['seed']}.json", name=name, title=title)
    return bool(folder)


def _show(comparison, heading, mark=None):
    """Verdict, figure and folded table, each output with the mark in its metadata."""
    from IPython.display import HTML, Markdown, display
    from matplotlib import pyplot as plt

    lines = comparison.verdict().splitlines()
    display(Markdown("\n".join([heading, "", *(f"- {line}" for line in lines)])), metadata=mark)
    axis = comparison.plot()
    alt = {"image/png": {"alt": f"Accuracy of the arms against labels per class. {lines[0]}"}}
    display(axis.figure, metadata=alt | (mark or {}))
    plt.close(axis.figure)
    table = comparison.summary().to_html(border=0)
    display(HTML(f"<details><summary>All numbers</summary>{table}</details>"), metadata=mark)


def _of_arms(comparison, arms):
    """A comparison without the arms that are not among `arms`; whole, if it has none of them."""
    keep = comparison.table()["arm"].isin(arms).to_numpy()
    if not keep.any():
        return comparison
    hits = [cell for cell, stays in zip(comparison.hits(), keep, strict=True) if stays]
    against = {arm: [r for r in rivals if r in arms] for arm, rivals in comparison.against.items() if arm in arms}
    table = comparison.table()[keep].assign(hits=hits)
    return type(comparison)(table, against, comparison.test_rows, comparison.facts)


def _another_question(mine, stored):
    """What the stored record is of, in words, if it is another data set or network than that of this run; or None."""
    if mine.get("data", {}).keys() != stored.get("data", {}).keys():
        return f"{', '.join(stored['data'])}, and this run of {', '.join(mine['data'])}"
    arms, others = (facts.get("settings", {}).get("arms", {}) for facts in (mine, stored))
    for arm in arms.keys() & others.keys():
        if _encoders(arms[arm]) != _encoders(others[arm]):
            return f"another network behind the arm {arm!r}"
    return None


def _encoders(settings):
    """The architectures that the settings of an arm name, at whatever depth."""
    if isinstance(settings, dict):
        own = {settings["encoder"]} if isinstance(settings.get("encoder"), str) else set()
        return own.union(*map(_encoders, settings.values()))
    return set().union(*map(_encoders, settings)) if isinstance(settings, list | tuple) else set()


def _comparison(record):
    from .comparison import Comparison

    return Comparison.load(record)


def load(name, folder=FOLDER):
    """Read a stored record.

    Raises
    ------
    FileNotFoundError
        If there is none of that name.

    Examples
    --------
    >>> import kpretrain as kp
    >>> kp.results.load("05_demo", folder="results")
    Traceback (most recent call last):
    FileNotFoundError: ... No such file or directory: 'results/05_demo.json'
    """
    return json.loads((Path(folder) / f"{name}.json").read_text(encoding="utf8"))


def table(record):
    """Render a record as a table: arm, mean, 95 % interval, number of runs, seconds a run.

    Returns
    -------
    pandas.DataFrame
        Indexed by arm, in the record's order. Of a comparison: arms x labels per class.

    Examples
    --------
    >>> import kpretrain as kp
    >>> scores = [{"arm": "scratch", "score": score} for score in (80.0, 81.0, 82.0)]
    >>> print(kp.results.table({"unit": "accuracy, %", "scores": scores}))
            accuracy, %  95 % interval  runs
    arm
    scratch       81.00 78.52 to 83.48     3
    """
    if record.get("kind") == "comparison":
        return _comparison(record).summary()
    scores = pd.DataFrame(record["scores"])
    rows = {}
    for arm, group in scores.groupby("arm", sort=False):
        mean, low, high = interval(group["score"])
        rows[arm] = {
            record["unit"]: f"{mean:.2f}",
            "95 % interval": "one run" if np.isnan(low) else f"{low:.2f} to {high:.2f}",
            "runs": len(group),
        }
        if "seconds" in group and group["seconds"].notna().all():
            rows[arm]["seconds"] = f"{group['seconds'].mean():.1f}"
    return pd.DataFrame.from_dict(rows, orient="index").fillna("").rename_axis("arm")


def caption(record):
    """One line on where a stored record comes from.

    Examples
    --------
    >>> import kpretrain as kp
    >>> record = {"seeds": [0], "seconds": [90], "machine": "2 cores", "date": "2026-01-01", "keras": "3.15"}
    >>> record |= {"backend": "tensorflow 2.21", "data": {"mnist": "a file"}}
    >>> record |= {"command": "python -m kpretrain record 02"}
    >>> print(kp.results.caption(record))
    Stored record: 1 run(s) of the notebook, 2 minutes in all on 2 cores, 2026-01-01, keras 3.15 on tensorflow 2.21;
    data: a file. Made again by `python -m kpretrain record 02`.
    """
    minutes = sum(record["seconds"]) / 60
    what = f"{len(record['seeds'])} run(s) of the notebook"
    if record.get("kind") == "comparison":
        rows = "new test rows" if "hits" in record else "the same test rows"
        what = (
            f"percent correct of {record['test_rows']:,} test rows with 95 % intervals for new draws of labels and "
            f"{rows}; {len(record['seeds'])} draws, {len(record['runs'])} pretraining run(s), the comparison alone"
        )
    data = f"; data: {'; '.join(record['data'].values())}" if record["data"] else ""  # none but what the title names
    return (
        f"Stored record: {what}, {minutes:.0f} minutes in all on {record['machine']}, {record['date']}, "
        f"keras {record['keras']} on {record['backend']}{data}. Made again by `{record['command']}`."
    )
