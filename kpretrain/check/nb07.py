"""The checks of notebook 07."""

import numpy as np

from .judge import CHANGED, exercise, match, one_number, returned, wrong_if


@exercise
def alter(function):
    """Notebook 07: `function(rows, chosen, V, random)` makes 80 % of the chosen [MASK], 10 % random, 10 % as before."""
    rng = np.random.default_rng(0)
    rows = rng.integers(5, 1000, (2000, 200))
    rows[:, 0] = 2
    chosen = (rng.random(rows.shape) < 0.5) & (rows > 4)

    def altered(seed):
        random, kind = np.random.default_rng(seed), "the altered rows"
        return np.asarray(returned(function, rows, chosen, 1000, random, kind=kind, changed=CHANGED))

    got = altered(1)
    wrong_if(got.shape != rows.shape, f"the shape should stay {rows.shape}, yours is {got.shape}.")
    problem = "tokens that were not chosen have changed. np.where(chosen, new, rows) leaves them alone."
    wrong_if((got != rows)[~chosen].any(), problem)
    was, now = rows[chosen], got[chosen]
    outside = (now < 4).any() or (now > 999).any()
    wrong_if(outside, "a random token is out of range. Ordinary tokens are 5 to V - 1.")
    problem = "two generators give the same rows. Draw from the generator that is given."
    wrong_if(np.array_equal(got, altered(2)), problem)
    replaced = (now != 4) & (now != was)
    masked, other = np.mean(now == 4), replaced.mean()
    shares = f"{masked:.1%} [MASK], {other:.1%} random, {1 - masked - other:.1%} unchanged"
    wrong_if(
        abs(masked - 0.8) > 0.005 or abs(other - 0.1) > 0.0035,  # 5 standard deviations for 199,000 tokens
        f"the shares are {shares}; they should be 80, 10, 10. One draw for each token decides all three.",
    )
    wrong_if(len(np.unique(now[replaced])) < 800, "the random tokens are not spread over the whole vocabulary.")


@exercise
def unigram_loss(function):
    """Notebook 07: `function(train_tokens, tokens, V)` is the mean loss in nats under the counts of train, plus one."""
    train_tokens, tokens = np.array([0, 0, 0, 1, 1, 3]), np.array([0, 1, 2, 0])
    got = one_number(function, train_tokens, tokens, 5, what="the mean over the tokens")
    counts, own = (np.bincount(of, minlength=5) + 1 for of in (train_tokens, tokens))
    shares = counts / counts.sum()
    right = -np.log(shares[tokens]).mean()
    wrong = {
        "that is the sum. Take the mean over the tokens.": 4 * right,
        "the sign is wrong: a loss is minus the logarithm.": -right,
        "these are bits. The natural logarithm gives nats.": right / np.log(2),
        "this is the entropy of train itself. Score the tokens that are given.": -(shares * np.log(shares)).sum(),
        "the frequencies are those of the tokens to be scored. Count in train.": -np.log(own / 9)[tokens].mean(),
        "a token that train does not have gets probability 0. Give every token one count more.": np.inf,
        "the shares do not sum to 1: divide by the sum of the raised counts.": -np.log(counts / 6)[tokens].mean(),
    }
    match(got, right, wrong, f"the example's loss is {right:.4f}, you have {got:.4f}.")
