"""The fair comparison: arms x labels per class x draws, on the same labelled rows, with intervals and a verdict.

`compare` runs the grid, `Comparison` says what it shows. The statistics: differences are paired over the draws of
labels, with Student's t; p values are corrected over all contrasts and sizes by Holm (1979, Scandinavian Journal of
Statistics 6:65); why small validation sets, shared budgets and several draws: Oliver et al. (arXiv:1804.09170).
"""

import hashlib
import json
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from .arms import Arm
from .data import cache_folder, replacing
from .notebook import _peak_memory, _version, run_facts

_CELL = ("arm", "labels", "seed", "score", "fit_seconds", "predict_seconds", "constant")
_FACTS = ("date", "profile", "python", "machine", "versions", "data", "settings", "notes", "fingerprints")
_ESTIMATE = ("mean", "low", "high", "p", "error", "freedom")
_UNKNOWN = "cannot be estimated"
_LADDER, _MOST_LABELLED = (1, 2, 5, 10, 20, 50, 100, 200), 1000  # labels per class; labelled rows in a draw
_FEW_TEST_ROWS = 30


class ComparisonError(ValueError):
    """An arm failed; the message names the arm, the labels per class, the seed and the cause."""


def compare(
    arms,
    dataset,
    labels_per_class=None,
    seeds=5,
    *,
    only=None,
    run="",
    n_jobs=None,
    folder=None,
    memory=False,
    progress=True,
):
    """Score arms at several numbers of labels, on the same draws of labelled rows.

    A draw is a random order of each class's training rows. At n labels per class every arm is given the first n of each
    class, classes in turn, and nothing else; all arms are scored on the whole test part. Each finished cell of the grid
    is written to a file at once: a comparison that was stopped, even by kill -9, goes on where it was. Scores repeat
    exactly for the same threads, versions and seeds, whatever `n_jobs` is: each `random_state` in an arm is set from a
    hash of the arm's name, n and the seed, and the global generators of Python, NumPy and Keras are seeded with it.

    Parameters
    ----------
    arms : dict of str to Arm or scikit-learn classifier
        Takes raw rows. `kp.arms.images` and `kp.arms.texts` give the standard ones.
    dataset : Dataset
        `train` and `test` are used, `validation` is not. Rows that are paths are known by the files' contents.
    labels_per_class : sequence of int, optional
        One label per class is allowed. None takes `label_sizes(dataset)`, and says which they are.
    seeds : int or sequence of int
        How many draws, or which.
    only : dict of str to sequence of int, optional
        The sizes at which an arm runs, where it is too slow for all.
    run : str
        Names the pretraining run that the encoder comes from. Records of several runs may be merged, and the
        intervals then hold for new runs, not for this encoder alone.
    n_jobs : int, optional
        Cells at a time. None is 1, or what `joblib.parallel_config` says, which also chooses Dask or Ray.
    folder : path, optional
        Where finished cells are kept; None is the user's cache folder.
    memory : bool
        Fit one cell of each arm and size once more in a fresh process, and note its peak memory, imports included.
    progress : bool
        False prints nothing. A bar is drawn only where stderr is a terminal.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        Before anything runs, if the arms, sizes or seeds cannot be used, if a class has too few training rows, or
        if the test part is empty or holds one class.
    ComparisonError
        If an arm raises, or predicts something that is not one class for each row. Finished cells are kept.
    """
    arms = {name: arm if isinstance(arm, Arm) else Arm(arm) for name, arm in dict(arms).items()}
    if labels_per_class is None:
        labels_per_class, why = label_sizes(dataset)
        if progress:
            print(why)
    sizes = _whole_numbers("labels_per_class", labels_per_class, 1)
    seeds = _whole_numbers("seeds", range(seeds) if isinstance(seeds, int) else seeds, 0)
    grid = _grid(arms, sizes, only or {})
    rows = {seed: _draw(dataset, seed, sizes[-1]) for seed in seeds}
    facts = _facts(arms, grid, dataset)
    prints = {name: _fingerprint(name, arm.estimator) for name, arm in arms.items()}
    folder = Path(folder) if folder is not None else cache_folder() / "compare"
    folder.mkdir(parents=True, exist_ok=True)
    cells = [(arm, n, seed) for seed in seeds for n in sizes for arm in arms if n in grid[arm]]
    key = _digest(facts["settings"]["rows"], facts["versions"], _code())
    files = {cell: folder / f"{_digest(key, prints[cell[0]], *cell)}.json" for cell in cells}
    done = {cell: found for cell in cells if (found := _finished(files[cell], cell))}
    rivals = {name: arm.against for name, arm in arms.items()}
    classes, test = len(np.unique(dataset.train.y)), dataset.test
    if progress:
        _print_plan(arms, rivals, grid, sizes, seeds, len(test.y), len(cells), len(done))

    def job(cell):
        name, n, seed = cell
        chosen = rows[seed][: n * classes]
        return cell, arms[name].estimator, dataset.train.x[chosen], dataset.train.y[chosen], test.x, test.y

    def fill(cells, bar):
        for result in _as_finished(_run_cell, (job(cell) for cell in cells), n_jobs):
            cell = tuple(result[key] for key in _CELL[:3])
            with replacing(files[cell]) as temporary:
                temporary.write_text(json.dumps(result), encoding="utf8")
            done[cell] = result
            bar.update()

    from tqdm import tqdm

    timed = {arm for arm, _, _ in done}
    first = [(arm, grid[arm][0], seeds[0]) for arm in arms if arm not in timed]
    quiet = None if progress else True  # None: a bar on a terminal only
    with tqdm(total=len(cells), initial=len(done), disable=quiet, desc="compare", unit="cell") as bar:
        fill(first, bar)
        left = [cell for cell in cells if cell not in done]
        if progress and left:
            bar.clear()
            print(f"About {_time(_seconds_left(left, done, n_jobs))} for {len(left)} cells.", flush=True)
        fill(left, bar)
    table = pd.DataFrame([done[cell] for cell in sorted(cells, key=lambda cell: list(arms).index(cell[0]))])
    table = table.assign(run=run, pretraining_seconds=[arms[arm].pretraining_seconds for arm in table["arm"]])
    peaks = _peaks(job(cell) for cell in cells if cell[2] == seeds[0]) if memory else {}
    table["peak_memory_gb"] = [peaks.get(cell, np.nan) for cell in zip(table["arm"], table["labels"], strict=True)]
    return Comparison(table, rivals, len(test.y), facts | {"fingerprints": {run: prints}})


# ---------------------------------------------------------------- before it runs


def label_sizes(dataset):
    """Choose labels per class from the data: up to three of 1, 2, 5, 10, 20, 50, 100 and 200, spread out.

    Every class must have as many training rows, and a draw may hold 1,000 rows in all. Sizes below 5 are taken only
    where few others are left.

    Returns
    -------
    list of int
        Ascending.
    str
        The choice in words, with the class that limits it.
    """
    labels, counts = np.unique(dataset.train.y, return_counts=True)
    fewest = counts.min()
    fit = [n for n in _LADDER if n <= min(fewest, max(_MOST_LABELLED // len(labels), 1))]
    fit = enough if len(enough := [n for n in fit if n >= 5]) >= 3 else fit
    sizes = sorted({fit[0], fit[len(fit) // 2], fit[-1]})
    why = (
        f"Chosen from the data: {_per_class(*sizes)}. The smallest of {len(labels)} classes, "
        f"{_class_name(dataset, labels[counts.argmin()])!r}, has {_count(fewest, 'training row')}"
    )
    if fewest * len(labels) > _MOST_LABELLED:
        why += f", and a draw holds up to {max(_MOST_LABELLED, len(labels)):,} rows in all"
    return sizes, why + "."


def _class_name(dataset, label):
    known = isinstance(label, int | np.integer) and label < len(dataset.class_names)
    return str(dataset.class_names[label] if known else label)


def _count(number, what):
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _whole_numbers(name, values, least):
    """A sorted tuple of different whole numbers."""
    values = list(values) if np.iterable(values) else [values]
    if not values or any(not isinstance(v, int | np.integer) or v < least for v in values):
        raise ValueError(f"{name} must be whole numbers from {least}, at least one; it is {values}.")
    if len(set(values)) < len(values):
        raise ValueError(f"{name} repeats {sorted(v for v, k in Counter(values).items() if k > 1)}.")
    return tuple(sorted(map(int, values)))


def _grid(arms, sizes, only):
    """The sizes at which each arm runs: name -> list. Refuses names and sizes that do not exist."""
    if not arms:
        raise ValueError("There are no arms to compare.")
    for name, arm in arms.items():
        if missing := [rival for rival in arm.against if rival not in arms or rival == name]:
            raise ValueError(f"The arm {name!r} is to be compared with {missing}; the other arms are {list(arms)}.")
    if missing := [name for name in only if name not in arms]:
        raise ValueError(f"only names {missing}; the arms are {list(arms)}.")
    grid = {name: list(_whole_numbers(f"only[{name!r}]", only.get(name, sizes), 1)) for name in arms}
    for name, chosen in grid.items():
        if odd := sorted(set(chosen) - set(sizes)):
            raise ValueError(f"only[{name!r}] holds {odd}, which labels_per_class {list(sizes)} does not.")
    return grid


def _draw(dataset, seed, most):
    """Positions in train, `most` of each class, classes in turn: the first n * classes are the draw of n per class."""
    y, tested = np.asarray(dataset.train.y), np.unique(dataset.test.y)
    if len(tested) < 2:
        raise ValueError(
            f"{dataset.name}: the test part holds {len(tested)} class(es); two are needed to compare arms."
        )
    classes = np.union1d(tested, np.arange(len(dataset.class_names)) if y.dtype.kind in "iu" else np.unique(y))
    orders = []
    for k, label in enumerate(classes):
        rows = np.flatnonzero(y == label)
        if len(rows) < most:
            raise ValueError(
                f"{dataset.name}: the class {_class_name(dataset, label)!r} has {_count(len(rows), 'training row')}, "
                f"and {most} labels are wanted."
            )
        orders.append(np.random.default_rng([seed, k]).permutation(rows)[:most])
    return np.stack(orders, axis=1).ravel()  # (most, classes) -> (most * classes,)


def _facts(arms, grid, dataset):
    """What ran, on what, where and when; `settings` and `versions` must be equal where records are pooled."""
    import keras

    told, parts, backend = run_facts(), (dataset.train, dataset.test), keras.backend.backend()
    versions = {name: _version(name) for name in ("keras", "scikit-learn", "kpretrain")}
    settings = {
        "labels_per_class": sorted({n for chosen in grid.values() for n in chosen}),
        "arms": {
            name: {"estimator": _describe(arm.estimator), "against": list(arm.against), "labels": grid[name]}
            for name, arm in arms.items()
        },
        "rows": _digest([_rows_digest(column) for part in parts for column in (part.x, part.y)]),
        "test_rows": len(dataset.test.y),
    }
    return {
        **{key: told[key] for key in ("date", "profile", "python", "machine")},
        "versions": versions | {"backend": f"{backend} {_version(backend)}"},
        "data": {dataset.name: dataset.source},
        "settings": settings,
        "notes": {name: arm.note for name, arm in arms.items() if arm.note},
    }


def _fingerprint(name, estimator):
    from .fingerprint import fingerprint

    try:
        return fingerprint(estimator)
    except TypeError as error:
        raise ValueError(f"The arm {name!r} cannot be told from another one: {error}") from error


def _code():
    """A hash of the code that trains: scores of an earlier version are not taken for today's."""
    return _rows_digest([str(Path(__file__).with_name(f"{name}.py")) for name in ("transfer", "comparison")])


def _digest(*values):
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:32]


def _rows_digest(rows):
    """A hash of numbers, strings, or the files that strings name."""
    rows, state = np.asarray(rows), hashlib.sha256()
    state.update(f"{rows.dtype.kind} {rows.shape}".encode())
    if rows.dtype.kind in "biufc":
        state.update(np.ascontiguousarray(rows))
        return state.hexdigest()
    files = len(rows) > 0 and isinstance(rows[0], str) and os.path.isfile(rows[0])
    for row in rows:
        state.update(hashlib.sha256(Path(row).read_bytes() if files else str(row).encode()).digest())
    return state.hexdigest()


def _describe(value):
    """An estimator in words that JSON holds: its parameters, without random states and without a model's weights."""
    if hasattr(value, "get_params") and not isinstance(value, type):
        params = {key: _describe(v) for key, v in value.get_params(deep=False).items() if key != "random_state"}
        return {"class": type(value).__name__, **params}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_describe(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _describe(item) for key, item in value.items()}
    if hasattr(value, "tocoo"):  # a graph over features: made by the pretraining, as weights are, and told by its shape
        return f"{type(value).__name__} {value.shape}"
    from .fingerprint import architecture, fingerprint

    layer = "get_config" in dir(value) and hasattr(value, "weights")
    told = architecture(value) if layer else fingerprint(value)
    return f"{getattr(value, '__qualname__', type(value).__name__)} {_digest(told)[:12]}"


# ---------------------------------------------------------------- while it runs


def _finished(path, cell):
    """The stored result of a cell, or None; a damaged file is told and counts as none."""
    if not path.is_file():
        return None
    try:
        result = json.loads(path.read_text(encoding="utf8"))
        if (
            tuple(result[key] for key in _CELL[:3]) == cell
            and 0 <= result["score"] <= 100
            and len(result) == len(_CELL)
        ):
            return result
    except (ValueError, TypeError, KeyError):  # cut short, or not a cell at all
        pass
    print(f"{path.name}: a damaged file of a finished cell ({cell[0]!r}, {cell[1]} labels, seed {cell[2]}), run again.")
    return None


def _as_finished(function, jobs, n_jobs):
    """Yield each job's result as it is finished; batch by batch where joblib's backend cannot (Ray's)."""
    from joblib import Parallel, delayed, effective_n_jobs

    try:
        parallel = Parallel(n_jobs=n_jobs, batch_size=1, return_as="generator_unordered")
    except ValueError:
        jobs = list(jobs)
        for start in range(0, len(jobs), step := effective_n_jobs(n_jobs)):
            yield from Parallel(n_jobs=n_jobs)(delayed(function)(*job) for job in jobs[start : start + step])
        return
    yield from parallel(delayed(function)(*job) for job in jobs)


def _run_cell(cell, estimator, x, y, test_x, test_y):
    """Fit a clone to one draw and score it: a dict of the keys in `_CELL`. `score` is the percentage of hits."""
    from sklearn.base import clone

    name, labels, seed = cell
    state = int(_digest(name, labels, seed)[:8], 16)
    random.seed(state)
    np.random.seed(state)  # noqa: NPY002  the generator of scikit-learn's estimators without a random_state
    if keras := sys.modules.get("keras"):  # a worker process whose arms need no Keras does not load it
        keras.utils.set_random_seed(state)
    try:
        model = clone(estimator)
        states = [key for key in model.get_params() if key.split("__")[-1] == "random_state"]
        model.set_params(**dict.fromkeys(states, state))
        started = time.perf_counter()
        model.fit(x, y)
        fitted = time.perf_counter()
        predicted = np.asarray(model.predict(test_x))
        ended = time.perf_counter()
        if predicted.shape != test_y.shape:
            raise ValueError(f"it predicts an array {predicted.shape} for {test_y.shape[0]} test rows")
    except Exception as error:
        where = f"The arm {name!r} failed at {labels} labels per class, seed {seed}"
        raise ComparisonError(f"{where}: {type(error).__name__}: {error}") from error
    score, constant = 100 * float(np.mean(predicted == test_y)), bool((predicted == predicted[0]).all())
    return dict(zip(_CELL, (*cell, score, fitted - started, ended - fitted, constant), strict=True))


def _peaks(jobs):
    """Peak memory in GB of cells, each fitted in a fresh process of its own."""
    from joblib.externals.loky import ProcessPoolExecutor

    peaks = {}
    for job in jobs:
        with ProcessPoolExecutor(1) as process:
            peaks[job[0][:2]] = process.submit(_run_and_peak, *job).result()
    return peaks


def _run_and_peak(*job):
    _run_cell(*job)
    try:  # On Linux the other way counts what the parent process had when it started this one.
        status = Path("/proc/self/status").read_text().split("VmHWM:")[1]
        return int(status.split()[0]) * 1024 / 1e9
    except (OSError, IndexError):
        return _peak_memory() or np.nan


def _print_plan(arms, rivals, grid, sizes, seeds, test_rows, cells, done):
    tests = sum(len(set(grid[arm]) & set(grid[rival])) for arm in arms for rival in rivals[arm])
    found = f", {done} of them found finished" if done else ""
    what = f"{len(arms)} arms ({'; '.join(arms)}), {_per_class(*sizes)}, {len(seeds)} draw{'s' * (len(seeds) > 1)}"
    print(f"{what}: {cells} cells{found}.")
    if test_rows < _FEW_TEST_ROWS:
        print(_few(test_rows))
    if not tests:
        print("No arm names another that it is compared with, so there will be no verdict.", flush=True)
    elif len(seeds) == 1:
        print("One draw gives no interval, so no difference can be told; merge records of several.", flush=True)
    else:
        noise = 100 * np.sqrt(2 * 0.9 * 0.1 / test_rows)  # points between two arms that err independently
        best, typical = (
            smallest_difference(spread / np.sqrt(len(seeds)), len(seeds) - 1, 0.05 / tests)
            for spread in (noise, np.hypot(noise, 2))
        )
        if best >= 100:
            print(f"{len(seeds)} draws are too few to tell any difference between {tests} pairs.", flush=True)
            return
        print(
            f"The smallest difference that can be told (80 % power, {tests} comparisons, Holm's strictest step): "
            f"{best:.1f} points if only the noise of {test_rows:,} test rows at 90 % counted, {typical:.1f} if the "
            "differences also vary by 2 points from draw to draw, as is typical for few labels.",
            flush=True,
        )


def _few(test_rows):
    return f"Beware: the test part has {_count(test_rows, 'row')}, each of them {100 / test_rows:.1f} points; add rows."


def _seconds_left(left, done, n_jobs):
    """From the mean time of the cells that each arm has finished."""
    from joblib import effective_n_jobs

    spent = pd.DataFrame([(arm, r["fit_seconds"] + r["predict_seconds"]) for (arm, _, _), r in done.items()])
    means = spent.groupby(0)[1].mean()
    return sum(means[arm] for arm, _, _ in left) / max(effective_n_jobs(n_jobs), 1)


def _time(seconds):
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


# ---------------------------------------------------------------- statistics


def smallest_difference(error, freedom, alpha=0.05, power=0.8):
    """The true difference that a two-sided t test finds with a probability of `power`.

    The noncentral t distribution, as an integral over the chi-squared one (SciPy 1.17's `nct` gives NaN here).

    Parameters
    ----------
    error : float
        Standard error of the mean difference.
    freedom, alpha : float
        Degrees of freedom and level of the test.
    """
    from scipy.optimize import brentq
    from scipy.special import chdtri, ndtr, stdtrit

    critical = stdtrit(freedom, 1 - alpha / 2)
    scale = critical * np.sqrt(chdtri(freedom, (np.arange(500) + 0.5) / 500) / freedom)
    return error * brentq(
        lambda shift: (ndtr(shift - scale) + ndtr(-shift - scale)).mean() - power, 0, 3 * critical + 5
    )


def _estimate(values, runs, seeds, floor):
    """Mean, 95 % t interval and p value of columns of repeats.

    Of one run: t over the draws. Of several: each run's mean counts once, t over the runs; and where the runs share
    their draws, the spread of the draws' means is added (two random effects, Satterthwaite's degrees of freedom) and
    the wider of the two intervals holds, since repeats of one draw are not independent.

    Parameters
    ----------
    values : array `(repeats, columns)`
    runs, seeds : array `(repeats,)`
    floor : float
        The least variance of one value, from the score's granularity.

    Returns
    -------
    dict of array `(columns,)`
        mean, low, high, p, error, freedom. All but the mean are NaN where there is no interval.
    """
    from scipy.special import stdtr, stdtrit

    def means(names):
        return np.stack([values[names == name].mean(axis=0) for name in np.unique(names)])

    def variance(rows, floor):  # of the mean of the rows
        spread = rows.var(axis=0, ddof=1) if len(rows) > 1 else np.full(rows.shape[1], np.nan)
        return np.maximum(spread, floor) / len(rows)

    names, draws = np.unique(runs), np.unique(seeds)
    if len(names) == 1:
        mean, ways = values.mean(axis=0), [(variance(values, floor), len(values) - 1)]
    else:
        by_run = means(runs)
        mean, over_runs = by_run.mean(axis=0), variance(by_run, floor * len(names) / len(values))
        ways = [(over_runs, len(names) - 1)]
        if len(values) > len(draws):
            over_draws = variance(means(seeds), floor / len(names))
            both = over_runs + over_draws
            freedom = both**2 / (over_runs**2 / (len(names) - 1) + over_draws**2 / max(len(draws) - 1, 1))
            ways.append((both, freedom))
    errors = np.stack([np.sqrt(square) for square, _ in ways])  # (ways, columns)
    freedoms = np.stack([np.broadcast_to(np.maximum(freedom, 1.0), mean.shape) for _, freedom in ways])
    half = stdtrit(freedoms, 0.975) * errors
    p = 2 * stdtr(freedoms, -np.abs(mean) / errors)
    widest = (half.argmax(axis=0), np.arange(mean.size))
    found = {"mean": mean, "low": mean - half[widest], "high": mean + half[widest], "p": p.max(axis=0)}
    return found | {"error": errors[widest], "freedom": freedoms[widest]}


def _holm(p):
    """Holm's step-down correction; a NaN counts as a test that found nothing."""
    order = np.argsort(p)  # NaN last
    steps = np.fmax.accumulate(p[order] * np.arange(len(p), 0, -1)) if len(p) else p
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(steps, 1)
    return np.where(np.isnan(p), np.nan, corrected)


class Comparison:
    """What a comparison found.

    Parameters
    ----------
    table : pandas.DataFrame
        A row for each cell: arm, labels, seed, score (percent), and where known run, fit_seconds, predict_seconds,
        pretraining_seconds, peak_memory_gb, constant.
    against : dict of str to sequence of str
        The arms that each arm is compared with.
    test_rows : int
    facts : dict, optional
        What `save` notes beside the scores: settings, versions, data, machine, date.

    Raises
    ------
    ValueError
        If a cell stands twice, or if runs share some of their draws but not all: there is no interval for that.
    """

    def __init__(self, table, against, test_rows, facts=None):
        blank = {"run": "", "fit_seconds": np.nan, "predict_seconds": np.nan, "pretraining_seconds": 0.0}
        blank |= {"peak_memory_gb": np.nan, "constant": False}
        table = table.assign(**{column: value for column, value in blank.items() if column not in table})
        self.against = {arm: tuple(rivals) for arm, rivals in against.items() if rivals}
        self.test_rows, self.facts = test_rows, facts or {}
        self._arms = list(table["arm"].unique())
        place = {arm: position for position, arm in enumerate(self._arms)}
        repeats, rows = np.unique(table["run"].astype(str) + "\0" + table["seed"].astype(str), return_inverse=True)
        columns = list(zip(table["arm"], table["labels"].tolist(), strict=True))
        names = sorted(set(columns), key=lambda column: (place[column[0]], column[1]))
        self._column = {column: number for number, column in enumerate(names)}
        where = (rows, [self._column[column] for column in columns])
        self._scores = np.full((len(repeats), len(names)), np.nan)  # (repeats, arms x sizes)
        self._scores[where] = table["score"]
        if np.isfinite(self._scores).sum() < len(table):
            raise ValueError("A cell (run, seed, arm, labels) stands twice, or a score is not a number.")
        self._runs, self._seeds = np.array([repeat.split("\0") for repeat in repeats]).T
        together = {run: frozenset(self._seeds[self._runs == run]) for run in np.unique(self._runs)}
        if len(set(together.values())) > 1 and sum(map(len, together.values())) > len(
            frozenset().union(*together.values())
        ):
            raise ValueError("The pretraining runs must have the same draws (seeds), or none in common.")
        self._table = table.sort_values("labels", kind="stable").sort_values(
            "arm", kind="stable", key=lambda a: a.map(place)
        )

    def table(self):
        """Return a tidy table: arm, labels, seed, run, score (percent of the test rows) and what each cell took."""
        columns = ["arm", "labels", "seed", "run", "score", "fit_seconds", "predict_seconds", "pretraining_seconds"]
        return self._table[[*columns, "peak_memory_gb", "constant"]].reset_index(drop=True)

    def _sizes(self, arm):
        if not (sizes := [labels for name, labels in self._column if name == arm]):
            raise ValueError(f"There is no arm {arm!r}; the arms are {self._arms}.")
        return sizes

    def _interval(self, values, granularity=6):
        """`_estimate` of the repeats (repeats, columns) that are complete, and how many draws and runs they are."""
        there = np.isfinite(values).all(axis=1)
        runs, seeds = self._runs[there], self._seeds[there]
        found = _estimate(values[there], runs, seeds, (100 / self.test_rows) ** 2 / granularity)
        return found | {"draws": len(set(seeds)), "runs": len(set(runs))}

    def differences(self):
        """Return the fixed contrasts: paired differences in points, each with its 95 % t interval.

        Of one pretraining run, t over the draws: the interval is conditional on the test set and the encoder. Of
        several, t over the runs' mean differences, widened where the runs share their draws. The variance is at least
        that of rounding: a score is a multiple of one test row, so that equal differences prove nothing. With one draw
        there is no interval (NaN).

        Returns
        -------
        pandas.DataFrame
            arm, against, labels, points, low, high, p, p_holm (over all rows), draws, runs, and the standard `error`
            of points with its degrees of `freedom`.
        """
        rows = []
        for arm, rivals in self.against.items():
            for rival in rivals:
                for labels in sorted(set(self._sizes(arm)) & set(self._sizes(rival))):
                    pair = self._scores[:, [self._column[arm, labels], self._column[rival, labels]]]
                    found = self._interval(pair[:, :1] - pair[:, 1:])
                    mean, low, high, p, error, freedom = (float(found[key][0]) for key in _ESTIMATE)
                    ends = (found["draws"], found["runs"], error, freedom)
                    rows.append((arm, rival, labels, mean, low, high, p, np.nan, *ends))
        names = "arm against labels points low high p p_holm draws runs error freedom".split()
        table = pd.DataFrame(rows, columns=names)
        return table.assign(p_holm=_holm(table["p"].to_numpy(float)))

    def summary(self):
        """Return arms x labels: mean score with its 95 % interval, and what a fit and the pretraining took.

        The intervals are those of each arm alone; arms are told apart by `differences`, which is paired and sharper.
        """
        rows = {}
        for arm in self._arms:
            cells, rows[arm] = self._table[self._table["arm"] == arm], {}
            for labels in self._sizes(arm):
                found = self._interval(self._scores[:, [self._column[arm, labels]]], 12)
                mean, low, high = (float(found[key][0]) for key in ("mean", "low", "high"))
                interval = "no interval" if np.isnan(low) else f"{max(low, 0):.1f} to {min(high, 100):.1f}"
                rows[arm][_labels(labels)] = f"{mean:.1f} ({interval})"
            rows[arm]["seconds a fit"] = f"{cells['fit_seconds'].mean():.1f}"
            rows[arm]["pretraining seconds"] = f"{cells['pretraining_seconds'].mean():.0f}"
            if cells["peak_memory_gb"].notna().any():
                rows[arm]["peak memory, GB"] = f"{cells['peak_memory_gb'].max():.2f}"
        sizes = [_labels(labels) for labels in sorted({labels for _, labels in self._column})]
        table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("arm").fillna("")
        return table[sizes + [column for column in table.columns if column not in sizes]]

    def markdown_table(self):
        """Return `summary` as a Markdown table."""
        return as_markdown(self.summary().reset_index())

    def labels_saved(self, arm, against="scratch"):
        """How many labels per class the rival needs for the arm's score.

        The rival's curve of each draw is interpolated linearly in log(labels). The rival needs as many labels as where
        the mean difference (arm at n minus rival) first falls to zero; the interval reaches over the sizes at which the
        paired 95 % t interval of that difference holds zero. An end that lies outside the sizes that were run is
        censored: "more than 50", "fewer than 1". Where the sizes cannot tell, it is "cannot be estimated".

        Returns
        -------
        pandas.DataFrame
            labels (n), needed, low, high and saved (needed - n); numbers, or text where censored.
        """
        sizes, mine = self._sizes(against), self._sizes(arm)
        grid = np.union1d(np.geomspace(sizes[0], sizes[-1], 400), sizes)
        weights = [np.interp(np.log(grid), np.log(sizes), row) for row in np.eye(len(sizes))]  # (sizes, points)
        curve = self._scores[:, [self._column[against, labels] for labels in sizes]] @ weights  # (repeats, points)
        below, above = f"fewer than {sizes[0]}", f"more than {sizes[-1]}"
        rows = []
        for labels in mine:
            found = self._interval(self._scores[:, [self._column[arm, labels]]] - curve)
            needed, low = (_first_crossing(grid, found[key], below, above) for key in ("mean", "low"))
            high = _first_crossing(grid[::-1], -found["high"][::-1], above, below)
            if len(sizes) < 2 or (low, high) == (below, above):
                needed = low = high = _UNKNOWN
            elif np.isnan(found["low"]).any():
                low = high = _UNKNOWN
            saved = needed if needed == _UNKNOWN else None
            if needed in (below, above):
                saved = f"{needed.rsplit(' ', 1)[0]} {int(needed.rsplit(' ', 1)[1]) - labels}"
            rows.append([labels, needed, low, high, round(needed - labels, 1) if saved is None else saved])
        return pd.DataFrame(rows, columns=["labels", "needed", "low", "high", "saved"])

    def plot(self, axis=None):
        """Draw label-efficiency curves: the mean of each arm, and its 95 % t interval as a band; returns the axis."""
        import matplotlib.pyplot as plt

        if axis is None:
            _, axis = plt.subplots(figsize=(7.4, 4), layout="constrained")
        every = sorted({labels for _, labels in self._column})
        for number, arm in enumerate(self._arms):
            sizes, style = self._sizes(arm), {"color": f"C{number % 10}", "label": arm}
            found = self._interval(self._scores[:, [self._column[arm, labels] for labels in sizes]], 12)
            mean, low, high = found["mean"], np.maximum(found["low"], 0), np.minimum(found["high"], 100)
            if len(sizes) == 1:
                beside = 1.05 ** (number - (len(self._arms) - 1) / 2) if len(every) == 1 else 1  # not all on one spot
                axis.errorbar(
                    sizes[0] * beside, mean, [mean - low, high - mean], fmt="o", markersize=4, capsize=3, **style
                )
                continue
            axis.plot(sizes, mean, "o-" if number < 10 else "s--", markersize=4, **style)
            axis.fill_between(sizes, low, high, color=style["color"], alpha=0.15, linewidth=0)
        axis.set(xscale="log", xlabel="labels per class", ylabel=f"accuracy on {self.test_rows:,} test rows, %")
        axis.set_xticks(every, [str(labels) for labels in every])
        means = np.nanmean(self._scores, axis=0)
        axis.set_ylim(max(0, means.min() - 5), min(101, means.max() + 5))  # bands of few draws may reach far below
        axis.minorticks_off()
        axis.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        return axis

    def verdict(self):
        """Say in words what the fixed contrasts show, Holm-corrected over all, and on what it is conditional."""
        table = self.differences()
        if table.empty:
            return "No verdict: no arm names another that it is compared with."
        lines = [
            self._sentence(*pair, rows, len(table)) for pair, rows in table.groupby(["arm", "against"], sort=False)
        ]
        runs, draws = table["runs"].max(), table["draws"].max()
        within = "on this test set and on the one encoder" if runs == 1 else "on this test set"
        level = f"{draws} draws of labels" if runs == 1 else f"{runs} pretraining runs ({draws} draws of labels)"
        lines.append(
            f"Points are paired differences in percent of {self.test_rows:,} test rows, over {level}; the 95 % t "
            f"intervals are each by themselves and conditional {within}; what helps or hurts is so after Holm's "
            f"correction for all {len(table)} comparisons, and undecided is what is clear of zero only without it."
        )
        charged = self._table.groupby("arm", sort=False)["pretraining_seconds"].mean()
        if charged := [f"{seconds:,.0f} s to {arm}" for arm, seconds in charged.items() if seconds > 0]:
            lines.append(f"Pretraining charged: {', '.join(charged)}.")
        if self.test_rows < _FEW_TEST_ROWS:
            lines.append(_few(self.test_rows))
        for (arm, labels), constant in self._table.groupby(["arm", "labels"], sort=False)["constant"]:
            if constant.any():
                where = f"{constant.sum()} of {len(constant)} cells at {_per_class(labels)}"
                lines.append(f"Beware: {arm} gave the same class for every test row in {where}.")
        return "\n".join(lines)

    def _sentence(self, arm, against, rows, tests):
        """What one contrast shows, sizes with the same finding together."""
        findings = {}
        for row in rows.itertuples():
            if np.isnan(row.p):
                kind, numbers = "no interval, so nothing is claimed", f"{row.points:+.1f} points at {row.labels}"
            else:
                helps = "it helps" if row.points > 0 else "it hurts"
                kind = helps if row.p_holm < 0.05 else "no difference found"
                if row.p < 0.05 <= row.p_holm:
                    kind = "undecided"
                numbers = f"{row.points:+.1f} points at {row.labels}, {row.low:.1f} to {row.high:.1f}"
            findings.setdefault(kind, []).append((row.labels, numbers))
        parts = [
            f"{kind} at {_per_class(*[labels for labels, _ in found])} ({'; '.join(text for _, text in found)})"
            for kind, found in findings.items()
        ]
        told = rows.dropna(subset="p")
        seen = [smallest_difference(row.error, row.freedom, 0.05 / tests) for row in told.itertuples()]
        possible = [points for points in seen if points < 100]
        power = " These draws are too few, or too far apart, for any difference to be told." if seen else ""
        if possible:
            where = ", at some of these sizes" if len(possible) < len(seen) else ""
            power = f" A difference of {_span(possible)} points could have been seen{where} (80 % power)."
        return f"{arm} against {against}: {'; '.join(parts)}.{power}"

    def record(self, *, name, title="", command=""):
        """Return a dict for JSON: what ran, settings, versions, machine, seconds and every single score."""
        versions = self.facts.get("versions", {})
        scores = self._table.replace({np.nan: None}).to_dict("records")
        return {
            "kind": "comparison",
            "name": name,
            "title": title,
            "unit": "accuracy, %",
            **self.facts,
            **{key: versions.get(key) for key in ("keras", "backend")},
            "against": {arm: list(rivals) for arm, rivals in self.against.items()},
            "test_rows": self.test_rows,
            "seeds": sorted(set(self._table["seed"].tolist())),
            "runs": sorted(set(self._table["run"])),
            "seconds": [round(float(self._table[["fit_seconds", "predict_seconds"]].sum().sum()), 1)],
            "command": command,
            "scores": scores,
        }

    def save(self, path, *, name=None, title="", command=""):
        """Write the record as one JSON file, and return it."""
        path = Path(path)
        record = self.record(name=name or path.stem, title=title, command=command)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf8")
        return record

    @classmethod
    def load(cls, path):
        """Read what `save` wrote, from a path or from the record itself.

        Raises
        ------
        ValueError
            If it is no record of a comparison, or damaged.
        """
        try:
            record = path if isinstance(path, dict) else json.loads(Path(path).read_text(encoding="utf8"))
            if record["kind"] != "comparison":
                raise KeyError("kind")
            facts = {key: record[key] for key in _FACTS if key in record}
            table = pd.DataFrame(record["scores"]).astype({"peak_memory_gb": float, "fit_seconds": float})
            return cls(table, record["against"], record["test_rows"], facts)
        except (ValueError, KeyError, TypeError) as error:
            where = "the record" if isinstance(path, dict) else path
            raise ValueError(f"{where}: not a readable record of a comparison ({error!r}).") from error

    def merge(self, *others):
        """Pool this with other comparisons of the same arms on the same data.

        Thirty students with a seed each make thirty draws; comparisons with different `run`s make a grouping level.

        Raises
        ------
        ValueError
            If settings, versions or data differ (the message names what), if arms of one `run` have different weights,
            or if a cell (run, seed, arm, labels) stands in two records.
        """
        facts, every = dict(self.facts), [self, *others]
        for other in others:
            for key in ("against", "test_rows"):
                _same(getattr(self, key), getattr(other, key), key)
            for key in ("settings", "versions"):
                _same(self.facts.get(key), other.facts.get(key), key)
            prints = facts.get("fingerprints", {})
            for run, theirs in other.facts.get("fingerprints", {}).items():
                if differing := [arm for arm in theirs if run in prints and prints[run].get(arm) != theirs[arm]]:
                    raise ValueError(
                        f"The records cannot be pooled: in the run {run!r}, {differing} differ, in weights perhaps. "
                        "Encoders of different pretraining runs need different names: compare(..., run='second')."
                    )
            facts["fingerprints"] = prints = prints | other.facts.get("fingerprints", {})
        for key in ("machine", "python", "profile", "date"):
            if found := sorted({c.facts[key] for c in every if key in c.facts}):
                facts[key] = found[-1] if key == "date" else "; ".join(found)
        return Comparison(pd.concat([c._table for c in every], ignore_index=True), self.against, self.test_rows, facts)

    def __repr__(self):
        """Return the summary as text."""
        return self.summary().to_string()


def as_markdown(table):
    """Return a pandas table, without its index, as a Markdown table."""
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in [table.columns, *table.to_numpy()]]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    return "\n".join([lines[0], "|" + " --- |" * len(table.columns), *lines[1:]])


def _first_crossing(grid, values, before, after):
    """Where values first fall to zero, linearly in log(grid); `before` if below it at the start, `after` if nowhere."""
    fallen = np.flatnonzero(values <= 0)
    if not fallen.size:
        return after
    k = fallen[0]
    if k == 0:
        return before if values[0] < 0 else round(float(grid[0]), 1)
    share = values[k - 1] / (values[k - 1] - values[k])
    return round(float(grid[k - 1] * (grid[k] / grid[k - 1]) ** share), 1)


def _labels(count):
    return f"{count} label{'' if count == 1 else 's'}"


def _per_class(*labels):
    text = ", ".join(map(str, labels[:-1])) + (" and " if len(labels) > 1 else "") + str(labels[-1])
    return f"{text} label{'' if labels == (1,) else 's'} per class"


def _span(values):
    low, high = min(values), max(values)
    return f"{low:.1f}" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f} to {high:.1f}"


def _same(mine, theirs, path):
    """Raise at the first thing that differs between two settings, and name it."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        for key in dict.fromkeys([*mine, *theirs]):
            _same(mine.get(key), theirs.get(key), f"{path}, {key}")
    elif mine != theirs and not (mine != mine and theirs != theirs):  # NaN, as in scikit-learn's error_score
        raise ValueError(f"The records cannot be pooled, they differ in: {path} ({mine!r} and {theirs!r}).")
