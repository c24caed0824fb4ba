"""Folders of images: no copy crosses, and no file is lost in silence."""

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rows import PARTS, accounted, all_rows, image_files, photo, photos, sizes

from kpretrain import data


def test_from_folder(tmp_path, capsys):
    paths = photos(tmp_path / "photos", n=20)
    dataset = data.from_folder(tmp_path / "photos")
    assert sizes(dataset) == (32, 4, 4) and dataset.class_names == ["ants", "bees"]
    assert "photos: 32 train, 4 validation, 4 test rows in 2 classes, from the folder photos" in capsys.readouterr().out
    assert sorted(all_rows(dataset)) == sorted(paths) and dataset.removed.empty
    assert all(
        Path(x).parent.name == dataset.class_names[y] for p in PARTS for x, y in zip(*getattr(dataset, p), strict=True)
    )
    assert all(
        np.bincount(getattr(dataset, part).y).tolist() == [n / 2] * 2 for part, n in zip(PARTS, (32, 4, 4), strict=True)
    )
    assert np.array_equal(dataset.test.x, data.from_folder(tmp_path / "photos").test.x)
    assert not np.array_equal(dataset.test.x, data.from_folder(tmp_path / "photos", seed=1).test.x)


def test_a_bad_folder_is_named(tmp_path):
    with pytest.raises(data.DataError, match=r"nowhere: no such folder.*subfolder"):
        data.from_folder(tmp_path / "nowhere")
    photo(tmp_path / "flat" / "a.png", 0)
    with pytest.raises(data.DataError, match="flat: no class folders"):
        data.from_folder(tmp_path / "flat")
    photos(tmp_path / "one", ["ants"])
    with pytest.raises(data.DataError, match=r"one: 1 of 1 classes have 3 or more.*two are needed"):
        data.from_folder(tmp_path / "one")
    photos(tmp_path / "empty")
    (tmp_path / "empty" / "wasps").mkdir()
    with pytest.raises(data.DataError, match=r"wasps: no \.bmp, .*Add some, or remove the folder"):
        data.from_folder(tmp_path / "empty")
    for name in ("a", "b", "c"):
        photo(tmp_path / "few" / name / "x.png", ord(name))
    with pytest.raises(data.DataError, match="few: 0 of 3 classes have 3 or more"):
        data.from_folder(tmp_path / "few")
    with pytest.raises(data.DataError, match=r"sizes=\[0\.5, 0\.5, 0\.5\]"):
        photos(tmp_path / "good")
        data.from_folder(tmp_path / "good", sizes=(0.5, 0.5, 0.5))


def test_files_left_out_are_listed_with_the_reason(tmp_path, capsys):
    photos(tmp_path)
    bad = {
        tmp_path / "ants" / "text.jpg": b"no image",
        tmp_path / "ants" / "nothing.png": b"",
        tmp_path / "bees" / "half.png": (tmp_path / "bees" / "0.png").read_bytes()[:300],
    }
    for path, body in bad.items():
        path.write_bytes(body)
    photo(tmp_path / "bees" / "dot.png", 1, size=(1, 1))
    photo(tmp_path / "loose.png", 2)
    photo(tmp_path / "wasps" / "rare.png", 3)
    (tmp_path / "bees" / "notes.txt").write_text("no image, and does not claim to be one")
    for hidden in ("ants/._0.png", ".git/a.png", "bees/.ipynb_checkpoints/0.png"):
        photo(tmp_path / hidden, 4)
    dataset = data.from_folder(tmp_path)
    reasons = {
        Path(path).name: reason for path, reason in zip(dataset.removed["path"], dataset.removed["reason"], strict=True)
    }
    assert reasons == {
        "text.jpg": "not a readable image",
        "nothing.png": "not a readable image",
        "half.png": "not a readable image",
        "dot.png": "smaller than 8 pixels",
        "loose.png": "in no class folder",
        "rare.png": "class with fewer than 3 rows",
    }
    assert accounted(dataset) == image_files(tmp_path)
    assert "3 (not a readable image)" in capsys.readouterr().out


@pytest.mark.parametrize("seed", range(5))
def test_exact_copies_never_cross(tmp_path, seed):
    photos(tmp_path, n=12)
    for copy in range(6):
        for k in range(3):  # each of three ants three times, once under another class
            photo(tmp_path / ("bees" if copy == 1 else "ants") / f"copy{copy}-{k}.png", k)
    dataset = data.from_folder(tmp_path, seed=seed)
    assert dataset.removed.empty
    pixels = [{Image.open(path).tobytes() for path in getattr(dataset, part).x} for part in PARTS]
    assert not pixels[0] & pixels[1] and not pixels[0] & pixels[2] and not pixels[1] & pixels[2]
    assert accounted(dataset) == image_files(tmp_path)


def scenery(path, seed, **options):
    """A smooth picture, which survives compression as a photograph does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    spots = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype="uint8")
    image = Image.fromarray(spots).resize((140, 100), Image.Resampling.BICUBIC)
    image.resize(options.pop("size", image.size)).save(path, **options)
    return str(path)


@pytest.mark.parametrize("seed", range(3))
def test_near_copies_never_cross_and_are_told(tmp_path, seed, capsys):
    for number, name in enumerate(("ants", "bees")):
        for k in range(12):
            scenery(tmp_path / name / f"{k}.png", 100 * number + k)
    for k in range(4):
        scenery(tmp_path / "ants" / f"{k}-again.jpg", k, quality=30)
        scenery(tmp_path / "bees" / f"{k}-small.png", k, size=(70, 50))  # under another class
    dataset = data.from_folder(tmp_path, seed=seed)
    assert "; 12 near-duplicate pictures in 4 groups stay in one part" in capsys.readouterr().out
    table = dataset.near_duplicates
    assert table["path"].map(lambda path: re.split(r"[-.]", Path(path).name)[0]).nunique() == 4 and len(table) == 12
    for _, group in table.groupby("group"):
        assert len(group) == 3 and any(set(group["path"]) <= set(getattr(dataset, part).x) for part in PARTS)
    assert dataset.removed.empty and accounted(dataset) == image_files(tmp_path)


def test_a_near_copy_of_a_given_test_picture_leaves_train(tmp_path):
    for number, part in enumerate(("train", "val", "test")):
        for c, name in enumerate(("ants", "bees")):
            for k in range(6):
                scenery(tmp_path / part / name / f"{k}.png", 100 * number + 10 * c + k)
    scenery(tmp_path / "test" / "ants" / "again.jpg", 0, quality=40)
    scenery(tmp_path / "val" / "bees" / "again.png", 1)
    removed = data.from_folder(tmp_path).removed
    reasons = {Path(path).name: reason for path, reason in zip(removed["path"], removed["reason"], strict=True)}
    assert reasons == {"0.png": "duplicate of a test row", "1.png": "duplicate of a validation row"}


@pytest.mark.parametrize(
    "layout", [("train", "val"), ("train", "test"), ("Train", "valid", "test"), ("train", "val", "validation")]
)
def test_a_split_of_the_folder_is_kept(tmp_path, layout):
    for number, part in enumerate(layout):
        for c, name in enumerate(("ants", "bees")):
            for k in range(10):
                photo(tmp_path / part / name / f"{k}.png", 1000 * number + 100 * c + k)
    photo(tmp_path / "test" / "ants" / "9.png", 0)  # copies of train's first image
    photo(tmp_path / layout[1] / "ants" / "8.png", 0)
    photo(tmp_path / "test" / "bees" / "9.png", 5)
    photo(tmp_path / "extra" / "ants" / "0.png", 7000)
    dataset = data.from_folder(tmp_path)
    folders = [{Path(path).parents[1].name for path in getattr(dataset, part).x} for part in PARTS]
    assert folders[0] == {layout[0]} and folders[2] == {"test"}
    assert folders[1] == ({layout[0]} if len(layout) == 2 and layout[1] == "test" else set(layout[1:]) - {"test"})
    reasons = dataset.removed["reason"].value_counts()
    assert reasons["duplicate of a test row"] >= 2 and reasons["in no class folder"] == 1
    assert str(tmp_path / layout[0] / "ants" / "0.png") in set(dataset.removed["path"])
    assert accounted(dataset) == image_files(tmp_path)


def test_val_alone_is_the_test_part(tmp_path):
    for part in ("train", "val"):
        for c, name in enumerate(("ants", "bees")):
            for k in range(4):
                photo(tmp_path / part / name / f"{k}.png", (part == "val") * 1000 + 100 * c + k)
    dataset = data.from_folder(tmp_path)
    assert sizes(dataset) == (6, 2, 8) and set(dataset.validation.y) == {0, 1}
    assert all("/val/" in path for path in dataset.test.x)


def test_a_class_that_only_test_has_is_left_out(tmp_path):
    photos(tmp_path / "train"), photos(tmp_path / "test", ["ants", "bees", "wasps"], 11)
    for k in range(10):  # otherwise all of test would be copies
        for c, name in enumerate(("ants", "bees")):
            photo(tmp_path / "train" / name / f"{k}.png", 5000 + 100 * c + k)
    dataset = data.from_folder(tmp_path)
    assert dataset.class_names == ["ants", "bees"] and sizes(dataset)[2] == 22
    assert dataset.removed["reason"].tolist() == ["class that train does not have"] * 11


def test_a_class_may_be_called_train(tmp_path):
    photos(tmp_path, ["train", "bus"])
    assert data.from_folder(tmp_path).class_names == ["bus", "train"]


def test_real_hymenoptera(real_data, tmp_path):
    if not (archive := real_data / "hymenoptera_data.zip").is_file():
        pytest.skip("KPRETRAIN_DATA has no hymenoptera_data.zip")
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path)
    dataset = data.from_folder(tmp_path / "hymenoptera_data")
    assert dataset.class_names == ["ants", "bees"]
    assert accounted(dataset) == image_files(tmp_path) and len(dataset.test.y) == 153
    assert all("/val/" in path for path in dataset.test.x) and all("/train/" in path for path in dataset.train.x)
    (gif,) = (path for path in accounted(dataset) if Image.open(path).format == "GIF")
    images = data.read_images([gif, *dataset.test.x[:7]], (32, 48))
    assert images.shape == (8, 32, 48, 3) and (images.std((1, 2, 3)) > 5).all()
