"""The checks of notebook 10."""

import numpy as np

from .judge import exercise, match, one_number, returned, wrong_if


@exercise
def merged_kernel(function):
    """Notebook 10: `function(kernel, a, b, alpha)` folds a LoRA pair into a kernel."""
    rng = np.random.default_rng(0)
    kernel, a, b, alpha = rng.normal(size=(6, 5)), rng.normal(size=(6, 2)), rng.normal(size=(2, 5)), 8.0
    changed = "the kernel that was given has changed: += works in place. Return a new one."
    answer = returned(function, kernel, a, b, alpha, kind="a kernel", changed=changed)
    problem = f"the kernel is {kernel.shape}, and you return {np.shape(answer)}."
    wrong_if(np.shape(answer) != kernel.shape, problem)
    change = alpha / 2 * a @ b
    wrong = {
        "α is left out, and so is the rank: the factor is alpha / r.": kernel + a @ b,
        "divide by the rank: the factor is alpha / r.": kernel + alpha * a @ b,
        "the factor is alpha / r, not r / alpha.": kernel + 2 / alpha * a @ b,
        "r is the rank, the width of A; you divide by the length of A.": kernel + alpha / 6 * a @ b,
        "r is the rank, the length of B; you divide by the width of B.": kernel + alpha / 5 * a @ b,
        "that is the change alone. Add the kernel.": change,
        "the factor belongs to A B, not to the kernel.": alpha / 2 * kernel + change,
        "the pair is subtracted. Add it.": kernel - change,
    }
    otherwise = "the numbers are not those of W + (α/r) · A B, with @ between A and B."
    match(answer, kernel + change, wrong, otherwise)


@exercise
def brier(function):
    """Notebook 10: `function(probabilities, labels)` is the Brier score over all classes."""
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [0.3, 0.3, 0.4], [0.05, 0.15, 0.8]])
    labels, what = np.array([0, 2, 1, 2]), "the mean over the rows"
    changed = "the probabilities that were given have changed. Work on a copy."
    got = one_number(function, probabilities, labels, what=what, changed=changed)
    off, true = probabilities - np.eye(3)[labels], probabilities[np.arange(4), labels]
    of_rows, missed = (off**2).sum(axis=1), probabilities.argmax(axis=1) != labels
    right = of_rows.mean()
    wrong = {
        "that is the mean over rows and classes. Sum over the classes.": (off**2).mean(),
        "that is the sum over the rows. Take the mean.": of_rows.sum(),
        "only the true class is counted. The others count too: their truth is 0.": ((1 - true) ** 2).mean(),
        "that is the absolute distance. Square it.": np.abs(off).sum(axis=1).mean(),
        "that is the log loss. The Brier score takes squares.": -np.log(true).mean(),
        "that is a length: no root is wanted.": np.sqrt(of_rows).mean(),
        "this compares the most probable class only. Use the probabilities.": 2 * missed.mean(),
    }
    match(got, right, wrong, f"the example's score is {right:.4f}, you have {got:.4f}.")
