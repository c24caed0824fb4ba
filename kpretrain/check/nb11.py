"""The checks of notebook 11."""

import numpy as np
from scipy.special import logsumexp

from .judge import CHANGED, exercise, match, one_number


@exercise
def ranking_loss(function):
    """Notebook 11: `function(cosines, temperature)` is the loss of the lines that look for their pieces."""
    cosines = np.array([[0.9, 0.2, 0.4], [0.3, 0.5, 0.6], [-0.1, 0.0, 0.7]])
    got = one_number(function, cosines, 0.2, what="the mean over the lines", changed=CHANGED)

    def losses(table, temperature=0.2):
        scores = table / temperature
        return logsumexp(scores, axis=1) - np.diag(scores)

    of_lines, of_pieces = losses(cosines), losses(cosines.T)
    right, shares = of_lines.mean(), np.exp(-of_lines)
    rivals = logsumexp(np.where(np.eye(3, dtype=bool), -np.inf, cosines / 0.2), axis=1) - np.diag(cosines) / 0.2
    wrong = {
        "the cosines are not divided by the temperature.": losses(cosines, 1.0).mean(),
        "the cosines are multiplied by the temperature. Divide by it.": losses(cosines, 5.0).mean(),
        "that is the sum. Take the mean over the lines.": of_lines.sum(),
        "the sign is wrong: it is minus the logarithm.": -right,
        "these are the pieces that look for their lines: a line's candidates stand in its row.": of_pieces.mean(),
        "both sides are asked. Here only the lines look for their pieces.": (of_lines + of_pieces).mean() / 2,
        "the own piece is missing among the candidates: the sum goes over the whole row.": rivals.mean(),
        "that is the mean probability. Take minus its logarithm, line by line.": shares.mean(),
        "take the logarithm of each line's probability first, and the mean then.": -np.log(shares.mean()),
        "these are bits. The natural logarithm gives nats.": right / np.log(2),
    }
    match(got, right, wrong, f"the example's loss is {right:.4f}, you have {got:.4f}.")


@exercise
def reciprocal_rank(function):
    """Notebook 11: `function(scores, right)` is the mean reciprocal rank of the right answers."""
    scores = np.array([[0.9, 0.1, 0.3, 0.2, 0.0], [0.5, 0.4, 0.7, 0.8, 0.1], [0.2, 0.6, 0.3, 0.1, 0.4]])
    right = np.array([0, 1, 2])  # ranks 1, 4 and 3
    got = one_number(function, scores, right, what="the mean over the questions", changed=CHANGED)
    ranks, places = np.array([1, 4, 3]), np.argsort(-scores, axis=1)[np.arange(3), right] + 1
    mean = (1 / ranks).mean()
    wrong = {
        "the best answer has rank 1, not 0.": np.inf,
        "argsort tells which text stands at a place. The place of a text is wanted.": (1 / places).mean(),
        "the ranks are one too high: the best answer has rank 1, and 1/1 is 1.": (1 / (ranks + 1)).mean(),
        "the lowest score comes first here. The highest must.": (1 / (6 - ranks)).mean(),
        "that is the mean rank. Take 1/rank of each question, and then the mean.": ranks.mean(),
        "take 1/rank of each question first, and the mean then.": 1 / ranks.mean(),
        "that is the sum. Take the mean over the questions.": (1 / ranks).sum(),
        "that is precision at 1. A right answer at rank 3 still counts a third.": (ranks == 1).mean(),
        "these are scores. The rank is the place in their order.": scores[np.arange(3), right].mean(),
    }
    match(got, mean, wrong, f"the example's mean is {mean:.4f}, you have {got:.4f}. The ranks are 1, 4 and 3.")
