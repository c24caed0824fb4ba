"""The checks of notebook 08."""

import numpy as np

from .judge import CHANGED, exercise, match, numbers, one_number, returned, wrong_if


@exercise
def perplexity(function):
    """Notebook 08: `function(losses, weights)` is exp of the mean loss over the tokens with weight 1."""
    losses = np.array([[1.0, 2.0, 0.5, 0.25], [3.0, 0.5, 1.5, 2.5], [2.0, 0.125, 0.75, 0.5]])
    weights = np.array([[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]])
    got = one_number(function, losses, weights, what="that of the tokens of all rows together")
    kept, of_rows = losses[weights == 1], (losses * weights).sum(1) / weights.sum(1)
    right = np.exp(kept.mean())
    wrong = {
        "that is the mean loss. Perplexity is its exponential.": kept.mean(),
        "padding is counted: a place with weight 0 must count neither above nor below.": np.exp(losses.mean()),
        "the sum is over real tokens, but it is divided by the number of all places.": np.exp(kept.sum() / losses.size),
        "you take the mean of each row first, so that a short row weighs as much as a long one.": np.exp(
            of_rows.mean()
        ),
        "that is the mean of the exponentials. Take the mean of the losses first.": np.exp(kept).mean(),
        "the losses are in nats, so the base is e, not 2.": 2 ** kept.mean(),
        "the sign is wrong: the losses are positive already.": 1 / right,
        "that is the exponential of the sum. Take the mean.": np.exp(kept.sum()),
    }
    match(got, right, wrong, f"the example's perplexity is {right:.4f}, you have {got:.4f}.")


@exercise
def top_p(function):
    """Notebook 08: `function(probabilities, p)` keeps the fewest most likely tokens that hold at least p."""
    given = np.array([0.05, 0.25, 0.2, 0.3, 0.08, 0.12])
    answer = returned(function, given, 0.65, kind="an array of the same length", changed=CHANGED)
    got = numbers(answer, 6, "6 numbers are wanted, one for each token, zeros included; you return {}.")

    def held(tokens):
        return np.where(tokens, given, 0) / given[tokens].sum()

    right = held(given >= 0.2)  # 0.3 + 0.25 is below 0.65, with 0.2 it is above
    wrong = {
        "the token that crosses p is missing: 0.3 and 0.25 hold less than 0.65, so 0.2 stays, too.": held(
            given >= 0.25
        ),
        "one token too many: 0.3, 0.25 and 0.2 hold 0.65 already.": held(given >= 0.12),
        "the order of the tokens was changed. Put each probability back in its place.": -np.sort(-right),
        "these are the least likely tokens. Sort the other way round.": held(given < 0.3),
        "nothing was taken away.": given,
    }
    otherwise = f"of 0.05 0.25 0.2 0.3 0.08 0.12 and p = 0.65 should come {right.round(3)}, not {got.round(3)}."
    whole = got / (got.sum() or 1)
    match(whole, right, wrong, otherwise)
    wrong_if(not np.allclose(got, whole), "the rest does not sum to 1. Divide it by its sum.")
    alone = np.allclose(numbers(function(given.copy(), 0.2)), given == 0.3)
    wrong_if(not alone, "with p = 0.2 the most likely token, 0.3, holds enough by itself. It must stay, alone.")
    problem = "with eight equal tokens and p = 0.45 four must stay. Count tokens, don't compare with a threshold."
    wrong_if(np.count_nonzero(numbers(function(np.full(8, 0.125), 0.45))) != 4, problem)
