"""The checks of notebook 16."""

import math

from .judge import exercise, match, one_number, wrong_if


@exercise
def labels_needed(function):
    """Notebook 16: `function(a, b, c, target)` is how many labels bring an error of a n^-b + c to the target."""
    what = "the number of labels per class"
    a, b, c, target = 60.0, 0.5, 2.0, 9.0
    exact = (a / (target - c)) ** (1 / b)  # 73.47
    got = one_number(function, a, b, c, target, what=what)
    wrong = {
        "that is rounded down, and the error is still above the target. Round up.": math.floor(exact),
        "a label cannot be divided. Round up to a whole number.": exact,
        "the floor c is left out. Subtract it from the target.": math.ceil((a / target) ** (1 / b)),
        "the floor c is added to the target. Subtract it.": math.ceil((a / (target + c)) ** (1 / b)),
        "the exponent is 1/b, not b.": math.ceil((a / (target - c)) ** b),
        "1/b is the exponent, you divide by b.": math.ceil(a / (target - c) / b),
        "the target is an error, you take it for an accuracy.": math.ceil((a / (100 - target - c)) ** (1 / b)),
    }
    match(got, 74, wrong, f"for 60 n^-0.5 + 2 and a target of 9 it is 74, you have {got:g}.")
    whole = one_number(function, 20.0, 0.5, 0.0, 10.0, what=what)
    wrong_if(whole != 4, f"20 n^-0.5 is exactly 10 with 4 labels, you have {whole:g}.")
    for floor, why in ((9.0, "the floor is the target"), (12.0, "the floor is above the target")):
        try:
            never = one_number(function, 60.0, 0.5, floor, 9.0, what=what)
        except ArithmeticError:  # a division by zero, or the ceiling of infinity
            never = None
        wrong_if(never != math.inf, f'{why}, so no number of labels is enough: return float("inf").')


@exercise
def parallel_share(function):
    """Notebook 16: `function(seconds_one, seconds_many, workers)` is the share p of Amdahl's law."""
    one, many, workers = 100.0, 40.0, 4
    got = one_number(function, one, many, workers, what="the share p")
    faster = one / many
    wrong = {
        "that is the speed-up. Solve the law for p.": faster,
        "that is the efficiency. Solve the law for p.": faster / workers,
        "that is the share that was not divided. Subtract it from 1.": 0.2,
        "that is the time saved. The divided part still takes 1/w of its time.": 1 - many / one,
        "that is a percentage. Return a share between 0 and 1.": 80.0,
        "the number of workers is taken for its reciprocal.": (1 - many / one) / (1 - workers),
        "the times are exchanged.": (1 - one / many) / (1 - 1 / workers),
    }
    match(got, 0.8, wrong, f"with 100 s, 40 s and four workers it is 0.8, you have {got:.3g}.")
