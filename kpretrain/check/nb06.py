"""The checks of notebook 06."""

import numpy as np

from .judge import exercise, match, numbers, one_number, returned, wrong_if


@exercise
def generator_losses(function):
    """Notebook 06: `function(logits)` returns the means of log(1 - D) and of -log D, D = sigmoid(logits)."""
    logits = np.array([-4.0, 0.0, 2.0])
    with np.errstate(all="ignore"):
        answer = returned(function, logits, kind="two numbers")
        far = numbers(function(np.array([-1000.0, 1000.0])))
    right = np.array([-np.logaddexp(0, logits).mean(), np.logaddexp(0, -logits).mean()])
    got = numbers(answer, 2, "it returns {} number(s). Two are wanted: the means of log(1 - D) and of -log D.")
    first, second = np.isclose(got, -right)
    wrong_if(first, "the first has the wrong sign. The generator lowers log(1 - D) itself, there is no minus.")
    wrong_if(second, "the second has the wrong sign. It is minus log D: the generator lowers it, and so raises D.")
    wrong = {
        "these are sums over the fakes. Take the mean.": 3 * right,
        "the two are in the wrong order: the saturating one, log(1 - D), comes first.": right[::-1],
    }
    values = f"{right[0]:.4f} and {right[1]:.4f}, you have {got[0]:.4f} and {got[1]:.4f}"
    match(got, right, wrong, f"for logits -4, 0, 2 the two are {values}.")
    problem = "for logits of -1000 and 1000 it overflows or is cut off. np.logaddexp(0, z) is log(1 + exp(z))."
    wrong_if(not np.allclose(far, [-500, 500]), problem)


@exercise
def coverage(function):
    """Notebook 06: `function(real, fake, k)` is the share of real rows with a fake in their k-th neighbour's ball."""
    rng = np.random.default_rng(0)
    real = rng.normal(size=(60, 2))
    fake = np.concatenate([rng.normal(size=(14, 2)) * 0.4, [[6.0, 6.0]]])
    got = one_number(function, real, fake, 3, kind="one number from 0 to 1", what="the share of real rows")

    def distances(one, other):
        return np.linalg.norm(one[:, None] - other, axis=-1)

    def radii(rows, k):  # up to the k-th neighbour; place 0 is the row itself
        return np.sort(distances(rows, rows), axis=1)[:, k]

    def covered(real, fake, k, axis=1):
        return (distances(real, fake) <= radii(real, k)[:, None]).any(axis).mean()

    right, recall = covered(real, fake, 3), (distances(real, fake) <= radii(fake, 3)).any(1).mean()
    wrong = {
        "this is recall: its balls are those of the fakes. Take those of the real rows.": recall,
        "this is precision: it counts fakes. Count real rows.": covered(real, fake, 3, axis=0),
        "the balls are too small: a row is not its own neighbour.": covered(real, fake, 2),
        "the balls are too wide: they reach to the k-th neighbour.": covered(real, fake, 4),
        "give a share from 0 to 1, not percent.": 100 * right,
        "this is how many real rows there are. Give their share.": right * len(real),
    }
    match(got, right, wrong, f"the example's coverage is {right:.4f}, you have {got:.4f}.")
    of_one = float(function(real[:20], fake[:5], 1)), covered(real[:20], fake[:5], 1)
    wrong_if(not np.isclose(*of_one), "it is right for k = 3 only. Use k, and the rows that are given.")
