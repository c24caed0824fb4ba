"""Bets on experiments, kept in a file that belongs to the reader until the end of the course."""

import json
import math
import os
from pathlib import Path

import numpy as np

from .. import files

_bets_in_memory = {}  # those that could not be written


def bets_file():
    """Return the path of the file that keeps the bets: `$KPRETRAIN_BETS`, or `bets.json` in the notebook's folder.

    Examples
    --------
    >>> bets_file().name
    'bets.json'
    """
    return Path(os.environ.get("KPRETRAIN_BETS") or "bets.json").expanduser().absolute()


def read_bets(path):
    """Return the bets in a file: a dict of question to dict with `low`, `high` and, once settled, `measured`.

    Raises
    ------
    ValueError
        If the file holds anything else.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "jane.json")
    ...     _ = path.write_text('{"Points gained": {"low": 5, "high": 20, "measured": 12}}')
    ...     read_bets(path)
    {'Points gained': {'low': 5.0, 'high': 20.0, 'measured': 12.0}}
    """
    try:
        entries = json.loads(path.read_text(encoding="utf8")).items()
        whole = {question: dict(entry, low=entry["low"], high=entry["high"]) for question, entry in entries}
        return {question: {key: float(value) for key, value in entry.items()} for question, entry in whole.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path}: not a readable list of bets ({error!r}).") from error


def _stored_bets():
    path = bets_file()
    try:
        return read_bets(path) | _bets_in_memory
    except (FileNotFoundError, NotADirectoryError):  # none yet
        return dict(_bets_in_memory)
    except (OSError, ValueError):  # bets are not worth an error
        print(f"{path}: not a readable list of bets; the next bet replaces the file.")
        return dict(_bets_in_memory)


def _write_bet(question, entry):
    path, bets = bets_file(), _stored_bets() | {question: entry}
    new = not path.exists() and not os.environ.get("KPRETRAIN_BETS")
    try:
        files.write(path, json.dumps(bets, indent=1))
        _bets_in_memory.clear()
        if new:
            print(f"Your bets are kept in {path}. The file is yours, to keep or to hand in.")
    except OSError as error:
        _bets_in_memory[question] = entry
        print(f"{path}: the bet is kept for this run only ({error.strerror}); $KPRETRAIN_BETS names another file.")


def bet(question, low, high):
    """Place a bet before an experiment: the interval in which you are 80 % sure the answer lies.

    Bets are kept in `bets.json` in the notebook's folder, or in the file that `$KPRETRAIN_BETS` names. The reader owns
    it and may hand it in; the end of the course shows from it how well calibrated the bets were. The first bet tells
    its path.

    Parameters
    ----------
    question : str
        The same words settle the bet.
    low, high : float

    Raises
    ------
    ValueError
        If low is above high, or one of them is not a finite number.

    Examples
    --------
    >>> import kpretrain as kp
    >>> kp.check.bet("Points that pretraining gains with 10 labels per class", 5, 20)
    Bet placed. Points that pretraining gains with 10 labels per class: 5 to 20.
    """
    if not (math.isfinite(low) and math.isfinite(high)) or low > high:
        raise ValueError(f"A bet needs two finite numbers, the lower first; got {low} and {high}.")
    _write_bet(question, {"low": float(low), "high": float(high)})
    print(f"Bet placed. {question}: {low:g} to {high:g}.")


def settle(question, measured, low=None, high=None):
    """Settle a bet with the measured value, and its interval where there is one.

    Returns
    -------
    bool
        Whether the measured value lies inside the bet.

    Raises
    ------
    KeyError
        If no bet was placed on this question.
    ValueError
        If the measured value is not a finite number: something went wrong before the bet could be settled.

    Examples
    --------
    >>> import kpretrain as kp
    >>> kp.check.bet("Points gained", 5, 20)
    Bet placed. Points gained: 5 to 20.
    >>> kp.check.settle("Points gained", 22.25, low=18, high=26)
    Points gained: you bet 5 to 20, measured 22.2 (95 % interval 18.0 to 26.0). Outside your bet.
    False
    """
    if not math.isfinite(measured):
        raise ValueError(f"{question}: the measured value is {measured}, so that the bet stays open.")
    bets = _stored_bets()
    if question not in bets:
        raise KeyError(f"No bet on {question!r}. Run the cell with kp.check.bet first.")
    entry = bets[question] | {"measured": float(measured)}
    _write_bet(question, entry)
    inside = bool(entry["low"] <= measured <= entry["high"])
    around = "" if low is None or high is None else f" (95 % interval {low:.1f} to {high:.1f})"
    print(
        f"{question}: you bet {entry['low']:g} to {entry['high']:g}, measured {measured:.1f}{around}. "
        f"{'Inside your bet.' if inside else 'Outside your bet.'}"
    )
    return inside


def bets():
    """Return all bets as a table: low, high, measured, inside. Well-placed 80 % bets are inside four times in five.

    Examples
    --------
    >>> import kpretrain as kp
    >>> kp.check.bet("Seconds of an epoch", 1, 3)
    Bet placed. Seconds of an epoch: 1 to 3.
    >>> kp.check.bets().loc["Seconds of an epoch", "inside"]
    'open'
    """
    return bets_table(_stored_bets())


def bets_table(entries):
    """Return bets, as `read_bets` gives them, as the table of `bets`.

    Examples
    --------
    >>> bets_table({"Points gained": {"low": 5, "high": 20, "measured": 22.2}})["inside"].tolist()
    ['no']
    """
    import pandas as pd

    table = pd.DataFrame.from_dict(entries, orient="index", columns=["low", "high", "measured"], dtype=float)
    inside = table["measured"].between(table["low"], table["high"])
    table["inside"] = np.where(table["measured"].isna(), "open", np.where(inside, "yes", "no"))
    return table.rename_axis("question")
