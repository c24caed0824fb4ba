"""The checks of notebook 05."""

import numpy as np

from .judge import numbers, say, unsolved


def contrastive_loss(function):
    """Notebook 05: `function(first, second, temperature)` is NT-Xent, with NumPy."""
    rng = np.random.default_rng(0)
    first, second, temperature = rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), 0.5
    answer = function(first.copy(), second.copy(), temperature)
    if unsolved(answer):
        return say("the function returns nothing. It should return one number.")
    got = numbers(answer)
    if got.size != 1 or not np.isfinite(got[0]):
        return say("one finite number is wanted: the mean over the 2n views.")

    def loss(normal=True, own=False, temperature=temperature):
        z = np.concatenate([first, second])
        z = z / np.linalg.norm(z, axis=1, keepdims=True) if normal else z
        share = np.exp(z @ z.T / temperature)
        if not own:
            np.fill_diagonal(share, 0)
        partner = share[np.arange(8), (np.arange(8) + 4) % 8]
        return -np.log(partner / share.sum(1))

    if np.isclose(got[0], loss().mean()):
        return say(None)
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
            return say(problem)
    return say(f"the example's loss is {loss().mean():.4f}, you have {got[0]:.4f}. Each view has 2n - 1 candidates.")


def precision_at(function):
    """Notebook 05: `function(features, labels, k)`: the share of the k nearest with the same class, without itself."""
    angles = np.array([0.0, 0.1, 0.25, 1.5, 1.65, 1.9])
    features, labels = np.stack([np.cos(angles), np.sin(angles)], axis=1), np.array([0, 0, 1, 1, 1, 0])
    answer = function(features.copy(), labels.copy(), 2)
    if unsolved(answer):
        return say("the function returns nothing. It should return one number from 0 to 1.")
    got = numbers(answer)
    if got.size != 1:
        return say(f"it returns {got.size} numbers. One is wanted: the mean over the questions.")

    def share(skip, far=False):
        order = np.argsort((1 if far else -1) * features @ features.T, axis=1, kind="stable")[:, skip : skip + 2]
        return np.mean(labels[order] == labels[:, None])

    if np.isclose(got[0], share(1)):
        return say(None)
    if np.isclose(got[0], share(0)):
        return say("each image finds itself first, which is always right. Leave it out.")
    if np.isclose(got[0], share(0, far=True)):
        return say("these are the farthest images. The greatest similarity comes first.")
    return say(f"the example's share is {share(1):.3f}, you have {got[0]:.3f}.")
