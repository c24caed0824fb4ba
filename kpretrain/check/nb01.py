"""The checks of notebook 01."""

import numpy as np

from .judge import say, unsolved


def leak_count(function):
    """Notebook 01: `function(train_clusters, test_clusters)` counts the test rows that have a twin in train."""
    train, test = np.array([0, 1, 2, 2, 2, 5]), np.array([2, 2, 3, 5, 7, 7])
    answer = function(train.copy(), test.copy())
    if unsolved(answer):
        return say("the function returns nothing. It should return one whole number.")
    if np.ndim(answer):
        return say("the function returns several values. Add them up to one whole number.")
    if answer == 2:
        return say("you count clusters. Count the test rows in them: one cluster may hold several.")
    if answer == 4:
        return say("you count train rows, or twins inside the test part. Count test rows with a twin in train.")
    return say(None if answer == 3 else f"the example has 3 such rows, you found {answer}.")


def word_deletion(function):
    """Notebook 01: `function(text, share, rng)` leaves out each word with probability `share`, but never all words."""
    rng = np.random.default_rng(0)
    words = [f"w{number}" for number in range(1000)]
    answer = function(" ".join(words), 0.3, rng)
    if unsolved(answer):
        return say("the function returns nothing. It should return a string.")
    if not isinstance(answer, str):
        return say(f"the function returns a {type(answer).__name__}. Join the words that are kept to a string.")
    kept = answer.split()
    if [word for word in words if word in set(kept)] != kept:
        return say("the words that are kept must stand in their old order, and none may be new.")
    if 240 <= len(kept) <= 360:
        return say(f"share is the probability to leave a word out; you kept {len(kept)} of 1,000 with share 0.3.")
    if not 640 <= len(kept) <= 760:
        return say(f"with share 0.3 about 700 of 1,000 words should be kept; you kept {len(kept)}.")
    if any(not function("alone here", 0.95, np.random.default_rng(seed)).strip() for seed in range(50)):
        return say("a short text can lose all its words. Keep at least one.")
    return say(None)
