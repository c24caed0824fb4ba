"""The checks of notebook 15."""

import numpy as np

from .judge import CHANGED, exercise, match, numbers, returned, wrong_if


@exercise
def quantise(function):
    """Notebook 15: `function(weights, bits)` is (whole numbers, scales): one scale for each column."""
    weights = np.array([[0.5, -8.0, 0.02], [-1.0, 3.0, 0.01], [0.24, 0.5, -0.05]])
    for bits, most in ((8, 127), (4, 7), (12, 2047)):
        answer = returned(function, weights, bits, kind="whole numbers and scales", changed=CHANGED)
        two = isinstance(answer, tuple | list) and len(answer) == 2
        wrong_if(not two, "return two things: (whole numbers, scales).")
        whole, scales = np.asarray(answer[0]), numbers(answer[1])
        wrong_if(whole.shape != weights.shape, f"the whole numbers should be {weights.shape}, not {whole.shape}.")
        wrong_if(scales.size == 1, "that is one scale for all. Each column has its own: max over axis 0.")
        wrong_if(scales.size != 3, f"three columns have three scales, you have {scales.size}.")
        largest, rows = np.abs(weights).max(axis=0), np.abs(weights).max(axis=1)
        wrong = {
            "these are the largest of each row. A column is axis 0.": rows / most,
            "divide by the largest whole number, 2 ** (bits - 1) - 1.": largest,
            f"the largest whole number of {bits} bits is {most}: half of them are negative.": largest / (2**bits - 1),
            f"with a sign, {bits} bits reach from {-most} to {most}, so divide by {most}.": largest / (most + 1),
            "take the absolute value first: the largest weight may be negative.": weights.max(axis=0) / most,
            "that is one over the scale.": most / largest,
        }
        if bits != 8:
            wrong["the scale must depend on bits, and yours is that of 8."] = largest / 127
        match(scales, largest / most, wrong, f"the scales for {bits} bits should be {np.round(largest / most, 4)}.")
        wrong_if(np.any(whole != np.round(whole)), "these are no whole numbers. Round them.")
        ratio = weights / (largest / most)
        wrong = {
            "these are cut off, not rounded: np.round before astype.": np.trunc(ratio),
            "these are rounded down. np.round takes the nearest.": np.floor(ratio),
        }
        match(whole.astype(float), np.round(ratio), wrong, f"with {bits} bits, round(weights / scales) gives others.")


@exercise
def soft_targets(function):
    """Notebook 15: `function(logits, T)` is the softmax of each row at temperature T."""
    logits = np.array([[2.0, 1.0, -1.0], [0.5, 0.0, 3.0]])

    def softmax(z, axis=-1):
        powers = np.exp(z - z.max(axis=axis, keepdims=True))
        return powers / powers.sum(axis=axis, keepdims=True)

    got = np.asarray(returned(function, logits, 4.0, kind="probabilities", changed=CHANGED), float)
    wrong_if(got.shape != logits.shape, f"the shape should stay {logits.shape}, yours is {got.shape}.")
    powers = np.exp(logits / 4)
    wrong = {
        "T is left out.": softmax(logits),
        "the logits are multiplied by T. Divide: a high T makes the answer softer.": softmax(4 * logits),
        "divide the logits by T, before the softmax, not the probabilities.": softmax(logits) / 4,
        "these do not sum to 1: divide by the sum of the row.": powers,
        "the sum runs over the rows. Each row sums to 1: axis=-1.": softmax(logits / 4, axis=0),
        "the sum runs over everything. Each row sums to 1: axis=-1, keepdims=True.": powers / powers.sum(),
    }
    match(got, softmax(logits / 4), wrong, f"the first row should be {np.round(softmax(logits / 4)[0], 3)}.")
    with np.errstate(all="ignore"):
        large = np.asarray(returned(function, 1000 * logits, 1.0, kind="probabilities"), float)
    problem = "logits of 1,000 overflow. Subtract the largest of each row before np.exp; the softmax stays the same."
    wrong_if(not np.allclose(large, softmax(1000 * logits)), problem)
