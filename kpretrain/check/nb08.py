"""The checks of notebook 08."""

import numpy as np

from .judge import CHANGED, exercise, match, numbers, one_number, returned, wrong_if


@exercise
def perplexity(function):
    """Notebook 08: `function(losses, weights)` is exp of the mean loss over the tokens with weight 1."""
    losses = np.array([[1.0, 2.0, 0.5, 0.25], [3.0, 0.5, 1.5, 2.5], [2.0, 0.125, 0.75, 0.5]])
    weights = np.array([[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]])
    got = one_number(function, losses, weights, what="that of the tokens of all rows together")
    real, of_rows = losses[weights == 1], (losses * weights).sum(1) / weights.sum(1)
    right, row_by_row = np.exp(real.mean()), np.exp(of_rows.mean())
    wrong = {
        "that is the mean loss. Perplexity is its exponential.": real.mean(),
        "padding is counted: a place with weight 0 must count neither above nor below.": np.exp(losses.mean()),
        "the sum is over real tokens, but it is divided by the number of all places.": np.exp(real.sum() / losses.size),
        "you take the mean of each row first, so that a short row weighs as much as a long one.": row_by_row,
        "that is the mean of the exponentials. Take the mean of the losses first.": np.exp(real).mean(),
        "the losses are in nats, so the base is e, not 2.": 2 ** real.mean(),
        "the sign is wrong: the losses are positive already.": 1 / right,
        "that is the exponential of the sum. Take the mean.": np.exp(real.sum()),
    }
    match(got, right, wrong, f"the example's perplexity is {right:.4f}, you have {got:.4f}.")


@exercise
def min_p(function):
    """Notebook 08: `function(probabilities, m)` keeps the tokens with at least the share m of the largest one."""
    given = np.array([1.0, 3, 6, 2, 1, 3]) / 16
    answer = returned(function, given, 0.5, kind="an array of the same length", changed=CHANGED)
    got = np.nan_to_num(numbers(answer, 6, "6 numbers are wanted, one for each token, zeros included; you return {}."))

    def held(tokens):
        return np.where(tokens, given, 0) / given[tokens].sum()

    right, more = held(given >= 3 / 16), held(given > 3 / 16)  # half of the largest one, 6/16
    wrong = {
        "m is a share of the largest probability, not a probability by itself.": np.zeros(6),
        "a token with exactly the share m of the largest one stays, too: at least, not more than.": more,
        "the order of the tokens was changed. Put each probability back in its place.": -np.sort(-right),
        "these are the unlikely tokens. Keep those above the threshold.": held(given < 3 / 16),
        "these are the fewest tokens that together hold m, which is top-p.": held(np.isin(np.arange(6), [1, 2])),
        "nothing was taken away.": given,
    }
    otherwise = f"of 1/16 times (1, 3, 6, 2, 1, 3) and m = 0.5 should come {right.round(3)}, not {got.round(3)}."
    whole = got / (got.sum() or 1)
    match(whole, right, wrong, otherwise)
    wrong_if(not np.allclose(got, whole), "the rest does not sum to 1. Divide it by its sum.")
    alone = np.allclose(numbers(function(np.array([0.05, 0.9, 0.05]), 0.1)), [0, 1, 0])
    wrong_if(not alone, "of 0.05 0.9 0.05 and m = 0.1 the second token must stay, alone.")
    problem = "with eight equal tokens all must stay, whatever m is. Compare with the largest one."
    wrong_if(np.count_nonzero(numbers(function(np.full(8, 0.125), 0.9))) != 8, problem)
