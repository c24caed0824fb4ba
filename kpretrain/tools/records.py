"""Stored records: notebooks run under several seeds, and their scores pooled."""

import json
import tempfile
from pathlib import Path

from .. import results
from ..comparison import Comparison
from ..files import write
from ..paths import ROOT, clone
from .run import CourseError, exit_code, find, run

_SHARED = ("profile", "python", "keras", "backend", "machine", "data")
_DIGITS = {"labels_per_class": [1, 2, 5, 10, 20, 50, 100], "draws": 4}
_TEXTS = {"labels_per_class": [5, 10, 20, 50, 100, 200, 500], "draws": 5}
# What a record changes in a notebook's full settings: a larger grid, more draws, and less of what is only looked at.
SETTINGS = {
    "03": {"few": 200, "few_steps": 60, "repeats": 2},
    "04": _DIGITS,
    "05": _DIGITS | {"temperatures": [1.0], "explore_images": 1000, "photos": 0},
    "06": _DIGITS | {"updates": 60, "judged": 500},
    "08": _TEXTS | {"updates": 16, "leak_updates": 16},
    "09": {"labels_per_class": [5, 20, 50], "draws": 5, "live_photographs": 0},
    "10": _TEXTS | {"sizes": [50]},
    "11": {"labels_per_class": [10, 50, 200], "draws": 5, "live_updates": 12, "questions": 100, "ask_public": False},
    "16": {"draws": 4, "trees": 40, "passes": 1, "corpus_mb": 32},
}
# Where it runs the arms that are too slow for all of these sizes, and mostly for a reader's run as well.
ONLY = {
    "04": {"scratch, longer": (10,)},
    "05": {"scratch, longer": (10,), "spread over pixels": (1, 10), "spread (SimCLR)": (1, 2, 5, 10)},
    "06": {"scratch, longer": (10,)},
    "08": dict.fromkeys(("scratch", "fine-tuned (GPT)"), (10, 50, 200)),
    "10": dict.fromkeys(("scratch", "frozen random"), (50,)),
    "11": dict.fromkeys(("scratch", "frozen random", "fine-tuned (BERT)"), (10, 50, 200)) | {"scratch, longer": (10,)},
}


def record(only, seeds, *, profile="full", out="course-run", in_place=False):
    """Run notebooks once for each seed and pool the records that they save into `data/results`.

    A cell may take as long as it needs: some train for an hour. Presets are trained anew. In the full profile a
    notebook's `SETTINGS` override its own, and `ONLY` what it says of single arms.

    Parameters
    ----------
    only : str
        Their numbers, as in `run`.
    seeds : list of int
        Handed over as `$KPRETRAIN_SEED`.
    profile, out, in_place
        As in `run`.

    Returns
    -------
    int
        The exit code: that of the first run that did not pass, and then nothing is stored; else 0.

    Raises
    ------
    CourseError
        If a notebook saves no record.
    ValueError
        If the runs differ in anything but their seed.
    """
    clone("record")
    for path in find(None, only):
        number = path.stem[:2]
        command = f"python -m kpretrain record {number} --seeds {','.join(map(str, seeds))}"
        settings, sizes = (table.get(number, {}) if profile == "full" else {} for table in (SETTINGS, ONLY))
        with tempfile.TemporaryDirectory() as folder:
            variables = {
                "KPRETRAIN_RESULTS": folder,
                "KPRETRAIN_RECORD": command,
                "KPRETRAIN_SETTINGS": json.dumps(settings),
                "KPRETRAIN_ONLY": json.dumps(sizes),
            }
            for seed in seeds:
                variables["KPRETRAIN_SEED"] = str(seed)
                ran = run(
                    profile=profile, only=number, out=out, in_place=in_place, timeout=0, variables=dict(variables)
                )
                if code := exit_code(ran):
                    return code
            saved = [Path(folder) / f"{path.stem}-seed{seed}.json" for seed in seeds]
            if not all(file.is_file() for file in saved):
                raise CourseError(f"{path.name} saves no record; it should call kp.results.beside or kp.results.save.")
            records = [json.loads(file.read_text(encoding="utf8")) for file in saved]
            target = results.FOLDER / f"{path.stem}.json"
            write(target, json.dumps(merge(records, command), indent=1) + "\n")
            print(f"Stored: {target.relative_to(ROOT)}")
    return 0


def merge(records, command):
    """Pool records of one experiment under several seeds.

    Raises
    ------
    ValueError
        If they differ in their settings, versions, machine or data, or if two have the same seed:
        a run counted twice makes an interval too narrow.

    Examples
    --------
    >>> same = ("name", "title", "unit", "settings", "profile", "python", "keras", "backend", "machine")
    >>> facts = dict.fromkeys(same, "the same") | {"data": {}, "date": "2026-01-01"}
    >>> facts |= {"seconds": 60.0, "peak_memory_gb": 1.0}
    >>> one, other = (facts | {"seed": seed, "scores": [{"arm": "scratch", "score": 80.0 + seed}]} for seed in (0, 1))
    >>> pooled = merge([one, other], "python -m kpretrain record 00 --seeds 0,1")
    >>> pooled["seeds"], pooled["seconds"], len(pooled["scores"])
    ([0, 1], [60.0, 60.0], 2)
    """
    if records[0].get("kind") == "comparison":
        first, *others = (Comparison.load(record) for record in records)
        return first.merge(*others).record(**{key: records[0][key] for key in ("name", "title")}, command=command)
    first, seeds = records[0], [record["seed"] for record in records]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"{first['name']}: the seeds {seeds} repeat, so the records cannot be pooled.")
    for key in ("name", "title", "unit", "settings", *_SHARED):
        if any(record[key] != first[key] for record in records):
            raise ValueError(f"{first['name']}: the records differ in {key!r}, so they cannot be pooled.")
    merged = {key: first[key] for key in ("name", "title", "unit", "settings", *_SHARED)}
    merged |= {
        "command": command,
        "date": max(record["date"] for record in records),
        "seeds": seeds,
        "seconds": [record["seconds"] for record in records],
        "peak_memory_gb": max((r["peak_memory_gb"] for r in records if r["peak_memory_gb"]), default=None),
        "scores": [score for record in records for score in record["scores"]],
    }
    return merged
