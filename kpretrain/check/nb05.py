"""The checks of notebook 05."""

import numpy as np

from .judge import exercise, match, numbers, one_number, returned, wrong_if


@exercise
def contrastive_loss(function):
    """Notebook 05: `function(first, second, temperature)` is NT-Xent, with NumPy."""
    first, second = np.random.default_rng(0).normal(size=(2, 4, 3))
    problem = "one finite number is wanted: the mean over the 2n views."
    got = numbers(returned(function, first, second, 0.5, kind="one number"), 1, problem).item()
    wrong_if(not np.isfinite(got), problem)

    def loss(normal=True, own=False, temperature=0.5):
        z = np.concatenate([first, second])
        z = z / np.linalg.norm(z, axis=1, keepdims=True) if normal else z
        share = np.exp(z @ z.T / temperature)
        if not own:
            np.fill_diagonal(share, 0)
        partner = share[np.arange(8), (np.arange(8) + 4) % 8]
        return -np.log(partner / share.sum(1))

    right = loss().mean()
    wrong = {
        "the embeddings are not scaled to length 1.": loss(normal=False).mean(),
        "a view stands among its own rivals: leave out its similarity with itself.": loss(own=True).mean(),
        "the similarities are not divided by the temperature.": loss(temperature=1.0).mean(),
        "that is the sum. Take the mean over the 2n views.": loss().sum(),
        "only the first views are asked for their partner: ask the second ones, too.": loss()[:4].mean(),
        "the sign is wrong: it is minus the logarithm.": -right,
    }
    match(got, right, wrong, f"the example's loss is {right:.4f}, you have {got:.4f}. Each view has 2n - 1 candidates.")


@exercise
def precision_at(function):
    """Notebook 05: `function(features, labels, k)`: the share of the k nearest with the same class, without itself."""
    angles = np.array([0.0, 0.1, 0.25, 1.5, 1.65, 1.9])
    features, labels = np.stack([np.cos(angles), np.sin(angles)], axis=1), np.array([0, 0, 1, 1, 1, 0])
    kind, what = "one number from 0 to 1", "the mean over the questions"
    got = one_number(function, features, labels, 2, kind=kind, what=what)

    def share(skip, sign=-1):
        order = np.argsort(sign * features @ features.T, axis=1, kind="stable")[:, skip : skip + 2]
        return np.mean(labels[order] == labels[:, None])

    wrong = {
        "each image finds itself first, which is always right. Leave it out.": share(0),
        "these are the farthest images. The greatest similarity comes first.": share(0, sign=1),
    }
    match(got, share(1), wrong, f"the example's share is {share(1):.3f}, you have {got:.3f}.")
