"""The contrastive objective: its loss against a plain loop, and an encoder that is really trained.

The file runs under whichever backend `KERAS_BACKEND` names; its last test runs it under the others.
"""

import importlib.util
import math
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers, ops
from numpy.testing import assert_allclose

from kpretrain import objectives

NESTED = "KPRETRAIN_NESTED_TESTS"
BACKEND = keras.backend.backend()


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def number(tensor):
    return float(ops.convert_to_numpy(tensor))


def loss_of(first, second, temperature=0.5):
    return number(objectives.nt_xent(ops.convert_to_tensor(first), ops.convert_to_tensor(second), temperature))


def embeddings(n, width, seed=0):
    return np.random.default_rng(seed).normal(size=(2, n, width)).astype("float32")


def images(n, size=8, channels=1, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, channels), dtype="uint8")


def loop(first, second, temperature, same_view=True):
    """NT-Xent row by row, as the paper writes it. Returns (loss, terms in each denominator)."""
    rows = [row / np.linalg.norm(row) for row in [*np.float64(first), *np.float64(second)]]
    n, losses, terms = len(first), [], []
    for i in range(2 * n):
        pair = (i + n) % (2 * n)
        others = [k for k in range(2 * n) if k != i and (same_view or (k < n) != (i < n))]
        exponentials = {k: math.exp(float(rows[i] @ rows[k]) / temperature) for k in others}
        losses.append(-math.log(exponentials[pair] / sum(exponentials.values())))
        terms.append(len(others))
    return sum(losses) / len(losses), terms


# ---------------------------------------------------------------- contrastive


@pytest.mark.parametrize(("n", "width", "temperature"), [(1, 3, 0.5), (5, 4, 0.5), (8, 16, 0.1), (3, 2, 5.0)])
def test_nt_xent_agrees_with_a_loop(n, width, temperature):
    first, second = embeddings(n, width)
    expected, terms = loop(first, second, temperature)
    assert set(terms) == {2 * n - 1}  # the positive and 2n - 2 negatives
    assert loss_of(first, second, temperature) == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("n", [2, 16])
def test_equal_embeddings_give_the_log_of_2n_minus_1(n):
    same = np.full((n, 4), 0.3, "float32")
    assert loss_of(same, same) == pytest.approx(math.log(2 * n - 1), rel=1e-6)


def test_negatives_of_the_same_view_count():
    n, temperature = 6, 0.5
    corners = np.eye(n, dtype="float32")  # all cosines are 0, but 1 with oneself and one's pair
    expected = math.log(math.exp(1 / temperature) + 2 * n - 2) - 1 / temperature
    assert loss_of(corners, corners, temperature) == pytest.approx(expected, rel=1e-6)
    # First views that agree among themselves and not with their pairs: across the views alone, this looks better.
    first = np.tile([1.0, 0.0], (n, 1)).astype("float32")
    second = np.stack([np.cos(np.arange(n)), np.sin(np.arange(n))], axis=1).astype("float32")
    across, _ = loop(first, second, temperature, same_view=False)
    assert loss_of(first, second, temperature) == pytest.approx(loop(first, second, temperature)[0], rel=1e-5)
    assert loss_of(first, second, temperature) > across + 0.3


def test_nt_xent_does_not_depend_on_order_views_or_length():
    first, second = embeddings(7, 5)
    order = np.random.default_rng(1).permutation(7)
    expected = pytest.approx(loss_of(first, second), rel=1e-5)
    assert loss_of(second, first) == expected
    assert loss_of(first[order], second[order]) == expected
    assert loss_of(first * 100, second * np.arange(1, 8, dtype="float32")[:, None]) == expected
    assert loss_of(first, second[order]) != expected


@pytest.mark.parametrize("length", [1.0, 1e-4, 6e4])
def test_float16_stays_finite_and_close(length):
    first, second = (length * embeddings(6, 4) / 4).astype("float16")  # 6e4 squared is no float16
    assert loss_of(first, second, 0.05) == pytest.approx(loop(first, second, 0.05)[0], rel=1e-3)


def test_nt_xent_is_half_of_keras_cvs_loss():
    if BACKEND != "tensorflow" or importlib.util.find_spec("keras_cv") is None:
        pytest.skip("keras_cv needs TensorFlow")
    from keras_cv.losses import SimCLRLoss

    first, second = embeddings(9, 6)
    assert float(SimCLRLoss(0.2)(first, second)) == pytest.approx(2 * loss_of(first, second, 0.2), rel=1e-5)


def evaluated(first, second, temperature=0.5):
    model = objectives.Contrastive(layers.Identity(), layers.Identity(), temperature)
    model.compile("sgd")
    return model.evaluate((first, second), batch_size=len(first), return_dict=True, verbose=0)


def test_contrastive_metrics_agree_with_a_loop():
    first, noise = embeddings(12, 3)
    second = first + 0.4 * noise
    rows = np.concatenate([first, second])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    nearest = [max((k for k in range(24) if k != i), key=lambda k, i=i: rows[i] @ rows[k]) for i in range(24)]
    right = np.mean([k == (i + 12) % 24 for i, k in enumerate(nearest)])
    assert 0.1 < right < 0.9
    got = evaluated(first, second, 0.3)
    assert got["loss"] == pytest.approx(loop(first, second, 0.3)[0], rel=1e-5)
    assert got["accuracy"] == pytest.approx(right)
    assert got["spread"] == pytest.approx(np.mean(rows.std(axis=0)) * math.sqrt(3), rel=1e-5)


def test_spread_tells_a_collapse():
    assert evaluated(*embeddings(400, 8))["spread"] == pytest.approx(1, abs=0.02)
    same = np.ones((20, 8), "float32")
    collapsed = evaluated(same, 2 * same)
    assert collapsed["spread"] == pytest.approx(0, abs=1e-6)
    assert collapsed["loss"] == pytest.approx(math.log(39), rel=1e-5)


def test_contrastive_training_at_zero_embeddings_stays_finite():
    flat = keras.Sequential([layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(4)])
    zero = layers.Dense(3, kernel_initializer="zeros")
    model = objectives.Contrastive(flat, zero)
    model.compile(keras.optimizers.SGD(0.1))
    history = model.fit((images(8), images(8, seed=1)), batch_size=8, verbose=0).history
    assert history["loss"][0] == pytest.approx(math.log(15))  # all cosines are 0
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_contrastive_refuses_what_is_no_pair():
    model = objectives.Contrastive(layers.Flatten(), layers.Dense(2))
    with pytest.raises(ValueError, match="two views"):
        model(images(4))
    with pytest.raises(ValueError, match="temperature is 0"):
        objectives.Contrastive(layers.Flatten(), layers.Dense(2), temperature=0)


def test_both_views_are_one_batch_and_losses_of_layers_count():
    seen = []

    class Record(layers.Layer):
        def call(self, x):
            seen.append(x.shape[0])
            return x

    dense = layers.Dense(2, kernel_regularizer=keras.regularizers.L2(0.1))
    model = objectives.Contrastive(keras.Sequential([Record(), layers.Flatten()]), dense)
    pair = (ops.cast(images(5), "float32"), ops.cast(images(5, seed=1), "float32"))
    projections = model(pair)
    assert seen[-1] == 10 and projections[0].shape == projections[1].shape == (5, 2)
    penalty = 0.1 * np.square(numpy(dense.kernel)).sum()
    plain = number(objectives.nt_xent(*projections, 0.5))
    assert number(model.compute_loss(pair, None, projections)) == pytest.approx(plain + penalty, rel=1e-5)


# ---------------------------------------------------------------- training and saving


def contrastive():
    parts = [keras.Input((8, 8, 1)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(8)]
    encoder = keras.Sequential(parts)
    return encoder, objectives.Contrastive(encoder, keras.Sequential([layers.Dense(4)]))


def test_the_loss_falls_and_the_given_encoder_is_the_trained_one():
    keras.utils.set_random_seed(0)
    encoder, model = contrastive()
    x = np.repeat(np.repeat(images(64, size=2), 4, axis=1), 4, axis=2)  # plain quarters: easy to tell apart
    before = [weight.copy() for weight in encoder.get_weights()]
    model.compile(keras.optimizers.Adam(0.01))
    losses = model.fit((x, np.maximum(x, 20)), batch_size=32, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0]
    assert model.encoder is encoder
    assert all((new != old).any() for new, old in zip(encoder.get_weights(), before, strict=True))


def test_a_trained_objective_saves_and_loads_whole(tmp_path):
    keras.utils.set_random_seed(0)
    _, model = contrastive()
    x = images(8)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit((x, x), epochs=1, verbose=0)
    expected = model((x, x), training=False)
    model.save(tmp_path / "model.keras")
    found = keras.models.load_model(tmp_path / "model.keras")((x, x), training=False)
    for one, other in zip(expected, found, strict=True):
        assert_allclose(numpy(other), numpy(one), atol=1e-6)


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_this_file_passes_under_the_other_backends(backend):
    if os.environ.get(NESTED) or backend == BACKEND:
        pytest.skip("this run is under that backend, or started by a run under another one")
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(Path(__file__))]
    run = subprocess.run(
        command,
        env={**os.environ, "KERAS_BACKEND": backend, NESTED: "1"},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
