"""The course's datasets: found in the stated order, checked before use, split without a leak."""

import os
import random
from pathlib import Path

import numpy as np
import packed
import pytest
from packed import mnist_arrays, write_mnist
from rows import PARTS, all_rows, part_of, sizes

from kpretrain import data
from kpretrain.data import speech


def test_an_unknown_dataset_names_those_there_are():
    with pytest.raises(ValueError, match=r"'imagenet'.*'digits'.*from_folder"):
        data.load("imagenet")


class Bomb:
    """Unpickling it would write a file."""

    def __reduce__(self):
        return os.mkdir, ("unpickled",)


def without(key):
    arrays = mnist_arrays()
    del arrays[key]
    return arrays


BAD_ARRAYS = {
    "missing key": (without("y_test"), "y_test is not a file in the archive"),
    "flat rows": (
        mnist_arrays() | {"x_train": np.zeros((400, 784), "uint8")},
        r"x_train is uint8 \(400, 784\).* wanted",
    ),
    "other size": (mnist_arrays() | {"x_test": np.zeros((200, 32, 32), "uint8")}, r"x_test is uint8 \(200, 32, 32\)"),
    "floats": (mnist_arrays() | {"x_train": np.zeros((400, 28, 28))}, "x_train is float64"),
    "float labels": (mnist_arrays() | {"y_train": np.arange(400) % 10 / 1.0}, r"y_train float64 \(400,\)"),
    "too few labels": (
        mnist_arrays() | {"y_test": np.arange(199) % 10},
        r"x_test is uint8 \(200, 28, 28\), and y_test int64 \(199,\)",
    ),
    "label 10": (mnist_arrays() | {"y_train": np.arange(400) % 11}, "each digit from 0 to 9"),
    "a digit missing": (mnist_arrays() | {"y_train": np.arange(400) % 9}, "each digit from 0 to 9"),
    "too small": (mnist_arrays(100), "at least 12 times"),
    "pickled": (mnist_arrays() | {"x_train": np.array([Bomb()], object)}, "not a readable mnist.npz"),
}


@pytest.mark.parametrize(("arrays", "message"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_bad_arrays_are_named_and_never_unpickled(nowhere, monkeypatch, arrays, message):
    monkeypatch.chdir(nowhere)
    file = write_mnist(nowhere / "repository", **arrays)
    with pytest.raises(data.DataError, match=message) as error:
        data.load("mnist")
    assert str(file) in str(error.value) and "Delete the file" in str(error.value)
    assert not (nowhere / "unpickled").exists()


def test_what_lies_beside_the_four_arrays_is_never_unpickled(nowhere, monkeypatch):
    monkeypatch.chdir(nowhere)
    file = write_mnist(nowhere / "repository", **mnist_arrays(), more=np.array([Bomb()], object))
    assert [len(part.y) for part in data.read_mnist(file)] == [400, 200]
    assert not (nowhere / "unpickled").exists()


def test_damaged_files_are_never_half_used(nowhere):
    whole, file = write_mnist(nowhere / "whole").read_bytes(), nowhere / "mnist.npz"
    right = data.read_mnist(nowhere / "whole" / "mnist.npz")
    chance = random.Random(0)
    bodies = [b"", b"not a zip", whole[:-1], whole[:1000], whole[len(whole) // 2 :]]
    for _ in range(60):
        place, length = chance.randrange(len(whole)), chance.choice([1, 8, 200])
        bodies.append(whole[:place] + chance.randbytes(length) + whole[place + length :])
    damaged = 0
    for body in bodies:
        file.write_bytes(body)
        try:  # a changed date in the zip's directory harms nothing
            found = data.read_mnist(file)
            assert all(
                np.array_equal(*pair) for pairs in zip(found, right, strict=True) for pair in zip(*pairs, strict=True)
            )
        except data.DataError as error:
            damaged += 1
            assert "mnist.npz" in str(error) and "whole copy" in str(error)
    assert damaged > 55


def test_a_bare_array_is_no_mnist(tmp_path):
    with open(tmp_path / "mnist.npz", "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(data.DataError, match=r"not a readable mnist\.npz"):
        data.read_mnist(tmp_path / "mnist.npz")


def test_mnist_parts_are_raw_stratified_and_apart(nowhere, monkeypatch):
    arrays = mnist_arrays(1200)
    monkeypatch.setenv("KPRETRAIN_DATA", str(write_mnist(nowhere, **arrays).parent))
    dataset, same, other = data.load("mnist"), data.load("mnist"), data.load("mnist", seed=1)
    assert sizes(dataset) == (1100, 100, 600)
    assert set(np.bincount(dataset.validation.y)) == {10} and set(np.bincount(dataset.train.y)) == {110}
    for part in PARTS:
        x, y = getattr(dataset, part)
        assert x.dtype == np.uint8 and x.shape[1:] == (28, 28, 1) and y.dtype == np.int64
    assert len({row.tobytes() for row in all_rows(dataset)}) == 1800  # every image once: nothing lost, nothing shared
    pictures = {image.tobytes(): label for image, label in zip(arrays["x_train"], arrays["y_train"], strict=True)}
    assert all(pictures[x.tobytes()] == y for x, y in zip(*dataset.train, strict=True))
    assert np.array_equal(dataset.test.x[..., 0], arrays["x_test"])
    assert dataset.unlabelled is dataset.train.x
    assert np.array_equal(dataset.validation.x, same.validation.x)
    assert not np.array_equal(dataset.validation.x, other.validation.x)
    assert np.array_equal(dataset.test.x, other.test.x)


def test_digits(capsys):
    dataset = data.load("digits")
    assert sizes(dataset) == (1198, 240, 359)
    assert "digits: 1,198 train, 240 validation, 359 test rows in 10 classes" in capsys.readouterr().out
    x, y = dataset.train
    assert x.dtype == np.uint8 and x.shape[1:] == (28, 28, 1) and set(y) == set(range(10))
    assert x.min() == 0 and x.max() > 240
    assert not x[:, :4].any() and not x[:, :, :4].any() and x[:, 4:24, 4:24].any(axis=(1, 2, 3)).all()
    test = {row.tobytes() for row in dataset.test.x}
    assert not test & {row.tobytes() for part in ("train", "validation") for row in getattr(dataset, part).x}
    assert np.array_equal(dataset.test.x, data.load("digits", seed=3).test.x)


def test_real_mnist(real_data):
    train, test = data.read_mnist(real_data / "mnist.npz")
    assert len(train.x) == 60_000 and len(test.x) == 10_000
    assert train.y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    dataset = data.load("mnist")
    assert sizes(dataset) == (55_000, 5_000, 10_000)
    assert dataset.name == "mnist" and "$KPRETRAIN_DATA" in dataset.source


def write_photographs(path, top, parts, per_class=20):
    path.write_bytes(packed.zipped(packed.photographs(parts, per_class), f"{top}/"))


def test_cifar10_from_a_zip_of_folders(shelf):
    write_photographs(shelf / "cifar10_images.zip", "cifar10_images", ("train", "test"))
    found = data.load("cifar10")
    assert sizes(found) == (36, 4, 40) and found.class_names == ["ant", "bee"]
    assert found.source.startswith("$KPRETRAIN_DATA/cifar10_images.zip (sha256 ")
    assert found.source.endswith("not as published: a copy as JPEG, whose pixels differ a little")
    assert data.loaded()["cifar10"] == found.source  # so a record has it
    assert found.train.x.shape == (36, 32, 32, 3) and found.train.x.dtype == np.uint8
    for part in PARTS:
        x, y = getattr(found, part)
        np.testing.assert_array_equal(x[..., 0].mean(axis=(1, 2)) > 70, y == 1)  # rows and classes belong together
    assert sorted(np.bincount(found.validation.y)) == [2, 2]
    np.testing.assert_array_equal(data.load("cifar10", seed=0).train.x, found.train.x)
    assert not np.array_equal(data.load("cifar10", seed=1).train.x, found.train.x)


def test_cifar10_from_its_binary_batches_which_go_before_the_jpegs(shelf):
    write_photographs(shelf / "cifar10_images.zip", "cifar10_images", ("train", "test"))
    (shelf / "cifar-10-binary.tar.gz").write_bytes(packed.tarred(packed.cifar_binary(), "cifar-10-batches-bin/"))
    found = data.load("cifar10")
    assert sizes(found) == (90, 10, 20) and found.class_names[3] == "cat" and "JPEG" not in found.source
    assert found.test.y.tolist() == [*range(10)] * 2 and found.test.y.dtype == np.int64
    for part in PARTS:
        x, y = getattr(found, part)
        assert x.dtype == np.uint8 and (x[:, 0, 1] == 7).all()  # row 0, column 1: the picture is not turned
        np.testing.assert_array_equal(x[:, 1, 0, 0] % 10, y)
        np.testing.assert_array_equal(x[:, 31, 31], x[:, 31, 31, :1] + np.array([0, 100, 200]))


def test_a_batch_cut_short_is_no_cifar10(shelf):
    content = packed.cifar_binary()
    content["data_batch_3.bin"] = content["data_batch_3.bin"][:-1]
    (shelf / "cifar-10-binary.tar.gz").write_bytes(packed.tarred(content))
    with pytest.raises(data.DataError, match=r"cifar-10-binary\.tar\.gz .*: not CIFAR-10 \(cannot reshape"):
        data.load("cifar10")


def test_hymenoptera_is_unpacked_once(shelf, capsys):
    write_photographs(shelf / "hymenoptera_data.zip", "hymenoptera_data", ("train", "val"))
    found = data.load("hymenoptera")
    assert sizes(found) == (36, 4, 40) and found.name == "hymenoptera"
    assert found.source.startswith("$KPRETRAIN_DATA/hymenoptera_data.zip (sha256 ")
    assert capsys.readouterr().out.count("rows in 2 classes") == 1
    files = {path: path.stat().st_mtime_ns for path in (shelf / "cache").rglob("*")}
    assert len(files) == 80 + 2 * 2 + 2 + 1
    assert data.load("hymenoptera").train.x.tolist() == found.train.x.tolist()
    assert {path: path.stat().st_mtime_ns for path in (shelf / "cache").rglob("*")} == files


def test_unpacking_that_was_interrupted_goes_on(shelf):
    write_photographs(shelf / "hymenoptera_data.zip", "hymenoptera_data", ("train", "val"))
    found = data.load("hymenoptera")
    for path in found.train.x[:5]:
        Path(path).unlink()
    Path(f"{found.train.x[0]}.0123.part").write_bytes(b"half")
    again = data.load("hymenoptera")
    assert again.train.x.tolist() == found.train.x.tolist() and sizes(again) == (36, 4, 40)


def test_another_archive_is_noticed(shelf):
    write_photographs(shelf / "hymenoptera_data.zip", "hymenoptera_data", ("train", "val"))
    before = data.load("hymenoptera")
    write_photographs(shelf / "hymenoptera_data.zip", "hymenoptera_data", ("train", "val"), per_class=10)
    assert sizes(data.load("hymenoptera")) == (18, 2, 20)
    assert all(Path(path).is_file() for path in before.train.x)  # another process may be reading them


@pytest.mark.parametrize("encoding", ["utf8", "cp1252"])
def test_rt_polarity_reads_both_encodings_and_keeps_near_duplicates_together(shelf, encoding, capsys):
    folder = shelf / "rt-polaritydata"
    folder.mkdir()
    for name, text in packed.sentences(encoding).items():
        (folder / name).write_bytes(text)
    found = data.load("rt-polarity")
    assert sum(sizes(found)) == 202 and found.class_names == ["negative", "positive"]
    assert capsys.readouterr().out.count("rows in 2 classes") == 1
    for part in PARTS:
        x, y = getattr(found, part)
        assert [text.startswith("finé – and … w") for text in x] == (y == 1).tolist()
    twins = [row for row in all_rows(found) if row.endswith(" .")]
    assert all(part_of(found, row) == part_of(found, row[:-2]) for row in twins) and len(twins) == 2


def test_spoken_digits_are_a_second_each_and_no_speaker_crosses(shelf):
    takes = packed.takes() | {"3_ann_7.wav": packed.recording([3, 7, ord("a"), *range(9000)])}
    (shelf / "free_spoken_digits.zip").write_bytes(packed.zipped(takes, "recordings/"))
    waves, table = data.spoken_digits()
    assert waves.shape == (121, 8000) and waves.dtype == np.int16
    assert waves[:, :2].tolist() == table[["digit", "take"]].values.tolist()
    assert waves[:, 2].tolist() == table["speaker"].str[0].map(ord).tolist()
    assert (waves[:, 2999] != 0).all() and not waves[table["take"] < 7, 3000:].any()
    assert waves[table["take"] == 7, 3:].tolist() == [list(range(7997))]
    held_out = set()
    for seed in range(6):
        found = data.load("spoken_digits", seed=seed)
        assert found.class_names == [str(digit) for digit in range(10)] and sum(sizes(found)) == 121
        assert all(x.dtype == np.int16 and (x[:, 0] == y).all() for x, y in map(found.__getattribute__, PARTS))
        speakers = [set(getattr(found, part).x[:, 2]) for part in PARTS]
        assert [len(part) for part in speakers] == [4, 1, 1] and len(set.union(*speakers)) == 6
        held_out |= speakers[2]
    assert len(held_out) == 6  # each speaker is the test part of one seed


@pytest.mark.parametrize("options", [{"rate": 16000}, {"channels": 2}])
def test_a_recording_of_another_kind_is_named(shelf, options):
    takes = packed.takes(("ann",), 1) | {"5_ann_0.wav": packed.recording(range(100), **options)}
    (shelf / "free_spoken_digits.zip").write_bytes(packed.zipped(takes))
    with pytest.raises(data.DataError, match=r"5_ann_0\.wav in .*channels, bytes and rate are \("):
        data.load("spoken_digits")


@pytest.mark.parametrize("body", [b"", b"RIFF", b"no sound at all, but long enough to look like one"])
def test_a_recording_that_is_none_is_named(shelf, body):
    (shelf / "free_spoken_digits.zip").write_bytes(packed.zipped({"5_ann_0.wav": body}))
    with pytest.raises(data.DataError, match=r"5_ann_0\.wav in .*: not a recording of this set"):
        data.load("spoken_digits")


def test_computed_voices_stand_in_for_the_spoken_digits_and_say_so(nowhere, capsys):
    waves, table = data.spoken_digits()
    out = capsys.readouterr().out
    assert "the download failed" in out and "Computed voices stand in" in out
    assert (
        waves.dtype == np.int16 and waves.shape == (1200, 8000) and data.loaded()["spoken_digits"].startswith("synth")
    )
    assert (table.value_counts(["digit", "speaker"]) == 20).all() and table["speaker"].nunique() == 6
    assert (np.abs(waves).max(axis=1) > 2000).all() and len({wave.tobytes() for wave in waves}) == 1200
    np.testing.assert_array_equal(data.spoken_digits()[0], waves)
    assert sizes(data.load("spoken_digits")) == (800, 200, 200)


def test_a_computed_voice_has_its_pitch_and_a_word_its_vowel():
    waves, table = speech.synthesised_digits(takes=4)
    spectra = np.abs(np.fft.rfft(waves[:, :2400] * np.hanning(2400)))  # bins of 3.3 Hz
    alike = np.fft.irfft(spectra**2)[:, 29:115]  # a wave with itself, 29 to 114 samples later: 276 to 70 Hz
    pitch = table.assign(pitch=8000 / (29 + alike.argmax(axis=1))).groupby("speaker")["pitch"].median()
    assert pitch["bo"] < pitch["flo"] < pitch["dot"]
    high = (spectra[:, 540:900] ** 2).sum(axis=1) / (spectra**2).sum(axis=1)  # 1800 to 3000 Hz
    share = table.assign(high=high).groupby("digit")["high"].mean()
    assert share[3] > 3 * share[2]  # "i" has its second formant there, "u" has not


def test_real_spoken_digits(real_data):
    if not (real_data / "free_spoken_digits.zip").is_file():
        pytest.skip("KPRETRAIN_DATA has no free_spoken_digits.zip")
    waves, table = data.spoken_digits()
    assert waves.shape == (3000, 8000) and (table.value_counts(["digit", "speaker"]) == 50).all()
    assert (np.abs(waves).max(axis=1) > 100).all() and sizes(data.load("spoken_digits")) == (2000, 500, 500)
