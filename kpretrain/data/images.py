"""Image files as arrays of 8 bits."""

import functools
import operator
import os
import warnings

import numpy as np
from PIL import Image, ImageOps

from .dataset import DataError

_VERSION = operator.attrgetter("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")  # a copy may keep its mtime


def read_images(paths, size):
    """Read image files into one array.

    Images are turned upright (EXIF), 16-bit ones scaled to 8 bits, transparent ones laid on white, and each is
    enlarged or shrunk so that it covers `size`, then cropped in the middle: proportions are kept.

    Parameters
    ----------
    paths : sequence of path
    size : (int, int)
        Height and width in pixels.

    Returns
    -------
    numpy.ndarray
        uint8 `(n, height, width, 3)`.

    Raises
    ------
    DataError
        If a file is missing or is no image.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (40, 30), "red").save(f"{folder}/red.png")
    ...     images = read_images([f"{folder}/red.png"], (24, 24))
    >>> images.shape, images[0, 0, 0].tolist()
    ((1, 24, 24, 3), [255, 0, 0])
    """
    images = np.empty((len(paths), *size, 3), "uint8")
    for row, path in zip(images, paths, strict=True):
        image = open_image(path).convert("RGB")
        row[:] = np.asarray(ImageOps.fit(image, size[::-1], Image.Resampling.BILINEAR))
    return images


def read_images_once(paths, size):
    """`read_images`, with each file decoded once as long as this process lives and the file does not change.

    Many small trainings on the same photographs would spend their time on decoding. 1 GiB of images is kept; what is
    beyond is decoded each time.

    Returns
    -------
    numpy.ndarray
        uint8 `(n, height, width, 3)`, a new one each time.

    Raises
    ------
    DataError
        As `read_images`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (40, 30), "red").save(f"{folder}/red.png")
    ...     images = [read_images_once([f"{folder}/red.png"], (24, 24)) for _ in range(2)]
    >>> np.array_equal(*images)
    True
    """
    keys = [(str(path), tuple(size), os.path.isfile(path) and _VERSION(os.stat(path))) for path in paths]
    return np.array([_decoded(*key) for key in keys], "uint8").reshape(len(keys), *size, 3)


@functools.lru_cache(maxsize=2000)  # 300 MB at 224 x 224 pixels
def _decoded(path, size, version):
    return read_images([path], size)[0]


def open_image(path):
    """Open an image file upright, with 8 bits and without transparency.

    Parameters
    ----------
    path : path or binary file

    Returns
    -------
    PIL.Image.Image
        Of mode "RGB", or "L" for a grey one.

    Raises
    ------
    DataError
        If the file is missing, is no image, or holds so many pixels (89 million) that Pillow warns of a bomb.

    Examples
    --------
    >>> import io
    >>> file = io.BytesIO()
    >>> Image.new("RGBA", (4, 3)).save(file, "PNG")
    >>> image = open_image(file)
    >>> image.mode, image.size, image.getpixel((0, 0))
    ('RGB', (4, 3), (255, 255, 255))
    """
    try:
        bomb = warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning)
        with bomb, Image.open(path) as file:
            image = _eight_bit(ImageOps.exif_transpose(file))
            return image if image.mode == "L" else image.convert("RGB")
    except Exception as error:  # Pillow raises many kinds for a damaged file
        raise DataError(f"{path}: not a readable image ({error}). Replace the file, or remove it.") from error


def _eight_bit(image):
    """An 8-bit image without transparency. PIL's own conversion clips 16-bit values at 255 instead of scaling."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.nan_to_num(np.asarray(image, dtype="float64"), posinf=0, neginf=0)
        # The file does not tell what white is, unless it has 16 bits: the least usual value that clips nothing.
        least = 65535 if image.mode.startswith("I;16") else 255 if image.mode == "I" else 1
        top = next((top for top in (1, 255, 65535) if top >= max(least, values.max())), values.max())
        return Image.fromarray((values * (255 / top)).round().clip(0, 255).astype("uint8"))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image
