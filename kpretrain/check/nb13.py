"""The checks of notebook 13."""

import numpy as np

from .judge import CHANGED, exercise, match, one_number, wrong_if


@exercise
def shortlist_regret(function):
    """Notebook 13: `function(scores, truth, m)` is the regret of trying the m best-scored and keeping the best."""
    scores, truth = np.array([0.5, 0.9, 0.1, 0.7, 0.2]), np.array([80.0, 71.0, 82.0, 84.0, 88.0])
    got = one_number(function, scores, truth, 3, what="points lost", changed=CHANGED)
    order = np.argsort(-scores)
    wrong = {
        "that is the regret of the first alone. You try m of them.": truth.max() - truth[order[0]],
        "the sign is wrong: a regret is never negative.": truth[order[:3]].max() - truth.max(),
        "those are the m with the lowest scores. Sort downwards.": truth.max() - truth[np.argsort(scores)[:3]].max(),
        "that is the regret of the m-th. Keep the best of the first m.": truth.max() - truth[order[2]],
        "that is the truth of the one you keep. Subtract it from the best of all.": truth[order[:3]].max(),
        "that is the mean of the m. You keep the best of them.": truth.max() - truth[order[:3]].mean(),
        "that is best minus best of the scores. The regret is in points of truth.": scores.max() - scores[order[2]],
    }
    right = truth.max() - truth[order[:3]].max()
    match(got, right, wrong, f"the example's regret is {right:g} points, you have {got:g}.")
    two = one_number(function, scores, truth, 2, what="points lost")
    wrong_if(not np.isclose(two, 4), f"with m = 2 the regret is 4 points, you have {two:g}. Try exactly m of them.")


@exercise
def leep(function):
    """Notebook 13: `function(probabilities, y)` is LEEP, from the classes that a backbone was trained on."""
    probabilities = np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.2, 0.2, 0.6], [0.3, 0.1, 0.6]])
    y = np.array([0, 0, 1, 1, 1])
    got = one_number(function, probabilities, y, what="the mean over the rows", changed=CHANGED)
    joint = np.eye(2)[y].T @ probabilities / len(y)  # (2, 3): P(y, z)
    of_y = joint / joint.sum(axis=0)  # P(y | z)
    each = (probabilities @ of_y.T)[np.arange(5), y]
    hard = np.eye(3)[probabilities.argmax(axis=1)]
    counted = np.eye(2)[y].T @ hard
    by_y = joint / joint.sum(axis=1, keepdims=True)
    wrong = {
        "that is the sum. Take the mean over the rows.": np.log(each).sum(),
        "the sign is wrong: LEEP is a mean logarithm, and not above zero.": -np.log(each).mean(),
        "the logarithm is missing.": each.mean(),
        "take the logarithm first, and then the mean.": np.log(each.mean()),
        "the natural logarithm is wanted.": np.log2(each).mean(),
        "that is P(z | y). Divide P(y, z) by P(z), the sum over the labels.": np.log(
            (probabilities @ by_y.T)[np.arange(5), y]
        ).mean(),
        "P(y, z) is not divided by P(z).": np.log((probabilities @ joint.T)[np.arange(5), y]).mean(),
        "you take the most probable class only. Every class z counts with its probability.": np.log(
            (hard @ (counted / np.maximum(counted.sum(axis=0), 1)).T)[np.arange(5), y]
        ).mean(),
    }
    right = np.log(each).mean()
    match(got, right, wrong, f"the example's LEEP is {right:.4f}, you have {got:.4f}.")
