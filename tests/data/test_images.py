"""Image files of every kind become the same sort of array."""

import contextlib
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rows import photo

from kpretrain import data


def test_read_images_of_every_kind(tmp_path):
    deep = np.array([[0, 300, 32768, 65535]] * 4, "uint16")
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(deep).save(tmp_path / "deep.tif")
    Image.fromarray((deep // 256).astype("uint16")).save(tmp_path / "dark.png")
    Image.fromarray(np.linspace(0, 1, 16, dtype="float32").reshape(4, 4)).save(tmp_path / "float.tif")
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 255))
    clear.paste((0, 0, 0, 0), (0, 0, 2, 4))
    clear.save(tmp_path / "clear.png")
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 255, 0, 255, 0])
    palette.paste(0, (0, 0, 2, 4))
    palette.save(tmp_path / "palette.png", transparency=0)
    palette.save(tmp_path / "frame.gif")
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / "ink.jpg")
    turned = Image.new("RGB", (4, 4), "black")
    turned.paste((255, 255, 255), (0, 0, 4, 2))  # the upper half is white
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    turned.save(tmp_path / "turned.png", exif=exif)
    Image.new("RGB", (1, 1), (9, 8, 7)).save(tmp_path / "dot.png")

    def read(name):
        (image,) = data.read_images([tmp_path / name], (4, 4))
        assert image.dtype == np.uint8 and image.shape == (4, 4, 3)
        return image

    assert read("deep.png")[0].tolist() == [[0] * 3, [1] * 3, [128] * 3, [255] * 3]
    assert np.array_equal(read("deep.png"), read("deep.tif"))
    assert read("dark.png").max() == 1  # dark, rather than stretched
    assert read("float.tif")[..., 0].ravel().tolist() == [round(255 * k / 15) for k in range(16)]
    assert read("clear.png")[0].tolist() == [[255] * 3] * 2 + [[255, 0, 0]] * 2
    assert read("palette.png")[0].tolist() == [[255] * 3] * 2 + [[0, 255, 0]] * 2
    assert read("frame.gif")[0].tolist() == [[0, 0, 255]] * 2 + [[0, 255, 0]] * 2
    assert np.abs(read("ink.jpg").astype(int) - [255, 0, 0]).max() < 30
    assert not read("turned.png")[0].any() and (read("turned.png")[3] == 255).all()
    assert (read("dot.png") == [9, 8, 7]).all()


def test_read_images_keeps_proportions_and_order(tmp_path):
    wide = Image.new("RGB", (40, 10), "black")
    wide.paste((255, 255, 255), (15, 0, 25, 10))  # a white square in the middle
    wide.save(tmp_path / "wide.png")
    images = data.read_images([tmp_path / "wide.png", photo(tmp_path / "b.png", 0)], (10, 10))
    assert images.shape == (2, 10, 10, 3) and (images[0] == 255).all()
    assert data.read_images([], (5, 7)).shape == (0, 5, 7, 3)


def test_read_images_names_the_bad_file(tmp_path):
    with pytest.raises(data.DataError, match=r"gone\.png.*Replace the file"):
        data.read_images([tmp_path / "gone.png"], (4, 4))
    whole = Path(photo(tmp_path / "a.png", 0)).read_bytes()
    chance = random.Random(0)
    for _ in range(100):
        place = chance.randrange(len(whole))
        (tmp_path / "a.png").write_bytes(whole[:place] + chance.randbytes(4) + whole[place + 4 :])
        with contextlib.suppress(data.DataError):  # any other error is a bug
            data.read_images([tmp_path / "a.png"], (4, 4))
