"""The checks of notebook 10."""

import numpy as np

from .judge import numbers, say, unsolved


def merged_kernel(function):
    """Notebook 10: `function(kernel, a, b, alpha)` folds a LoRA pair into a kernel."""
    rng = np.random.default_rng(0)
    kernel, a, b, alpha = rng.normal(size=(6, 5)), rng.normal(size=(6, 2)), rng.normal(size=(2, 5)), 8.0
    before = kernel.copy()
    answer = function(kernel, a.copy(), b.copy(), alpha)
    if unsolved(answer):
        return say("the function returns nothing. It should return a kernel.")
    if not np.array_equal(kernel, before):
        return say("the kernel that was given has changed: += works in place. Return a new one.")
    if np.shape(answer) != kernel.shape:
        return say(f"the kernel is {kernel.shape}, and you return {np.shape(answer)}.")
    wrong = {
        "α is left out, and so is the rank: the factor is alpha / r.": kernel + a @ b,
        "divide by the rank: the factor is alpha / r.": kernel + alpha * a @ b,
        "the factor is alpha / r, not r / alpha.": kernel + 2 / alpha * a @ b,
        "r is the rank, the width of A; you divide by the length of A.": kernel + alpha / 6 * a @ b,
        "r is the rank, the length of B; you divide by the width of B.": kernel + alpha / 5 * a @ b,
        "that is the change alone. Add the kernel.": alpha / 2 * a @ b,
        "the factor belongs to A B, not to the kernel.": alpha / 2 * (kernel + a @ b),
        "the pair is subtracted. Add it.": kernel - alpha / 2 * a @ b,
    }
    if np.allclose(answer, kernel + alpha / 2 * a @ b):
        return say(None)
    near = [problem for problem, value in wrong.items() if np.allclose(answer, value)]
    return say(near[0] if near else "the numbers are not those of W + (α/r) · A B, with @ between A and B.")


def brier(function):
    """Notebook 10: `function(probabilities, labels)` is the Brier score over all classes."""
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [0.3, 0.3, 0.4], [0.05, 0.15, 0.8]])
    labels, before = np.array([0, 2, 1, 2]), probabilities.copy()
    answer = function(probabilities, labels.copy())
    if unsolved(answer):
        return say("the function returns nothing. It should return one number.")
    if not np.array_equal(probabilities, before):
        return say("the probabilities that were given have changed. Work on a copy.")
    got, off = numbers(answer), probabilities - np.eye(3)[labels]
    if got.size != 1:
        return say(f"it returns {got.size} numbers. One is wanted: the mean over the rows.")
    right, true = (off**2).sum(axis=1).mean(), probabilities[np.arange(4), labels]
    if np.isclose(got[0], right):
        return say(None)
    wrong = {
        "that is the mean over rows and classes. Sum over the classes.": (off**2).mean(),
        "that is the sum over the rows. Take the mean.": (off**2).sum(),
        "only the true class is counted. The others count too: their truth is 0.": ((1 - true) ** 2).mean(),
        "that is the absolute distance. Square it.": np.abs(off).sum(axis=1).mean(),
        "that is the log loss. The Brier score takes squares.": -np.log(true).mean(),
        "that is a length: no root is wanted.": np.sqrt((off**2).sum(axis=1)).mean(),
        "this compares the most probable class only. Use the probabilities.": 2.0
        * (probabilities.argmax(axis=1) != labels).mean(),
    }
    near = [problem for problem, value in wrong.items() if np.isclose(got[0], value)]
    return say(near[0] if near else f"the example's score is {right:.4f}, you have {got[0]:.4f}.")
