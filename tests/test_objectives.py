"""The contrastive objective against a plain loop, and at its edges.

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


class Pairs(keras.Model):
    """A network under NT-Xent, as the notebooks build them."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def call(self, pair):
        both = self.network(ops.concatenate(pair))
        return tuple(ops.split(both, 2))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return objectives.nt_xent(*y_pred)


def test_training_at_zero_embeddings_stays_finite():
    flat = [layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(4), layers.Dense(3, kernel_initializer="zeros")]
    model = Pairs(keras.Sequential(flat))
    model.compile(keras.optimizers.SGD(0.1))
    history = model.fit((images(8), images(8, seed=1)), batch_size=8, verbose=0).history
    assert history["loss"][0] == pytest.approx(math.log(15))  # all cosines are 0
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


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
