"""Pictures: copies are found, saved again, resized or brightened, and different ones are not merged."""

import io
import re
import zipfile

import numpy as np
import PIL.Image
import PIL.ImageEnhance
import PIL.ImageOps
import pytest
from sklearn.datasets import load_digits

from kpretrain import clean


def test_the_digest_is_of_the_pixels(tmp_path):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (8, 6, 3), dtype=np.uint8)
    image = PIL.Image.fromarray(pixels)
    image.save(tmp_path / "a.png", compress_level=9)
    image.save(tmp_path / "b.png", compress_level=0)
    image.transpose(PIL.Image.Transpose.ROTATE_90).save(tmp_path / "c.png")
    image.convert("L").save(tmp_path / "d.png")
    PIL.Image.fromarray(pixels.reshape(6, 8, 3)).save(tmp_path / "e.png")  # the same bytes in another shape
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
    digests = [clean.image_print(tmp_path / f"{name}.png").digest for name in "abcde"]
    assert digests[0] == digests[1] and len(set(digests)) == 4
    palettes = [PIL.Image.new("P", (2, 2)) for _ in range(2)]
    for palette, colour in zip(palettes, (0, 90), strict=True):
        palette.putpalette([colour] * 768)
    assert clean.image_print(palettes[0]).digest != clean.image_print(palettes[1]).digest


def again(image, kind):
    """The picture as it comes back from a phone, a site or an editor."""
    if kind == "half":
        return image.resize((image.width // 2, image.height // 2), PIL.Image.Resampling.BICUBIC)
    if kind == "brightened":
        return PIL.ImageEnhance.Brightness(image).enhance(1.15)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=30)
    return PIL.Image.open(stream)


def test_near_duplicates_of_real_photographs(real_data, record_property):
    if not (archive := real_data / "hymenoptera_data.zip").is_file():
        pytest.skip("KPRETRAIN_DATA has no hymenoptera_data.zip")
    with zipfile.ZipFile(archive) as file:
        files = [file.open(name) for name in sorted(file.namelist()) if re.search(r"\.(jpe?g|png|gif)$", name, re.I)]
        photos = [PIL.ImageOps.exif_transpose(PIL.Image.open(photo)).convert("RGB") for photo in files]
    prints = [clean.image_print(photo) for photo in photos]
    assert len(photos) == 398 and clean.near_duplicate_images(prints).max() == 397  # no pair: none was seen by eye
    for kind in ("half", "brightened", "quality 30"):
        copies = [clean.image_print(again(photo, kind)) for photo in photos]
        clusters = clean.near_duplicate_images(prints + copies)
        found = (clusters[:398] == clusters[398:]).mean()
        record_property(kind, round(float(found), 4))
        assert found >= 0.98
        assert clusters.max() >= 397  # and no two photographs are joined by a copy


def grey_pictures(arrays):
    return [clean.image_print(PIL.Image.fromarray(array)) for array in arrays]


def test_small_digits_are_not_merged():
    images = (load_digits().images * (255 / 16)).astype(np.uint8)
    framed = np.zeros((len(images), 28, 28), np.uint8)
    for row, image in zip(framed, images, strict=True):
        row[4:24, 4:24] = PIL.Image.fromarray(image).resize((20, 20), PIL.Image.Resampling.BICUBIC)
    sizes = np.bincount(clean.near_duplicate_images(grey_pictures(framed)))
    assert sizes.max() <= 6 and sizes[sizes > 1].sum() <= 60
    found = clean.near_duplicate_images(grey_pictures([*framed[:200], *(framed[:200] * 0.8).astype(np.uint8)]))
    assert (found[:200] == found[200:]).mean() > 0.98


def test_pictures_without_contrast_count_by_their_pixels():
    grounds = [np.full((40, 60, 3), grey, np.uint8) for grey in (0, 128, 130, 255, 128)]
    faint = [grounds[1] + np.random.default_rng(seed).integers(0, 3, (40, 60, 3), np.uint8) for seed in range(2)]
    assert clean.near_duplicate_images(grey_pictures(grounds + faint)).tolist() == [0, 1, 2, 3, 1, 4, 5]
    frames = [np.full((64, 64), 255, np.uint8) for _ in range(6)]
    for number, frame in enumerate(frames):  # one frame around all, and a spot that is elsewhere in each
        frame[[3, -4], 3:-3] = frame[3:-3, [3, -4]] = 0
        frame[10 + 8 * number : 14 + 8 * number, 30:40] = 60
    assert clean.near_duplicate_images(grey_pictures(frames)).tolist() == list(range(6))


def test_near_duplicates_join_in_a_chain_over_blocks(tmp_path):
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (600, 16, 16), dtype=np.uint8)
    prints = grey_pictures([*pictures, pictures[3] // 2, pictures[599] // 2])
    assert clean.near_duplicate_images(prints).tolist() == [*range(600), 3, 599]
    upright = PIL.Image.fromarray(pictures[0])
    exif = PIL.Image.Exif()
    exif[0x0112] = 3  # upside down
    upright.save(tmp_path / "a.png")
    upright.rotate(180).save(tmp_path / "b.png", exif=exif)
    upright.rotate(180).save(tmp_path / "c.png")
    assert clean.near_duplicate_images([tmp_path / f"{name}.png" for name in "abc"]).tolist() == [0, 0, 1]
    assert clean.near_duplicate_images([]).tolist() == []
    with pytest.raises(TypeError, match="list of paths"):
        clean.near_duplicate_images("a.png")


def test_bad_images_are_named(tmp_path):
    whole = tmp_path / "whole.png"
    PIL.Image.new("RGB", (40, 40), "red").save(whole)
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:60])
    (tmp_path / "text.png").write_text("no image")
    for name in ("cut.png", "text.png", "absent.png"):
        with pytest.raises(ValueError, match=rf"{name}.*cannot be read"):
            clean.near_duplicate_images([whole, tmp_path / name])
    with pytest.raises(TypeError, match="list of paths"):
        clean.near_duplicate_images(whole)
