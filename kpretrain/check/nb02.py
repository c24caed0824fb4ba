"""The checks of notebook 02."""

import numpy as np

from .judge import exercise, match, numbers, returned, unsolved, wrong_if


@exercise
def dense_parameters(answer):
    """Notebook 02: the number of parameters of a 784-512-10 network."""
    wrong_if(unsolved(answer), "there is no number yet. Count the weights and the biases of both layers.")
    got = numbers(answer, 1, "one whole number is wanted.").item()
    wrong = {
        "the biases are missing: one for each unit of the two layers.": 784 * 512 + 512 * 10,
        "the second layer is missing.": 784 * 512 + 512,
        "the layers stand one after the other: add their weights, don't multiply them.": 784 * 512 * 10,
    }
    right = 784 * 512 + 512 + 512 * 10 + 10
    match(got, right, wrong, f"not {got:,.0f}. Inputs times units, plus units.", rtol=0)  # a count is exact


@exercise
def logit_gradient(function):
    """Notebook 02: `function(logits, label)` returns the gradient of the cross-entropy for the logits."""
    logits, label = np.array([2.0, 1.0, 0.0]), 1
    answer = returned(function, logits, label, kind="an array with a number for each class")
    got = numbers(answer, 3, "it returns {} number(s). Three logits have a gradient of three numbers.")
    p, truth = np.exp(logits) / np.exp(logits).sum(), np.eye(3)[label]
    wrong = {
        "this is the softmax. Subtract 1 at the true class.": p,
        "the sign is turned round: this points downhill. The gradient points uphill.": truth - p,
        "subtract 1 at the true class from the probabilities, not from the logits.": logits - truth,
        "1 is subtracted from each class. Subtract it at the true class alone.": p - 1,
        "exponentials must be divided by their sum to be probabilities.": np.exp(logits) - truth,
    }
    match(got, p - truth, wrong, f"the example's gradient is {(p - truth).round(3)}, you have {got.round(3)}.")


@exercise
def macro_f1(function):
    """Notebook 02: `function(confusion)` returns the macro-averaged F1 of a confusion matrix (rows: truth)."""
    confusion = np.array([[8, 2, 0], [1, 3, 0], [0, 3, 3]])
    answer = returned(function, confusion, kind="one number")
    got = numbers(answer, 1, "one number is wanted: the mean of the classes' F1.").item()

    def f1(precision, recall):
        return 2 * precision * recall / (precision + recall)

    hits, truth = np.diag(confusion), confusion.sum(1)
    precision, recall = hits / confusion.sum(0), hits / truth
    each = f1(precision, recall)
    wrong = {
        "this is the weighted average. Macro weighs all classes alike.": np.average(each, weights=truth),
        "this is accuracy, which is also the micro average.": hits.sum() / truth.sum(),
        "take F1 for each class first, then the mean.": f1(precision.mean(), recall.mean()),
        "this is the mean precision.": precision.mean(),
        "this is the mean recall.": recall.mean(),
    }
    match(got, each.mean(), wrong, f"the example's macro F1 is {each.mean():.4f}, you have {got:.4f}.")
