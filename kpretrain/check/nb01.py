"""The checks of notebook 01."""

import numpy as np

from .judge import exercise, returned, wrong_if


@exercise
def leak_count(function):
    """Notebook 01: `function(train_clusters, test_clusters)` counts the test rows that have a twin in train."""
    train, test = np.array([0, 1, 2, 2, 2, 5]), np.array([2, 2, 3, 5, 7, 7])
    answer = returned(function, train, test, kind="one whole number")
    wrong_if(np.ndim(answer), "the function returns several values. Add them up to one whole number.")
    wrong_if(answer == 2, "you count clusters. Count the test rows in them: one cluster may hold several.")
    wrong_if(answer == 4, "you count train rows, or twins inside the test part. Count test rows with a twin in train.")
    wrong_if(answer != 3, f"the example has 3 such rows, you found {answer}.")


@exercise
def word_deletion(function):
    """Notebook 01: `function(text, share, rng)` leaves out each word with probability `share`, but never all words."""
    words = [f"w{number}" for number in range(1000)]
    answer = returned(function, " ".join(words), 0.3, np.random.default_rng(0), kind="a string")
    problem = f"the function returns a {type(answer).__name__}. Join the words that are kept to a string."
    wrong_if(not isinstance(answer, str), problem)
    remaining = answer.split()
    in_order = [word for word in words if word in set(remaining)] == remaining
    wrong_if(not in_order, "the words that are kept must stand in their old order, and none may be new.")
    n = len(remaining)
    wrong_if(240 <= n <= 360, f"share is the probability to leave a word out; you kept {n} of 1,000 with share 0.3.")
    wrong_if(not 640 <= n <= 760, f"with share 0.3 about 700 of 1,000 words should be kept; you kept {n}.")
    lost = any(not function("alone here", 0.95, np.random.default_rng(seed)).strip() for seed in range(50))
    wrong_if(lost, "a short text can lose all its words. Keep at least one.")
