"""The checks of notebook 04."""

import numpy as np

from .judge import exercise, match, match_each, numbers, one_number, unsolved, wrong_if


@exercise
def rebuilt_point(answer):
    """Notebook 04: code, rebuilt point (two numbers) and squared error of (10, 5) along the direction (0.6, 0.8)."""
    wrong_if(unsolved(answer), "replace the dots by four numbers: the code, the rebuilt point, the squared error.")
    got = numbers(answer, 4, "four numbers are wanted, (code, first, second, squared error); you gave {}.").round(6)
    wrong = {
        (0, 11): "that is the code along (0.8, 0.6). Here the direction is (0.6, 0.8).",
        (0, 15): "that is the sum of the point's numbers. Multiply each by its number of the direction first.",
        (3, 5): "that is the length of the error. Its square is wanted.",
        (3, 12.5): "that is the mean over the two numbers. The sum of their squares is wanted.",
        (3, 1): "the two errors are 4 and -3: square each before you add them.",
    }
    otherwise = [
        "the code is 0.6 times the first number plus 0.8 times the second.",
        "the first rebuilt number is the code times 0.6.",
        "the second rebuilt number is the code times 0.8.",
        "subtract the rebuilt point from the point, square both differences, and add them.",
    ]
    match_each(got, (10, 6, 8, 25), wrong, otherwise)


@exercise
def masked_loss(function):
    """Notebook 04: `function(predicted, target, hidden)` is the mean squared error over the hidden patches only."""
    rng = np.random.default_rng(0)
    target, hidden = rng.uniform(size=(2, 5, 4)), np.array([[1, 0, 1, 1, 0], [0, 1, 1, 0, 1]])
    predicted = target + np.where(hidden[..., None] == 1, 0.5, 3.0) * [1, -1, 1, -1]
    got = one_number(function, predicted, target, hidden, what="the mean over all hidden patches")
    total = "that is a sum over values. Take the mean over the values of a patch, too."
    wrong_if(np.isclose(got, [0.25 * 4, 0.25 * 24]).any(), total)
    wrong = {
        "that is the mean over all patches. The visible ones were given away: leave them out.": (6 * 0.25 + 4 * 9) / 10,
        "the sum is over hidden patches only, but it is divided by the number of all.": 6 * 0.25 / 10,
    }
    otherwise = f"in the example every hidden value is off by 0.5, so the loss is 0.25; you have {got:.3g}."
    match(got, 0.25, wrong, otherwise)


@exercise
def patches_seen(answer):
    """Notebook 04: how many patches of 4x4 an encoder sees of 32x32 pixels with 75 % hidden, and times fewer pairs."""
    wrong_if(unsolved(answer), "replace the dots by two numbers: (patches seen, times fewer pairs).")
    got = numbers(answer, 2, "two numbers are wanted, (patches seen, times fewer pairs); you gave {}.")
    wrong = {
        (0, 48): "48 patches are hidden. How many are left to see?",
        (0, 64): "64 is the number of all patches. A quarter of them is seen.",
        (1, 4): "4 times fewer patches, but each looks at each: pairs grow with the square.",
    }
    otherwise = [
        f"the first number is not {got[0]:g}: 32 / 4 = 8 patches a side, 64 in all, a quarter is seen.",
        "64 x 64 pairs without hiding, 16 x 16 with it: divide them.",
    ]
    match_each(got, (16, 16), wrong, otherwise)
