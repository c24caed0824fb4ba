"""The checks of notebook 06."""

import numpy as np

from .judge import numbers, say, unsolved


def generator_losses(function):
    """Notebook 06: `function(logits)` returns the means of log(1 - D) and of -log D, D = sigmoid(logits)."""
    logits = np.array([-4.0, 0.0, 2.0])
    with np.errstate(all="ignore"):
        answer = function(logits.copy())
        far = numbers(function(np.array([-1000.0, 1000.0])))
    if unsolved(answer):
        return say("the function returns nothing. It should return two numbers.")
    got, right = numbers(answer), np.array([-np.logaddexp(0, logits).mean(), np.logaddexp(0, -logits).mean()])
    if got.size != 2:
        return say(f"it returns {got.size} number(s). Two are wanted: the means of log(1 - D) and of -log D.")
    if np.allclose(got, 3 * right, atol=1e-6):
        return say("these are sums over the fakes. Take the mean.")
    if np.allclose(got, right[::-1], atol=1e-6):
        return say("the two are in the wrong order: the saturating one, log(1 - D), comes first.")
    if np.isclose(got[0], -right[0], atol=1e-6):
        return say("the first has the wrong sign. The generator lowers log(1 - D) itself, there is no minus.")
    if np.isclose(got[1], -right[1], atol=1e-6):
        return say("the second has the wrong sign. It is minus log D: the generator lowers it, and so raises D.")
    if not np.allclose(got, right, atol=1e-6):
        return say(
            f"for logits -4, 0, 2 the two are {right[0]:.4f} and {right[1]:.4f}, "
            f"you have {got[0]:.4f} and {got[1]:.4f}."
        )
    if not np.allclose(far, [-500, 500]):
        return say("for logits of -1000 and 1000 it overflows. np.logaddexp(0, z) is log(1 + exp(z)) for every z.")
    return say(None)


def coverage(function):
    """Notebook 06: `function(real, fake, k)` is the share of real rows with a fake in their k-th neighbour's ball."""
    rng = np.random.default_rng(0)
    real = rng.normal(size=(60, 2))
    fake = np.concatenate([rng.normal(size=(14, 2)) * 0.4, [[6.0, 6.0]]])
    answer = function(real.copy(), fake.copy(), 3)
    if unsolved(answer):
        return say("the function returns nothing. It should return one number from 0 to 1.")

    def balls(rows, k=3):  # radius of each row, up to its k-th neighbour; place 0 is the row itself
        return np.sort(np.linalg.norm(rows[:, None] - rows, axis=-1), axis=1)[:, k]

    across = np.linalg.norm(real[:, None] - fake, axis=-1)  # (real, fake)
    right = (across <= balls(real)[:, None]).any(1).mean()
    got = numbers(answer)
    if got.size != 1:
        return say(f"it returns {got.size} numbers. One is wanted: the share of real rows.")
    got = got.item()
    hints = {
        (across <= balls(fake))
        .any(1)
        .mean(): "this is recall: its balls are those of the fakes. Take those of the real rows.",
        (across <= balls(real)[:, None]).any(0).mean(): "this is precision: it counts fakes. Count real rows.",
        (across <= balls(real, 2)[:, None]).any(1).mean(): "the balls are too small: a row is not its own neighbour.",
        (across <= balls(real, 4)[:, None]).any(1).mean(): "the balls are too wide: they reach to the k-th neighbour.",
        100 * right: "give a share from 0 to 1, not percent.",
        right * len(real): "this is how many real rows there are. Give their share.",
    }
    if not np.isclose(got, right, atol=1e-9):
        near = [hint for value, hint in hints.items() if np.isclose(got, value, atol=1e-9)]
        return say(near[0] if near else f"the example's coverage is {right:.4f}, you have {got:.4f}.")
    if not np.isclose(float(function(real[:20], fake[:5], 1)), _coverage_of_one(real[:20], fake[:5]), atol=1e-9):
        return say("it is right for k = 3 only. Use k, and the rows that are given.")
    return say(None)


def _coverage_of_one(real, fake):
    """The coverage with k = 1, by loops."""
    far = np.linalg.norm(real[:, None] - real, axis=-1) + np.where(np.eye(len(real)), np.inf, 0)
    return np.mean([np.linalg.norm(fake - row, axis=1).min() <= far[i].min() for i, row in enumerate(real)])
