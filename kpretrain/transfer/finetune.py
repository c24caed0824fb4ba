"""Fine-tuning: an encoder and a softmax head, trained together, as a scikit-learn classifier."""

import copy
import threading
from collections import OrderedDict

import keras
import numpy as np
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from ..fingerprint import fingerprint, structure
from . import encoders
from .features import Features

_STEPS_PER_EXECUTION = 10  # updates between two returns to Python: small networks run faster
_MOST_NETWORKS = 6  # compiled networks kept for the next fit
_MOST_PARAMETERS = 60e6  # that they may have together: AdamW holds each of them three times

_networks = OrderedDict()  # key -> _Network, the last used at the end
_lock = threading.RLock()


class FineTune(encoders.Tuned):
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
    encoder : keras.Model or keras.Layer
        Copied, never changed.
    preprocess : callable, optional
        Raw rows -> the encoder's inputs, an array or a dict of arrays; called once, on chunks of rows.
    augment : keras.Layer or keras.Model, optional
        Stands in front of the encoder in training only.
    weights : {"pretrained", "random"}
        "random" trains from scratch, from `fresh(encoder, random_state)`.
    head_first : bool
        Fit the head before the encoder moves; for pretrained weights only.
    freeze_until : str, optional
        The name of a layer, as in `cut_encoder`: it and all below stay as they are. For pretrained weights only.
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
    encoder_ : keras.Model or keras.Layer
        The trained copy.
    coef_, intercept_ : ndarray of shape (d, classes), (classes,)
        The head: logits = features @ coef_ + intercept_.
    history_ : dict of list
        "update" and the mean training "loss" since the one before.
    n_features_in_ : int
        Columns of the rows, where they are a table of numbers.

    Examples
    --------
    >>> import keras, kpretrain as kp
    >>> digits = kp.data.load("digits")  # doctest: +ELLIPSIS
    digits: ...
    >>> inputs = keras.Input((28, 28, 1))
    >>> flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    >>> encoder = keras.Model(inputs, keras.layers.Dense(32, "relu")(flat))  # (n, 28, 28, 1) -> (n, 32)
    >>> scratch = kp.FineTune(encoder, weights="random", updates=40, learning_rate=0.01, random_state=0)
    >>> scratch.fit(*digits.train).predict_proba(digits.test.x[:5]).shape
    (5, 10)
    >>> scratch.history_["update"]
    [10, 20, 30, 40]
    >>> scratch.score(*digits.test) > 0.8
    True
    """

    def __init__(
        self,
        encoder,
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
        x, y = encoders.labelled_rows(self, x, y)
        pretrained = self.weights == "pretrained"
        if self.freeze_until and not pretrained:
            raise ValueError(f"freeze_until is {self.freeze_until!r}, and there are no pretrained weights to freeze.")
        seed = encoders.seed_from(self.random_state)
        random = np.random.default_rng(seed)
        # copy.deepcopy keeps type and weights; keras.models.clone_model would draw new weights.
        encoder = copy.deepcopy(self.encoder) if pretrained else encoders.fresh(self.encoder, seed)
        if self.freeze_until:
            self._parts = lower, upper = encoders.cut_encoder(encoder, self.freeze_until)
        once = bool(self.freeze_until) and self.augment is None  # the frozen layers run once, before the training
        body, inputs = (upper, self._above(x)) if once else (encoder, encoders.all_inputs(x, self.preprocess))
        frozen = () if once or not self.freeze_until else tuple(layer.name for layer in lower.layers)
        if pretrained and self.head_first:
            features = encoders.forward(body, inputs)
            encoders.check_features(features, x, self.encoder)
            head = _probe(features, y)
        else:
            shape = encoders.forward(body, encoders.take(inputs, slice(0, 1))).shape[1], len(self.classes_)
            draw = keras.initializers.GlorotUniform(seed=int(random.integers(2**31)))
            head = [keras.ops.convert_to_numpy(draw(shape)), np.zeros(shape[1], "float32")]
        self.history_ = {"update": [], "loss": []}
        if self.updates:
            order = _batches(len(y), self.updates, self.batch_size, random)
            with _lock:
                network = _compiled(self, body, inputs, head[0].shape, frozen)
                network.restart(self.learning_rate, body, head, random)
                self.history_ = network.run(inputs, y, order)
                head = network.head.get_weights()
                body.set_weights(network.encoder.get_weights())
            if self.freeze_until:  # parts and whole agree
                trained, other = (upper, encoder) if once else (encoder, upper)
                for name in [layer.name for layer in upper.layers if layer.weights]:
                    other.get_layer(name).set_weights(trained.get_layer(name).get_weights())
        self.encoder_, (self.coef_, self.intercept_) = encoder, head
        return self

    def _above(self, x):
        """What the part above the frozen layers reads, for rows `x`."""
        lower, upper = self._parts
        shape = lower(encoders.as_inputs(x[:1], self.preprocess), training=False).shape[1:]
        frozen = Features(lower, preprocess=self.preprocess, cache=self.cache)
        activations = frozen.fit_transform(x).reshape(-1, *shape)
        if len(upper.inputs) == 1:
            return activations
        return (activations, *keras.tree.flatten(encoders.all_inputs(x, self.preprocess)))

    def predict_proba(self, x):
        """Return the probabilities of the classes: raw rows (n, ...) -> float64 (n, classes)."""
        check_is_fitted(self, "coef_")
        x = encoders.as_rows(self, x)
        if self.freeze_until:
            features = encoders.forward(self._parts[1], self._above(x), dtype="float64")
        else:
            features = encoders.forward(self.encoder_, x, self.preprocess, dtype="float64")
        encoders.check_features(features, None, self.encoder_)
        return softmax(features @ np.asarray(self.coef_, "float64") + self.intercept_, axis=1)


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
    coef = coef / scaler.scale_[:, None]
    return [coef, intercept - scaler.mean_ @ coef]  # on x what that head is on (x - mean) / scale


def _batches(n, updates, batch_size, random):
    """Row numbers (updates, batch_size): passes over all rows, each in an order of its own, cut into full batches."""
    passes = -(-updates * batch_size // n)
    order = np.concatenate([random.permutation(n) for _ in range(passes)])
    return order[: updates * batch_size].reshape(updates, batch_size)


def _normalizations(encoder):
    """The BatchNormalization layers of an encoder, in a list."""
    return [layer for layer in encoder._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]


class _Network(keras.Model):
    """Augmentation, encoder and head, compiled once and used by many fits: each starts it anew."""

    def __init__(self, settings, encoder, head_shape, frozen):
        super().__init__(name="network")
        self.augment, self.encoder = copy.deepcopy(settings.augment), copy.deepcopy(encoder)
        self.width, classes = head_shape
        self.head = keras.layers.Dense(classes, dtype="float32")
        if self.augment is not None:
            self.augment.trainable = False  # its weights, if any, belong to the key of this network
        # One by one: a frozen Sequential inside a loaded model passes trainable=True on to none of its layers.
        # BatchNormalization last, in effect: training=False would not hold it, trainable=False does.
        for layer in self.encoder._flatten_layers():
            layer.trainable = True
        held = _normalizations(self.encoder) if settings.weights == "pretrained" else []
        held += [part for name in frozen for part in self.encoder.get_layer(name)._flatten_layers()]
        for layer in held:
            layer.trainable = False
        # Variables, so that an arm of another learning rate uses this network, too.
        self.warm_up = settings.updates // 10
        first, peak = (keras.Variable(0.0, trainable=False, dtype="float32") for _ in range(2))
        self.schedule = keras.optimizers.schedules.CosineDecay(
            first,
            settings.updates - self.warm_up,
            warmup_target=peak if self.warm_up else None,
            warmup_steps=self.warm_up,
        )
        optimizer = keras.optimizers.AdamW(self.schedule, weight_decay=float(settings.weight_decay))
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        at_once = 1 if keras.backend.backend() == "torch" else min(_STEPS_PER_EXECUTION, settings.updates)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.compile(optimizer, loss, steps_per_execution=at_once)

    def call(self, x, training=None):
        if self.augment is not None:
            x = self.augment(x, training=training)
        x = self.encoder(x, training=training)  # JAX passes it on to no layer by itself
        return self.head(keras.ops.reshape(keras.ops.cast(x, "float32"), (-1, self.width)))  # (n, ...) -> (n, classes)

    def restart(self, rate, encoder, head, random):
        """Put rate, weights, optimizer and random states where a fit starts: nothing remains of an earlier one."""
        self.rate = float(rate)
        self.schedule.initial_learning_rate.assign(self.rate / (self.warm_up + 1))
        if self.warm_up:
            self.schedule.warmup_target.assign(self.rate)
        self.encoder.set_weights(encoder.get_weights())
        self.head.set_weights(head)
        for variable in self.optimizer.variables:
            variable.assign(np.zeros(variable.shape))
        self.seed = int(random.integers(2**31))
        weights = {id(variable) for variable in self.weights}
        for variable in self.variables:  # what is no weight is the state of a random generator: a seed and a counter
            if id(variable) not in weights:
                variable.assign(np.array([random.integers(2**31), 0], "uint32"))

    def run(self, inputs, y, order):
        """Make an update with each row of `order`; returns their numbers and the mean loss since the one before."""
        seen = []  # updates so far, and the mean loss of them all

        def reseed(logs):  # PyTorch's dropout draws from its own generator, and a first fit draws before it trains
            if keras.backend.backend() == "torch":
                keras.utils.set_random_seed(self.seed)

        note = keras.callbacks.LambdaCallback(
            on_train_begin=reseed,
            on_train_batch_end=lambda batch, logs: seen.append([batch + 1, float(logs["loss"])]),
        )
        batches = ((encoders.as_inputs(encoders.take(inputs, rows)), y[rows].astype("int32")) for rows in order)
        stop = keras.callbacks.TerminateOnNaN()
        self.fit(batches, steps_per_epoch=len(order), shuffle=False, verbose=0, callbacks=[note, stop])
        done, means = np.array(seen).T
        done = np.minimum(done, len(order)).astype(int)  # the last execution may hold fewer updates
        losses = np.diff(done * means, prepend=0) / np.diff(done, prepend=0)
        whole = all(np.isfinite(array).all() for array in self.get_weights() if array.dtype.kind == "f")
        if not np.isfinite(losses[-1]) or not whole:
            raise ValueError(
                f"The loss became NaN or infinite after {done[-1]} of {len(order)} updates; lower learning_rate "
                f"(it is {self.rate:g}), and look for values out of all proportion in the inputs."
            )
        return {"update": done.tolist(), "loss": losses.tolist()}


def _compiled(settings, encoder, inputs, head_shape, frozen):
    """A compiled network of this architecture and code: one of an earlier fit (tracing takes seconds), or a new one."""
    shapes = keras.tree.map_structure(lambda array: (array.shape[1:], str(array.dtype)), inputs)
    # Weights are set for each fit, but these are constants of a compiled network.
    states = [part.get_weights() for part in encoder._flatten_layers() if isinstance(part, keras.layers.Normalization)]
    constants = [getattr(settings, name) for name in ("augment", "updates", "weight_decay")]
    constants.append(settings.weights == "pretrained" and bool(_normalizations(encoder)))  # they are held
    constants.append(keras.backend.backend() == "jax" and settings.learning_rate)  # JAX takes the rate for a constant
    try:
        key = fingerprint([structure(encoder), states, repr(shapes), head_shape, frozen, constants])
    except TypeError as error:  # another network could not be told from this one
        print(f"FineTune: a network that is compiled anew for each fit. {error}")
        key = None
    if key in _networks:
        _networks.move_to_end(key)
        return _networks[key]
    network = _Network(settings, encoder, head_shape, frozen)
    network(encoders.as_inputs(encoders.take(inputs, slice(0, 1))), training=False)  # builds what is not built yet
    network.optimizer.build(network.trainable_variables)
    if key:
        _networks[key] = network
    while len(_networks) > _MOST_NETWORKS or (len(_networks) > 1 and _parameters() > _MOST_PARAMETERS):
        _networks.popitem(last=False)
    return network


def _parameters():
    return sum(network.count_params() for network in _networks.values())
