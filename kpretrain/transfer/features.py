"""Frozen features: the forward pass over raw rows as a scikit-learn transformer, made once and kept on disk."""

from functools import partial

import keras
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .. import files, source
from ..fingerprint import fingerprint, rows_fingerprint
from .encoders import SharedByClones, as_rows, check_features, check_settings, forward, fresh, seed_from


class Features(SharedByClones, TransformerMixin, BaseEstimator):
    """Frozen features of raw rows, computed once and kept on disk.

    Parameters
    ----------
    encoder : keras.Model or keras.Layer
        Gives one array; more than two dimensions are flattened.
    preprocess : callable, optional
        Raw rows -> the encoder's inputs, an array or a dict of arrays. Called on chunks of rows.
    weights : {"pretrained", "random"}
        "random" replaces the encoder by `fresh(encoder, random_state)`, the frozen random control.
    batch_size : int
        Rows in one forward pass.
    cache : bool
        Keep features under `kpretrain.data.cache_folder()`, and find them there if encoder, weights, `preprocess` and
        rows are the same: their code too, and of rows that are paths the files' contents. Where that cannot be told,
        they are computed without the cache, and a line says so. False never touches the disk.
    random_state : int, RandomState instance or None
        Draws the random weights.

    Attributes
    ----------
    encoder_ : keras.Model or keras.Layer
        What gives the features.
    n_features_in_ : int
        Columns of the rows, where they are a table of numbers.

    Examples
    --------
    Any classifier can stand on them:

    >>> import kpretrain as kp
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> digits = kp.data.load("digits")  # doctest: +ELLIPSIS
    digits: ...
    >>> features = kp.Features(kp.models.image_encoder(), cache=False)
    >>> features.fit_transform(digits.train.x[:100]).shape  # (100, 28, 28, 1) -> (100, 128)
    (100, 128)
    >>> nearest = make_pipeline(features, KNeighborsClassifier(3)).fit(digits.train.x[:100], digits.train.y[:100])
    >>> nearest.predict(digits.test.x[:5]).shape
    (5,)
    """

    def __init__(
        self, encoder, *, preprocess=None, weights="pretrained", batch_size=256, cache=True, random_state=None
    ):
        self.encoder = encoder
        self.preprocess = preprocess
        self.weights = weights
        self.batch_size = batch_size
        self.cache = cache
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def fit(self, x, y=None):
        """Learn nothing; draw the weights if they are random. Returns self."""
        check_settings(self)
        as_rows(self, x, reset=True)
        self.encoder_ = fresh(self.encoder, seed_from(self.random_state)) if self.weights == "random" else self.encoder
        return self

    def transform(self, x):
        """Return the features of raw rows.

        Parameters
        ----------
        x : array-like of n rows
            uint8 images (n, height, width, channels), strings, or a table of numbers (n, columns).

        Returns
        -------
        ndarray of shape (n, d), float32
            A read-only memory map if it comes from the cache.

        Raises
        ------
        ValueError
            If a feature is NaN or infinite, or all rows have the same features though the rows differ.
        """
        check_is_fitted(self, "encoder_")
        x = as_rows(self, x)

        def compute():
            features = forward(self.encoder_, x, self.preprocess, self.batch_size)
            check_features(features, x, self.encoder_)
            return features

        path = self._cache_path(x)
        return files.cached(path, compute, partial(np.load, mmap_mode="r"), _save) if path else compute()

    def _cache_path(self, x):
        """The file of these features, or None where there is nothing worth keeping or no stable key."""
        if not self.cache:
            return None
        try:
            made_by = [keras.backend.backend(), source.origin(keras.backend.backend()), forward]
            key = fingerprint([made_by, self.encoder_, self.preprocess, rows_fingerprint(x)])
        except TypeError as error:
            print(f"Features: computed without the cache. {error}")
            return None
        return files.cache_folder() / "features" / f"{key}.npy"


def _save(features, path):
    with path.open("wb") as file:  # np.save adds an ending to a name
        np.save(file, features, allow_pickle=False)
