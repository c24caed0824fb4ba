"""Bets on experiments, kept in a file until the end of the course."""

import json
import math
import os
from pathlib import Path

import numpy as np
from filelock import FileLock

from .. import files

_bets_in_memory = {}  # those that could not be written


def bets_file():
    """Return the path of the file that keeps the bets.

    Examples
    --------
    >>> bets_file().name
    'bets.json'
    """
    named = os.environ.get("KPRETRAIN_BETS")
    return Path(named).expanduser() if named else files.cache_folder() / "bets.json"


def _stored_bets():
    path = bets_file()
    try:
        entries = json.loads(path.read_text(encoding="utf8")).items()
        return {question: dict(entry, low=entry["low"], high=entry["high"]) for question, entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return {}  # none yet
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # bets are not worth an error
        print(f"{path}: not a readable list of bets; the next bet replaces the file.")
        return {}


def _read_bets():
    return _stored_bets() | _bets_in_memory


def _write_bet(question, entry):
    path = bets_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Two notebooks may bet at once: each takes the other's bets along.
        with FileLock(f"{path}.lock", timeout=10), files.replacing(path) as temporary:
            temporary.write_text(json.dumps(_stored_bets() | {question: entry}, indent=1), encoding="utf8")
        _bets_in_memory.pop(question, None)
    except OSError as error:
        _bets_in_memory[question] = entry
        print(f"{path}: the bet is kept for this run only ({error.strerror or error}).")


def bet(question, low, high):
    """Place a bet before an experiment: the interval in which you are 80 % sure the answer lies.

    Bets are kept in the file that `$KPRETRAIN_BETS` names, which a student may own and hand in, or else in `bets.json`
    in the user's cache folder, so that the end of the course can show how well calibrated they were.

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
    bets = _read_bets()
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
    import pandas as pd

    table = pd.DataFrame.from_dict(_read_bets(), orient="index", columns=["low", "high", "measured"], dtype=float)
    inside = table["measured"].between(table["low"], table["high"])
    table["inside"] = np.where(table["measured"].isna(), "open", np.where(inside, "yes", "no"))
    return table.rename_axis("question")
