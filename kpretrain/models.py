"""Encoders and image augmentation that more than one notebook uses, in `keras.ops` alone."""

import math

import keras
from keras import layers, ops


def image_encoder(shape=(28, 28, 1), features=128, filters=(32, 64, 96)):
    """A small convolutional encoder for small images, cheap because the first convolutions halve the sides.

    Parameters
    ----------
    shape : (int, int, int)
        Height, width, channels of the raw images.
    features : int
        Numbers that it gives an image.
    filters : sequence of int
        One convolution each. The first is 5x5, the others 3x3. All but the last have stride 2; the last keeps the
        sides, and the largest of each 2x2 goes on: a stride there too is cheaper, and costs a point of accuracy.

    Returns
    -------
    keras.Model
        Raw images 0..255 `(n, height, width, channels)`, uint8 or float -> `(n, features)` float32.

    Examples
    --------
    >>> import numpy as np
    >>> import kpretrain as kp
    >>> encoder = kp.models.image_encoder(shape=(28, 28, 1), features=64)
    >>> encoder.predict(np.zeros((2, 28, 28, 1), "uint8"), verbose=0).shape
    (2, 64)
    """
    images = keras.Input(shape)
    x = layers.Rescaling(1 / 255)(images)
    *first, last = filters
    for number, channels in enumerate(first):  # (n, 28, 28, 1) -> (n, 14, 14, 32) -> (n, 7, 7, 64)
        x = layers.Conv2D(channels, 3 if number else 5, strides=2, padding="same", activation="relu")(x)
    x = layers.Conv2D(last, 3, padding="same", use_bias=False)(x)  # -> (n, 7, 7, 96)
    # On a CPU BatchNormalization is not fused: on the first, large maps it would cost more than the convolution.
    x = layers.BatchNormalization(momentum=0.9)(layers.MaxPooling2D()(x))  # -> (n, 3, 3, 96)
    x = layers.Flatten()(layers.ReLU()(x))
    return keras.Model(images, layers.Dense(features)(x), name="image_encoder")


@keras.saving.register_keras_serializable(package="kpretrain")
class Jitter(layers.Layer):
    """Move each image by its own random amounts: turn, stretch, shear, shift, warp, and thin or thicken its strokes.

    keras has a layer for each of these, and each samples the image anew. Here one affine sampling does the first
    four, and the warp is two small matrix products: rows and columns are each moved along a smooth random curve,
    a cheap relative of the elastic distortion of P. Simard et al. (2003), Best practices for convolutional neural
    networks applied to visual document analysis.

    Parameters
    ----------
    turn : float
        Largest angle in degrees, either way.
    stretch : float
        Width and height are each multiplied by `exp(u)`, u from -stretch to stretch.
    shear : float
        Largest slope.
    shift : float
        Largest shift, as a share of height and width.
    warp : float
        Standard deviation, as a share of the sides, of the slowest of three sine waves that move rows and columns.
    stroke : float
        Brightness 0..1 is raised to the power `exp(u)`, u from -stroke to stroke: on grey strokes, their thickness.
    seed : int, optional

    Notes
    -----
    Input and output are images 0..255 `(n, height, width, channels)`; the output is float32. What comes from outside
    the image is 0. In inference the images pass unchanged.

    Examples
    --------
    >>> import keras
    >>> import numpy as np
    >>> import kpretrain as kp
    >>> images = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 1), "uint8")
    >>> jitter = kp.models.Jitter(turn=10, seed=0)
    >>> moved, same = (keras.ops.convert_to_numpy(jitter(images, training=training)) for training in (True, False))
    >>> moved.shape, bool((moved == images).all()), bool((same == images).all())
    ((2, 28, 28, 1), False, True)
    """

    def __init__(self, turn=20, stretch=0.2, shear=0.2, shift=0.1, warp=0.04, stroke=0.5, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.turn, self.stretch, self.shear, self.shift = turn, stretch, shear, shift
        self.warp, self.stroke, self.seed = warp, stroke, seed
        self.draws = keras.random.SeedGenerator(seed)

    def call(self, images, training=False):
        """Return the moved images; unchanged where `training` is false."""
        images = ops.cast(images, "float32")
        if not training:
            return images
        n, height, width = ops.shape(images)[:3]
        moved = ops.image.affine_transform(images, self._affine(n, height, width), interpolation="bilinear")
        if self.warp:
            moved = ops.einsum("nrc,nchk->nrhk", self._curve(n, height), moved)
            moved = ops.einsum("nrc,nhck->nhrk", self._curve(n, width), moved)
        if self.stroke:
            power = ops.reshape(ops.exp(self._uniform(n, self.stroke)), (n, 1, 1, 1))
            # not from 0 itself, where the slope of a power below 1 is infinite
            moved = 255 * ops.power(ops.clip(moved / 255, 1e-4, 1), power)
        return moved

    def _uniform(self, n, largest):
        return keras.random.uniform((n,), -largest, largest, seed=self.draws)

    def _affine(self, n, height, width):
        """Draw (n, 8): the rows of the matrix that tells where each pixel is taken from, about the middle."""
        angle, slope = self._uniform(n, self.turn * math.pi / 180), self._uniform(n, self.shear)
        across, along = ops.exp(self._uniform(n, self.stretch)), ops.exp(self._uniform(n, self.stretch))
        xx, xy = ops.cos(angle) * across, (slope - ops.sin(angle)) * across
        yx, yy = ops.sin(angle) * along, ops.cos(angle) * along
        middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
        x = middle_x * (1 - xx) - middle_y * xy + self._uniform(n, self.shift * width)
        y = middle_y * (1 - yy) - middle_x * yx + self._uniform(n, self.shift * height)
        return ops.stack([xx, xy, x, yx, yy, y, ops.zeros_like(x), ops.zeros_like(x)], axis=1)

    def _curve(self, n, side):
        """Draw (n, side, side): row r holds the weights with which the old places make up the new place r."""
        places = ops.arange(side, dtype="float32")
        waves = ops.sin(math.pi / side * (places + 0.5) * ops.reshape(ops.arange(1.0, 4.0), (3, 1)))  # (3, side)
        # the quicker a wave, the lower it is: otherwise the old places could run backwards and smear the image
        heights = keras.random.normal((n, 3), stddev=self.warp * side, seed=self.draws) / ops.arange(1.0, 4.0)
        source = ops.expand_dims(places + ops.matmul(heights, waves), -1)  # (n, side, 1)
        return ops.maximum(0.0, 1 - ops.abs(source - places))  # linear interpolation between two neighbours

    def get_config(self):
        """Return the arguments of the constructor."""
        names = ("turn", "stretch", "shear", "shift", "warp", "stroke", "seed")
        return super().get_config() | {name: getattr(self, name) for name in names}
