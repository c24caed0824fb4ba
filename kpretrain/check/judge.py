"""The judge of all exercises: calls, reads and compares answers, and tells the outcome.

A check raises `NotYet` at the first problem it finds, and ends without one where the answer is right.
"""

import copy
import functools

import numpy as np

CHANGED = "the input array was changed. Work on a copy."


class NotYet(Exception):
    """What is wrong with an answer.

    Examples
    --------
    >>> raise NotYet("the sign is wrong.")
    Traceback (most recent call last):
    kpretrain.check.judge.NotYet: the sign is wrong.
    """


def exercise(check):
    """Make of a check that raises `NotYet` one that prints the outcome and returns whether the answer is right.

    Examples
    --------
    >>> @exercise
    ... def double(answer):
    ...     wrong_if(answer != 4, "twice 2 is wanted.")
    >>> double(5), double(4)
    Not yet: twice 2 is wanted.
    Right.
    (False, True)
    """

    @functools.wraps(check)
    def told(answer):
        try:
            check(answer)
        except NotYet as problem:
            print(f"Not yet: {problem}")
            return False
        print("Right.")
        return True

    return told


def wrong_if(condition, problem):
    """Raise the problem where the condition holds.

    Examples
    --------
    >>> wrong_if(2 > 3, "never raised.")
    """
    if condition:
        raise NotYet(problem)


def unsolved(answer):
    """Whether an exercise still has its dots.

    Examples
    --------
    >>> unsolved(...), unsolved(None), unsolved(0)
    (True, True, False)
    """
    return answer is None or answer is Ellipsis


def numbers(answer, size=None, problem=""):
    """An answer as a flat array of numbers, empty if it is something else; `{}` in the problem is how many it has.

    Examples
    --------
    >>> numbers([[1, 2], [3, 4]], 4, "four are wanted, you have {}.")
    array([1., 2., 3., 4.])
    >>> numbers("no number").size
    0
    """
    try:
        got = np.asarray(answer, float).ravel()
    except (TypeError, ValueError):
        got = np.empty(0)
    wrong_if(size is not None and got.size != size, problem.format(got.size))
    return got


def returned(function, *inputs, kind, changed=None):
    """What a function returns for copies of the inputs; `kind` says what it should return.

    `changed` is the problem if the function changes its first input; without it, the function may.

    Examples
    --------
    >>> returned(sorted, [3, 1, 2], kind="a list")
    [1, 2, 3]
    """
    copies = copy.deepcopy(inputs)
    answer = function(*copies)
    wrong_if(unsolved(answer), f"the function returns nothing. It should return {kind}.")
    wrong_if(changed and not np.array_equal(copies[0], inputs[0]), changed)
    return answer


def one_number(function, *inputs, what, kind="one number", changed=None):
    """The one number that a function returns for copies of the inputs; `what` says what it is of.

    Examples
    --------
    >>> one_number(sum, [1, 2, 3], what="the sum")
    6.0
    """
    answer = returned(function, *inputs, kind=kind, changed=changed)
    return numbers(answer, 1, f"it returns {{}} numbers. One is wanted: {what}.").item()


def match(got, right, wrong, otherwise, rtol=1e-5):
    """Compare with the right answer, then with typical wrong ones, {problem: value}; any other is told `otherwise`.

    Examples
    --------
    >>> match(4, 4, {"that is half of it.": 2}, "another number is wanted.")
    >>> match(2, 4, {"that is half of it.": 2}, "another number is wanted.")
    Traceback (most recent call last):
    kpretrain.check.judge.NotYet: that is half of it.
    """

    def same(value):
        return np.shape(got) == np.shape(value) and np.allclose(got, value, rtol=rtol)

    if not same(right):
        raise NotYet(next((problem for problem, value in wrong.items() if same(value)), otherwise))


def match_each(got, right, wrong, otherwise):
    """Compare place by place: `wrong` is {(place, value): problem}, and `otherwise` has a problem for each place.

    Examples
    --------
    >>> match_each([24, 48], [24, 12], {(1, 48): "pooling halves the side."}, ["wrong", "wrong"])
    Traceback (most recent call last):
    kpretrain.check.judge.NotYet: pooling halves the side.
    """
    for place, value in enumerate(got):
        wrong_if(value != right[place], wrong.get((place, value), otherwise[place]))
