"""Self-supervised objectives for images: the contrastive loss, reconstruction, denoising, masked patches.

Each is a `keras.Model` for `fit()`: compile it with an optimizer and no loss, fit it on unlabelled rows, then throw
it away and keep the encoder you gave it, which is the trained one. All mathematics is `keras.ops`, so that it runs on
the TensorFlow, JAX and Torch backends. Images are raw, 0 to 255, uint8 or float; an encoder owns its scaling.
"""

import math

import keras
import numpy as np
from keras import ops


def _scaled(images):
    return ops.cast(images, "float32") / 255


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


# ---------------------------------------------------------------- reconstruction and denoising


@keras.saving.register_keras_serializable(package="kpretrain")
class Reconstruction(_Pretraining):
    """Autoencoder: mean squared error between the decoder's image and the clean input, both from 0 to 1.

    With `corrupt` it is a denoising autoencoder (https://doi.org/10.1145/1390156.1390294): the encoder sees the
    corrupted image, the target stays the clean one. As with Keras's own noise layers, the corruption acts in training
    only, so `val_loss` is the error on clean input. To measure denoising, corrupt outside:
    `evaluate(corrupt(images, training=True), images)`.

    Parameters
    ----------
    encoder : keras.Model
        Raw images `(n, height, width, channels)`, 0 to 255 -> features of any shape.
    decoder : keras.Model
        Features -> `(n, height, width, channels)` on the scale 0 to 1 (end it linear or with a sigmoid).
    corrupt : keras.Layer, optional
        Acts on raw images as float32. `Dropout(0.5)` blacks out values; `GaussianNoise` wants the scale 0 to 1:
        `keras.Sequential([Rescaling(1 / 255), GaussianNoise(0.3), Rescaling(255)])`.

    Raises
    ------
    ValueError
        If the decoder's shape is not the image's, which would broadcast in silence.

    Examples
    --------
    >>> import keras
    >>> import numpy as np
    >>> import kpretrain as kp
    >>> decoder = keras.Sequential([keras.layers.Dense(784), keras.layers.Reshape((28, 28, 1))])
    >>> model = kp.objectives.Reconstruction(kp.models.image_encoder(features=32), decoder)
    >>> model.compile("adam")
    >>> losses = model.fit(np.zeros((4, 28, 28, 1), "uint8"), verbose=0).history["loss"]
    >>> len(losses), losses[0] >= 0
    (1, True)
    """

    _parts = ("encoder", "decoder", "corrupt")

    def __init__(self, encoder, decoder, corrupt=None, **kwargs):
        super().__init__(**kwargs)
        self.encoder, self.decoder, self.corrupt = encoder, decoder, corrupt

    def call(self, images, training=None):
        if self.corrupt is not None:
            images = self.corrupt(ops.cast(images, "float32"), training=training)
        return self.decoder(self.encoder(images, training=training), training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        clean = _scaled(x if y is None else y)
        if tuple(clean.shape[1:]) != tuple(y_pred.shape[1:]):
            raise ValueError(f"The decoder gives {tuple(y_pred.shape[1:])}, the images are {tuple(clean.shape[1:])}.")
        return ops.mean(ops.square(ops.cast(y_pred, "float32") - clean)) + sum(self.losses)


# ---------------------------------------------------------------- masked patches


def _check_grid(height, width, size):
    if height % size or width % size:
        raise ValueError(f"Images of {height}x{width} cannot be cut into patches of {size}x{size}.")


def patchify(images, size):
    """Cut images into square patches, row by row: `(n, h, w, c)` -> `(n, h/size * w/size, size * size * c)`.

    Raises `ValueError` if height or width is not a multiple of `size`.

    Examples
    --------
    >>> import numpy as np
    >>> import kpretrain as kp
    >>> images = np.arange(16.0).reshape(1, 4, 4, 1)
    >>> [float(value) for value in kp.objectives.patchify(images, 2)[0, 0]]  # the first patch: 2x2 at the upper left
    [0.0, 1.0, 4.0, 5.0]
    """
    height, width, channels = images.shape[1:]
    _check_grid(height, width, size)
    grid = ops.reshape(images, (-1, height // size, size, width // size, size, channels))
    grid = ops.transpose(grid, (0, 1, 3, 2, 4, 5))  # -> (n, rows, columns, size, size, c)
    return ops.reshape(grid, (-1, (height // size) * (width // size), size * size * channels))


def unpatchify(patches, height, width):
    """Put patches together again, the inverse of `patchify`: `(n, patches, values)` -> `(n, height, width, c)`.

    Raises `ValueError` if they do not fill an image of this size.

    Examples
    --------
    >>> import numpy as np
    >>> import kpretrain as kp
    >>> images = np.arange(16.0).reshape(1, 4, 4, 1)
    >>> again = kp.objectives.unpatchify(kp.objectives.patchify(images, 2), 4, 4)
    >>> bool(np.all(np.asarray(again) == images))
    True
    """
    count, values = patches.shape[1:]
    size = math.isqrt(height * width // count)
    channels = values // size**2 if size else 0
    if size == 0 or height % size or width % size or (count * size**2, channels * size**2) != (height * width, values):
        raise ValueError(f"{count} patches of {values} values do not make an image of {height}x{width}.")
    grid = ops.reshape(patches, (-1, height // size, width // size, size, size, channels))
    grid = ops.transpose(grid, (0, 1, 3, 2, 4, 5))  # -> (n, rows, size, columns, size, c)
    return ops.reshape(grid, (-1, height, width, channels))


def random_masking(batch, patches, hidden=0.75, seed=None):
    """Draw which patches to hide: the same number in each row, each row for itself.

    Parameters
    ----------
    batch, patches : int
    hidden : float
        The share to hide, rounded to whole patches; at least one stays visible and one is hidden.
    seed : int or keras.random.SeedGenerator, optional
        An int draws the same every time.

    Returns
    -------
    visible, hidden : tensor, int32 (batch, v) and (batch, patches - v)
        Positions of patches. `argsort(concatenate([visible, hidden], 1), 1)` brings patches in that order home.

    Examples
    --------
    >>> import kpretrain as kp
    >>> visible, hidden = kp.objectives.random_masking(batch=3, patches=16, hidden=0.75, seed=0)
    >>> tuple(visible.shape), tuple(hidden.shape)
    ((3, 4), (3, 12))
    """
    count = round(patches * hidden)
    if not 0 < count < patches:
        raise ValueError(f"Hiding {hidden:.0%} of {patches} patches leaves none visible or none hidden.")
    order = ops.cast(ops.argsort(keras.random.uniform((batch, patches), seed=seed), axis=1), "int32")
    return order[:, : patches - count], order[:, patches - count :]


def _sine_cosine(rows, columns, width):
    """Fixed positions of a grid, float32 (rows * columns, width): half of the width tells the row, half the column."""
    rates = 1 / 10000 ** (np.arange(width // 4) / (width // 4))
    row, column = (place.reshape(-1, 1) * rates for place in np.indices((rows, columns)))
    return np.concatenate([np.sin(row), np.cos(row), np.sin(column), np.cos(column)], axis=1).astype("float32")


def _transformer(width, depth, heads):
    """Pre-norm Transformer encoder blocks and a last LayerNorm: (n, tokens, width) -> the same."""
    tokens = x = keras.Input((None, width))
    for _ in range(depth):
        normal = keras.layers.LayerNormalization(epsilon=1e-6)(x)
        x = x + keras.layers.MultiHeadAttention(heads, width // heads)(normal, normal)
        wide = keras.layers.Dense(4 * width, activation="gelu")(keras.layers.LayerNormalization(epsilon=1e-6)(x))
        x = x + keras.layers.Dense(width)(wide)
    return keras.Model(tokens, keras.layers.LayerNormalization(epsilon=1e-6)(x))


@keras.saving.register_keras_serializable(package="kpretrain")
class PatchEncoder(keras.Model):
    """A small vision Transformer (https://arxiv.org/abs/2010.11929) with fixed positions.

    `encoder(images)` takes raw images `(n, height, width, channels)`, 0 to 255, to features `(n, width)`, the mean
    over all patches; `encoder.tokens(images, visible)` encodes some patches without reading the others.

    Parameters
    ----------
    image_shape : (height, width, channels)
    patch_size : int
        Side of a patch; `patch_grid` is how many fit: (rows, columns).
    width, depth, heads : int
        Values a token, Transformer blocks, attention heads. `width` is a multiple of 4 and of `heads`.

    Examples
    --------
    >>> import numpy as np
    >>> import kpretrain as kp
    >>> encoder = kp.objectives.PatchEncoder((28, 28, 1), patch_size=7, width=32, depth=1)
    >>> encoder.patch_grid, tuple(encoder(np.zeros((2, 28, 28, 1), "uint8")).shape)
    ((4, 4), (2, 32))
    """

    def __init__(self, image_shape, patch_size, width=64, depth=3, heads=4, **kwargs):
        super().__init__(**kwargs)
        height, wide, channels = image_shape
        _check_grid(height, wide, patch_size)
        if width % 4 or width % heads:
            raise ValueError(f"width is {width}; it must be a multiple of 4 and of heads, {heads}.")
        self.image_shape, self.patch_size, self.width = tuple(image_shape), patch_size, width
        self.depth, self.heads = depth, heads
        self.patch_grid = (height // patch_size, wide // patch_size)
        self.positions = _sine_cosine(*self.patch_grid, width)  # (patches, width)
        self.embed = keras.layers.Dense(width)
        self.embed.build((None, None, patch_size**2 * channels))
        self.body = _transformer(width, depth, heads)
        self.built = True  # all weights exist now: a fresh or loaded encoder needs no first call

    def tokens(self, images, visible=None):
        """Encode the patches at the positions `visible` (int (n, v)), or all: -> (n, v, width). No other is read."""
        patches = patchify(_scaled(images), self.patch_size)  # (n, h, w, c) -> (n, patches, values)
        positions = ops.cast(self.positions, self.compute_dtype)  # (patches, width)
        if visible is not None:
            patches = ops.take_along_axis(patches, visible[:, :, None], axis=1)  # -> (n, v, values)
            positions = ops.take(positions, visible, axis=0)  # -> (n, v, width)
        return self.body(self.embed(patches) + positions)  # (n, v, values) -> (n, v, width)

    def call(self, images):
        return ops.mean(self.tokens(images), axis=1)  # (n, patches, width) -> (n, width)

    def get_config(self):
        own = ("image_shape", "patch_size", "width", "depth", "heads")
        return {**super().get_config(), **{key: getattr(self, key) for key in own}}


def patch_decoder(encoder, width=64, depth=1, heads=4):
    """A light decoder for `MaskedAutoencoder`: tokens `(n, patches, encoder.width)` -> `(n, patches, values)`.

    Examples
    --------
    >>> import kpretrain as kp
    >>> encoder = kp.objectives.PatchEncoder((28, 28, 1), patch_size=7, width=32, depth=1)
    >>> kp.objectives.patch_decoder(encoder).output_shape  # 7 x 7 x 1 values a patch
    (None, None, 49)
    """
    tokens = keras.Input((None, encoder.width))
    x = _transformer(width, depth, heads)(keras.layers.Dense(width)(tokens))
    return keras.Model(tokens, keras.layers.Dense(encoder.patch_size**2 * encoder.image_shape[-1])(x))


@keras.saving.register_keras_serializable(package="kpretrain")
class MaskedAutoencoder(_Pretraining):
    """Hide most patches of an image and predict them from the rest (https://arxiv.org/abs/2111.06377).

    Fit it on raw images, without `y`. The encoder gets the visible patches only; the decoder gets them back in their
    places, a learned token in the place of each hidden one, and positions. The loss is the mean squared error on
    hidden patches. Masks are drawn anew in training; `evaluate` and `predict` use the same masks every time. A call
    returns the predicted patches `(n, patches, values)` and which were hidden, `(n, patches)` of 0 and 1.

    Parameters
    ----------
    encoder : PatchEncoder
    decoder : keras.Model, optional
        `(n, patches, encoder.width)` -> `(n, patches, values)`; `patch_decoder(encoder)` by default.
    hidden : float
    normalise_pixels : bool
        Predict each patch with mean 0 and variance 1 instead of its values from 0 to 1.
    seed : int, optional

    Examples
    --------
    >>> import numpy as np
    >>> import kpretrain as kp
    >>> encoder = kp.objectives.PatchEncoder((28, 28, 1), patch_size=7, width=32, depth=1)
    >>> model = kp.objectives.MaskedAutoencoder(encoder, hidden=0.75)
    >>> patches, hidden = model(np.zeros((2, 28, 28, 1), "uint8"))
    >>> tuple(patches.shape), [int(row) for row in np.asarray(hidden).sum(axis=1)]
    ((2, 16, 49), [12, 12])
    """

    _parts = ("encoder", "decoder", "hidden", "normalise_pixels", "seed")

    def __init__(self, encoder, decoder=None, hidden=0.75, normalise_pixels=False, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.encoder, self.decoder = encoder, patch_decoder(encoder) if decoder is None else decoder
        self.hidden, self.normalise_pixels, self.seed = hidden, normalise_pixels, seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        start = keras.initializers.RandomNormal(stddev=0.02, seed=seed)
        self.mask_token = self.add_weight(shape=(1, 1, encoder.width), initializer=start, name="mask_token")

    def call(self, images, training=None):
        seed = self.seed_generator if training else 0
        visible, hidden = random_masking(ops.shape(images)[0], math.prod(self.encoder.patch_grid), self.hidden, seed)
        tokens = self.encoder.tokens(images, visible)  # (n, h, w, c) -> (n, v, width)
        blanks = ops.add(self.mask_token, ops.zeros_like(hidden[:, :, None], tokens.dtype))  # (n, patches - v, width)
        home = ops.argsort(ops.concatenate([visible, hidden], axis=1), axis=1)  # (n, patches)
        tokens = ops.take_along_axis(ops.concatenate([tokens, blanks], axis=1), home[:, :, None], axis=1)
        tokens = tokens + ops.cast(self.encoder.positions, tokens.dtype)  # (n, patches, width), in image order
        return self.decoder(tokens, training=training), ops.cast(home >= visible.shape[1], "float32")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        predicted, hidden = y_pred
        target = patchify(_scaled(x), self.encoder.patch_size)  # (n, h, w, c) -> (n, patches, values)
        if self.normalise_pixels:
            mean, variance = ops.moments(target, axes=-1, keepdims=True)
            target = (target - mean) * ops.rsqrt(variance + 1e-6)
        error = ops.mean(ops.square(ops.cast(predicted, "float32") - target), axis=-1)  # (n, patches)
        return ops.sum(error * hidden) / ops.sum(hidden) + sum(self.losses)
