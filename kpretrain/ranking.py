"""Which backbone for these rows? The backbones at hand, and scores of their frozen features that need a few labels.

Nothing here trains a network or reads a test part. Published comparisons find no score that wins everywhere
(arXiv 2204.01403), and a list by size that is hard to beat (2510.06448), so `rank` shows several beside the size.
"""

import contextlib
import io
import os
import time

import keras
import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.sparse import issparse
from scipy.stats import binomtest
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from . import backbones, presets
from .comparison.arms import flatten
from .transfer import Features

MEASURES = ("kNN", "LogME", "H-score", "probe")  # the columns of `rank` that rank: the higher, the better


def log_evidence(features, y):
    """Return LogME: how well a linear model with a Gaussian prior explains the labels, integrated over its weights.

    For each class, its 0-1 labels are taken as normal with covariance I/beta + F F'/alpha, and alpha and beta as those
    that make them most likely. The mean over classes and rows, in nats: the higher, the better.

    Parameters
    ----------
    features : array of shape (n, d)
    y : array of shape (n,)
        Class labels.

    Returns
    -------
    float

    References
    ----------
    K. You et al. (2021), LogME: practical assessment of pre-trained models for transfer learning,
    https://arxiv.org/abs/2102.11005. With t = alpha/beta, the best beta is known, and one number is left to search.

    Examples
    --------
    >>> y = np.repeat([0, 1], 20)
    >>> noise = np.random.default_rng(0).normal(size=(40, 3))
    >>> log_evidence(noise + 4 * y[:, None], y) > log_evidence(noise, y)
    True
    """
    features, n = np.asarray(features, float), len(y)
    left, sizes, _ = np.linalg.svd(features, full_matrices=False)
    squares = sizes**2  # (r,)

    def lost(log_t, along, rest):
        shrunk = np.exp(log_t) / (np.exp(log_t) + squares)
        beta = n / ((along * shrunk).sum() + rest)
        return -(n / 2 * (np.log(beta / (2 * np.pi)) - 1) + np.log(shrunk).sum() / 2) / n

    grid, evidences = np.log(max(squares[0], 1e-12)) + np.arange(-20.0, 21), []
    for label in np.unique(y):
        target = np.asarray(y == label, float)
        along = (left.T @ target) ** 2
        rest = max(target.sum() - along.sum(), 1e-9)
        start = grid[np.argmin([lost(log_t, along, rest) for log_t in grid])]
        best = minimize_scalar(lost, bounds=(start - 1, start + 1), args=(along, rest), method="bounded")
        evidences.append(-best.fun)
    return float(np.mean(evidences))


def h_score(features, y, shrinkage=None):
    """Return the H-score: the share of the features' variance, direction by direction, that lies between the classes.

    tr(C^-1 B), C the covariance of the features and B that of the class means that stand in for them. With few rows C
    cannot be inverted, so both are shrunk: C by (1 - a) C + a s I, with s the mean variance, and B by 1 - a.

    Parameters
    ----------
    features : array of shape (n, d)
    y : array of shape (n,)
        Class labels.
    shrinkage : float, optional
        a, from 0 to 1; None estimates it (Ledoit and Wolf).

    Returns
    -------
    float
        From 0 to the number of classes less one: the higher, the better.

    References
    ----------
    Y. Bao et al. (2019), An information-theoretic approach to transferability in task transfer learning, ICIP;
    S. Ibrahim et al. (2021), Newer is not always better, https://arxiv.org/abs/2110.06893 (shrinkage).

    Examples
    --------
    >>> features = [[-3, 1], [-3, -1], [1, 0], [3, 1], [3, -1], [-1, 0]]
    >>> round(h_score(features, [0, 0, 0, 1, 1, 1], shrinkage=0), 4)  # 25/57
    0.4386
    """
    centred = np.asarray(features, float) - np.mean(features, axis=0)
    n, d = centred.shape
    a = ledoit_wolf_shrinkage(centred, assume_centered=True) if shrinkage is None else shrinkage
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)  # so that no (d, d) matrix is needed
    variances = sizes**2 / n
    known = variances > 1e-12 * max(variances[0], 1e-300)
    scores = centred @ axes[known].T  # (n, r)
    _, number = np.unique(y, return_inverse=True)
    means = np.stack([scores[number == k].mean(axis=0) for k in range(number.max() + 1)])[number]  # (n, r)
    spread = (1 - a) * variances[known] + a * variances.sum() / d
    return float(((1 - a) * (means**2).mean(axis=0) / spread).sum())


def classifier(backbone):
    """Return logistic regression on a backbone's standardised features (TF-IDF's are left as they are).

    Parameters
    ----------
    backbone : scikit-learn transformer
        Of raw rows, as in `at_hand`.

    Returns
    -------
    scikit-learn pipeline

    Examples
    --------
    >>> [type(step).__name__ for _, step in classifier(TfidfVectorizer()).steps]
    ['TfidfVectorizer', 'LogisticRegression']
    """
    scaled = [] if isinstance(backbone, TfidfVectorizer) else [StandardScaler()]
    return make_pipeline(backbone, *scaled, LogisticRegression(max_iter=2000))


def rank(candidates, x, y):
    """Score the frozen features of several backbones on a few labelled rows, best probe first.

    Parameters
    ----------
    candidates : dict of str to scikit-learn transformer
        Of raw rows, such as `at_hand(x)` or `kp.Features`.
    x : array of n raw rows
    y : array of shape (n,)
        Class labels, at least two of each class.

    Returns
    -------
    pandas.DataFrame
        A row for each: `parameters`; `seconds` for features and scores; `kNN`, the percentage of rows whose nearest
        other row (by angle) is of their class; `LogME` (`log_evidence`); `H-score` (`h_score`); `probe`, the percentage
        that a cross-validated `classifier` gets right, and `low` and `high`, its 95 % interval for new rows (Wilson),
        which takes the folds for independent. `attrs["hits"]` has the rows that each probe got right.

    Raises
    ------
    ValueError
        If there is no candidate, or a class has fewer than two rows.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(40, 3)) + 3 * np.repeat([0, 1], 20)[:, None]
    >>> both = {"as it is": FunctionTransformer(), "nothing": FunctionTransformer(np.sin)}
    >>> found = rank(both, x, np.repeat([0, 1], 20))
    >>> found.index[0], [*found.columns]
    ('as it is', ['parameters', 'seconds', 'kNN', 'LogME', 'H-score', 'probe', 'low', 'high'])
    """
    y, rows, hits = np.asarray(y), {}, {}
    fewest = np.unique(y, return_counts=True)[1].min()
    if not candidates or fewest < 2:
        raise ValueError(f"rank needs a candidate and two rows of each class; it has {len(candidates)} and {fewest}.")
    folds = StratifiedKFold(min(5, fewest), shuffle=True, random_state=0)
    for name, backbone in candidates.items():
        started = time.perf_counter()
        features = backbone.fit_transform(x)
        head = make_pipeline(*[step for _, step in classifier(backbone).steps[1:]])
        right = cross_val_predict(head, features, y, cv=folds) == y
        features = features.toarray() if issparse(features) else np.asarray(features, float)
        near = NearestNeighbors(n_neighbors=1, metric="cosine").fit(features).kneighbors(return_distance=False)[:, 0]
        scores = {"kNN": 100 * np.mean(y[near] == y), "LogME": log_evidence(features, y)}
        scores |= {"H-score": h_score(features, y), "probe": 100 * right.mean()}
        share = binomtest(int(right.sum()), len(y)).proportion_ci(method="wilson")
        size = backbone.encoder.count_params() if isinstance(backbone, Features) else 0
        took = {"parameters": size, "seconds": time.perf_counter() - started}
        rows[name], hits[name] = took | scores | {"low": 100 * share.low, "high": 100 * share.high}, right.tolist()
    table = pd.DataFrame.from_dict(rows, orient="index").astype({"parameters": int})
    table = table.rename_axis("backbone").sort_values("probe", ascending=False, kind="stable")
    table.attrs["hits"] = hits
    return table


def at_hand(x, length=64):
    """Return the backbones that can be had without a network for such rows: name -> transformer of raw rows.

    For images "pixels", the course's own presets, "resnet_cifar10" with random weights too, and public ones that lie in
    kagglehub's cache; the presets of MNIST only for rows of 28x28 grey pixels. For texts "TF-IDF", the course's own,
    "bert_docstrings" with random weights too, and public ones.

    Parameters
    ----------
    x : array of n rows
        uint8 images `(n, height, width, channels)`, paths of images, or strings.
    length : int
        Tokens of a text that are read.

    Returns
    -------
    dict of str to scikit-learn transformer

    Examples
    --------
    >>> [*at_hand(np.array(["a text"], object))][:3]
    ['TF-IDF', 'bert_docstrings', 'bert_docstrings, random weights']
    """
    first = x[0]
    with contextlib.redirect_stdout(io.StringIO()):  # where a preset comes from, one line each
        if isinstance(first, str) and not os.path.isfile(first):
            return _texts(length)
        return _images(None if isinstance(first, str) else x.shape[1:])


def _images(shape):
    shrink = [] if shape else [FunctionTransformer(backbones.Thumbnails((64, 64)))]
    candidates = {"pixels": make_pipeline(*shrink, FunctionTransformer(flatten))}
    for name in ("resnet_cifar10", *backbones.kept("images")):
        candidates |= _frozen(name, *backbones.images(name)[:2])
    if shape == (28, 28, 1):
        candidates |= _frozen("simclr_mnist", presets.load("simclr_mnist"))
        for name in ("plain_mnist", "denoising_mnist"):
            candidates[name] = Features(presets.load(name).get_layer("image_encoder"))
        masked = presets.load("masked_mnist")
        tokens = masked.get_layer("encoder")(masked.get_layer("patches").output)  # (n, 16, 64): none is hidden
        pooled = keras.layers.GlobalAveragePooling1D()(tokens)
        candidates["masked_mnist"] = Features(keras.Model(masked.inputs[0], pooled))
    return candidates


def _texts(length):
    candidates = {"TF-IDF": TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))}
    for name in ("bert_docstrings", *backbones.kept("texts")):
        candidates |= _frozen(name, *backbones.texts(name, length)[:2])
    inputs = candidates["bert_docstrings"].preprocess
    for name in ("gpt_docstrings", "lstm_docstrings"):  # their vocabulary is that of bert_docstrings
        network = presets.load(name)
        read = {key: keras.Input((None,), dtype="int32", name=key) for key in ("padding_mask", "segment_ids")}
        pooled = keras.layers.GlobalAveragePooling1D()(network.get_layer("states").output, mask=read["padding_mask"])
        encoder = keras.Model({"token_ids": network.input} | read, pooled, name=name)
        candidates[name] = Features(encoder, preprocess=inputs)
    return candidates


def _frozen(name, encoder, preprocess=None):
    """Frozen features by name; of a preset of the course, also those of the same network with random weights."""
    found = {name: Features(encoder, preprocess=preprocess)}
    if name in presets.available():
        found[f"{name}, random weights"] = Features(encoder, preprocess=preprocess, weights="random", random_state=0)
    return found
