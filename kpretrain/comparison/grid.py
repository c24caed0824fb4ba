"""`compare`: every arm at every number of labels on the same draws, each finished cell kept.

Why shared budgets, no large validation sets and several draws: Oliver et al. (2018, arXiv:1804.09170).
"""

import base64
import hashlib
import json
import os
import random
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from .. import words
from ..files import cache_folder, write
from ..session import run_facts, version
from .arms import Arm
from .draws import class_name, classes_of, draw, label_sizes
from .report import Comparison
from .statistics import smallest_difference

_CELL = ("arm", "labels", "seed", "score", "balanced", "hits", "fit_seconds", "predict_seconds", "constant")


class ComparisonError(ValueError):
    """An arm failed; the message names the arm, the labels per class, the seed and the cause.

    Examples
    --------
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> import kpretrain as kp
    >>> rows = kp.data.Part(np.arange(20.0)[:, None], np.arange(20) % 2)
    >>> line = kp.data.Dataset("line", rows, rows, rows, ["even", "odd"], "an example")
    >>> arms = {"many neighbours": kp.arms.Arm(KNeighborsClassifier(50))}
    >>> compare(arms, line, [2], seeds=1)
    Traceback (most recent call last):
    kpretrain.comparison.grid.ComparisonError: The arm 'many neighbours' failed at 2 labels per class, seed 0: ...
    """


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
        The sizes at which an arm runs, where it is too slow for all. With none, `[]`, it does not run and is nobody's
        rival: such an arm stands in a stored record alone, for which `python -m kpretrain record` names other sizes.
    run : str
        Names the pretraining run that the encoder comes from. Records of several runs, each with draws of its own, may
        be merged; from three runs on, `Comparison.new_pretraining` tells what a new one would give.
    n_jobs : int, optional
        Cells at a time. None is 1, or what `joblib.parallel_config` says, which also chooses Dask.
    folder : path, optional
        Where finished cells are kept; None is the user's cache folder. A cell is known by its rows, the arm's settings,
        weights and code, the code that runs it, and the versions. An arm whose code cannot be known by anything lasting
        runs each time, and a line says so.
    progress : bool
        False prints nothing. A bar is drawn only where stderr is a terminal.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        Before anything runs, if the arms, sizes or seeds cannot be used, if a class has too few training rows, if the
        test part is empty or holds one class, or a class that the training part lacks.
    ComparisonError
        If an arm raises, or predicts something that is not one class for each row. Finished cells are kept.

    Examples
    --------
    >>> import numpy as np
    >>> from kpretrain.data import Dataset, Part
    >>> y = np.tile([0, 1], 30)
    >>> part = Part(np.random.default_rng(0).normal(y[:, None], 1, (60, 2)), y)
    >>> dataset = Dataset("blobs", part, part, part, ["low", "high"], "drawn")
    >>> import tempfile
    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn.naive_bayes import GaussianNB
    >>> arms = {"Bayes": Arm(GaussianNB(), against="constant"), "constant": DummyClassifier()}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = compare(arms, dataset, [2, 20], seeds=3, folder=folder, progress=False)
    >>> found.table().groupby(["arm", "labels"], sort=False)["score"].mean().round().to_dict()
    {('Bayes', 2): 71.0, ('Bayes', 20): 77.0, ('constant', 2): 50.0, ('constant', 20): 50.0}
    """
    from tqdm import tqdm

    from ..fingerprint import fingerprint  # which brings Keras, and a worker process may do without

    arms = {name: arm if isinstance(arm, Arm) else Arm(arm) for name, arm in dict(arms).items()}
    if labels_per_class is None:
        labels_per_class, why = label_sizes(dataset)
        if progress:
            print(why)
    sizes = _whole_numbers("labels_per_class", labels_per_class, 1)
    seeds = _whole_numbers("seeds", range(seeds) if isinstance(seeds, int) else seeds, 0)
    outside = json.loads(os.environ.get("KPRETRAIN_ONLY") or "{}")  # of `record`: a notebook names its own alone
    grid = _grid(arms, sizes, dict(only or {}) | {arm: some for arm, some in outside.items() if arm in arms})
    arms = {name: replace(arms[name], against=[r for r in arms[name].against if r in grid]) for name in grid}
    classes, test = classes_of(dataset), dataset.test
    rows = {seed: draw(dataset, classes, seed, sizes[-1]) for seed in seeds}
    prints = {name: _fingerprint(name, arm.estimator) for name, arm in arms.items()}
    portable = {name: prints[name] and fingerprint(arm.estimator, versions=False) for name, arm in arms.items()}
    facts = _facts(arms, grid, dataset)
    folder = Path(folder) if folder is not None else cache_folder() / "compare"
    folder.mkdir(parents=True, exist_ok=True)
    cells = [(arm, n, seed) for seed in seeds for n in sizes for arm in arms if n in grid[arm]]
    key = _digest(facts["settings"]["rows"], facts["versions"], fingerprint(_run_cell))
    files = {cell: folder / f"{_digest(key, prints[cell[0]], *cell)}.json" for cell in cells if prints[cell[0]]}
    done = {cell: stored for cell, file in files.items() if (stored := _finished(file))}
    rivals = {name: arm.against for name, arm in arms.items()}
    if progress:
        _print_plan(arms, rivals, grid, sizes, seeds, test_rows=len(test.y), cells=len(cells), done=len(done))

    def job(cell):
        name, n, seed = cell
        chosen = rows[seed][: n * len(classes)]
        return cell, arms[name].estimator, dataset.train.x[chosen], dataset.train.y[chosen], test.x, test.y

    def fill(cells, bar):
        from joblib import Parallel, delayed

        parallel = Parallel(n_jobs=n_jobs, batch_size=1, return_as="generator_unordered")
        for result in parallel(delayed(_run_cell)(*job(cell)) for cell in cells):
            cell = tuple(result[key] for key in _CELL[:3])
            if cell in files:
                write(files[cell], json.dumps(result))
            done[cell] = result
            bar.update()

    timed = {arm for arm, _, _ in done}
    first = [(arm, grid[arm][0], seeds[0]) for arm in arms if arm not in timed]
    quiet = None if progress else True  # None: a bar on a terminal only
    with tqdm(total=len(cells), initial=len(done), disable=quiet, desc="compare", unit="cell") as bar:
        fill(first, bar)
        left = [cell for cell in cells if cell not in done]
        if progress and left:
            bar.clear()
            print(f"About {words.duration(_seconds_left(left, done, n_jobs))} for {len(left)} cells.", flush=True)
        fill(left, bar)
    table = pd.DataFrame([done[cell] for cell in sorted(cells, key=lambda cell: list(arms).index(cell[0]))])
    table["hits"] = table["hits"].map(base64.b64decode)
    table = table.assign(run=run, pretraining_seconds=[arms[arm].pretraining_seconds for arm in table["arm"]])
    return Comparison(table, rivals, len(test.y), facts | {"fingerprints": {run: portable}})


# ---------------------------------------------------------------- before it runs


def _whole_numbers(name, values, least):
    """A sorted tuple of different whole numbers."""
    values = list(values) if np.iterable(values) else [values]
    if not values or any(not isinstance(v, int | np.integer) or v < least for v in values):
        raise ValueError(f"{name} must be whole numbers from {least}, at least one; it is {values}.")
    return tuple(sorted(set(map(int, values))))


def _grid(arms, sizes, only):
    """The sizes at which each arm runs, if any: name -> list. Refuses names and sizes that do not exist."""
    for name, arm in arms.items():
        if missing := [rival for rival in arm.against if rival not in arms or rival == name]:
            raise ValueError(f"The arm {name!r} is to be compared with {missing}; the other arms are {list(arms)}.")
    if missing := [name for name in only if name not in arms]:
        raise ValueError(f"only names {missing}; the arms are {list(arms)}.")
    chosen = {name: only.get(name, sizes) for name in arms}
    grid = {name: list(_whole_numbers(f"only[{name!r}]", some, 1)) for name, some in chosen.items() if np.size(some)}
    if not grid:
        raise ValueError("There are no arms to compare.")
    for name, chosen in grid.items():
        if odd := sorted(set(chosen) - set(sizes)):
            raise ValueError(f"only[{name!r}] holds {odd}, which labels_per_class {list(sizes)} does not.")
    return grid


def _facts(arms, grid, dataset):
    """What ran, on what, where and when; `settings` and `versions` must be equal where records are pooled."""
    from ..fingerprint import rows_fingerprint

    ran, parts = run_facts(), (dataset.train, dataset.test)
    versions = {name: version(name) for name in ("keras", "scikit-learn", "kpretrain")}
    settings = {
        "labels_per_class": sorted({n for chosen in grid.values() for n in chosen}),
        "arms": {
            name: {"estimator": _describe(arm.estimator), "against": list(arm.against), "labels": grid[name]}
            for name, arm in arms.items()
        },
        "rows": _digest([rows_fingerprint(column) for part in parts for column in (part.x, part.y)]),
        "test_rows": len(dataset.test.y),
    }
    labels, counts = np.unique(dataset.test.y, return_counts=True)
    return {
        **{key: ran[key] for key in ("date", "profile", "python", "machine")},
        "versions": versions | {"backend": ran["backend"]},
        "data": {dataset.name: dataset.source},
        "settings": settings,
        "test_classes": {class_name(dataset, n): int(k) for n, k in zip(labels, counts, strict=True)},
        "notes": {name: arm.note for name, arm in arms.items() if arm.note},
    }


def _fingerprint(name, estimator):
    """What an arm is known by, or None, with a line, where nothing lasting tells it from another one."""
    from ..fingerprint import fingerprint

    try:
        return fingerprint(estimator)
    except TypeError as error:
        print(f"The scores of {name!r} are not kept, so it runs each time: {error}")
        return None


def _digest(*values):
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:32]


def _describe(value):
    """An estimator in words that JSON holds: its parameters, without random states and without a model's weights."""
    if hasattr(value, "get_params") and not isinstance(value, type):
        value = {"class": type(value).__name__} | value.get_params(deep=False)
        value.pop("random_state", None)
    if isinstance(value, dict):
        return {str(key): _describe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_describe(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "tocoo"):  # a graph over features: made by the pretraining, as weights are, and told by its shape
        return f"{type(value).__name__} {value.shape}"
    from ..fingerprint import architecture, fingerprint

    layer = "get_config" in dir(value) and hasattr(value, "weights")
    called = getattr(value, "__qualname__", type(value).__name__)
    try:
        return f"{called} {_digest(architecture(value) if layer else fingerprint(value, versions=False))[:12]}"
    except TypeError:
        return called


# ---------------------------------------------------------------- while it runs


def _finished(path):
    """The stored result of a cell, or None; a damaged file is told and counts as none."""
    try:
        return json.loads(path.read_text(encoding="utf8"))
    except FileNotFoundError:
        return None
    except ValueError:
        print(f"{path.name}: a damaged file of a finished cell, run again.")
        return None


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
    hits = predicted == test_y
    balanced = 100 * float(np.mean([hits[test_y == label].mean() for label in np.unique(test_y)]))
    bits, constant = base64.b64encode(np.packbits(hits)).decode(), bool((predicted == predicted[0]).all())
    seconds = (fitted - started, ended - fitted)
    return dict(zip(_CELL, (*cell, 100 * float(hits.mean()), balanced, bits, *seconds, constant), strict=True))


def _print_plan(arms, rivals, grid, sizes, seeds, *, test_rows, cells, done):
    tests = sum(any(n in grid[rival] for n in grid[arm]) for arm in arms for rival in rivals[arm])
    finished = f", {done} of them found finished" if done else ""
    what = f"{len(arms)} arms ({'; '.join(arms)}), {words.per_class(*sizes)}, {words.count(len(seeds), 'draw')}"
    print(f"{what}: {cells} cells{finished}.", flush=True)
    if test_rows < words.FEW_TEST_ROWS:
        print(words.few_test_rows(test_rows))
    if not tests:
        print("No arm names another that it is compared with, so there will be no verdict.", flush=True)
    elif len(seeds) == 1:
        print("One draw gives no interval, so no difference can be told; merge records of several.", flush=True)
    else:
        # Two arms that differ on a tenth of the test rows, by two points more or less from draw to draw.
        of_rows, of_draws = 100**2 * 0.1 / test_rows, 2**2 / len(seeds)
        freedom = (of_rows + of_draws) ** 2 / (of_rows**2 / max(test_rows - 1, 1) + of_draws**2 / (len(seeds) - 1))
        points = smallest_difference(np.sqrt(of_rows + of_draws), freedom, 0.05 / tests)
        print(
            f"With {len(seeds)} draws and {test_rows:,} test rows, differences of about {points:.0f} points and more "
            f"can be told ({words.count(tests, 'contrast')}).",
            flush=True,
        )


def _seconds_left(left, done, n_jobs):
    """From the mean time of the cells that each arm has finished."""
    from joblib import effective_n_jobs

    spent = pd.DataFrame([(arm, r["fit_seconds"] + r["predict_seconds"]) for (arm, _, _), r in done.items()])
    means = spent.groupby(0)[1].mean()
    return sum(means[arm] for arm, _, _ in left) / max(effective_n_jobs(n_jobs), 1)
