"""The course's own datasets, by name: where each is looked for, and how it is read."""

import os
import shutil
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pooch
from PIL import Image

from ..files import cache_folder, offline
from ..paths import ROOT
from .corpus import docstrings
from .dataset import DataError, Dataset, Part, announce, loaded
from .folders import from_folder
from .parts import assemble, stable_part, twins
from .tables import from_table

_REPOSITORY_DATA = ROOT / "data"
_TIMEOUT = 20  # seconds without an answer before a download is given up
_MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
_MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
_DIGITS = [str(digit) for digit in range(10)]


class MissingDataError(DataError):
    """A dataset that is not on this machine, and cannot be downloaded."""


def load(name, *, seed=0):
    """Load one of the course's datasets.

    "digits" and "docstrings" come with the installed packages. All others are looked for in `$KPRETRAIN_DATA`, the
    repository's `data/` and Keras's cache: `mnist.npz` and `cifar10_images.zip` give uint8 images,
    `(n, 28, 28, 1)` and `(n, 32, 32, 3)`, `hymenoptera_data.zip` (photographs of ants and bees) gives paths, and
    `rt-polaritydata/` (film reviews) gives sentences.

    Parameters
    ----------
    name : {"mnist", "digits", "docstrings", "cifar10", "hymenoptera", "rt-polarity"}
        "mnist" is downloaded if it is nowhere (unless `KPRETRAIN_OFFLINE=1`); where that fails, scikit-learn's digits
        stand in and a line says so.
    seed : int
        Draws the validation part out of train, where the source has none.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If a file that was found is damaged (it is never replaced in silence), or one of the last three is not there.
    ValueError
        If there is no dataset of that name.

    References
    ----------
    Y. LeCun et al. (1998), Gradient-based learning applied to document recognition, Proc. IEEE 86 (MNIST).
    A. Krizhevsky (2009), Learning multiple layers of features from tiny images (CIFAR-10).
    B. Pang, L. Lee (2005), Seeing stars, https://arxiv.org/abs/cs/0506075 (rt-polarity).

    Examples
    --------
    >>> digits = load("digits")
    digits: 1,198 train, 240 validation, 359 test rows in 10 classes, from scikit-learn's load_digits, enlarged to 28x28
    >>> digits.train.x.shape
    (1198, 28, 28, 1)
    """
    loaders = {
        "mnist": _load_mnist,
        "digits": _load_digits,
        "docstrings": _load_docstrings,
        "cifar10": _load_cifar10,
        "hymenoptera": _load_hymenoptera,
        "rt-polarity": _load_rt_polarity,
    }
    if name not in loaders:
        raise ValueError(f"No dataset {name!r}; choose one of {sorted(loaders)}, or use from_folder or from_table.")
    return loaders[name](seed)


def _find(file, origin, sha256=None):
    """(path, its folder in words) of a file or folder on this machine; one with a sha256 is downloaded if need be.

    A download is whole and has the right sha256, or leaves nothing behind.
    """
    own = os.environ.get("KPRETRAIN_DATA")
    if own and not Path(own).expanduser().is_dir():
        raise DataError(f"KPRETRAIN_DATA is {own!r}, which is not a folder. Correct it, or unset it.")
    cache = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets"
    places = {"$KPRETRAIN_DATA": own, "the repository's data": _REPOSITORY_DATA, "Keras's cache": cache}
    for words, folder in places.items():
        if folder and (path := Path(folder).expanduser() / file).exists():
            return path, words
    why = ""
    if sha256 and offline():
        why = ", and KPRETRAIN_OFFLINE=1 forbids the network"
    elif sha256:
        pooch.get_logger().setLevel("WARNING")
        downloader = pooch.HTTPDownloader(progressbar=True, timeout=_TIMEOUT)
        try:
            return Path(pooch.retrieve(origin, sha256, file, cache, downloader=downloader)), "Keras's cache"
        except ValueError:
            why = ", and what the download brought has the wrong sha256"
        except OSError as error:  # no network, time-out, a folder that can't be written
            why = f", and the download failed ({type(error).__name__})"
    mend = f"Put {file} into $KPRETRAIN_DATA or the repository's data/: {origin}."
    raise MissingDataError(f"{Path(file).stem}: not on this machine{why}. {mend}")


def _cut_validation(name, source, train, test, *, share, seed, class_names=_DIGITS):
    """Announce a Dataset whose validation part is a stratified, seeded share of `train`."""
    from sklearn.model_selection import train_test_split

    x, held_x, y, held_y = train_test_split(*train, test_size=share, stratify=train.y, random_state=seed)
    return announce(Dataset(name, Part(x, y), Part(held_x, held_y), test, class_names, source))


def _load_mnist(seed):
    try:
        path, place = _find("mnist.npz", _MNIST_URL, _MNIST_SHA256)
    except MissingDataError as error:
        print(f"{error} Using scikit-learn's 1,797 digits instead: fewer and coarser, so scores are lower and noisier.")
        return _load_digits(seed)
    train, test = read_mnist(path)
    source = f"{place}/{path.name} (sha256 {pooch.file_hash(path)[:12]})"
    return _cut_validation("mnist", source, train, test, share=1 / 12, seed=seed)


def read_mnist(path):
    """Read an `mnist.npz` and check it.

    Returns
    -------
    train, test : Part
        `x`: uint8 `(n, 28, 28, 1)`; `y`: int64 `(n,)`, 0 to 9.

    Raises
    ------
    DataError
        If the file is truncated, holds pickled objects, lacks an array or has wrong shapes or values.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     x, y = np.zeros((120, 28, 28), "uint8"), np.arange(120) % 10
    ...     np.savez(f"{folder}/mnist.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    ...     train, test = read_mnist(f"{folder}/mnist.npz")
    >>> train.x.shape
    (120, 28, 28, 1)
    """
    mend = "Delete the file to have it downloaded again, or put a whole copy in its place."
    try:
        with np.load(path, allow_pickle=False) as file:
            parts = {part: Part(file[f"x_{part}"], file[f"y_{part}"]) for part in ("train", "test")}
    except Exception as error:  # NumPy, zipfile and zlib raise many kinds for a damaged file
        raise DataError(f"{path}: not a readable mnist.npz ({error}). {mend}") from error
    for part, (x, y) in parts.items():
        digits, counts = np.unique(y, return_counts=True)
        fine = x.dtype == np.uint8 and x.shape == (y.size, 28, 28) and y.ndim == 1 and y.dtype.kind in "iu"
        if not fine or digits.tolist() != list(range(10)) or counts.min() < 12:  # 12: one of each for validation
            raise DataError(
                f"{path}: x_{part} is {x.dtype} {x.shape}, and y_{part} {y.dtype} {y.shape}; wanted uint8 (n, 28, 28) "
                f"and n integers, each digit from 0 to 9 at least 12 times. {mend}"
            )
    return [Part(x[..., None], y.astype("int64")) for x, y in parts.values()]


def _load_digits(seed):
    """scikit-learn's digits at MNIST's size: 8x8 enlarged to 20x20 in the middle of 28x28.

    Rows of the same writer stand together in the file, so the test part is its last fifth, not a
    random draw: a random test set would share its writers with train.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = np.zeros((len(digits.images), 28, 28, 1), "uint8")
    for row, image in zip(x, digits.images, strict=True):
        small = Image.fromarray((image * (255 / 16)).astype("uint8"))
        row[4:24, 4:24, 0] = small.resize((20, 20), Image.Resampling.BICUBIC)
    y = digits.target.astype("int64")
    first_test = len(y) - len(y) // 5
    train, test = Part(x[:first_test], y[:first_test]), Part(x[first_test:], y[first_test:])
    source = "scikit-learn's load_digits, enlarged to 28x28"
    return _cut_validation("digits", source, train, test, share=1 / 6, seed=seed)


def _load_docstrings(seed):
    """The documented rows, split by a stable hash, so that `seed` changes nothing here."""
    table = docstrings().dropna(subset=["text"])
    part = stable_part(table["library"] + "/" + table["module"])
    table["reason"] = twins(part, table.pop("cluster").to_numpy())
    stays, about = table["reason"] == "", {"name": "docstrings", "source": loaded()["docstrings"]}
    return announce(assemble(table[stays], part[stays], x="text", y="library", removed=table[~stays], **about))


def _load_cifar10(seed):
    """CIFAR-10 as an image folder in a zip: 50,000 + 10,000 photographs; a tenth of train is for validation."""
    path, _ = _find("cifar10_images.zip", what := "a zip of cifar10_images/{train,test}/<class>/*.jpg")
    try:
        with zipfile.ZipFile(path) as photos:
            names = pd.Series(sorted(name for name in photos.namelist() if name.endswith(".jpg")))
            x = np.stack([np.asarray(Image.open(BytesIO(photos.read(name))).convert("RGB")) for name in names])
        found = names.str.extract("/(?P<part>train|test)/(?P<label>[^/]+)/[^/]+$")
        y, classes = found["label"].factorize(sort=True)
        train, test = (Part(x[rows], y[rows]) for rows in (found["part"] == "train", found["part"] == "test"))
        return _cut_validation("cifar10", path.name, train, test, share=0.1, seed=seed, class_names=classes.tolist())
    except Exception as error:  # zipfile, zlib, Pillow and scikit-learn raise many kinds
        raise DataError(f"{path}: not {what} ({error}). Put a whole copy there.") from error


def _load_hymenoptera(seed):
    """Ants and bees, unpacked once into the cache, in a folder with the zip's sha256 in its name."""
    path, _ = _find("hymenoptera_data.zip", "https://download.pytorch.org/tutorial/hymenoptera_data.zip")
    folder = cache_folder() / f"{path.stem}-{pooch.file_hash(path)[:12]}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as unpacked:
            try:
                shutil.unpack_archive(path, unpacked, "zip")
                Path(unpacked, path.stem).rename(folder)
            except (OSError, ValueError, zipfile.BadZipFile) as error:
                if not folder.is_dir():  # else another process was quicker, and its folder is as good
                    raise DataError(f"{path}: not a readable zip ({error}). Put a whole copy there.") from error
    return from_folder(folder, seed=seed, name="hymenoptera", source=path.name)


def _load_rt_polarity(seed):
    """Film reviews, a sentence a line; near duplicates never cross from part to part."""
    origin = "https://www.cs.cornell.edu/people/pabo/movie-review-data/rt-polaritydata.tar.gz, unpacked"
    (folder, _), rows = _find("rt-polaritydata", origin), []
    for ending, label in (("neg", "negative"), ("pos", "positive")):
        path = folder / f"rt-polarity.{ending}"
        try:
            lines = path.read_text(encoding="utf8").splitlines()
        except UnicodeDecodeError:  # as it was published
            lines = path.read_text(encoding="latin-1").splitlines()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}). Put a whole copy there.") from error
        rows += [(line.strip(), label) for line in lines]
    table = pd.DataFrame(rows, columns=["text", "label"])
    return from_table(table, seed=seed, name="rt-polarity", source=folder.name)
