"""The checks of notebook 08."""

import numpy as np

from .judge import numbers, say, unsolved


def perplexity(function):
    """Notebook 08: `function(losses, weights)` is exp of the mean loss over the tokens with weight 1."""
    losses = np.array([[1.0, 2.0, 0.5, 0.25], [3.0, 0.5, 1.5, 2.5], [2.0, 0.125, 0.75, 0.5]])
    weights = np.array([[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]])
    answer = function(losses.copy(), weights.copy())
    if unsolved(answer):
        return say("the function returns nothing. It should return one number.")
    got, kept = numbers(answer), losses[weights == 1]
    if got.size != 1:
        return say(f"it returns {got.size} numbers. One is wanted, for the tokens of all rows together.")
    right = np.exp(kept.mean())
    if np.isclose(got[0], right):
        return say(None)
    wrong = {
        "that is the mean loss. Perplexity is its exponential.": kept.mean(),
        "padding is counted: a place with weight 0 must count neither above nor below.": np.exp(losses.mean()),
        "the sum is over real tokens, but it is divided by the number of all places.": np.exp(kept.sum() / losses.size),
        "you take the mean of each row first, so that a short row weighs as much as a long one.": np.exp(
            ((losses * weights).sum(1) / weights.sum(1)).mean()
        ),
        "that is the mean of the exponentials. Take the mean of the losses first.": np.exp(kept).mean(),
        "the losses are in nats, so the base is e, not 2.": 2 ** kept.mean(),
        "the sign is wrong: the losses are positive already.": 1 / right,
        "that is the exponential of the sum. Take the mean.": np.exp(kept.sum()),
    }
    near = [problem for problem, value in wrong.items() if np.isclose(got[0], value)]
    return say(near[0] if near else f"the example's perplexity is {right:.4f}, you have {got[0]:.4f}.")


def top_p(function):
    """Notebook 08: `function(probabilities, p)` keeps the fewest most likely tokens that hold at least p."""
    given = np.array([0.05, 0.25, 0.2, 0.3, 0.08, 0.12])
    before = given.copy()
    answer = function(given, 0.65)
    if unsolved(answer):
        return say("the function returns nothing. It should return an array of the same length.")
    if not np.array_equal(given, before):
        return say("the input array was changed. Work on a copy.")
    got = numbers(answer)
    if got.size != given.size:
        return say(f"{given.size} numbers are wanted, one for each token, zeros included; you return {got.size}.")
    kept = np.where(given >= 0.2, given, 0)  # 0.3 + 0.25 is below 0.65, with 0.2 it is above
    right = kept / kept.sum()
    if not np.allclose(got, right):
        two, one_more = np.where(given >= 0.25, given, 0), np.where(given >= 0.12, given, 0)
        wrong = {
            "the rest does not sum to 1. Divide it by its sum.": kept,
            "the token that crosses p is missing: 0.3 and 0.25 hold less than 0.65, so 0.2 stays, too.": two,
            "one token too many: 0.3, 0.25 and 0.2 hold 0.65 already.": one_more,
            "the order of the tokens was changed. Put each probability back in its place.": -np.sort(-right),
            "these are the least likely tokens. Sort the other way round.": np.where(given < 0.3, given, 0),
            "nothing was taken away.": given,
        }
        for problem, value in wrong.items():
            if np.allclose(got, value) or (value.sum() < 1 and np.allclose(got, value / value.sum())):
                return say(problem)
        return say(f"of 0.05 0.25 0.2 0.3 0.08 0.12 and p = 0.65 should come {right.round(3)}, not {got.round(3)}.")
    if not np.allclose(numbers(function(given.copy(), 0.2)), given == 0.3):
        return say("with p = 0.2 the most likely token, 0.3, holds enough by itself. It must stay, alone.")
    even = np.full(8, 0.125)
    if np.count_nonzero(numbers(function(even, 0.45))) != 4:
        return say("with eight equal tokens and p = 0.45 four must stay. Count tokens, don't compare with a threshold.")
    return say(None)
