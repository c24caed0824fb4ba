"""Encoders and augmentation: shapes, raw inputs, and each image moved by its own amounts."""

import keras
import numpy as np
import pytest

from kpretrain import models

STILL = dict(turn=0, stretch=0, shear=0, shift=0, warp=0, stroke=0)


def block(n=64, height=28, width=28, channels=1):
    images = np.zeros((n, height, width, channels), "uint8")
    images[:, 9:19, 12:16] = 255
    return images


def jittered(images, **settings):
    return keras.ops.convert_to_numpy(models.Jitter(seed=0, **settings)(images, training=True))


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3)])
def test_encoder_takes_raw_images_of_any_dtype(shape):
    encoder = models.image_encoder(shape, features=20)
    images = np.random.default_rng(0).integers(0, 256, (3, *shape), dtype="uint8")
    features = [keras.ops.convert_to_numpy(encoder(x)) for x in (images, images.astype("float32"))]
    assert features[0].shape == (3, 20) and features[0].dtype == "float32"
    np.testing.assert_allclose(*features, atol=1e-5)
    assert np.abs(features[0]).max() < 50  # it scales 0..255 itself


def test_jitter_of_nothing_changes_nothing():
    images = block(4)
    np.testing.assert_allclose(jittered(images, **STILL), images, atol=1e-3)
    np.testing.assert_array_equal(models.Jitter()(images, training=False), images.astype("float32"))


@pytest.mark.parametrize("one", [dict(turn=20), dict(stretch=0.2), dict(shear=0.3), dict(shift=0.1), dict(warp=0.04)])
def test_each_image_is_moved_by_its_own_amounts(one):
    moved = jittered(block(), **STILL | one)
    assert len({row.tobytes() for row in moved}) == 64
    assert moved.min() >= -1e-3 and moved.max() <= 255 + 1e-3
    rows, columns = np.mgrid[:28, :28]
    centre = np.array([(moved[..., 0] * axis).sum((1, 2)) / moved.sum((1, 2, 3)) for axis in (rows, columns)])
    assert np.abs(centre.mean(1) - 13.5).max() < 0.75  # no drift on average


def test_shift_and_turn_go_as_far_as_they_say():
    moved = jittered(block(500), **STILL | {"shift": 0.1})
    rows, _ = np.mgrid[:28, :28]
    centre = (moved[..., 0] * rows).sum((1, 2)) / moved.sum((1, 2, 3))
    assert 2.5 < np.abs(centre - 13.5).max() <= 2.81
    line = np.zeros((300, 28, 28, 1), "uint8")
    line[:, 4:24, 13:15] = 255
    turned = jittered(line, **STILL | {"turn": 30})[..., 0]
    y, x = np.mgrid[:28, :28] - 13.5
    total = turned.sum((1, 2))
    covariance, variance = (turned * x * y).sum((1, 2)) / total, (turned * y * y).sum((1, 2)) / total
    angles = np.degrees(np.arctan(covariance / variance))
    assert 25 < np.abs(angles).max() < 31 and abs(angles.mean()) < 3


def test_stroke_changes_grey_values_and_neither_black_nor_white():
    grey = np.full((50, 28, 28, 1), 128, "uint8")
    changed = jittered(grey, **STILL | {"stroke": 0.5})[:, 14, 14, 0]
    assert changed.min() < 100 and changed.max() > 150
    both = jittered(block(), **STILL | {"stroke": 0.5})
    assert both[:, 0, 0].max() < 1 and np.allclose(both[:, 14, 14], 255)


def test_jitter_repeats_with_its_seed_and_is_saved(tmp_path):
    images = block(5)
    np.testing.assert_array_equal(jittered(images), jittered(images))
    layer = models.Jitter(turn=3, warp=0.01, seed=4)
    model = keras.Sequential([keras.Input((28, 28, 1)), layer])
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").layers[0].get_config() == layer.get_config()


def test_colour_images_keep_their_channels():
    images = block(8, 32, 24, 3)
    images[..., 1] = 0
    moved = jittered(images)
    assert moved.shape == images.shape and moved[..., 1].max() < 1
    np.testing.assert_allclose(moved[..., 0], moved[..., 2], atol=1e-3)
