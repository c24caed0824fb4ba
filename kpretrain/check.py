"""Bets on experiments, and checks of exercises that say what is wrong rather than only "no"."""

import json
import math
import os
from pathlib import Path

import numpy as np
from filelock import FileLock

from . import data

# ---------------------------------------------------------------- bets

_bets_in_memory = {}  # those that could not be written


def _bets_file():
    named = os.environ.get("KPRETRAIN_BETS")
    return Path(named).expanduser() if named else data.cache_folder() / "bets.json"


def _stored_bets():
    path = _bets_file()
    try:
        entries = json.loads(path.read_text(encoding="utf8")).items()
        return {question: dict(entry, low=entry["low"], high=entry["high"]) for question, entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return {}  # none yet
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # bets are not worth an error
        print(f"{path}: not a readable list of bets; the next bet replaces the file.")
        return {}


def _read_bets():
    return _stored_bets() | _bets_in_memory


def _write_bet(question, entry):
    path = _bets_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Two notebooks may bet at once: each takes the other's bets along.
        with FileLock(f"{path}.lock", timeout=10), data.replacing(path) as temporary:
            temporary.write_text(json.dumps(_stored_bets() | {question: entry}, indent=1), encoding="utf8")
        _bets_in_memory.pop(question, None)
    except OSError as error:
        _bets_in_memory[question] = entry
        print(f"{path}: the bet is kept for this run only ({error.strerror or error}).")


def bet(question, low, high):
    """Place a bet before an experiment: the interval in which you are 80 % sure the answer lies.

    Bets are kept in the file that `$KPRETRAIN_BETS` names, which a student may own and hand in, or else in `bets.json`
    in the user's cache folder, so that the end of the course can show how well calibrated they were.

    Parameters
    ----------
    question : str
        The same words settle the bet.
    low, high : float

    Raises
    ------
    ValueError
        If low is above high, or one of them is not a finite number.
    """
    if not (math.isfinite(low) and math.isfinite(high)) or low > high:
        raise ValueError(f"A bet needs two finite numbers, the lower first; got {low} and {high}.")
    _write_bet(question, {"low": float(low), "high": float(high)})
    print(f"Bet placed. {question}: {low:g} to {high:g}.")


def settle(question, measured, low=None, high=None):
    """Settle a bet with the measured value, and its interval where there is one.

    Returns
    -------
    bool
        Whether the measured value lies inside the bet.

    Raises
    ------
    KeyError
        If no bet was placed on this question.
    ValueError
        If the measured value is not a finite number: something went wrong before the bet could be settled.
    """
    if not math.isfinite(measured):
        raise ValueError(f"{question}: the measured value is {measured}, so that the bet stays open.")
    bets = _read_bets()
    if question not in bets:
        raise KeyError(f"No bet on {question!r}. Run the cell with kp.check.bet first.")
    entry = bets[question] | {"measured": float(measured)}
    _write_bet(question, entry)
    inside = bool(entry["low"] <= measured <= entry["high"])
    around = "" if low is None or high is None else f" (95 % interval {low:.1f} to {high:.1f})"
    print(
        f"{question}: you bet {entry['low']:g} to {entry['high']:g}, measured {measured:.1f}{around}. "
        f"{'Inside your bet.' if inside else 'Outside your bet.'}"
    )
    return inside


def bets():
    """Return all bets as a table: low, high, measured, inside. Well-placed 80 % bets are inside four times in five."""
    import pandas as pd

    table = pd.DataFrame.from_dict(_read_bets(), orient="index", columns=["low", "high", "measured"], dtype=float)
    inside = table["measured"].between(table["low"], table["high"])
    table["inside"] = np.where(table["measured"].isna(), "open", np.where(inside, "yes", "no"))
    return table.rename_axis("question")


# ---------------------------------------------------------------- exercises


def _say(problem):
    """Print the outcome of a check; return whether it passed."""
    print("Right." if problem is None else f"Not yet: {problem}")
    return problem is None


def _unsolved(answer):
    return answer is None or answer is Ellipsis


def _numbers(answer):
    """What an exercise returned as a flat array of numbers, empty if it is something else."""
    try:
        return np.asarray(answer, float).ravel()
    except (TypeError, ValueError):
        return np.empty(0)


def paired_gain(function):
    """Notebook 00: `function(pretrained, scratch)` returns mean, low and high of the paired gain in points."""
    pretrained, scratch = np.array([0.70, 0.90, 0.80]), np.array([0.66, 0.85, 0.77])
    answer = function(pretrained, scratch)
    if _unsolved(answer):
        return _say("the function returns nothing. It should return three numbers: mean, low, high.")
    got = _numbers(answer)
    if got.size != 3:
        return _say(f"it returns {got.size} number(s). Three are wanted: mean, low, high.")
    if np.isclose(got[0] * 100, 4.0):
        return _say("the scores are shares from 0 to 1. Give the gain in points, that is times 100.")
    if not np.isclose(got[0], 4.0, atol=1e-6):
        return _say(f"the mean gain here is 4 points, you have {got[0]:.3g}. Subtract scratch from pretrained.")
    if got[2] - got[1] > 20:
        return _say("the interval is that of two separate groups. Take the difference of each pair first.")
    if not np.allclose(got[1:], [1.516, 6.484], atol=1e-2):
        return _say(
            f"the interval of the example is 1.52 to 6.48, you have {got[1]:.2f} to {got[2]:.2f}. "
            "With three pairs it is a t interval with two degrees of freedom; kp.results.interval gives it."
        )
    return _say(None)


def leak_count(function):
    """Notebook 01: `function(train_clusters, test_clusters)` counts the test rows that have a twin in train."""
    train, test = np.array([0, 1, 2, 2, 2, 5]), np.array([2, 2, 3, 5, 7, 7])
    answer = function(train.copy(), test.copy())
    if _unsolved(answer):
        return _say("the function returns nothing. It should return one whole number.")
    if np.ndim(answer):
        return _say("the function returns several values. Add them up to one whole number.")
    if answer == 2:
        return _say("you count clusters. Count the test rows in them: one cluster may hold several.")
    if answer == 4:
        return _say("you count train rows, or twins inside the test part. Count test rows with a twin in train.")
    return _say(None if answer == 3 else f"the example has 3 such rows, you found {answer}.")


def word_deletion(function):
    """Notebook 01: `function(text, share, rng)` leaves out each word with probability `share`, but never all words."""
    rng = np.random.default_rng(0)
    words = [f"w{number}" for number in range(1000)]
    answer = function(" ".join(words), 0.3, rng)
    if _unsolved(answer):
        return _say("the function returns nothing. It should return a string.")
    if not isinstance(answer, str):
        return _say(f"the function returns a {type(answer).__name__}. Join the words that are kept to a string.")
    kept = answer.split()
    if [word for word in words if word in set(kept)] != kept:
        return _say("the words that are kept must stand in their old order, and none may be new.")
    if 240 <= len(kept) <= 360:
        return _say(f"share is the probability to leave a word out; you kept {len(kept)} of 1,000 with share 0.3.")
    if not 640 <= len(kept) <= 760:
        return _say(f"with share 0.3 about 700 of 1,000 words should be kept; you kept {len(kept)}.")
    if any(not function("alone here", 0.95, np.random.default_rng(seed)).strip() for seed in range(50)):
        return _say("a short text can lose all its words. Keep at least one.")
    return _say(None)


def dense_parameters(answer):
    """Notebook 02: the number of parameters of a 784-512-10 network."""
    if _unsolved(answer):
        return _say("there is no number yet. Count the weights and the biases of both layers.")
    hints = {
        784 * 512 + 512 * 10: "the biases are missing: one for each unit of the two layers.",
        784 * 512 + 512: "the second layer is missing.",
        784 * 512 * 10: "the layers stand one after the other: add their weights, don't multiply them.",
    }
    right = 784 * 512 + 512 + 512 * 10 + 10
    if np.size(got := _numbers(answer)) != 1:
        return _say("one whole number is wanted.")
    got = got.item()
    return _say(None if got == right else hints.get(got, f"not {got:,.0f}. Inputs times units, plus units."))


def macro_f1(function):
    """Notebook 02: `function(confusion)` returns the macro-averaged F1 of a confusion matrix (rows: truth)."""
    confusion = np.array([[8, 2, 0], [1, 3, 0], [0, 3, 3]])
    answer = function(confusion.copy())
    if _unsolved(answer):
        return _say("the function returns nothing. It should return one number.")
    precision, recall = np.diag(confusion) / confusion.sum(0), np.diag(confusion) / confusion.sum(1)
    f1 = 2 * precision * recall / (precision + recall)
    hints = [
        (
            np.average(f1, weights=confusion.sum(1)),
            "this is the weighted average. Macro weighs all classes alike.",
        ),
        (np.trace(confusion) / confusion.sum(), "this is accuracy, which is also the micro average."),
        (
            2 * precision.mean() * recall.mean() / (precision.mean() + recall.mean()),
            "take F1 for each class first, then the mean.",
        ),
        (precision.mean(), "this is the mean precision."),
        (recall.mean(), "this is the mean recall."),
    ]
    got = _numbers(answer)
    if got.size != 1:
        return _say("one number is wanted: the mean of the classes' F1.")
    if np.isclose(got, f1.mean(), atol=1e-6):
        return _say(None)
    near = [hint for value, hint in hints if np.isclose(got, value, atol=1e-6)]
    return _say(near[0] if near else f"the example's macro F1 is {f1.mean():.4f}, you have {got.item():.4f}.")


def convolution_sizes(answer):
    """Notebook 03: the side of the feature map after conv 5x5 valid, pool 2, conv 3x3 same, conv 3x3 stride 2 same."""
    if _unsolved(answer):
        return _say("there is no list yet. Write the four sides, for instance [28, 14, 14, 7].")
    answer, right = _numbers(answer).tolist(), [24, 12, 12, 6]
    if answer == right:
        return _say(None)
    if len(answer) != 4:
        return _say(f"four layers give four sides; you have {len(answer)}.")
    layers = ["5x5 'valid'", "pooling by 2", "3x3 'same'", "3x3 'same' with stride 2"]
    rules = [
        "valid: side - kernel + 1",
        "half, rounded down",
        "same keeps the side",
        "same with a stride: side / stride, rounded up",
    ]
    first = next(k for k in range(4) if answer[k] != right[k])
    return _say(f"after {layers[first]} the side is not {answer[first]:g}. The rule is: {rules[first]}.")


def shift_images(function):
    """Notebook 03: `function(images, rng)` shifts each image by its own -2 to 2 pixels, filling with zeros."""
    image = np.zeros((28, 28, 1), "uint8")
    image[10:18, 10:18] = 255
    images = np.repeat(image[None], 200, 0)
    before = images.copy()
    answer = function(images, np.random.default_rng(0))
    if _unsolved(answer):
        return _say("the function returns nothing. It should return an array of the same shape.")
    if not np.array_equal(images, before):
        return _say("the input array was changed. Work on a copy.")
    answer = np.asarray(answer)
    if answer.shape != images.shape or answer.dtype != images.dtype:
        return _say(f"wanted {images.dtype} {images.shape}, got {answer.dtype} {answer.shape}.")
    corners = {tuple(np.argwhere(shifted[..., 0] > 0).min(0) - 10) if shifted.any() else None for shifted in answer}
    if len(corners) == 1:
        return _say("all images are shifted alike. Draw a shift for each image.")
    if any(corner is None or max(map(abs, corner)) > 2 for corner in corners):
        return _say("a shift is larger than 2 pixels.")
    if len(corners) < 20:
        return _say(f"of the 25 shifts from -2 to 2 only {len(corners)} occur. rng.integers leaves its upper end out.")
    corner = np.zeros((50, 28, 28, 1), "uint8")
    corner[:, 27, 27] = 255
    shifted = np.asarray(function(corner, np.random.default_rng(1)))
    if shifted[:, :25].any() or shifted[:, :, :25].any():
        return _say("what leaves on one side comes back on the other. np.roll does that; fill with zeros.")
    return _say(None)


def masked_loss(function):
    """Notebook 04: `function(predicted, target, hidden)` is the mean squared error over the hidden patches only."""
    rng = np.random.default_rng(0)
    target, hidden = rng.uniform(size=(2, 5, 4)), np.array([[1, 0, 1, 1, 0], [0, 1, 1, 0, 1]])
    predicted = target + np.where(hidden[..., None] == 1, 0.5, 3.0)
    answer = function(predicted.copy(), target.copy(), hidden.copy())
    if _unsolved(answer):
        return _say("the function returns nothing. It should return one number.")
    got = _numbers(answer)
    if got.size != 1:
        return _say(f"it returns {got.size} numbers. One is wanted: the mean over all hidden patches.")
    if np.isclose(got[0], 0.25):
        return _say(None)
    if np.isclose(got[0], (6 * 0.25 + 4 * 9) / 10):
        return _say("that is the mean over all patches. The visible ones were given away: leave them out.")
    if np.isclose(got[0], 6 * 0.25 / 10):
        return _say("the sum is over hidden patches only, but it is divided by the number of all.")
    if np.isclose(got[0], 0.25 * 4) or np.isclose(got[0], 0.25 * 24):
        return _say("that is a sum over values. Take the mean over the values of a patch, too.")
    return _say(f"in the example every hidden value is off by 0.5, so the loss is 0.25; you have {got[0]:.3g}.")


def patches_seen(answer):
    """Notebook 04: how many patches of 4x4 an encoder sees of 32x32 pixels with 75 % hidden, and times fewer pairs."""
    if _unsolved(answer):
        return _say("replace the dots by two numbers: (patches seen, times fewer pairs).")
    got = _numbers(answer)
    if got.size != 2:
        return _say(f"two numbers are wanted, (patches seen, times fewer pairs); you gave {got.size}.")
    if got[0] == 48:
        return _say("48 patches are hidden. How many are left to see?")
    if got[0] == 64:
        return _say("64 is the number of all patches. A quarter of them is seen.")
    if got[0] != 16:
        return _say(f"the first number is not {got[0]:g}: 32 / 4 = 8 patches a side, 64 in all, a quarter is seen.")
    if got[1] == 4:
        return _say("4 times fewer patches, but each looks at each: pairs grow with the square.")
    return _say(None if got[1] == 16 else "64 x 64 pairs without hiding, 16 x 16 with it: divide them.")


def contrastive_loss(function):
    """Notebook 05: `function(first, second, temperature)` is NT-Xent, with NumPy."""
    rng = np.random.default_rng(0)
    first, second, temperature = rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), 0.5
    answer = function(first.copy(), second.copy(), temperature)
    if _unsolved(answer):
        return _say("the function returns nothing. It should return one number.")
    got = _numbers(answer)
    if got.size != 1 or not np.isfinite(got[0]):
        return _say("one finite number is wanted: the mean over the 2n views.")

    def loss(normal=True, own=False, temperature=temperature):
        z = np.concatenate([first, second])
        z = z / np.linalg.norm(z, axis=1, keepdims=True) if normal else z
        share = np.exp(z @ z.T / temperature)
        if not own:
            np.fill_diagonal(share, 0)
        partner = share[np.arange(8), (np.arange(8) + 4) % 8]
        return -np.log(partner / share.sum(1))

    if np.isclose(got[0], loss().mean()):
        return _say(None)
    wrong = {
        "the embeddings are not scaled to length 1.": loss(normal=False).mean(),
        "a view stands among its own rivals: leave out its similarity with itself.": loss(own=True).mean(),
        "the similarities are not divided by the temperature.": loss(temperature=1.0).mean(),
        "that is the sum. Take the mean over the 2n views.": loss().sum(),
        "only the first views are asked for their partner: ask the second ones, too.": loss()[:4].mean(),
        "the sign is wrong: it is minus the logarithm.": -loss().mean(),
    }
    for problem, value in wrong.items():
        if np.isclose(got[0], value):
            return _say(problem)
    return _say(f"the example's loss is {loss().mean():.4f}, you have {got[0]:.4f}. Each view has 2n - 1 candidates.")


def precision_at(function):
    """Notebook 05: `function(features, labels, k)`: the share of the k nearest with the same class, without itself."""
    angles = np.array([0.0, 0.1, 0.25, 1.5, 1.65, 1.9])
    features, labels = np.stack([np.cos(angles), np.sin(angles)], axis=1), np.array([0, 0, 1, 1, 1, 0])
    answer = function(features.copy(), labels.copy(), 2)
    if _unsolved(answer):
        return _say("the function returns nothing. It should return one number from 0 to 1.")
    got = _numbers(answer)
    if got.size != 1:
        return _say(f"it returns {got.size} numbers. One is wanted: the mean over the questions.")

    def share(skip, far=False):
        order = np.argsort((1 if far else -1) * features @ features.T, axis=1, kind="stable")[:, skip : skip + 2]
        return np.mean(labels[order] == labels[:, None])

    if np.isclose(got[0], share(1)):
        return _say(None)
    if np.isclose(got[0], share(0)):
        return _say("each image finds itself first, which is always right. Leave it out.")
    if np.isclose(got[0], share(0, far=True)):
        return _say("these are the farthest images. The greatest similarity comes first.")
    return _say(f"the example's share is {share(1):.3f}, you have {got[0]:.3f}.")


def generator_losses(function):
    """Notebook 06: `function(logits)` returns the means of log(1 - D) and of -log D, D = sigmoid(logits)."""
    logits = np.array([-4.0, 0.0, 2.0])
    with np.errstate(all="ignore"):
        answer = function(logits.copy())
        far = _numbers(function(np.array([-1000.0, 1000.0])))
    if _unsolved(answer):
        return _say("the function returns nothing. It should return two numbers.")
    got, right = _numbers(answer), np.array([-np.logaddexp(0, logits).mean(), np.logaddexp(0, -logits).mean()])
    if got.size != 2:
        return _say(f"it returns {got.size} number(s). Two are wanted: the means of log(1 - D) and of -log D.")
    if np.allclose(got, 3 * right, atol=1e-6):
        return _say("these are sums over the fakes. Take the mean.")
    if np.allclose(got, right[::-1], atol=1e-6):
        return _say("the two are in the wrong order: the saturating one, log(1 - D), comes first.")
    if np.isclose(got[0], -right[0], atol=1e-6):
        return _say("the first has the wrong sign. The generator lowers log(1 - D) itself, there is no minus.")
    if np.isclose(got[1], -right[1], atol=1e-6):
        return _say("the second has the wrong sign. It is minus log D: the generator lowers it, and so raises D.")
    if not np.allclose(got, right, atol=1e-6):
        return _say(
            f"for logits -4, 0, 2 the two are {right[0]:.4f} and {right[1]:.4f}, "
            f"you have {got[0]:.4f} and {got[1]:.4f}."
        )
    if not np.allclose(far, [-500, 500]):
        return _say("for logits of -1000 and 1000 it overflows. np.logaddexp(0, z) is log(1 + exp(z)) for every z.")
    return _say(None)


def coverage(function):
    """Notebook 06: `function(real, fake, k)` is the share of real rows with a fake in their k-th neighbour's ball."""
    rng = np.random.default_rng(0)
    real = rng.normal(size=(60, 2))
    fake = np.concatenate([rng.normal(size=(14, 2)) * 0.4, [[6.0, 6.0]]])
    answer = function(real.copy(), fake.copy(), 3)
    if _unsolved(answer):
        return _say("the function returns nothing. It should return one number from 0 to 1.")

    def balls(rows, k=3):  # radius of each row, up to its k-th neighbour; place 0 is the row itself
        return np.sort(np.linalg.norm(rows[:, None] - rows, axis=-1), axis=1)[:, k]

    across = np.linalg.norm(real[:, None] - fake, axis=-1)  # (real, fake)
    right = (across <= balls(real)[:, None]).any(1).mean()
    got = _numbers(answer)
    if got.size != 1:
        return _say(f"it returns {got.size} numbers. One is wanted: the share of real rows.")
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
        return _say(near[0] if near else f"the example's coverage is {right:.4f}, you have {got:.4f}.")
    if not np.isclose(float(function(real[:20], fake[:5], 1)), _coverage_of_one(real[:20], fake[:5]), atol=1e-9):
        return _say("it is right for k = 3 only. Use k, and the rows that are given.")
    return _say(None)


def _coverage_of_one(real, fake):
    """The coverage with k = 1, by loops."""
    far = np.linalg.norm(real[:, None] - real, axis=-1) + np.where(np.eye(len(real)), np.inf, 0)
    return np.mean([np.linalg.norm(fake - row, axis=1).min() <= far[i].min() for i, row in enumerate(real)])


def perplexity(function):
    """Notebook 08: `function(losses, weights)` is exp of the mean loss over the tokens with weight 1."""
    losses = np.array([[1.0, 2.0, 0.5, 0.25], [3.0, 0.5, 1.5, 2.5], [2.0, 0.125, 0.75, 0.5]])
    weights = np.array([[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]])
    answer = function(losses.copy(), weights.copy())
    if _unsolved(answer):
        return _say("the function returns nothing. It should return one number.")
    got, kept = _numbers(answer), losses[weights == 1]
    if got.size != 1:
        return _say(f"it returns {got.size} numbers. One is wanted, for the tokens of all rows together.")
    right = np.exp(kept.mean())
    if np.isclose(got[0], right):
        return _say(None)
    wrong = {
        "that is the mean loss. Perplexity is its exponential.": kept.mean(),
        "padding is counted: a place with weight 0 must count neither above nor below.": np.exp(losses.mean()),
        "the sum is over real tokens, but it is divided by the number of all places.": np.exp(kept.sum() / losses.size),
        "you take the mean of each row first, so that a short row weighs as much as a long one.": np.exp(
            ((losses * weights).sum(1) / weights.sum(1)).mean()
        ),
        "that is the mean of the exponentials. Take the mean of the losses first.": np.exp(kept).mean(),
        "the losses are in nats, so the base is e, not 2.": 2 ** kept.mean(),
        "the sign is wrong: the losses are positive already.": 1 / right,
        "that is the exponential of the sum. Take the mean.": np.exp(kept.sum()),
    }
    near = [problem for problem, value in wrong.items() if np.isclose(got[0], value)]
    return _say(near[0] if near else f"the example's perplexity is {right:.4f}, you have {got[0]:.4f}.")


def top_p(function):
    """Notebook 08: `function(probabilities, p)` keeps the fewest most likely tokens that hold at least p."""
    given = np.array([0.05, 0.25, 0.2, 0.3, 0.08, 0.12])
    before = given.copy()
    answer = function(given, 0.65)
    if _unsolved(answer):
        return _say("the function returns nothing. It should return an array of the same length.")
    if not np.array_equal(given, before):
        return _say("the input array was changed. Work on a copy.")
    got = _numbers(answer)
    if got.size != given.size:
        return _say(f"{given.size} numbers are wanted, one for each token, zeros included; you return {got.size}.")
    kept = np.where(given >= 0.2, given, 0)  # 0.3 + 0.25 is below 0.65, with 0.2 it is above
    right = kept / kept.sum()
    if not np.allclose(got, right):
        two, one_more = np.where(given >= 0.25, given, 0), np.where(given >= 0.12, given, 0)
        wrong = {
            "the rest does not sum to 1. Divide it by its sum.": kept,
            "the token that crosses p is missing: 0.3 and 0.25 hold less than 0.65, so 0.2 stays, too.": two,
            "one token too many: 0.3, 0.25 and 0.2 hold 0.65 already.": one_more,
            "the order of the tokens was changed. Put each probability back in its place.": -np.sort(-right),
            "these are the least likely tokens. Sort the other way round.": np.where(given < 0.3, given, 0),
            "nothing was taken away.": given,
        }
        for problem, value in wrong.items():
            if np.allclose(got, value) or (value.sum() < 1 and np.allclose(got, value / value.sum())):
                return _say(problem)
        return _say(f"of 0.05 0.25 0.2 0.3 0.08 0.12 and p = 0.65 should come {right.round(3)}, not {got.round(3)}.")
    if not np.allclose(_numbers(function(given.copy(), 0.2)), given == 0.3):
        return _say("with p = 0.2 the most likely token, 0.3, holds enough by itself. It must stay, alone.")
    even = np.full(8, 0.125)
    if np.count_nonzero(_numbers(function(even, 0.45))) != 4:
        return _say(
            "with eight equal tokens and p = 0.45 four must stay. Count tokens, don't compare with a threshold."
        )
    return _say(None)


def alter(function):
    """Notebook 07: `function(rows, chosen, V, random)` makes 80 % of the chosen [MASK], 10 % random, 10 % as before."""
    rng = np.random.default_rng(0)
    rows = rng.integers(5, 1000, (300, 200))
    rows[:, 0] = 2
    chosen = (rng.random(rows.shape) < 0.5) & (rows > 4)
    before = rows.copy()
    answer = function(rows, chosen.copy(), 1000, np.random.default_rng(1))
    if _unsolved(answer):
        return _say("the function returns nothing. It should return the altered rows.")
    if not np.array_equal(rows, before):
        return _say("the input array was changed. Work on a copy.")
    got = np.asarray(answer)
    if got.shape != rows.shape:
        return _say(f"the shape should stay {rows.shape}, yours is {got.shape}.")
    if (got != rows)[~chosen].any():
        return _say("tokens that were not chosen have changed. np.where(chosen, new, rows) leaves them alone.")
    was, now = rows[chosen], got[chosen]
    masked, other = np.mean(now == 4), np.mean((now != 4) & (now != was))
    if (now < 4).any() or (now > 999).any():
        return _say("a random token is out of range. Ordinary tokens are 5 to V - 1.")
    if np.array_equal(got, np.asarray(function(rows.copy(), chosen.copy(), 1000, np.random.default_rng(2)))):
        return _say("two generators give the same rows. Draw from the generator that is given.")
    found = f"{masked:.1%} [MASK], {other:.1%} random, {1 - masked - other:.1%} unchanged"
    if abs(masked - 0.8) > 0.01 or abs(other - 0.1) > 0.006:  # 5 standard deviations for 30,000 tokens
        return _say(f"the shares are {found}; they should be 80, 10, 10. One draw for each token decides all three.")
    changed = now[(now != 4) & (now != was)]
    if len(np.unique(changed)) < 800:
        return _say("the random tokens are not spread over the whole vocabulary.")
    return _say(None)


def unigram_loss(function):
    """Notebook 07: `function(train_tokens, tokens, V)` is the mean loss in nats under the counts of train, plus one."""
    train_tokens, tokens = np.array([0, 0, 0, 1, 1, 3]), np.array([0, 1, 2, 0])
    answer = function(train_tokens.copy(), tokens.copy(), 5)
    if _unsolved(answer):
        return _say("the function returns nothing. It should return one number.")
    got, counts = _numbers(answer), np.bincount(train_tokens, minlength=5)
    if got.size != 1:
        return _say(f"it returns {got.size} numbers. One is wanted: the mean over the tokens.")
    shares, own = (counts + 1) / 11, np.bincount(tokens, minlength=5) + 1
    right = -np.log(shares[tokens]).mean()
    if np.isclose(got[0], right):
        return _say(None)
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
    return _say(near[0] if near else f"the example's loss is {right:.4f}, you have {got[0]:.4f}.")


def free_but_held(function):
    """Notebook 09: `function(model)` sets a model free, holds each BatchNormalization in it, and returns it."""
    import keras

    def part(*more):
        rows = [keras.Input((4,)), keras.layers.Dense(4), keras.layers.BatchNormalization()]
        return keras.Sequential([*rows, *more])

    model = part(part(part()), keras.layers.Dense(2))
    model.trainable = False
    before = model.get_weights()
    answer = function(model)
    if _unsolved(answer):
        return _say("the function returns nothing. It should return the model.")
    if answer is not model:
        return _say(f"it returns {type(answer).__name__}. Change the model that is given, and return it.")
    if any(not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)):
        return _say("weights have changed. Only `trainable` should.")
    every = list(model._flatten_layers(include_self=False))
    norms = [layer for layer in every if isinstance(layer, keras.layers.BatchNormalization)]
    free = [layer for layer in norms if layer.trainable_variables]
    trained = {id(variable) for variable in model.trainable_variables}
    dense = [layer for layer in every if isinstance(layer, keras.layers.Dense)]
    stuck = [layer for layer in dense if not all(id(variable) in trained for variable in layer.weights)]
    if len(stuck) == len(dense):
        return _say("nothing trains. Set trainable of the whole model to True before you hold anything.")
    if stuck:
        return _say(
            f"{len(stuck)} of {len(dense)} Dense layers do not train: a model that is frozen freezes all in it."
        )
    if len(free) == len(norms):
        return _say(
            "no BatchNormalization is held. Setting a model's trainable sets it for all in it, so do that first."
        )
    if free:
        inside = [layer for layer in norms if layer not in model.layers]
        where = "those in inner models" if free == inside else "some"
        return _say(f"{where} still train: {len(free)} of {len(norms)}. A layer that has layers must be gone into.")
    return _say(None)


def class_weights(function):
    """Notebook 09: `function(y)` gives {class: weight}, the weights of `class_weight="balanced"`."""
    y = np.array([2, 0, 0, 2, 0, 3, 0, 0, 0, 2])
    answer = function(y.copy())
    if _unsolved(answer):
        return _say("the function returns nothing. It should return a dict, {class: weight}.")
    if not isinstance(answer, dict):
        return _say(f"a dict is wanted, {{class: weight}}; yours is a {type(answer).__name__}.")
    classes, counts = np.unique(y, return_counts=True)
    if sorted(answer) != classes.tolist():
        return _say(f"the classes here are 0, 2 and 3 (1 does not occur); your keys are {sorted(answer)}.")
    got, right = _numbers([answer[label] for label in classes.tolist()]), len(y) / (len(classes) * counts)
    if got.size == right.size and np.allclose(got, right):
        return _say(None)
    wrong = {
        "these are the counts. A class with more rows must weigh less.": counts,
        "these are the shares. A class with more rows must weigh less.": counts / len(y),
        "the proportions are right, but the mean weight of a row is not 1: 1 / count is too small.": 1 / counts,
        "the proportions are right, but the mean weight of a row is not 1: divide by the number of classes.": len(y)
        / counts,
        "the weights sum to 1. It is the mean over the rows that should be 1.": 1 / counts / (1 / counts).sum(),
        "the commonest class weighs 1. It is the mean over the rows that should be 1.": counts.max() / counts,
    }
    near = [problem for problem, value in wrong.items() if got.size == right.size and np.allclose(got, value)]
    return _say(near[0] if near else f"for 6, 3 and 1 rows the weights are {right.round(3)}, yours are {got.round(3)}.")


def backbone_cost(answer):
    """Notebook 09: passes for 200 pictures, 10 epochs: all trained, frozen and run each time, features once."""
    if _unsolved(answer):
        return _say("there are no numbers yet. Give three: (all trained, frozen in each epoch, computed once).")
    got, right = _numbers(answer), np.array([6000, 2000, 200])
    if got.size != 3:
        return _say(f"three numbers are wanted, you gave {got.size}.")
    hints = {
        (0, 2000): "the first lacks the way back: forward is one unit, backward two more.",
        (0, 4000): "the first counts the way back alone. Forward is one unit, backward two more.",
        (1, 6000): "a frozen backbone needs no way back.",
        (1, 200): "in the second case the backbone runs again in each epoch.",
        (2, 2000): "in the third case the backbone runs once for each picture, however many epochs the head takes.",
    }
    if not (off := np.flatnonzero(got != right)).size:
        return _say(None)
    k = int(off[0])
    return _say(
        hints.get(
            (k, got[k]), f"the {('first', 'second', 'third')[k]} is not {got[k]:g}. Count pictures, epochs, ways."
        )
    )


def merged_kernel(function):
    """Notebook 10: `function(kernel, a, b, alpha)` folds a LoRA pair into a kernel."""
    rng = np.random.default_rng(0)
    kernel, a, b, alpha = rng.normal(size=(6, 5)), rng.normal(size=(6, 2)), rng.normal(size=(2, 5)), 8.0
    before = kernel.copy()
    answer = function(kernel, a.copy(), b.copy(), alpha)
    if _unsolved(answer):
        return _say("the function returns nothing. It should return a kernel.")
    if not np.array_equal(kernel, before):
        return _say("the kernel that was given has changed: += works in place. Return a new one.")
    if np.shape(answer) != kernel.shape:
        return _say(f"the kernel is {kernel.shape}, and you return {np.shape(answer)}.")
    wrong = {
        "α is left out, and so is the rank: the factor is alpha / r.": kernel + a @ b,
        "divide by the rank: the factor is alpha / r.": kernel + alpha * a @ b,
        "the factor is alpha / r, not r / alpha.": kernel + 2 / alpha * a @ b,
        "r is the rank, the width of A; you divide by the length of A.": kernel + alpha / 6 * a @ b,
        "r is the rank, the length of B; you divide by the width of B.": kernel + alpha / 5 * a @ b,
        "that is the change alone. Add the kernel.": alpha / 2 * a @ b,
        "the factor belongs to A B, not to the kernel.": alpha / 2 * (kernel + a @ b),
        "the pair is subtracted. Add it.": kernel - alpha / 2 * a @ b,
    }
    if np.allclose(answer, kernel + alpha / 2 * a @ b):
        return _say(None)
    near = [problem for problem, value in wrong.items() if np.allclose(answer, value)]
    return _say(near[0] if near else "the numbers are not those of W + (α/r) · A B, with @ between A and B.")


def brier(function):
    """Notebook 10: `function(probabilities, labels)` is the Brier score over all classes."""
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [0.3, 0.3, 0.4], [0.05, 0.15, 0.8]])
    labels, before = np.array([0, 2, 1, 2]), probabilities.copy()
    answer = function(probabilities, labels.copy())
    if _unsolved(answer):
        return _say("the function returns nothing. It should return one number.")
    if not np.array_equal(probabilities, before):
        return _say("the probabilities that were given have changed. Work on a copy.")
    got, off = _numbers(answer), probabilities - np.eye(3)[labels]
    if got.size != 1:
        return _say(f"it returns {got.size} numbers. One is wanted: the mean over the rows.")
    right, true = (off**2).sum(axis=1).mean(), probabilities[np.arange(4), labels]
    if np.isclose(got[0], right):
        return _say(None)
    wrong = {
        "that is the mean over rows and classes. Sum over the classes.": (off**2).mean(),
        "that is the sum over the rows. Take the mean.": (off**2).sum(),
        "only the true class is counted. The others count too: their truth is 0.": ((1 - true) ** 2).mean(),
        "that is the absolute distance. Square it.": np.abs(off).sum(axis=1).mean(),
        "that is the log loss. The Brier score takes squares.": -np.log(true).mean(),
        "that is a length: no root is wanted.": np.sqrt((off**2).sum(axis=1)).mean(),
        "this compares the most probable class only. Use the probabilities.": 2.0
        * (probabilities.argmax(axis=1) != labels).mean(),
    }
    near = [problem for problem, value in wrong.items() if np.isclose(got[0], value)]
    return _say(near[0] if near else f"the example's score is {right:.4f}, you have {got[0]:.4f}.")
