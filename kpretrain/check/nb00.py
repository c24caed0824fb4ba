"""The checks of notebook 00."""

import numpy as np

from .judge import numbers, say, unsolved


def paired_gain(function):
    """Notebook 00: `function(pretrained, scratch)` returns mean, low and high of the paired gain in points."""
    pretrained, scratch = np.array([0.70, 0.90, 0.80]), np.array([0.66, 0.85, 0.77])
    answer = function(pretrained, scratch)
    if unsolved(answer):
        return say("the function returns nothing. It should return three numbers: mean, low, high.")
    got = numbers(answer)
    if got.size != 3:
        return say(f"it returns {got.size} number(s). Three are wanted: mean, low, high.")
    if np.isclose(got[0] * 100, 4.0):
        return say("the scores are shares from 0 to 1. Give the gain in points, that is times 100.")
    if not np.isclose(got[0], 4.0, atol=1e-6):
        return say(f"the mean gain here is 4 points, you have {got[0]:.3g}. Subtract scratch from pretrained.")
    if got[2] - got[1] > 20:
        return say("the interval is that of two separate groups. Take the difference of each pair first.")
    if not np.allclose(got[1:], [1.516, 6.484], atol=1e-2):
        return say(
            f"the interval of the example is 1.52 to 6.48, you have {got[1]:.2f} to {got[2]:.2f}. "
            "With three pairs it is a t interval with two degrees of freedom; kp.results.interval gives it."
        )
    return say(None)
