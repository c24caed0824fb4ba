"""The checks of notebook 04."""

import numpy as np

from .judge import numbers, say, unsolved


def masked_loss(function):
    """Notebook 04: `function(predicted, target, hidden)` is the mean squared error over the hidden patches only."""
    rng = np.random.default_rng(0)
    target, hidden = rng.uniform(size=(2, 5, 4)), np.array([[1, 0, 1, 1, 0], [0, 1, 1, 0, 1]])
    predicted = target + np.where(hidden[..., None] == 1, 0.5, 3.0)
    answer = function(predicted.copy(), target.copy(), hidden.copy())
    if unsolved(answer):
        return say("the function returns nothing. It should return one number.")
    got = numbers(answer)
    if got.size != 1:
        return say(f"it returns {got.size} numbers. One is wanted: the mean over all hidden patches.")
    if np.isclose(got[0], 0.25):
        return say(None)
    if np.isclose(got[0], (6 * 0.25 + 4 * 9) / 10):
        return say("that is the mean over all patches. The visible ones were given away: leave them out.")
    if np.isclose(got[0], 6 * 0.25 / 10):
        return say("the sum is over hidden patches only, but it is divided by the number of all.")
    if np.isclose(got[0], 0.25 * 4) or np.isclose(got[0], 0.25 * 24):
        return say("that is a sum over values. Take the mean over the values of a patch, too.")
    return say(f"in the example every hidden value is off by 0.5, so the loss is 0.25; you have {got[0]:.3g}.")


def patches_seen(answer):
    """Notebook 04: how many patches of 4x4 an encoder sees of 32x32 pixels with 75 % hidden, and times fewer pairs."""
    if unsolved(answer):
        return say("replace the dots by two numbers: (patches seen, times fewer pairs).")
    got = numbers(answer)
    if got.size != 2:
        return say(f"two numbers are wanted, (patches seen, times fewer pairs); you gave {got.size}.")
    if got[0] == 48:
        return say("48 patches are hidden. How many are left to see?")
    if got[0] == 64:
        return say("64 is the number of all patches. A quarter of them is seen.")
    if got[0] != 16:
        return say(f"the first number is not {got[0]:g}: 32 / 4 = 8 patches a side, 64 in all, a quarter is seen.")
    if got[1] == 4:
        return say("4 times fewer patches, but each looks at each: pairs grow with the square.")
    return say(None if got[1] == 16 else "64 x 64 pairs without hiding, 16 x 16 with it: divide them.")
