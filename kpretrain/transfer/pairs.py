"""Contrastive tuning: pairs of labelled rows train the encoder, and a logistic regression tells the classes."""

import copy

import keras
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.utils.validation import check_is_fitted

from . import encoders
from .features import Features


class ContrastiveTune(encoders.Tuned):
    """A classifier after SetFit (Tunstall et al. 2022, https://arxiv.org/abs/2209.11055), for a few labelled texts.

    Each row is paired with rows of its own class and of others. The encoder is trained until the cosine of the two
    vectors is near 1 in pairs of one class and near 0 in the others; the loss is the mean squared distance from that.
    n rows make 2 · n · `pairs` pairs, so that a few labels give many examples. A logistic regression on the tuned
    vectors, each of length 1, then tells the classes.

    Parameters
    ----------
    encoder : keras.Model or keras.Layer
        Gives each row one vector, (n, d). Copied, never changed.
    preprocess : callable, optional
        Raw rows -> the encoder's inputs, an array or a dict of arrays.
    pairs : int
        Pairs of one class that each row begins, and as many of two classes.
    batch_size : int
        Pairs in an update.
    updates : int
        The most there are; one pass over the pairs may need fewer.
    learning_rate : float
        Of AdamW, after a warm-up over a tenth of the updates, falling to zero. The default suits encoders of the size
        of MiniLM or BERT-base.
    random_state : int, RandomState instance or None
        Draws pairs, their order, and dropout.

    Attributes
    ----------
    classes_ : ndarray of shape (classes,)
    encoder_ : keras.Model or keras.Layer
        The tuned copy.
    head_ : scikit-learn pipeline
        Vectors of unit length and the logistic regression.
    history_ : ndarray of shape (updates,)
        The loss of each update.

    Examples
    --------
    >>> import keras, kpretrain as kp
    >>> digits = kp.data.load("digits")  # doctest: +ELLIPSIS
    digits: ...
    >>> x, y = digits.train.x[:40], digits.train.y[:40]
    >>> encoder = kp.models.image_encoder()
    >>> tuned = kp.transfer.ContrastiveTune(encoder, pairs=2, updates=5, learning_rate=1e-3, random_state=0).fit(x, y)
    >>> tuned.predict_proba(digits.test.x[:3]).shape
    (3, 10)
    """

    def __init__(
        self,
        encoder,
        *,
        preprocess=None,
        pairs=20,
        batch_size=16,
        updates=320,
        learning_rate=2e-5,
        random_state=None,
    ):
        self.encoder = encoder
        self.preprocess = preprocess
        self.pairs = pairs
        self.batch_size = batch_size
        self.updates = updates
        self.learning_rate = learning_rate
        self.random_state = random_state

    def fit(self, x, y):
        """Tune on raw rows `x` (n rows) with labels `y` (n,). Returns self.

        Raises
        ------
        ValueError
            If there is one class only, a setting cannot be used, or the loss becomes NaN.
        """
        x, y = encoders.labelled_rows(self, x, y)
        seed = encoders.seed_from(self.random_state)
        random = np.random.default_rng(seed)
        keras.utils.set_random_seed(seed)  # of dropout
        self.encoder_ = copy.deepcopy(self.encoder)  # keeps the weights, unlike keras.models.clone_model
        first, second, same = labelled_pairs(y, self.pairs, random)
        updates = min(self.updates, -(-len(same) // self.batch_size))
        if updates:
            order = np.resize(random.permutation(len(same)), (updates, self.batch_size))
            self.history_ = self._tune(
                encoders.all_inputs(x, self.preprocess), first[order], second[order], same[order]
            )
        vectors = Features(self.encoder_, preprocess=self.preprocess, cache=False)
        self.head_ = make_pipeline(vectors, Normalizer(), LogisticRegression(max_iter=2000)).fit(x, y)
        return self

    def _tune(self, inputs, first, second, same):
        """Train the copy of the encoder on pairs of rows, (updates, batch) each; return the losses."""
        warm_up = len(same) // 10
        rate = keras.optimizers.schedules.CosineDecay(
            self.learning_rate / (warm_up + 1),
            len(same) - warm_up,
            warmup_target=self.learning_rate,
            warmup_steps=warm_up,
        )
        twins, means = _Twins(self.encoder_), []
        twins.compile(keras.optimizers.AdamW(rate, weight_decay=0.01), "mse")
        twins.optimizer.build(twins.trainable_variables)  # else TensorFlow traces the step twice

        def rows(numbers):
            return encoders.as_inputs(encoders.take(inputs, numbers))

        batches = (((rows(a), rows(b)), target) for a, b, target in zip(first, second, same, strict=True))
        note = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: means.append(float(logs["loss"])))
        stop = keras.callbacks.TerminateOnNaN()
        twins.fit(batches, steps_per_epoch=len(same), shuffle=False, verbose=0, callbacks=[note, stop])
        if not np.isfinite(means).all():
            raise ValueError(f"The loss became NaN; learning_rate is {self.learning_rate:g}: take a lower one.")
        return np.diff(np.array(means) * np.arange(1, len(means) + 1), prepend=0)  # of means over all so far

    def predict_proba(self, x):
        """Return the probabilities of the classes: raw rows (n, ...) -> float64 (n, classes)."""
        check_is_fitted(self, "head_")
        return self.head_.predict_proba(encoders.as_rows(self, x))


def labelled_pairs(y, pairs, random):
    """Draw pairs of rows: for each row, `pairs` partners of its own class and as many of other classes.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Labels, of two classes at least.
    pairs : int
    random : numpy.random.Generator

    Returns
    -------
    first, second : int ndarray of shape (2 · n · pairs,)
        Row numbers. A row that is alone in its class is its own partner.
    same : float32 ndarray of the same shape
        1 for pairs of one class, 0 for pairs of two.

    Examples
    --------
    >>> y = np.array(["cat", "cat", "dog"])
    >>> first, second, same = labelled_pairs(y, 2, np.random.default_rng(0))
    >>> len(same), bool(((y[first] == y[second]) == same).all())
    (12, True)
    """
    first, second, same = [], [], []
    rows = np.arange(len(y))
    for row, label in enumerate(y):
        own, others = rows[(y == label) & (rows != row)], rows[y != label]
        for partners, target in ((own if len(own) else rows[row : row + 1], 1), (others, 0)):
            first += [row] * pairs
            second += random.choice(partners, pairs).tolist()
            same += [target] * pairs
    return np.array(first), np.array(second), np.array(same, "float32")


class _Twins(keras.Model):
    """Two rows through one encoder: (inputs, inputs) -> the cosine of their vectors, (n,)."""

    def __init__(self, encoder):
        super().__init__(name="twins")
        self.encoder = encoder

    def call(self, rows, training=None):
        vectors = [keras.ops.cast(self.encoder(each, training=training), "float32") for each in rows]
        first, second = (keras.ops.normalize(each, axis=-1) for each in vectors)
        return keras.ops.sum(first * second, axis=-1)
