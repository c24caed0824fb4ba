"""Objectives: losses against plain loops, masks and patches in their places, and encoders that are really trained.

The file runs under whichever backend `KERAS_BACKEND` names; its last test runs it under the others.
"""

import copy
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
from numpy.testing import assert_allclose, assert_array_equal

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
        return both[: len(both) // 2], both[len(both) // 2 :]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return objectives.nt_xent(*y_pred)


def test_training_at_zero_embeddings_stays_finite():
    flat = [layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(4), layers.Dense(3, kernel_initializer="zeros")]
    model = Pairs(keras.Sequential(flat))
    model.compile(keras.optimizers.SGD(0.1))
    history = model.fit((images(8), images(8, seed=1)), batch_size=8, verbose=0).history
    assert history["loss"][0] == pytest.approx(math.log(15))  # all cosines are 0
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


# ---------------------------------------------------------------- reconstruction and denoising


class Blacken(layers.Layer):
    def call(self, x, training=None):
        return ops.zeros_like(x) if training else x


def test_reconstruction_aims_at_the_scaled_image():
    model = objectives.Reconstruction(layers.Rescaling(1 / 255), layers.Identity())
    x = images(6)
    for rows in (x, x.astype("float32")):
        rows = ops.convert_to_tensor(rows)
        assert number(model.compute_loss(rows, None, model(rows))) == pytest.approx(0, abs=1e-12)
        half = ops.full(x.shape, 0.5)
        expected = np.mean((x / 255 - 0.5) ** 2)
        assert number(model.compute_loss(rows, None, half)) == pytest.approx(expected, rel=1e-5)


def test_denoising_aims_at_the_clean_image():
    model = objectives.Reconstruction(layers.Rescaling(1 / 255), layers.Identity(), corrupt=Blacken())
    x = ops.convert_to_tensor(images(6))
    corrupted = model(x, training=True)
    assert_array_equal(numpy(corrupted), 0)  # the encoder saw the corrupted image
    assert number(model.compute_loss(x, None, corrupted)) == pytest.approx(np.mean((images(6) / 255) ** 2), rel=1e-5)
    model.compile("sgd")
    assert model.evaluate(images(6), verbose=0) == pytest.approx(0, abs=1e-12)  # evaluation does not corrupt
    black = np.zeros(images(6).shape, "float32")
    assert model.evaluate(black, images(6), verbose=0) == pytest.approx(np.mean((images(6) / 255) ** 2), rel=1e-5)


def test_the_docstrings_noise_has_its_size():
    noise = keras.Sequential([layers.Rescaling(1 / 255), layers.GaussianNoise(0.3, seed=0), layers.Rescaling(255)])
    grey = ops.full((50, 8, 8, 1), 100.0)
    assert numpy(noise(grey, training=True)).std() == pytest.approx(0.3 * 255, rel=0.05)
    assert_allclose(numpy(noise(grey, training=False)), 100, rtol=1e-5)


def test_reconstruction_refuses_a_shape_that_would_broadcast():
    model = objectives.Reconstruction(layers.Rescaling(1 / 255), layers.Reshape((8, 8)))
    x = ops.convert_to_tensor(images(3))
    with pytest.raises(ValueError, match=r"gives \(8, 8\), the images are \(8, 8, 1\)"):
        model.compute_loss(x, None, model(x))


# ---------------------------------------------------------------- patches and masks


@pytest.mark.parametrize(
    ("height", "width", "channels", "size"), [(8, 8, 1, 4), (6, 9, 3, 3), (4, 2, 2, 1), (5, 5, 2, 5)]
)
def test_patchify_agrees_with_a_loop_and_unpatchify_undoes_it(height, width, channels, size):
    x = np.arange(3 * height * width * channels, dtype="float32").reshape(3, height, width, channels)
    patches = objectives.patchify(ops.convert_to_tensor(x), size)
    corners = [(row, column) for row in range(0, height, size) for column in range(0, width, size)]
    expected = [[image[r : r + size, c : c + size].reshape(-1) for r, c in corners] for image in x]
    assert_array_equal(numpy(patches), np.array(expected))
    assert_array_equal(numpy(objectives.unpatchify(patches, height, width)), x)


def test_patches_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="8x8 cannot be cut into patches of 3x3"):
        objectives.patchify(ops.zeros((2, 8, 8, 1)), 3)
    for shape, size in [((2, 4, 16), (8, 9)), ((2, 5, 16), (8, 8)), ((2, 4, 15), (8, 8)), ((2, 9, 1), (2, 2))]:
        with pytest.raises(ValueError, match="do not make an image"):
            objectives.unpatchify(ops.zeros(shape), *size)


@pytest.mark.parametrize(("patches", "share", "count"), [(16, 0.75, 12), (49, 0.75, 37), (4, 0.5, 2), (10, 0.15, 2)])
def test_masking_hides_exactly_its_share(patches, share, count):
    visible, hidden = objectives.random_masking(7, patches, share, keras.random.SeedGenerator(0))
    assert visible.shape == (7, patches - count) and hidden.shape == (7, count)
    assert keras.backend.standardize_dtype(visible.dtype) == keras.backend.standardize_dtype(hidden.dtype) == "int32"
    for row in np.concatenate([numpy(visible), numpy(hidden)], axis=1):
        assert sorted(row) == list(range(patches))


def test_masking_is_uniform_and_independent_between_rows():
    generator, patches, rows = keras.random.SeedGenerator(1), 16, 4000
    _, hidden = objectives.random_masking(rows, patches, 0.75, generator)
    chosen = np.zeros((rows, patches))
    np.put_along_axis(chosen, numpy(hidden), 1, axis=1)
    deviation = math.sqrt(0.75 * 0.25 / rows)
    assert np.abs(chosen.mean(axis=0) - 0.75).max() < 4.5 * deviation
    together = np.cov(chosen.T)[~np.eye(patches, dtype=bool)]  # hiding exactly 12: each pair -p(1-p)/15
    assert_allclose(together, -0.75 * 0.25 / 15, atol=4.5 * 0.1875 / math.sqrt(rows))
    neighbours = (chosen[:-1] * chosen[1:]).sum(axis=1)  # shared by two rows: 16 * 0.75 ** 2 on average
    assert neighbours.mean() == pytest.approx(9, abs=0.1) and len(np.unique(chosen, axis=0)) > 1500
    _, again = objectives.random_masking(rows, patches, 0.75, generator)
    assert (numpy(again) != numpy(hidden)).any()


def test_masking_by_an_int_repeats_and_a_useless_share_is_refused():
    first, second = (objectives.random_masking(5, 9, 0.5, 3)[0] for _ in range(2))
    assert_array_equal(numpy(first), numpy(second))
    for share in (0, 0.01, 0.99, 1):
        with pytest.raises(ValueError, match="leaves none"):
            objectives.random_masking(5, 9, share)


# ---------------------------------------------------------------- masked autoencoder


@pytest.fixture(scope="module")
def encoder():
    keras.utils.set_random_seed(0)
    return objectives.PatchEncoder((8, 8, 1), 2, width=8, depth=1, heads=2)


def test_encoder_reads_the_visible_patches_only(encoder):
    visible, hidden = objectives.random_masking(4, 16, 0.75, 0)
    x = images(4).astype("float32")
    patches = numpy(objectives.patchify(x, 2)).copy()
    np.put_along_axis(patches, numpy(hidden)[:, :, None], np.float32(77), axis=1)
    other = numpy(objectives.unpatchify(patches, 8, 8))
    assert (other != x).mean() > 0.7
    tokens = numpy(encoder.tokens(x, visible))
    assert tokens.shape == (4, 4, 8)
    assert_array_equal(numpy(encoder.tokens(other, visible)), tokens)
    np.put_along_axis(patches, numpy(visible)[:, :1, None], np.float32(5), axis=1)
    assert (numpy(encoder.tokens(numpy(objectives.unpatchify(patches, 8, 8)), visible)) != tokens).any()


def test_encoder_keeps_positions_with_their_patches(encoder):
    x, everything = images(4), np.tile(np.arange(16, dtype="int32"), (4, 1))
    tokens = numpy(encoder.tokens(x))
    assert tokens.shape == (4, 16, 8) and encoder.patch_grid == (4, 4)
    order = np.random.default_rng(0).permuted(everything, axis=1)
    shuffled = numpy(encoder.tokens(x, order))
    assert_allclose(shuffled, np.take_along_axis(tokens, order[:, :, None], 1), rtol=1e-4, atol=1e-5)
    assert_allclose(numpy(encoder(x)), tokens.mean(axis=1), rtol=1e-4, atol=1e-5)
    assert len(np.unique(encoder.positions.round(5), axis=0)) == 16
    blank = numpy(encoder.tokens(np.zeros((4, 8, 8, 1), "uint8")))[0]
    assert len(np.unique(blank.round(5), axis=0)) == 16  # equal patches differ by their places


def test_positions_agree_with_a_loop():
    rows, columns, width = 2, 3, 8
    expected = []
    for row in range(rows):
        for column in range(columns):
            angles = [[place / 10000 ** (k / (width // 4)) for k in range(width // 4)] for place in (row, column)]
            expected.append([f(angle) for half in angles for f in (math.sin, math.cos) for angle in half])
    encoder = objectives.PatchEncoder((4, 6, 1), 2, width=width, depth=0, heads=1)
    assert_allclose(encoder.positions, expected, rtol=1e-5, atol=1e-7)


class Glass(objectives.PatchEncoder):
    """An encoder whose tokens are the patches themselves, so that a decoder that does nothing shows the places."""

    def tokens(self, images, visible=None):
        patches = objectives.patchify(ops.cast(images, "float32"), self.patch_size)
        return ops.take_along_axis(patches, visible[:, :, None], axis=1)


def glass_model(**settings):
    return objectives.MaskedAutoencoder(Glass((8, 8, 1), 2, width=4, depth=0, heads=1), layers.Identity(), **settings)


def test_tokens_come_back_in_their_places():
    model = glass_model()
    glass = model.encoder
    glass.positions = np.arange(16, dtype="float32")[:, None] * np.ones(4, "float32")  # tells its place
    x = images(4)
    for training in (True, False):
        places, hidden = map(numpy, model(x, training=training))
        assert_array_equal(hidden.sum(axis=1), 12)
        places = places - glass.positions
        patches = numpy(objectives.patchify(x, 2)).astype("float32")
        token = np.broadcast_to(numpy(model.mask_token), patches.shape)
        assert_allclose(places, np.where(hidden[:, :, None] == 1, token, patches), rtol=1e-5, atol=1e-5)


def test_masks_are_new_in_training_and_the_same_in_evaluation():
    model = glass_model(seed=0)
    (first, second), (third, fourth) = (
        [numpy(model(images(4), training=training)[1]) for _ in range(2)] for training in (True, False)
    )
    assert (first != second).any() and (third == fourth).all()


def test_masked_loss_counts_hidden_patches_only(encoder):
    model = objectives.MaskedAutoencoder(encoder)
    x = images(4)
    model.compile("sgd")
    predicted, hidden = model.predict(x, verbose=0)
    patches = np.float64(numpy(objectives.patchify(x, 2))) / 255
    for model.normalise_pixels in (False, True):
        loss = number(model.compute_loss(x, None, (predicted, hidden)))
        errors = []
        for image, guess, mask in zip(patches, predicted, hidden, strict=True):
            for k in range(16):
                if mask[k]:
                    target = (image[k] - image[k].mean()) / math.sqrt(image[k].var() + 1e-6)
                    errors.append(np.mean((guess[k] - (target if model.normalise_pixels else image[k])) ** 2))
        assert len(errors) == 4 * 12 and loss == pytest.approx(np.mean(errors), rel=1e-4)
        elsewhere = predicted + 1000 * (1 - hidden)[:, :, None]  # wrong where it is visible: no difference
        assert number(model.compute_loss(x, None, (elsewhere, hidden))) == pytest.approx(loss)
    assert model.evaluate(x, verbose=0) == pytest.approx(loss, rel=1e-5)  # the same masks as predict


# ---------------------------------------------------------------- training and saving


def small_encoder():
    return keras.Sequential([keras.Input((8, 8, 1)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(8)])


def denoising():
    encoder = small_encoder()
    decoder = keras.Sequential([layers.Dense(64), layers.Reshape((8, 8, 1))])
    return encoder, objectives.Reconstruction(encoder, decoder, corrupt=layers.Dropout(0.3, seed=0))


def masked():
    encoder = objectives.PatchEncoder((8, 8, 1), 2, width=8, depth=1, heads=2)
    return encoder, objectives.MaskedAutoencoder(encoder, objectives.patch_decoder(encoder, width=8, heads=2), seed=0)


@pytest.mark.parametrize("make", [denoising, masked])
def test_the_loss_falls_and_the_given_encoder_is_the_trained_one(make):
    keras.utils.set_random_seed(0)
    encoder, model = make()
    x = np.repeat(np.repeat(images(64, size=2), 4, axis=1), 4, axis=2)  # plain quarters: easy to predict
    before = [weight.copy() for weight in encoder.get_weights()]
    model.compile(keras.optimizers.Adam(0.01))
    losses = model.fit(x, batch_size=32, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0]
    assert model.encoder is encoder
    moved = [(new != old).any() for new, old in zip(encoder.get_weights(), before, strict=True)]
    assert all(moved) or (make is masked and sum(moved) >= len(moved) - 1)  # a key's bias has no gradient


@pytest.mark.parametrize("make", [denoising, masked])
def test_a_trained_objective_saves_and_loads_whole(make, tmp_path):
    keras.utils.set_random_seed(0)
    _, model = make()
    x = images(8)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(x, epochs=1, verbose=0)
    expected = model(x, training=False)
    model.save(tmp_path / "model.keras")
    found = keras.models.load_model(tmp_path / "model.keras")(x, training=False)
    for one, other in zip(keras.tree.flatten(expected), keras.tree.flatten(found), strict=True):
        assert_allclose(numpy(other), numpy(one), atol=1e-6)


def test_patch_encoder_copies_saves_and_starts_afresh(encoder, tmp_path):
    x = images(4)
    expected = numpy(encoder(x))
    encoder.save(tmp_path / "encoder.keras")
    for twin in (copy.deepcopy(encoder), keras.models.load_model(tmp_path / "encoder.keras")):
        assert type(twin) is objectives.PatchEncoder and twin is not encoder
        assert_array_equal(numpy(twin(x)), expected)
        assert not {id(v) for v in twin.variables} & {id(v) for v in encoder.variables}
    fresh = type(encoder).from_config(encoder.get_config())
    assert [w.shape for w in fresh.get_weights()] == [w.shape for w in encoder.get_weights()]
    assert np.abs(numpy(fresh(x)) - expected).max() > 0.01
    assert fresh.patch_grid == encoder.patch_grid and fresh.get_config() == encoder.get_config()


def test_patch_encoder_stands_in_a_functional_model_and_can_be_frozen(encoder):
    twin = copy.deepcopy(encoder)
    inputs = keras.Input((8, 8, 1), dtype="uint8")
    model = keras.Model(inputs, layers.Dense(2)(twin(inputs)))
    twin.trainable = False
    assert len(model.trainable_variables) == 2
    assert_allclose(numpy(twin(images(4))), numpy(encoder(images(4).astype("float32"))), rtol=1e-5, atol=1e-6)


def test_patch_encoder_refuses_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match="cannot be cut"):
        objectives.PatchEncoder((8, 8, 1), 3)
    with pytest.raises(ValueError, match="multiple of 4 and of heads"):
        objectives.PatchEncoder((8, 8, 1), 4, width=10)


def test_masked_autoencoder_runs_in_mixed_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        encoder = objectives.PatchEncoder((8, 8, 1), 4, width=4, depth=0, heads=1)
        model = objectives.MaskedAutoencoder(encoder, layers.Dense(16))
        model.compile("adam")
        assert math.isfinite(model.fit(images(4), verbose=0).history["loss"][0])
        assert keras.backend.standardize_dtype(encoder(images(4)).dtype) == "float16"
    finally:
        keras.config.set_dtype_policy(before)


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
