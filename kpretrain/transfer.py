"""Reusing an encoder: frozen as a scikit-learn transformer (`Features`), or trained on as a classifier (`FineTune`).

An encoder is any keras.Model or Layer that turns inputs into one array of features. Both estimators take raw rows, such
as uint8 images or strings; `preprocess` turns them into what the encoder reads.
"""

import copy
import functools
import numbers
import threading
from collections import OrderedDict
from pathlib import PurePath

import keras
import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from . import files, source
from .fingerprint import blueprint, fingerprint, rows_fingerprint

_STEPS_PER_EXECUTION = 10  # updates between two returns to Python: small networks run faster
_MOST_NETWORKS = 6  # compiled networks kept for the next fit; the arms of 04 go round in five
_MOST_PARAMETERS = 60e6  # that they may have together: AdamW holds each of them three times

_networks = OrderedDict()  # key -> _Network, the last used at the end
_lock = threading.RLock()


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


def split(encoder, layer):
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
    """
    names = [part.name for part in getattr(encoder, "layers", [])]
    if layer not in names:
        raise ValueError(f"{encoder.name!r} has no layer {layer!r}; it has {', '.join(names)}.")
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


class Features(TransformerMixin, BaseEstimator):
    """Frozen features of raw rows, computed once and kept on disk.

    Parameters
    ----------
    encoder : keras.Model, keras.Layer or None
        Gives one array; more than two dimensions are flattened. None gives the rows themselves, flattened and
        not scaled: the raw-pixel baseline.
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
    encoder_ : keras.Model, keras.Layer or None
        What gives the features.
    n_features_in_ : int
        Columns of the rows, where they are a table of numbers.
    """

    def __init__(
        self, encoder=None, *, preprocess=None, weights="pretrained", batch_size=256, cache=True, random_state=None
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
        _check_settings(self)
        _rows(self, x, reset=True)
        random = self.encoder is not None and self.weights == "random"
        self.encoder_ = fresh(self.encoder, _seed(self.random_state)) if random else self.encoder
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
        x = _rows(self, x)
        path = self._cache_path(x)
        if path and (kept := _read_features(path, len(x))) is not None:
            return kept
        features = _forward(self.encoder_, x, self.preprocess, self.batch_size)
        _check_features(features, x, self.encoder_)
        if path is None:
            return features
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with files.replacing(path) as temporary, temporary.open("wb") as file:
                np.save(file, features, allow_pickle=False)
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except OSError as error:
            print(
                f"{path.parent}: the cache cannot be written ({error.strerror}), so these features will be computed "
                "again next time. Set KPRETRAIN_CACHE to a folder that can."
            )
            return features

    def _cache_path(self, x):
        """The file of these features, or None where there is nothing worth keeping or no stable key."""
        if not self.cache or self.encoder_ is None:
            return None
        try:
            made_by = [keras.backend.backend(), source.origin(keras.backend.backend()), _forward]
            key = fingerprint([made_by, self.encoder_, self.preprocess, rows_fingerprint(x)])
        except TypeError as error:
            print(f"Features: computed without the cache. {error}")
            return None
        return files.cache_folder() / "features" / f"{key}.npy"


class FineTune(ClassifierMixin, BaseEstimator):
    """A classifier: an encoder and a softmax head, trained together for a fixed number of updates.

    A pretrained encoder first gets a head that fits its frozen features (a logistic regression), so that the first
    updates do not spoil it (Kumar et al. 2022, https://arxiv.org/abs/2202.10054), and its BatchNormalization layers
    keep their statistics and weights. From scratch both start at random, and BatchNormalization trains. AdamW, a
    warm-up over a tenth of the updates, then a cosine decay to zero; biases and the scales of normalisations do not
    decay (their variables must be named bias, gamma or beta, as Keras names them). No
    validation rows are taken, and no epoch is chosen: the last weights count.

    With `freeze_until` only what lies above that layer trains. The layers below give the same activations in each
    pass, so they are run once, and kept on disk as `Features` keeps its own. With `augment` the rows differ in each
    pass, so that the frozen layers run in each update too.

    Parameters
    ----------
    encoder : keras.Model, keras.Layer or None
        Copied, never changed. None leaves the head alone, on flattened and standardised rows.
    preprocess : callable, optional
        Raw rows -> the encoder's inputs, an array or a dict of arrays; called once, on chunks of rows.
    augment : keras.Layer or keras.Model, optional
        Stands in front of the encoder in training only.
    weights : {"pretrained", "random"}
        "random" trains from scratch, from `fresh(encoder, random_state)`.
    head_first : bool
        Fit the head before the encoder moves; for pretrained weights only.
    freeze_until : str, optional
        The name of a layer, as in `split`: it and all below stay as they are. For pretrained weights only.
    cache : bool
        Keep the activations of the frozen layers, as `Features` does.
    updates : int
        0 leaves the head on the frozen encoder.
    batch_size : int
        Rows in an update, always full: rows are shuffled anew for each pass, and passes follow without a gap.
    learning_rate, weight_decay : float
    random_state : int, RandomState instance or None
        Draws weights, batches, dropout and augmentation.

    Attributes
    ----------
    classes_ : ndarray of shape (classes,)
    encoder_ : keras.Model, keras.Layer or None
        The trained copy.
    coef_, intercept_ : ndarray of shape (d, classes), (classes,)
        The head: logits = features @ coef_ + intercept_.
    history_ : dict of list
        "update" and the mean training "loss" since the one before.
    n_features_in_ : int
        Columns of the rows, where they are a table of numbers.
    """

    def __init__(
        self,
        encoder=None,
        *,
        preprocess=None,
        augment=None,
        weights="pretrained",
        head_first=True,
        freeze_until=None,
        cache=True,
        updates=300,
        batch_size=64,
        learning_rate=1e-3,
        weight_decay=1e-4,
        random_state=None,
    ):
        self.encoder = encoder
        self.preprocess = preprocess
        self.augment = augment
        self.weights = weights
        self.head_first = head_first
        self.freeze_until = freeze_until
        self.cache = cache
        self.updates = updates
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.random_state = random_state

    def fit(self, x, y):
        """Train on raw rows `x` (n rows) with labels `y` (n,). Returns self.

        Raises
        ------
        ValueError
            If there is one class only, the encoder gives no usable features, it has no layer `freeze_until` to be cut
            at, or the loss becomes NaN.
        """
        _check_settings(self)
        x, y = _rows(self, x, y, reset=True)
        self.classes_, y = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"FineTune needs at least 2 classes; all labels here are of one class, {self.classes_.tolist()[0]!r}."
            )
        seed = _seed(self.random_state)
        random = np.random.default_rng(seed)
        pretrained = self.encoder is not None and self.weights == "pretrained"
        if self.freeze_until and not pretrained:
            raise ValueError(f"freeze_until is {self.freeze_until!r}, and there are no pretrained weights to freeze.")
        frozen = ()
        if self.encoder is None:
            encoder = body = None
            scaler = StandardScaler()
            raw = x if self.preprocess is None else _inputs(x, self.preprocess)
            inputs = scaler.fit_transform(_flat(raw)).astype("float32").reshape(raw.shape)
        else:
            # copy.deepcopy keeps type and weights; keras.models.clone_model would draw new weights.
            encoder = body = copy.deepcopy(self.encoder) if pretrained else fresh(self.encoder, seed)
            if self.freeze_until:
                self._parts = lower, upper = split(encoder, self.freeze_until)
            if self.freeze_until and self.augment is None:
                body, inputs = upper, self._above(x)
            else:
                inputs = _all_inputs(x, self.preprocess)
                frozen = tuple(layer.name for layer in lower.layers) if self.freeze_until else ()
        if pretrained and self.head_first:
            features = _forward(body, inputs)
            _check_features(features, x, self.encoder)
            head = _probe(features, y)
        else:
            width = _forward(body, keras.tree.map_structure(lambda array: array[:1], inputs)).shape[1]
            draw = keras.initializers.GlorotUniform(seed=int(random.integers(2**31)))
            head = [
                keras.ops.convert_to_numpy(draw((width, len(self.classes_)))),
                np.zeros(len(self.classes_), "float32"),
            ]
        self.history_ = {"update": [], "loss": []}
        if self.updates:
            order = _batches(len(y), self.updates, self.batch_size, random)
            with _lock:
                network = _compiled(body, self.augment, inputs, head, pretrained, frozen, self)
                network.restart(body, head, random)
                network.run(_Batches(inputs, y, order), self.history_)
                head = network.head.get_weights()
                if body is not None:
                    body.set_weights(network.encoder.get_weights())
                if self.freeze_until:  # parts and whole agree
                    for layer in upper.layers:
                        source, target = (upper, encoder) if body is upper else (encoder, upper)
                        if layer.weights:
                            target.get_layer(layer.name).set_weights(source.get_layer(layer.name).get_weights())
        if encoder is None:  # fold the standardisation in: the head reads the rows as they come
            head = _unscaled(*head, scaler)
        self.encoder_, (self.coef_, self.intercept_) = encoder, head
        return self

    def _above(self, x):
        """What the part above the frozen layers reads, for rows `x`."""
        lower, upper = self._parts
        shape = lower(_inputs(x[:1], self.preprocess), training=False).shape[1:]
        frozen = Features(lower, preprocess=self.preprocess, cache=self.cache)
        activations = frozen.fit_transform(x).reshape(-1, *shape)
        if len(upper.inputs) == 1:
            return activations
        return (activations, *keras.tree.flatten(_all_inputs(x, self.preprocess)))

    def predict_proba(self, x):
        """Return the probabilities of the classes: raw rows (n, ...) -> float64 (n, classes)."""
        check_is_fitted(self, "coef_")
        x = _rows(self, x)
        if self.freeze_until and len(x):
            features = _forward(self._parts[1], self._above(x), dtype="float64")
        else:
            features = _forward(self.encoder_, x, self.preprocess, dtype="float64")
        _check_features(features, None, self.encoder_)
        return softmax(features @ np.asarray(self.coef_, "float64") + self.intercept_, axis=1)

    def predict(self, x):
        """Return the most probable class of each row: raw rows (n, ...) -> labels (n,)."""
        probabilities = self.predict_proba(x)
        return self.classes_[probabilities.argmax(axis=1)]


# ---------------------------------------------------------------- rows, inputs, features


def _check_settings(estimator):
    if estimator.weights not in ("pretrained", "random"):
        raise ValueError(f"weights is {estimator.weights!r}; set it to 'pretrained' or 'random'.")
    for name, least in (("batch_size", 1), ("updates", 0)):
        if getattr(estimator, name, least) < least:
            raise ValueError(f"{name} is {getattr(estimator, name)!r}; set it to {least} or more.")
    if estimator.encoder is not None and not estimator.encoder.built:
        raise ValueError(f"The encoder {estimator.encoder.name!r} has no weights yet; call it on one batch first.")


def _seed(random_state):
    if isinstance(random_state, numbers.Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def _rows(estimator, x, y=None, reset=False):
    """Raw rows as an array, and labels if wanted. Tables of numbers go through scikit-learn's checks."""
    if isinstance(x, list | tuple) and len(x) and isinstance(x[0], str | PurePath):
        texts, x = x, np.empty(len(x), object)  # NumPy's own strings would all be as long as the longest
        x[:] = texts
    elif isinstance(x, list | tuple):
        x = np.asarray(x)
    read_by_encoder = estimator.encoder is not None or estimator.preprocess is not None
    no_table = getattr(x, "ndim", 2) != 2 or getattr(getattr(x, "dtype", None), "kind", "") == "O"
    with_labels = reset and isinstance(estimator, ClassifierMixin)
    if no_table and (read_by_encoder or getattr(x, "ndim", 2) > 2):
        x = np.asarray(x)
        if not len(x):
            raise ValueError("There are no rows: found array with 0 samples.")
        if not with_labels:
            return x
        y = column_or_1d(y, warn=True)
        check_consistent_length(x, y)
    elif with_labels:
        x, y = validate_data(estimator, x, y, reset=reset)
    else:
        return validate_data(estimator, x, reset=reset)
    check_classification_targets(y)
    return x, y


def _inputs(x, preprocess):
    """Rows -> what the encoder reads: arrays, of which uint8, bool and other floats become float32."""

    def array(leaf):
        leaf = leaf if isinstance(leaf, np.ndarray) else keras.ops.convert_to_numpy(leaf)
        return leaf.astype("float32") if leaf.dtype.kind in "fb" or leaf.dtype == np.uint8 else leaf

    return keras.tree.map_structure(array, x if preprocess is None else preprocess(x))


def _all_inputs(x, preprocess, batch_size=256):
    """Inputs of all rows; those that need no `preprocess` stay as they are (uint8 takes a quarter of the memory)."""
    if preprocess is None:
        return x
    chunks = [_inputs(x[start : start + batch_size], preprocess) for start in range(0, len(x), batch_size)]
    return keras.tree.map_structure(lambda *leaves: np.concatenate(leaves), *chunks)


def _flat(array):
    """(n, ...) -> (n, d)."""
    return array.reshape(len(array), -1)


def _take(inputs, rows):
    return keras.tree.map_structure(lambda array: array[rows], inputs)


def _forward(encoder, x, preprocess=None, batch_size=256, dtype="float32"):
    """Features of rows or inputs, in evaluation mode: (n, ...) -> (n, d); the last chunk is filled up to one shape."""
    if encoder is None:
        return _flat(x if preprocess is None else _inputs(x, preprocess)).astype(dtype)
    n, features = len(keras.tree.flatten(x)[0]), None
    size = min(batch_size, n)
    # Compiling takes as long as some chunks, and makes the others faster by half.
    call = _Frozen(encoder).predict_on_batch if n > 10 * size else functools.partial(encoder, training=False)
    for start in range(0, n, size):
        rows = np.minimum(np.arange(start, start + size), n - 1)
        output = call(_inputs(_take(x, rows), preprocess))
        if isinstance(output, dict | list | tuple):
            names = f" ({', '.join(output)})" if isinstance(output, dict) else ""
            raise ValueError(
                f"The encoder gives {type(output).__name__} of several outputs{names}; "
                "make one of them the encoder: keras.Model(encoder.input, encoder.output[...])."
            )
        part = _flat(keras.ops.convert_to_numpy(output).astype("float32"))
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


def _check_features(features, x, encoder):
    """Raise where features cannot be used; `x`, the rows, tells whether they differ (None: don't ask)."""
    name = "the rows" if encoder is None else f"the encoder {encoder.name!r}"
    if (bad := ~np.isfinite(features).all(axis=1)).any():
        raise ValueError(
            f"NaN or infinity in the features that come from {name}: {bad.sum():,} of {len(bad):,} rows, the first is "
            f"row {bad.argmax()}. Look for NaN in the rows and in the weights; train the encoder with a lower rate."
        )
    if x is None or encoder is None or len(features) < 2:
        return
    lowest, highest = features.min(axis=0), features.max(axis=0)  # no copies: activations can fill half the memory
    spread, largest = (highest - lowest).max(), max(-lowest.min(), highest.max())
    if spread <= 1e-6 * largest and any(not np.array_equal(row, x[0]) for row in x[1:]):
        raise ValueError(
            f"In all {len(features):,} rows, {name} gives every row the same features: it has collapsed. "
            "Train it again (a lower rate, other seeds, normalisation), or check that preprocess keeps the rows apart."
        )


def _read_features(path, n):
    """The cached features of n rows, or None."""
    try:
        kept = np.load(path, mmap_mode="r", allow_pickle=False)
        if kept.dtype == np.float32 and kept.ndim == 2 and len(kept) == n:
            return kept
        reason = f"{kept.dtype} {kept.shape}"
    except (FileNotFoundError, NotADirectoryError):
        return None  # the first time
    except (OSError, ValueError, EOFError) as error:
        reason = type(error).__name__
    print(f"{path}: the cached features cannot be read ({reason}); computing them again.")
    return None


# ---------------------------------------------------------------- training


def _probe(features, y):
    """A logistic regression on standardised features (n, d), as a head for the features as they are."""
    features, scaler = features.astype("float64"), StandardScaler()
    scaler.fit(features)
    # A feature that only rounding moves, as some of MiniLM's, would get a coefficient of any size.
    scaler.scale_[scaler.scale_ < 1e-6 * scaler.scale_.max()] = 1
    probe = LogisticRegression(max_iter=1000).fit(scaler.transform(features), y)
    coef, intercept = probe.coef_.T, probe.intercept_
    if coef.shape[1] == 1:  # two classes: one logit becomes two, half of it each
        coef, intercept = np.hstack([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
    return _unscaled(coef, intercept, scaler)


def _unscaled(coef, intercept, scaler):
    """The head on x that equals this head on (x - mean) / scale."""
    coef = coef / scaler.scale_[:, None]
    return [coef, intercept - scaler.mean_ @ coef]


def _batches(n, updates, batch_size, random):
    """Row numbers (updates, batch_size): passes over all rows, each in an order of its own, cut into full batches."""
    passes = -(-updates * batch_size // n)
    order = np.concatenate([random.permutation(n) for _ in range(passes)])
    return order[: updates * batch_size].reshape(updates, batch_size)


class _Batches(keras.utils.PyDataset):
    def __init__(self, inputs, y, order):
        super().__init__()
        self.inputs, self.y, self.order = inputs, y.astype("int32"), order

    def __len__(self):
        return len(self.order)

    def __getitem__(self, update):
        rows = self.order[update]
        return _inputs(_take(self.inputs, rows), None), self.y[rows]


class _Network(keras.Model):
    """Augmentation, encoder and head, compiled once and used by many fits: each starts it anew."""

    def __init__(self, encoder, augment, classes, width, hold, frozen):
        super().__init__(name="network")
        self.augment, self.encoder = copy.deepcopy(augment), copy.deepcopy(encoder)
        self.width, self.head = width, keras.layers.Dense(classes, dtype="float32")
        if augment is not None:
            self.augment.trainable = False  # its weights, if any, belong to the key of this network
        if encoder is None:
            return
        # One by one: a frozen Sequential inside a loaded model passes trainable=True on to none of its layers.
        # BatchNormalization last, in effect: training=False would not hold it, trainable=False does.
        for layer in self.encoder._flatten_layers():
            layer.trainable = True
        for layer in self.encoder._flatten_layers() if hold else ():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
        for name in frozen:
            for layer in self.encoder.get_layer(name)._flatten_layers():
                layer.trainable = False

    def call(self, x, training=None):
        for layer in (self.augment, self.encoder):
            x = x if layer is None else layer(x, training=training)  # JAX passes it on to no layer by itself
        return self.head(keras.ops.reshape(keras.ops.cast(x, "float32"), (-1, self.width)))  # (n, ...) -> (n, classes)

    def restart(self, encoder, head, random):
        """Put weights, optimizer and random states where a fit starts, so that nothing remains of an earlier one."""
        if encoder is not None:
            self.encoder.set_weights(encoder.get_weights())
        self.head.set_weights(head)
        for variable in self.optimizer.variables:
            variable.assign(np.zeros(variable.shape))
        self.seed = int(random.integers(2**31))
        weights = {id(variable) for variable in self.weights}
        for variable in self.variables:  # what is no weight is the state of a random generator: a seed and a counter
            if id(variable) not in weights:
                variable.assign(np.array([random.integers(2**31), 0], "uint32"))

    def run(self, batches, history):
        self.fit(batches, epochs=1, shuffle=False, verbose=0, callbacks=[_Watch(history)])
        done, losses = history["update"][-1], history["loss"]
        whole = all(np.isfinite(array).all() for array in self.get_weights() if array.dtype.kind == "f")
        if not np.isfinite(losses[-1]) or not whole:
            raise ValueError(
                f"The loss became NaN or infinite after {done} of {len(batches)} updates; lower learning_rate "
                f"(it is {float(self.rate):g}), and look for values out of all proportion in the inputs."
            )


class _Watch(keras.callbacks.Callback):
    """Writes the loss down, and stops at the first that is not finite."""

    def __init__(self, history):
        super().__init__()
        self.history, self.done, self.total = history, 0, 0.0

    def on_train_begin(self, logs=None):
        if keras.backend.backend() == "torch":  # dropout there draws from Torch's own generator
            keras.utils.set_random_seed(self.model.seed)

    def on_train_batch_end(self, batch, logs=None):
        done = min(batch + 1, self.params["steps"])  # the last execution may hold fewer updates
        total = float(logs["loss"]) * done  # Keras gives the mean of all updates so far
        self.history["update"].append(done)
        self.history["loss"].append((total - self.total) / (done - self.done))
        self.done, self.total = done, total
        if not np.isfinite(total):
            self.model.stop_training = True


def _compiled(encoder, augment, inputs, head, hold, frozen, settings):
    """A compiled network of this architecture and code: one of an earlier fit (tracing takes seconds), or a new one."""
    updates, rate, decay = settings.updates, float(settings.learning_rate), float(settings.weight_decay)
    width, classes = head[0].shape
    shapes = keras.tree.map_structure(lambda array: (array.shape[1:], str(array.dtype)), inputs)
    try:
        body = None if encoder is None else [blueprint(encoder), _statistics(encoder)]
        key = fingerprint([body, augment, repr(shapes), width, classes, hold, frozen, updates, rate, decay])
    except TypeError as error:
        print(f"FineTune: a network that is compiled anew for each fit. {error}")
        key = None
    if key in _networks:
        _networks.move_to_end(key)
        return _networks[key]
    network = _Network(encoder, augment, classes, width, hold, frozen)
    warm_up = updates // 10
    schedule = keras.optimizers.schedules.CosineDecay(
        rate / (warm_up + 1) if warm_up else rate,
        decay_steps=updates - warm_up,
        warmup_target=rate if warm_up else None,
        warmup_steps=warm_up,
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    network.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        steps_per_execution=1 if keras.backend.backend() == "torch" else min(_STEPS_PER_EXECUTION, updates),
    )
    network.rate = rate
    network(_inputs(_take(inputs, slice(0, 1)), None), training=False)  # builds what is not built yet
    optimizer.build(network.trainable_variables)
    if key is None:  # another network could not be told from this one
        return network
    _networks[key] = network
    while len(_networks) > _MOST_NETWORKS or (len(_networks) > 1 and _parameters() > _MOST_PARAMETERS):
        _networks.popitem(last=False)
    return network


def _parameters():
    return sum(network.count_params() for network in _networks.values())


def _statistics(layer):
    """The states of Normalization layers, which a compiled network holds as constants."""
    return [part.get_weights() for part in layer._flatten_layers() if isinstance(part, keras.layers.Normalization)]
