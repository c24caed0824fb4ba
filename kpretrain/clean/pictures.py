"""Pictures that are copies of one another, or nearly."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL.Image
import PIL.ImageOps

from .duplicates import components, first_row

# Found on 398 photographs, 301 drawn charts and 1,797 digits; tests/clean/test_pictures.py measures it.
_LEAST_CONTRAST = 4  # grey levels of 255: below, what is left is mostly the noise of the compression
_LEAST_CORRELATION = 0.96
_MOST_APART = 0.7  # standard deviations


class ImagePrint(NamedTuple):
    """What tells whether two pictures are copies, from `image_print`.

    Attributes
    ----------
    digest : bytes
        The same for the same mode, size and pixels.
    grey : ndarray of float32, shape (256,)
        The picture as 16 x 16 grey values with mean 0 and standard deviation 1; all 0 where it has too little contrast.

    Examples
    --------
    >>> digest, grey = image_print(PIL.Image.new("L", (40, 40), "white"))
    >>> len(digest), grey.shape, bool(grey.any())
    (64, (256,), False)
    """

    digest: bytes
    grey: np.ndarray


def image_print(image):
    """Return the `ImagePrint` of a picture.

    Parameters
    ----------
    image : PIL.Image.Image, str or Path
        A file is turned upright, as its metadata ask. A picture that is open already is not decoded once more.

    Returns
    -------
    ImagePrint

    Raises
    ------
    ValueError
        For a file that can't be read; the message names it.

    Examples
    --------
    >>> picture = PIL.Image.linear_gradient("L")
    >>> small = picture.resize((64, 64))
    >>> image_print(picture).digest == image_print(small).digest
    False
    >>> bool(np.allclose(image_print(picture).grey, image_print(small).grey, atol=0.01))
    True
    """
    if isinstance(image, str | Path):
        try:
            with PIL.Image.open(image) as file:
                return image_print(PIL.ImageOps.exif_transpose(file))
        except Exception as error:  # Pillow raises many kinds for a damaged file
            raise ValueError(f"{image}: cannot be read as an image ({error}): remove or replace the file") from error
    pixels = image.convert("RGBA") if image.mode in ("P", "PA") else image
    digest = hashlib.blake2b(f"{pixels.mode} {pixels.size} ".encode() + pixels.tobytes()).digest()
    grey = np.asarray(image.convert("L").resize((16, 16), PIL.Image.Resampling.BOX), np.float32).ravel()
    contrast = grey.std()
    return ImagePrint(digest, (grey - grey.mean()) / contrast if contrast >= _LEAST_CONTRAST else np.zeros_like(grey))


def near_duplicate_images(images):
    """Cluster numbers for pictures that are copies of one another, or nearly: saved again, resized, brightened.

    Two pictures are near duplicates where, at 16 x 16 grey values with mean 0 and standard deviation 1, they correlate
    with 0.96 or more and no value differs by more than 0.7. The second condition parts pictures that share a frame, or
    a white ground, and differ in the small thing on it. Pictures of (nearly) one grey count by their exact pixels only.
    Clusters are connected components. A copy that is turned, or cut by more than a few pixels, is not found.

    Parameters
    ----------
    images : sequence of str, Path, PIL.Image.Image or ImagePrint

    Returns
    -------
    ndarray of int64, shape (n,)
        Numbered from 0 in order of first appearance.

    Raises
    ------
    TypeError, ValueError
        For a file that can't be read (the message names it), or one path instead of several.

    Notes
    -----
    Time grows with the square of n: a second or two for 5,000 pictures, besides decoding them.

    Examples
    --------
    >>> picture = PIL.Image.linear_gradient("L")
    >>> near_duplicate_images([picture, picture.rotate(90), picture.resize((64, 64))]).tolist()
    [0, 1, 0]
    """
    if isinstance(images, str | bytes | Path):
        raise TypeError("images is a single path: pass a list of paths")
    prints = [image if isinstance(image, ImagePrint) else image_print(image) for image in images]
    pairs = [np.column_stack((np.arange(len(prints)), first_row([one.digest for one in prints])))]
    grey = np.array([one.grey for one in prints]).reshape(len(prints), 16 * 16)
    rows = np.flatnonzero(grey.any(axis=1))  # those with enough contrast
    grey = grey[rows]
    for start in range(0, len(rows), 256):
        alike = grey[start : start + 256] @ grey[start:].T >= _LEAST_CORRELATION * grey.shape[1]
        close = np.argwhere(np.triu(alike, 1)) + start
        for some in np.array_split(close, len(close) // 20_000 + 1):
            apart = np.abs(grey[some[:, 0]] - grey[some[:, 1]]).max(axis=1, initial=0)
            pairs.append(rows[some[apart <= _MOST_APART]])
    return components(np.concatenate(pairs), len(prints))
