"""`Comparison`: what a comparison found, as tables, sentences and a figure."""

from functools import cached_property

import numpy as np
import pandas as pd

from .. import words
from . import records, sentences
from .figure import draw
from .statistics import estimate, holm, smallest_difference

_UNKNOWN = "cannot be estimated"
_BLANK = {
    "run": "",
    "hits": None,
    "balanced": np.nan,
    "fit_seconds": np.nan,
    "predict_seconds": np.nan,
    "pretraining_seconds": 0.0,
    "constant": False,
}
_SHOWN = ("arm", "labels", "seed", "run", "score", *list(_BLANK)[2:])


class Comparison:
    """What a comparison found.

    Parameters
    ----------
    table : pandas.DataFrame
        A row for each cell: arm, labels, seed, score (percent), and where known run, hits (which test rows were right,
        `numpy.packbits` as bytes), balanced (balanced accuracy, percent), fit_seconds, predict_seconds,
        pretraining_seconds, constant (one answer for all rows).
    against : dict of str to sequence of str
        The arms that each arm is compared with.
    test_rows : int
    facts : dict, optional
        What `save` notes beside the scores: settings, versions, data, machine, date.

    Raises
    ------
    ValueError
        If a cell stands twice, or if two pretraining runs share a draw: give each run draws of its own.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"arm": ["tuned"] * 4 + ["scratch"] * 4, "labels": 5, "seed": [0, 1, 2, 3] * 2})
    >>> table["score"] = [80.0, 81, 82, 83, 70, 71, 70, 71]
    >>> found = Comparison(table, {"tuned": ["scratch"]}, test_rows=200)
    >>> print(found.verdict().splitlines()[0])
    Tuned helps on these test rows: +11.0 points over scratch at 5 labels per class (9.2 to 12.8).
    >>> print(found.scores().round(1).to_string(index=False))
        arm  labels  mean  low  high
      tuned       5  81.5 79.4  83.6
    scratch       5  70.5 69.6  71.4
    >>> print(found.differences().round(1).to_string(index=False))
      arm against  labels  points  low  high  draws  runs
    tuned scratch       5    11.0  9.2  12.8      4     1
    >>> found.contrasts()[["p", "p_holm", "smallest"]].round(4).to_dict("list")
    {'p': [0.0003], 'p_holm': [0.0003], 'smallest': [2.4571]}
    >>> found.summary()["5 labels"].to_dict()
    {'tuned': '81.5 (79.4 to 83.6)', 'scratch': '70.5 (69.6 to 71.4)'}

    Another draw, made elsewhere, is pooled with these:

    >>> fifth = Comparison(table[table["seed"] == 0].assign(seed=4), {"tuned": ["scratch"]}, test_rows=200)
    >>> len(found.merge(fifth).table())
    10
    """

    def __init__(self, table, against, test_rows, facts=None):
        table = table.assign(**{column: value for column, value in _BLANK.items() if column not in table})
        records.refuse_repeats(table)
        self.against = {arm: tuple(rivals) for arm, rivals in against.items() if rivals}
        self.test_rows, self.facts = test_rows, facts or {}
        self.arms = list(table["arm"].unique())
        table = table.sort_values("labels", kind="stable")
        self._table = table.sort_values("arm", kind="stable", key=lambda arms: arms.map(self.arms.index))
        self._runs = table.drop_duplicates("seed").set_index("seed")["run"].astype(str).sort_index()
        columns = self._table[["arm", "labels"]].drop_duplicates().itertuples(index=False, name=None)
        self._column = {column: number for number, column in enumerate(columns)}
        seconds = table.groupby("arm")["pretraining_seconds"].mean()
        self.pretrained = set(seconds.index[seconds > 0])  # only these depend on the pretraining run

    # ---------------------------------------------------------------- scores and intervals

    @cached_property
    def _hits(self):
        """Percent right, 0 or 100: float32 (draws, columns, rows), NaN where a cell is missing.

        Where some cell does not tell its hits, as in records of earlier versions: the scores, (draws, columns, 1).
        """
        known = self._table["hits"].map(lambda hits: isinstance(hits, bytes)).all()
        values = np.full((len(self._runs), len(self._column), self.test_rows if known else 1), np.nan, "float32")
        draw = {seed: number for number, seed in enumerate(self._runs.index)}
        for row in self._table.itertuples():
            where = draw[row.seed], self._column[row.arm, row.labels]
            if known:
                values[where] = 100.0 * np.unpackbits(np.frombuffer(row.hits, "uint8"), count=self.test_rows)
            else:
                values[where] = row.score
        return values

    @property
    def over_rows(self):
        """Whether the intervals hold for new test rows too: True where each cell tells which rows it got right."""
        return self._hits.shape[2] > 1

    def _estimate(self, columns, weights, arms):
        """Estimates of weighted sums of columns, over the draws that have them all, and these draws' runs."""
        columns = [self._column[column] for column in columns]
        there = np.isfinite(self._hits[:, columns, 0]).all(axis=1)
        runs = self._runs.to_numpy()[there]
        groups = runs if self.pretrained & set(arms) else np.zeros(len(runs))
        floor = (100 / self.test_rows) ** 2 / 6  # of rounding: a score is a multiple of one test row
        result = estimate(self._hits[there][:, columns], weights, groups, floor)
        return result._replace(low=result.low.clip(-100), high=result.high.clip(max=100)), runs

    def _sizes(self, arm):
        if not (sizes := [labels for name, labels in self._column if name == arm]):
            raise ValueError(f"There is no arm {arm!r}; the arms are {self.arms}.")
        return sizes

    def _pairs(self):
        """(arm, rival, the sizes that both have) of each contrast."""
        for arm, rivals in self.against.items():
            for rival in rivals:
                if sizes := sorted(set(self._sizes(arm)) & set(self._sizes(rival))):
                    yield arm, rival, sizes

    def table(self):
        """Return a row for each cell: arm, labels, seed, run, score and balanced accuracy (percent), seconds."""
        return self._table[list(_SHOWN)].reset_index(drop=True)

    def hits(self):
        """Return which test rows each cell of `table` got right: a list of bytes (`numpy.packbits`), or of None."""
        return self._table["hits"].tolist()

    def contrasts(self):
        """Return the contrasts that were fixed beforehand, one row each: what the verdict speaks of.

        `points` is the difference in percent of the test rows, averaged over the sizes that both arms have. Its 95 %
        interval is for new draws of labels and new test rows, with the encoders as they are; without single hits
        (`over_rows` is False), for new draws on these test rows. One test each, corrected over all by Holm.

        Returns
        -------
        pandas.DataFrame
            arm, against, sizes (a tuple), points, low, high, p, p_holm, error, freedom, smallest (the true difference
            that would have been found in four of five such comparisons), draws, runs.
        """
        rows = []
        for arm, rival, sizes in self._pairs():
            columns = [(name, n) for name in (arm, rival) for n in sizes]
            weights = np.repeat([1, -1], len(sizes))[:, None] / len(sizes)
            result, runs = self._estimate(columns, weights, (arm, rival))
            rows.append((arm, rival, tuple(sizes), *(float(part[0]) for part in result), len(runs), len(set(runs))))
        names = ["arm", "against", "sizes", "points", "low", "high", "p", "error", "freedom", "draws", "runs"]
        table = pd.DataFrame(rows, columns=names)
        smallest = [
            np.nan if np.isnan(row.p) else smallest_difference(row.error, row.freedom, 0.05 / len(table))
            for row in table.itertuples()
        ]
        return table.assign(p_holm=holm(table["p"].to_numpy(float)), smallest=smallest)

    def differences(self):
        """Return each contrast at each number of labels: a description, which is not tested.

        Returns
        -------
        pandas.DataFrame
            arm, against, labels, points, low, high (95 %, as in `contrasts`), draws, runs.
        """
        rows = []
        for arm, rival, sizes in self._pairs():
            for n in sizes:
                result, runs = self._estimate([(arm, n), (rival, n)], [[1], [-1]], (arm, rival))
                rows.append((arm, rival, n, *(float(part[0]) for part in result[:3]), len(runs), len(set(runs))))
        return pd.DataFrame(rows, columns=["arm", "against", "labels", "points", "low", "high", "draws", "runs"])

    def new_pretraining(self):
        """Return each contrast of pretrained arms for a *new* pretraining run, from three runs on.

        The encoder is the same at every size, so the runs' means over the sizes are what is estimated from; each row
        of `contrasts` has one test, this is its second question. With one or two runs the ends are NaN, and `each`
        lists the runs' own means.

        Returns
        -------
        pandas.DataFrame
            arm, against, points, low, high, runs, each (a tuple of points).
        """
        rows = []
        for arm, rival, sizes in self._pairs():
            if not self.pretrained & {arm, rival}:
                continue
            columns = [self._column[name, n] for name in (arm, rival) for n in sizes]
            weights = np.repeat([1, -1], len(sizes)) / len(sizes)
            values = np.einsum("scr,c->sr", self._hits[:, columns], weights)  # (draws, rows)
            there = np.isfinite(values[:, 0])
            runs = self._runs.to_numpy()[there]
            by_run = np.stack([values[there][runs == run].mean(axis=0) for run in np.unique(runs)])
            low = high = np.nan
            if len(by_run) >= 3:
                result = estimate(by_run[:, None], [[1]], np.zeros(len(by_run)), (100 / self.test_rows) ** 2 / 6)
                low, high = np.clip([result.low[0], result.high[0]], -100, 100)
            each = tuple(by_run.mean(axis=1).round(2).tolist())
            rows.append((arm, rival, float(by_run.mean()), low, high, len(by_run), each))
        return pd.DataFrame(rows, columns=["arm", "against", "points", "low", "high", "runs", "each"])

    def scores(self):
        """Return the mean accuracy of each arm at each size with its 95 % interval: arm, labels, mean, low, high."""
        rows = []
        for arm, n in self._column:
            result, _ = self._estimate([(arm, n)], [[1]], (arm,))
            rows.append((arm, n, float(result.mean[0]), *np.clip([result.low[0], result.high[0]], 0, 100)))
        return pd.DataFrame(rows, columns=["arm", "labels", "mean", "low", "high"])

    def summary(self):
        """Return arms x labels: mean accuracy with its 95 % interval, and what a fit and the pretraining took.

        The intervals are those of each arm alone; arms are told apart by `contrasts`, which is paired and sharper.
        Where the classes of the test part are unbalanced, balanced accuracy and a row for the majority class stand
        beside.
        """
        rows, biggest = {arm: {} for arm in self.arms}, self.majority()
        for row in self.scores().itertuples():
            interval = "no interval" if np.isnan(row.low) else f"{row.low:.1f} to {row.high:.1f}"
            rows[row.arm][words.count(row.labels, "label")] = f"{row.mean:.1f} ({interval})"
        means = self._table.groupby(["arm", "labels"])["balanced"].mean()
        for arm in self.arms:
            cells = self._table[self._table["arm"] == arm]
            for n in self._sizes(arm) if biggest else ():
                rows[arm][f"balanced, {words.count(n, 'label')}"] = f"{means[arm, n]:.1f}"
            rows[arm]["seconds a fit"] = f"{cells['fit_seconds'].mean():.1f}"
            rows[arm]["pretraining seconds"] = f"{cells['pretraining_seconds'].mean():.0f}"
        every = sorted({n for _, n in self._column})
        if biggest:
            rows[f"always {biggest[0]!r}"] = {words.count(n, "label"): f"{biggest[1]:.1f}" for n in every} | {
                f"balanced, {words.count(n, 'label')}": f"{100 / len(self.facts['test_classes']):.1f}" for n in every
            }
        table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("arm").fillna("")
        first = [words.count(n, "label") for n in every]
        return table[first + [column for column in table.columns if column not in first]]

    def majority(self):
        """Return the largest test class and its percentage, where it is 1.5 times the mean class; else None."""
        counts = self.facts.get("test_classes") or {}
        if not counts or self._table["balanced"].isna().any():
            return None
        name, most = max(counts.items(), key=lambda item: item[1])
        return (name, 100 * most / self.test_rows) if most * len(counts) >= 1.5 * self.test_rows else None

    def markdown_table(self):
        """Return `summary` as a Markdown table."""
        return words.as_markdown(self.summary().reset_index())

    # ---------------------------------------------------------------- labels saved

    def labels_saved(self, arm, against="scratch"):
        """How many labels per class the rival needs for the arm's score.

        The rival's curve is interpolated linearly in log(labels). The rival needs as many labels as where the mean
        difference (arm at n minus rival) first falls to zero; the interval reaches over the sizes at which the 95 %
        interval of that difference holds zero. An end that lies outside the sizes that were run is censored: "more
        than 50", "fewer than 1". Where the sizes cannot tell, it is "cannot be estimated".

        Returns
        -------
        pandas.DataFrame
            labels (n), needed, low, high and saved (needed - n); numbers, or text where censored.

        Examples
        --------
        >>> import pandas as pd
        >>> rows = [("scratch", 5, 60.0), ("scratch", 10, 70.0), ("scratch", 20, 80.0), ("tuned", 5, 70.0)]
        >>> table = pd.DataFrame(rows * 2, columns=["arm", "labels", "score"]).assign(seed=[0] * 4 + [1] * 4)
        >>> Comparison(table, {}, test_rows=10_000).labels_saved("tuned")[["needed", "saved"]].to_dict("list")
        {'needed': [10.0], 'saved': [5.0]}
        """
        sizes, mine = self._sizes(against), self._sizes(arm)
        grid = np.union1d(np.geomspace(sizes[0], sizes[-1], 400), sizes)
        weights = [np.interp(np.log(grid), np.log(sizes), row) for row in np.eye(len(sizes))]  # (sizes, points)
        weights = np.vstack([np.ones(len(grid)), -np.array(weights)])
        below, above = f"fewer than {sizes[0]}", f"more than {sizes[-1]}"
        rows = []
        for labels in mine:
            result, _ = self._estimate([(arm, labels), *((against, n) for n in sizes)], weights, (arm, against))
            needed, low = (_first_crossing(grid, result[k], below, above) for k in (0, 1))
            high = _first_crossing(grid[::-1], -result.high[::-1], above, below)
            if len(sizes) < 2 or (low, high) == (below, above):
                needed = low = high = _UNKNOWN
            elif np.isnan(result.low).any():
                low = high = _UNKNOWN
            saved = needed if needed == _UNKNOWN else None
            if needed in (below, above):
                saved = f"{needed.rsplit(' ', 1)[0]} {int(needed.rsplit(' ', 1)[1]) - labels}"
            rows.append([labels, needed, low, high, round(needed - labels, 1) if saved is None else saved])
        return pd.DataFrame(rows, columns=["labels", "needed", "low", "high", "saved"])

    # ---------------------------------------------------------------- sentences and the figure

    def verdict(self):
        """Say in one sentence a contrast what was found, best first, and what the intervals hold for."""
        return sentences.verdict(self)

    def plot(self, axis=None, arms=None):
        """Draw accuracy against labels per class, a line for each arm with its 95 % intervals; returns the axis.

        Parameters
        ----------
        axis : matplotlib axis, optional
        arms : sequence of str, optional
            Which arms to draw. None draws at most five: the best ones of those that are compared, and their rivals.
            An arm that ran at one or two of many sizes is then left out.
        """
        for arm in arms or ():
            self._sizes(arm)
        return draw(self, axis, arms)

    # ---------------------------------------------------------------- records

    def record(self, *, name, title="", command=""):
        """Return a dict for JSON: what ran, settings, versions, machine, seconds, every score and every hit."""
        return records.record(self, name, title, command)

    def save(self, path, *, name=None, title="", command=""):
        """Write the record as one JSON file, and return it."""
        return records.save(self, path, name, title, command)

    @classmethod
    def load(cls, path):
        """Read what `save` wrote, from a path or from the record itself.

        Records of earlier versions hold no single hits: their intervals are for new draws on the same test rows.

        Raises
        ------
        ValueError
            If it is no record of a comparison, or damaged.

        Examples
        --------
        >>> import pandas as pd
        >>> table = pd.DataFrame({"arm": ["tuned"] * 4 + ["scratch"] * 4, "labels": 5, "seed": [0, 1, 2, 3] * 2})
        >>> table["score"] = [80.0, 81, 82, 83, 70, 71, 70, 71]
        >>> found = Comparison(table, {"tuned": ["scratch"]}, test_rows=200)
        >>> Comparison.load(found.record(name="mine")).arms
        ['tuned', 'scratch']
        """
        return cls(*records.load(path))

    def merge(self, *others):
        """Pool this with other comparisons of the same arms on the same data.

        Thirty students with a seed each make thirty draws; comparisons with different `run`s make pretraining runs.

        Raises
        ------
        ValueError
            In one line, if settings, versions or data differ (it names files and setting), if arms of one `run` have
            different weights, or if a seed stands in two records.
        """
        return Comparison(*records.pool([self, *others]))

    def __repr__(self):
        """Return the summary as text."""
        return self.summary().to_string()


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
