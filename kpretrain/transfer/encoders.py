"""What both estimators do with an encoder: draw it anew, cut it in two, and run raw rows through it."""

import copy
import numbers
from pathlib import PurePath

import keras
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_array, check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data


def fresh(encoder, seed):
    """Return the same architecture with newly drawn weights, the random control to a pretrained encoder.

    The statistics of Normalization layers describe the data, not what was learned, and are kept. A layer whose
    initializer was given a seed of its own draws the same weights for every `seed`. This seeds Python, NumPy and the
    backend, as `keras.utils.set_random_seed` does.

    Parameters
    ----------
    encoder : keras.Model or keras.Layer
        Built. It is left as it is.
    seed : int
        The outcome depends on nothing else.

    Returns
    -------
    keras.Model or keras.Layer

    Examples
    --------
    >>> import keras
    >>> encoder = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
    >>> one, same, other = fresh(encoder, 0), fresh(encoder, 0), fresh(encoder, 1)
    >>> [bool((drawn.get_weights()[0] == one.get_weights()[0]).all()) for drawn in (same, other, encoder)]
    [True, False, False]
    """
    keras.utils.set_random_seed(int(seed))
    drawn = type(encoder).from_config(encoder.get_config())
    if encoder.built and not drawn.built:
        drawn.build_from_config(encoder.get_build_config())
    for new, old in zip(drawn._flatten_layers(), encoder._flatten_layers(), strict=True):
        if isinstance(old, keras.layers.Normalization):
            new.set_weights(old.get_weights())
            new.finalize_state()
    return drawn


def all_layers(encoder):
    """Return a model that puts the features of all stages of a ResNet, or all layers of a BERT, side by side.

    The last layer is shaped for what the encoder was last trained for, so lower ones may serve another task better.
    A head that is held back finds out by itself, and nobody has to choose.

    Parameters
    ----------
    encoder : keras.Model
        Of `kp.backbones`, or of one's own with the layers of keras_hub's ResNetBackbone or BertBackbone in it.

    Returns
    -------
    keras.Model
        It shares the encoder's layers. For images, the mean and the largest value of each map at the end of each
        stage; for texts, the mean over the tokens after each layer. An encoder of another kind is returned as it is.

    Examples
    --------
    >>> import kpretrain as kp
    >>> encoder, *_ = kp.backbones.images("resnet_cifar10")
    preset resnet_cifar10: ...
    >>> encoder.output.shape, all_layers(encoder).output.shape  # stages of 64, 128 and 256 maps
    ((None, 256), (None, 896))
    """
    names = [layer.name for layer in getattr(encoder, "layers", [])]
    stages = {name.split("_")[0]: name for name in names if name.startswith("stack") and name.endswith("_out")}
    blocks = [name for name in names if name.startswith("transformer_layer_")]
    if stages:
        maps = [encoder.get_layer(name).output for name in stages.values()]  # (n, h, w, c) each
        pools = keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D
        features = [pool()(one) for pool in pools for one in maps]  # -> (n, c) each
    elif blocks and isinstance(encoder.input, dict):
        real = keras.ops.cast(keras.ops.expand_dims(encoder.input["padding_mask"], -1), "float32")  # (n, t, 1)
        states = [keras.ops.cast(encoder.get_layer(name).output, "float32") for name in blocks]  # (n, t, d) each
        features = [keras.ops.sum(one * real, axis=1) / keras.ops.sum(real, axis=1) for one in states]  # -> (n, d) each
    else:
        return encoder
    return keras.Model(encoder.input, keras.ops.concatenate(features, axis=-1), name="all_layers")


def cut_encoder(encoder, layer):
    """Cut an encoder in two at a layer's output, so that the lower part can be run once and only the upper trains.

    Parameters
    ----------
    encoder : keras.Model
        Functional. It is left as it is; the lower part shares its layers, the upper part is a copy.
    layer : str
        The name of one of `encoder.layers`, such as "stack1_block0_out" of a ResNet or "transformer_layer_3" of a
        BERT: the last one of the lower part.

    Returns
    -------
    lower, upper : keras.Model
        `lower(x)` gives the activations a, and `upper(a) == encoder(x)`. Where the upper part reads more than a, as
        a BERT reads its padding mask, it takes `[a, *keras.tree.flatten(x)]`.

    Raises
    ------
    ValueError
        If there is no such layer, or a layer with weights would lie in both parts, as in the middle of a residual
        block.

    Examples
    --------
    >>> import keras
    >>> inputs = keras.Input((8,))
    >>> hidden = keras.layers.Dense(5, name="hidden")(inputs)  # (n, 8) -> (n, 5)
    >>> lower, upper = cut_encoder(keras.Model(inputs, keras.layers.Dense(2)(hidden)), "hidden")
    >>> lower.output.shape, upper.output.shape
    ((None, 5), (None, 2))
    >>> lower.count_params(), upper.count_params()
    (45, 12)
    """
    lower = keras.Model(encoder.input, encoder.get_layer(layer).output, name="lower")
    whole = copy.deepcopy(encoder)  # Keras adds to the graph of a model from whose middle another one is made
    activations = whole.get_layer(layer).output
    try:
        upper = keras.Model(activations, whole.output, name="upper")
    except ValueError:  # something bypasses the cut
        upper = keras.Model([activations, *whole.inputs], whole.output, name="upper")
    below = {part.name for part in lower.layers if part.weights}
    if both := [part.name for part in upper.layers if part.name in below]:
        raise ValueError(
            f"{encoder.name!r} cannot be cut at {layer!r}: what lies above reads {', '.join(both)} too. "
            "Take the last layer of a block."
        )
    return lower, upper


# ---------------------------------------------------------------- an estimator's settings and rows


class SharedByClones:
    """`sklearn.base.clone` of an estimator has the same encoder, which no fit changes, and not a copy of it."""

    def __sklearn_clone__(self):
        return type(self)(**self.get_params(deep=False))


class Tuned(SharedByClones, ClassifierMixin, BaseEstimator):
    """A classifier that takes the most probable class."""

    def predict(self, x):
        """Return the most probable class of each row: raw rows (n, ...) -> labels (n,)."""
        probabilities = self.predict_proba(x)  # which asks first whether it is fitted
        return self.classes_[probabilities.argmax(axis=1)]


def check_settings(estimator):
    """Raise ValueError where a setting of an estimator cannot be used."""
    if getattr(estimator, "weights", "random") not in ("pretrained", "random"):
        raise ValueError(f"weights is {estimator.weights!r}; set it to 'pretrained' or 'random'.")
    for name, least in (("batch_size", 1), ("updates", 0), ("pairs", 1)):
        if getattr(estimator, name, least) < least:
            raise ValueError(f"{name} is {getattr(estimator, name)!r}; set it to {least} or more.")
    if not getattr(estimator.encoder, "built", False):
        name = getattr(estimator.encoder, "name", estimator.encoder)
        raise ValueError(f"The encoder {name!r} is no Keras model that has weights yet; call it on one batch first.")


def seed_from(random_state):
    """Return the int that a `random_state` of scikit-learn stands for, or draw one from it."""
    if isinstance(random_state, numbers.Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def as_rows(estimator, x, reset=False):
    """Return an estimator's raw rows (n, ...) as an array; tables of numbers go through scikit-learn's checks."""
    if isinstance(x, list | tuple):  # NumPy's own strings would all be as long as the longest
        x = np.asarray(x, object if len(x) and isinstance(x[0], str | PurePath) else None)
    dimensions, kind = getattr(x, "ndim", 2), getattr(getattr(x, "dtype", None), "kind", "")
    prepared = estimator.preprocess is not None
    column = dimensions < 2 and (prepared or kind in ("O", "U"))  # paths, texts, whatever `preprocess` reads
    if not (column or dimensions > 2 or (prepared and kind == "O")):
        return validate_data(estimator, x, reset=reset)
    return check_array(x, dtype=None, ensure_2d=False, allow_nd=True, ensure_all_finite=False)


def labelled_rows(estimator, x, y):
    """Return a classifier's raw rows as an array and the number of each row's class in `classes_`, which this sets."""
    check_settings(estimator)
    x, y = as_rows(estimator, x, reset=True), column_or_1d(y, warn=True)
    check_consistent_length(x, y)
    check_classification_targets(y)
    estimator.classes_, y = np.unique(y, return_inverse=True)
    if len(estimator.classes_) < 2:
        only = estimator.classes_.tolist()[0]
        raise ValueError(f"{type(estimator).__name__} needs two classes; there is one class: {only!r}.")
    return x, y


# ---------------------------------------------------------------- rows -> inputs -> features


def as_inputs(x, preprocess=None):
    """Rows -> what the encoder reads: arrays, of which uint8, bool and other floats become float32."""

    def array(leaf):
        leaf = leaf if isinstance(leaf, np.ndarray) else keras.ops.convert_to_numpy(leaf)
        return leaf.astype("float32") if leaf.dtype.kind in "fb" or leaf.dtype == np.uint8 else leaf

    return keras.tree.map_structure(array, x if preprocess is None else preprocess(x))


def all_inputs(x, preprocess, batch_size=256):
    """Inputs of all rows; those that need no `preprocess` stay as they are (uint8 takes a quarter of the memory)."""
    if preprocess is None:
        return x
    chunks = [as_inputs(x[start : start + batch_size], preprocess) for start in range(0, len(x), batch_size)]
    return keras.tree.map_structure(lambda *leaves: np.concatenate(leaves), *chunks)


def take(inputs, rows):
    """Some rows of inputs: an array, or a structure of arrays."""
    return keras.tree.map_structure(lambda array: array[rows], inputs)


def forward(encoder, x, preprocess=None, batch_size=256, dtype="float32"):
    """Features of rows or inputs, in evaluation mode: (n, ...) -> (n, d); the last chunk is filled up to one shape."""
    n, features = len(keras.tree.flatten(x)[0]), None
    size = min(batch_size, n)
    # Compiling takes as long as some chunks, and makes the others faster by half.
    call = _Frozen(encoder).predict_on_batch if n > 10 * size else _Frozen(encoder)
    for start in range(0, n, size):
        rows = np.minimum(np.arange(start, start + size), n - 1)
        output = call(as_inputs(take(x, rows), preprocess))
        if isinstance(output, dict | list | tuple):
            names = f" ({', '.join(output)})" if isinstance(output, dict) else ""
            raise ValueError(
                f"The encoder gives {type(output).__name__} of several outputs{names}; "
                "make one of them the encoder: keras.Model(encoder.input, encoder.output[...])."
            )
        part = keras.ops.convert_to_numpy(output).astype("float32").reshape(size, -1)
        if features is None:
            features = np.empty((n, part.shape[1]), dtype)
        features[start : start + size] = part[: n - start]
    return features


class _Frozen(keras.Model):
    """An encoder in evaluation mode."""

    def __init__(self, encoder):
        super().__init__(name="frozen")
        self.encoder = encoder

    def call(self, x):
        return self.encoder(x, training=False)


def check_features(features, x, encoder):
    """Raise ValueError where features cannot be used; `x`, the rows, tells whether they differ (None: don't ask)."""
    if (bad := ~np.isfinite(features).all(axis=1)).any():
        raise ValueError(
            f"NaN or infinity in the features that come from the encoder {encoder.name!r}: {bad.sum():,} of "
            f"{len(bad):,} rows, the first is row {bad.argmax()}. Look for NaN in the rows and in the weights; train "
            "the encoder with a lower rate."
        )
    if x is None or len(features) < 2:
        return
    lowest, highest = features.min(axis=0), features.max(axis=0)  # no copies: activations can fill half the memory
    spread, largest = (highest - lowest).max(), max(-lowest.min(), highest.max())
    if spread <= 1e-6 * largest and any(not np.array_equal(row, x[0]) for row in x[1:]):
        raise ValueError(
            f"In all {len(features):,} rows, the encoder {encoder.name!r} gives every row the same features: it has "
            "collapsed. Train it again (a lower rate, other seeds, normalisation), or check that preprocess keeps the "
            "rows apart."
        )
