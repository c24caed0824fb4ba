"""Stored records: notebooks run under several seeds, and their scores pooled."""

import json
import tempfile
from pathlib import Path

from .. import results
from ..paths import ROOT
from .report import write
from .run import CourseError, exit_code, find, run


def record(only, seeds, *, profile="full", out="course-run", in_place=False):
    """Run notebooks once for each seed and pool the records that they save into `data/results`.

    A cell may take as long as it needs: some train for an hour.

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
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            variables = {"KPRETRAIN_RESULTS": folder, "KPRETRAIN_SEED": str(seed)}
            ran = run(profile=profile, only=only, out=out, in_place=in_place, timeout=0, variables=variables)
            if code := exit_code(ran):
                return code
        for path in find(None, only):
            saved = [Path(folder) / f"{path.stem}-seed{seed}.json" for seed in seeds]
            if not all(file.is_file() for file in saved):
                raise CourseError(f"{path.name} saves no record; it should call kp.results.save.")
            command = f"python -m kpretrain record {path.stem[:2]} --seeds {','.join(map(str, seeds))}"
            records = [json.loads(file.read_text(encoding="utf8")) for file in saved]
            target = results.FOLDER / f"{path.stem}.json"
            write(target, json.dumps(results.merge(records, command), indent=1) + "\n")
            print(f"Stored: {target.relative_to(ROOT)}")
    return 0
