"""The checks of notebook 07."""

import numpy as np

from .judge import numbers, say, unsolved


def alter(function):
    """Notebook 07: `function(rows, chosen, V, random)` makes 80 % of the chosen [MASK], 10 % random, 10 % as before."""
    rng = np.random.default_rng(0)
    rows = rng.integers(5, 1000, (300, 200))
    rows[:, 0] = 2
    chosen = (rng.random(rows.shape) < 0.5) & (rows > 4)
    before = rows.copy()
    answer = function(rows, chosen.copy(), 1000, np.random.default_rng(1))
    if unsolved(answer):
        return say("the function returns nothing. It should return the altered rows.")
    if not np.array_equal(rows, before):
        return say("the input array was changed. Work on a copy.")
    got = np.asarray(answer)
    if got.shape != rows.shape:
        return say(f"the shape should stay {rows.shape}, yours is {got.shape}.")
    if (got != rows)[~chosen].any():
        return say("tokens that were not chosen have changed. np.where(chosen, new, rows) leaves them alone.")
    was, now = rows[chosen], got[chosen]
    masked, other = np.mean(now == 4), np.mean((now != 4) & (now != was))
    if (now < 4).any() or (now > 999).any():
        return say("a random token is out of range. Ordinary tokens are 5 to V - 1.")
    if np.array_equal(got, np.asarray(function(rows.copy(), chosen.copy(), 1000, np.random.default_rng(2)))):
        return say("two generators give the same rows. Draw from the generator that is given.")
    found = f"{masked:.1%} [MASK], {other:.1%} random, {1 - masked - other:.1%} unchanged"
    if abs(masked - 0.8) > 0.01 or abs(other - 0.1) > 0.006:  # 5 standard deviations for 30,000 tokens
        return say(f"the shares are {found}; they should be 80, 10, 10. One draw for each token decides all three.")
    changed = now[(now != 4) & (now != was)]
    if len(np.unique(changed)) < 800:
        return say("the random tokens are not spread over the whole vocabulary.")
    return say(None)


def unigram_loss(function):
    """Notebook 07: `function(train_tokens, tokens, V)` is the mean loss in nats under the counts of train, plus one."""
    train_tokens, tokens = np.array([0, 0, 0, 1, 1, 3]), np.array([0, 1, 2, 0])
    answer = function(train_tokens.copy(), tokens.copy(), 5)
    if unsolved(answer):
        return say("the function returns nothing. It should return one number.")
    got, counts = numbers(answer), np.bincount(train_tokens, minlength=5)
    if got.size != 1:
        return say(f"it returns {got.size} numbers. One is wanted: the mean over the tokens.")
    shares, own = (counts + 1) / 11, np.bincount(tokens, minlength=5) + 1
    right = -np.log(shares[tokens]).mean()
    if np.isclose(got[0], right):
        return say(None)
    wrong = {
        "that is the sum. Take the mean over the tokens.": 4 * right,
        "the sign is wrong: a loss is minus the logarithm.": -right,
        "these are bits. The natural logarithm gives nats.": right / np.log(2),
        "this is the entropy of train itself. Score the tokens that are given.": -(shares * np.log(shares)).sum(),
        "the frequencies are those of the tokens to be scored. Count in train.": -np.log(own / own.sum())[
            tokens
        ].mean(),
        "a token that train does not have gets probability 0. Give every token one count more.": np.inf,
        "the shares do not sum to 1: divide by the sum of the raised counts.": -np.log((counts + 1) / 6)[tokens].mean(),
    }
    near = [problem for problem, value in wrong.items() if np.isclose(got[0], value)]
    return say(near[0] if near else f"the example's loss is {right:.4f}, you have {got[0]:.4f}.")
