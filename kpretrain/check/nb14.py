"""The checks of notebook 14."""

import numpy as np

from .judge import CHANGED, exercise, match, numbers, one_number, returned, wrong_if


@exercise
def mel_edges(function):
    """Notebook 14: `function(low, high, bands)` gives the marks of mel bands in hertz."""
    low, high, bands = 100.0, 4000.0, 3
    got = numbers(returned(function, low, high, bands, kind="an array of frequencies"))
    start, end = 2595 * np.log10(1 + np.array([low, high]) / 700)
    in_mel = np.linspace(start, end, bands + 2)

    def hertz(mel):
        return 700 * (10 ** (mel / 2595) - 1)

    few, one_less = (hertz(np.linspace(start, end, marks)) for marks in (bands, bands + 1))
    wrong = {
        "these are mel. Lead them back to hertz.": in_mel,
        "these are equal steps in hertz. Space the marks in mel.": np.linspace(low, high, bands + 2),
        "equal ratios of hertz are not equal steps in mel.": np.geomspace(low, high, bands + 2),
        "these are the middles of the bands alone. The two ends belong to it.": hertz(in_mel)[1:-1],
        "there are too few marks: each band needs a lower, a middle and an upper one, so there are bands + 2.": few,
        "one mark is missing: there are bands + 2.": one_less,
        "they fall. The lowest comes first.": hertz(in_mel)[::-1],
        "the first step starts at 0 Hz in place of low.": hertz(np.linspace(0, end, bands + 2)),
        "the logarithm must be to the base 10, there and back.": 700 * (np.exp(in_mel / 2595) - 1),
    }
    wrong_if(got.size not in (bands, bands + 1, bands + 2), f"three bands need 5 marks, you have {got.size}.")
    right = hertz(in_mel)
    match(got, right, wrong, f"from 100 to 4,000 Hz the marks are {right.round(0)}, you have {got.round(0)}.")


@exercise
def uncertainty_loss(function):
    """Notebook 14: `function(losses, s)` is the sum of exp(-s) L + s over the tasks."""
    losses, s = np.array([2.0, 0.5, 1.2]), np.array([0.4, -0.3, 0.1])
    got = one_number(function, losses, s, what="the sum over the tasks", changed=CHANGED)
    terms = np.exp(-s) * losses + s
    right = terms.sum()
    wrong = {
        "the price s is missing: without it, every weight would fall to zero.": (np.exp(-s) * losses).sum(),
        "that is the mean. Add the tasks up.": terms.mean(),
        "the weight is exp(-s), not exp(s).": (np.exp(s) * losses + s).sum(),
        "the weight is exp(-s), not s itself.": (s * losses + s).sum(),
        "the price is added, not subtracted.": (np.exp(-s) * losses - s).sum(),
        "the price stands outside the product: exp(-s) * L + s.": (np.exp(-s) * (losses + s)).sum(),
        "these are the plain losses. Weigh each of them.": losses.sum(),
        "the price here is s, not half of it.": (np.exp(-s) * losses + s / 2).sum(),
    }
    match(got, right, wrong, f"the example's loss is {right:.4f}, you have {got:.4f}.")
