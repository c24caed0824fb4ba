"""The contrastive objective, for images and for texts: two views of the same thing belong together.

It is a `keras.Model` for `fit()`: compile it with an optimizer and no loss, fit it on pairs of unlabelled rows, then
throw it away and keep the encoder you gave it, which is the trained one. All mathematics is `keras.ops`, so that it
runs on the TensorFlow, JAX and Torch backends. Images are raw, 0 to 255, uint8 or float; an encoder owns its scaling.
"""

import math

import keras
from keras import ops


class _Pretraining(keras.Model):
    """A model around the parts named in `_parts`, which are saved and loaded with it."""

    _parts = ()

    def get_config(self):
        """Return the arguments of the constructor."""
        own = {name: getattr(self, name) for name in self._parts}
        models = {name: keras.saving.serialize_keras_object(part) for name, part in own.items()}
        return {"name": self.name, **models}

    @classmethod
    def from_config(cls, config):
        """Build the model again from `get_config`."""
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in cls._parts}
        return cls(**(config | parts))


# ---------------------------------------------------------------- contrastive


def _unit(embeddings):
    """Rows of length 1, in float32. The floor keeps the gradient of a zero row finite."""
    embeddings = ops.cast(embeddings, "float32")
    return embeddings * ops.rsqrt(ops.maximum(ops.sum(ops.square(embeddings), axis=-1, keepdims=True), 1e-12))


def _cosines(units):
    """All pairs of rows; a row with itself gets -1e9, whose exponential is 0 in float32."""
    rows = ops.arange(ops.shape(units)[0])
    cosines = ops.matmul(units, ops.transpose(units))  # (2n, width) -> (2n, 2n)
    return ops.where(rows[:, None] == rows[None, :], -1e9, cosines)


def nt_xent(first, second, temperature=0.5):
    """The normalised, temperature-scaled cross-entropy of two views' embeddings (https://arxiv.org/abs/2002.05709).

    Each of the 2n rows has one positive, the other view of its image, and 2n - 2 negatives: all other rows, those of
    its own view included. Equal embeddings give ln(2n - 1).

    Parameters
    ----------
    first, second : tensor (n, width)
        Row i of both comes from image i. Any length and float dtype: they are scaled to length 1, in float32.
    temperature : float

    Returns
    -------
    tensor, float32 scalar
        Mean over the 2n rows.

    Examples
    --------
    >>> import numpy as np
    >>> import kpretrain as kp
    >>> equal = np.ones((2, 8), "float32")
    >>> round(float(kp.objectives.nt_xent(equal, equal)), 4)  # ln 3: nothing to tell the pair from the others
    1.0986
    """
    first, second = _unit(first), _unit(second)
    others = ops.logsumexp(_cosines(ops.concatenate([first, second])) / temperature, axis=1)  # (2n, 2n) -> (2n,)
    return ops.mean(others) - ops.mean(ops.sum(first * second, axis=-1)) / temperature


@keras.saving.register_keras_serializable(package="kpretrain")
class Contrastive(_Pretraining):
    """SimCLR: bring the two views of an image together, push all others away (https://arxiv.org/abs/2002.05709).

    Fit it on pairs: `fit((a, b))`, or a dataset of `((a, b),)`. Both views pass the encoder as one batch, so that
    BatchNorm sees them together. Beside the loss it reports `accuracy`, the share of rows whose nearest other row is
    their own pair, and `spread`, which is near 1 when embeddings fill the sphere and 0 when they have collapsed.

    Parameters
    ----------
    encoder : keras.Model
        Images -> `(n, features)`.
    projector : keras.Model
        Features -> embeddings `(n, width)`. Throw it away after: the features before it serve other tasks better.
    temperature : float

    Raises
    ------
    ValueError
        If a batch is not a pair: a dataset of `(a, b)` is images and labels to Keras, `((a, b),)` is a pair.

    Examples
    --------
    >>> import keras
    >>> import numpy as np
    >>> import kpretrain as kp
    >>> projector = keras.Sequential([keras.layers.Dense(16)])
    >>> model = kp.objectives.Contrastive(kp.models.image_encoder(features=32), projector)
    >>> images = np.zeros((4, 28, 28, 1), "uint8")
    >>> [tuple(view.shape) for view in model((images, images))]
    [(4, 16), (4, 16)]
    """

    _parts = ("encoder", "projector", "temperature")

    def __init__(self, encoder, projector, temperature=0.5, **kwargs):
        super().__init__(**kwargs)
        if temperature <= 0:
            raise ValueError(f"temperature is {temperature}; it must be above 0.")
        self.encoder, self.projector, self.temperature = encoder, projector, temperature
        self.accuracy = keras.metrics.Mean(name="accuracy")
        self.spread = keras.metrics.Mean(name="spread")

    def call(self, pair, training=None):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ValueError("Contrastive needs two views of each image: fit((a, b)), or a dataset of ((a, b),).")
        both = self.encoder(ops.concatenate(pair), training=training)  # (2n, ...) -> (2n, features)
        both = self.projector(both, training=training)  # (2n, features) -> (2n, width)
        n = ops.shape(pair[0])[0]
        return both[:n], both[n:]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return nt_xent(*y_pred, self.temperature) + sum(self.losses)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        units = _unit(ops.concatenate(y_pred))  # (2n, width)
        rows, n = ops.arange(ops.shape(units)[0]), ops.shape(y_pred[0])[0]
        nearest = ops.cast(ops.argmax(_cosines(units), axis=1), rows.dtype)
        self.accuracy.update_state(ops.cast(nearest == (rows + n) % (2 * n), "float32"))
        self.spread.update_state(ops.mean(ops.std(units, axis=0)) * math.sqrt(units.shape[-1]))
        return self.get_metrics_result()
