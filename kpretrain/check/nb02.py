"""The checks of notebook 02."""

import numpy as np

from .judge import numbers, say, unsolved


def dense_parameters(answer):
    """Notebook 02: the number of parameters of a 784-512-10 network."""
    if unsolved(answer):
        return say("there is no number yet. Count the weights and the biases of both layers.")
    hints = {
        784 * 512 + 512 * 10: "the biases are missing: one for each unit of the two layers.",
        784 * 512 + 512: "the second layer is missing.",
        784 * 512 * 10: "the layers stand one after the other: add their weights, don't multiply them.",
    }
    right = 784 * 512 + 512 + 512 * 10 + 10
    if np.size(got := numbers(answer)) != 1:
        return say("one whole number is wanted.")
    got = got.item()
    return say(None if got == right else hints.get(got, f"not {got:,.0f}. Inputs times units, plus units."))


def macro_f1(function):
    """Notebook 02: `function(confusion)` returns the macro-averaged F1 of a confusion matrix (rows: truth)."""
    confusion = np.array([[8, 2, 0], [1, 3, 0], [0, 3, 3]])
    answer = function(confusion.copy())
    if unsolved(answer):
        return say("the function returns nothing. It should return one number.")
    precision, recall = np.diag(confusion) / confusion.sum(0), np.diag(confusion) / confusion.sum(1)
    f1 = 2 * precision * recall / (precision + recall)
    hints = [
        (
            np.average(f1, weights=confusion.sum(1)),
            "this is the weighted average. Macro weighs all classes alike.",
        ),
        (np.trace(confusion) / confusion.sum(), "this is accuracy, which is also the micro average."),
        (
            2 * precision.mean() * recall.mean() / (precision.mean() + recall.mean()),
            "take F1 for each class first, then the mean.",
        ),
        (precision.mean(), "this is the mean precision."),
        (recall.mean(), "this is the mean recall."),
    ]
    got = numbers(answer)
    if got.size != 1:
        return say("one number is wanted: the mean of the classes' F1.")
    if np.isclose(got, f1.mean(), atol=1e-6):
        return say(None)
    near = [hint for value, hint in hints if np.isclose(got, value, atol=1e-6)]
    return say(near[0] if near else f"the example's macro F1 is {f1.mean():.4f}, you have {got.item():.4f}.")
