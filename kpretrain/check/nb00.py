"""The checks of notebook 00."""

import numpy as np

from .judge import exercise, numbers, returned, wrong_if


@exercise
def paired_gain(function):
    """Notebook 00: `function(pretrained, scratch)` returns mean, low and high of the paired gain in points."""
    pretrained, scratch = np.array([0.70, 0.90, 0.80]), np.array([0.66, 0.85, 0.77])
    answer = returned(function, pretrained, scratch, kind="three numbers: mean, low, high")
    mean, low, high = numbers(answer, 3, "it returns {} number(s). Three are wanted: mean, low, high.")
    shares = np.isclose(mean * 100, 4)
    wrong_if(shares, "the scores are shares from 0 to 1. Give the gain in points, that is times 100.")
    problem = f"the mean gain here is 4 points, you have {mean:.3g}. Subtract scratch from pretrained."
    wrong_if(not np.isclose(mean, 4, atol=1e-6), problem)
    wrong_if(high - low > 20, "the interval is that of two separate groups. Take the difference of each pair first.")
    wrong_if(
        not np.allclose([low, high], [1.516, 6.484], atol=1e-2),
        f"the interval of the example is 1.52 to 6.48, you have {low:.2f} to {high:.2f}. "
        "With three pairs it is a t interval with two degrees of freedom; kp.results.interval gives it.",
    )
