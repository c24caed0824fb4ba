"""Intervals and tests of a comparison: new draws of labels and new test rows, as two crossed random effects.

A paired difference in hits is a table D[draw, row]. Its mean varies with the rows, with the draws, and with the rest;
all draws share their test rows, so that the noise of the rows does *not* fall with the number of draws (Owen 2007,
arXiv:0712.1111). p values are corrected by Holm (1979, Scandinavian Journal of Statistics 6:65).
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtri, ndtr, stdtr, stdtrit


class Estimate(NamedTuple):
    """A mean, its 95 % interval, the p value against zero, the standard error and its degrees of freedom.

    Each is an array `(m,)`. Where there is no interval, all but the mean are NaN.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    error: np.ndarray
    freedom: np.ndarray


def estimate(values, weights, groups, floor):
    """Estimate weighted sums of columns, for new draws of labels and new test rows.

    With I rows, S draws and a mean square MSE of the residuals, the variance of the mean is
    `var(row means) / I + var(draw means) / S - MSE / (I S)`, never below the larger of its first two terms, with
    Satterthwaite's degrees of freedom over the three. Draws of one group (a pretraining run) are compared with one
    another only: the encoders are taken as they are, and each group counts alike.

    Parameters
    ----------
    values : array `(draws, columns, rows)`
        Such as hits times 100. One row is enough where only the draws' scores are known: the interval then holds for
        new draws on the same test rows.
    weights : array `(columns, m)`
        A column each for the sums that are wanted: (1, -1) is a difference.
    groups : array `(draws,)`
        Which pretraining run each draw belongs to.
    floor : float
        The least variance of the mean: scores are multiples of one test row, so that equal ones prove little.

    Returns
    -------
    Estimate
        NaN but for the mean, where no group holds two draws.

    Examples
    --------
    >>> hits = np.random.default_rng(0).random((5, 2, 400)) < [[0.8], [0.7]]  # 5 draws of 2 arms on 400 test rows
    >>> found = estimate(100 * hits, [[1], [-1]], np.zeros(5), floor=0.01)
    >>> [round(float(part[0]), 1) for part in (found.mean, found.low, found.high)]
    [8.0, 4.7, 11.4]
    """
    values, weights = np.asarray(values, float), np.asarray(weights, float)
    names, numbers = np.unique(groups, return_inverse=True)
    sizes, rows = np.bincount(numbers), values.shape[2]
    by_group = np.stack([values[numbers == k].mean(axis=0) for k in range(len(names))])  # (groups, columns, rows)
    of_row, share = by_group.mean(axis=0), np.sum(1 / sizes) / len(names) ** 2  # share: 1 / draws, if all are alike
    mean, free = of_row.mean(axis=1) @ weights, len(values) - len(names)
    if not free:
        return Estimate(mean, *np.full((5, mean.size), np.nan))
    away = values - by_group[numbers]  # (draws, columns, rows): each draw from its group
    of_draw = away.mean(axis=2)  # (draws, columns)
    rest = away - of_draw[..., None]
    over_draws = share * _square(of_draw.T / np.sqrt(free), weights)
    if rows > 1:
        over_rows = _square((of_row - of_row.mean(axis=1, keepdims=True)) / np.sqrt(rows * (rows - 1)), weights)
        residual = np.einsum("scr,sdr->cd", rest, rest) / (free * (rows - 1))
        residual = np.einsum("cm,cd,dm->m", weights, residual, weights) * share / rows
        over_rows = np.maximum(over_rows, floor)
        variance = np.maximum(over_rows + over_draws - residual, np.maximum(over_rows, over_draws))
        parts = over_draws**2 / free + (over_rows**2 + residual**2 / free) / (rows - 1)
        freedom = variance**2 / parts
    else:
        variance, freedom = np.maximum(over_draws, floor), np.full_like(mean, free)
    error = np.sqrt(variance)
    half = stdtrit(freedom, 0.975) * error
    return Estimate(mean, mean - half, mean + half, 2 * stdtr(freedom, -np.abs(mean) / error), error, freedom)


def _square(parts, weights):
    """Sums of squares of weighted columns: (columns, n), (columns, m) -> (m,)."""
    return np.einsum("cm,cd,dm->m", weights, parts @ parts.T, weights)


def holm(p):
    """Return Holm's step-down correction of p values `(n,)`; a NaN counts as a test that found nothing.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p)  # NaN last
    steps = np.fmax.accumulate(p[order] * np.arange(len(p), 0, -1)) if len(p) else p
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(steps, 1)
    return np.where(np.isnan(p), np.nan, corrected)


def smallest_difference(error, freedom, alpha=0.05, power=0.8):
    """The true difference that a two-sided t test finds with a probability of `power`.

    The noncentral t distribution, as an integral over the chi-squared one (SciPy 1.17's `nct` gives NaN here).

    Parameters
    ----------
    error : float
        Standard error of the mean difference.
    freedom, alpha : float
        Degrees of freedom and level of the test.

    Examples
    --------
    >>> round(smallest_difference(1.0, 10), 2)
    3.11
    """
    critical = stdtrit(freedom, 1 - alpha / 2)
    scale = critical * np.sqrt(chdtri(freedom, (np.arange(500) + 0.5) / 500) / freedom)
    return error * brentq(
        lambda shift: (ndtr(shift - scale) + ndtr(-shift - scale)).mean() - power, 0, 3 * critical + 5
    )
