"""The course's own datasets, by name, and how each is read."""

import wave
from hashlib import sha256
from io import BytesIO

import numpy as np
import pandas as pd
from PIL import Image

from ..files import cache_folder, replacing
from .corpus import docstrings
from .dataset import DataError, Dataset, Part, announce, loaded, remember
from .fetch import MissingDataError, digest, find, take
from .folders import from_folder
from .parts import assemble, stable_part, twins
from .speech import synthesised_digits
from .tables import from_table

_DIGITS = [str(digit) for digit in range(10)]


def load(name, *, seed=0):
    """Load one of the course's datasets.

    "digits" and "docstrings" come with the installed packages. All others are looked for in `$KPRETRAIN_DATA`, the
    repository's `data/`, Keras's cache and the cache folder, and then downloaded into the latter, unless
    `KPRETRAIN_OFFLINE=1`. A download is kept only if it holds what was published.

    Parameters
    ----------
    name : {"mnist", "digits", "docstrings", "cifar10", "hymenoptera", "rt-polarity", "spoken_digits"}
        "mnist" and "digits" are uint8 images `(n, 28, 28, 1)`, "cifar10" `(n, 32, 32, 3)`; "hymenoptera" (photographs
        of ants and bees) gives paths, "rt-polarity" (film reviews) sentences; "spoken_digits" is described at
        `spoken_digits`, and its parts share no speaker: seeds 0 to 5 hold out each of the six once. Where "mnist"
        or "spoken_digits" cannot be had, scikit-learn's digits or computed voices stand in, and a line says so.
    seed : int
        Draws the validation part out of train, where the source has none.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If a file that was found is damaged (it is never replaced in silence), or a set without a stand-in cannot be
        had.
    ValueError
        If there is no dataset of that name.

    References
    ----------
    Y. LeCun et al. (1998), Gradient-based learning applied to document recognition, Proc. IEEE 86 (MNIST).
    A. Krizhevsky (2009), Learning multiple layers of features from tiny images (CIFAR-10).
    B. Pang, L. Lee (2005), Seeing stars, https://arxiv.org/abs/cs/0506075 (rt-polarity).
    Z. Jackson et al. (2018), Free spoken digit dataset, v1.0.10, https://doi.org/10.5281/zenodo.1342401.

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
        "spoken_digits": _load_spoken_digits,
    }
    if name not in loaders:
        raise ValueError(f"No dataset {name!r}; choose one of {sorted(loaders)}, or use from_folder or from_table.")
    return loaders[name](seed)


def _cut_validation(name, source, train, test, *, share, seed, class_names=_DIGITS):
    """Announce a Dataset whose validation part is a stratified, seeded share of `train`."""
    from sklearn.model_selection import train_test_split

    x, held_x, y, held_y = train_test_split(*train, test_size=share, stratify=train.y, random_state=seed)
    return announce(Dataset(name, Part(x, y), Part(held_x, held_y), test, class_names, source))


def _load_mnist(seed):
    try:
        path, place = find("mnist")
    except MissingDataError as error:
        print(f"{error} Using scikit-learn's 1,797 digits instead: fewer and coarser, so scores are lower and noisier.")
        return _load_digits(seed)
    train, test = read_mnist(path)
    source = f"{place}/{path.name} (sha256 {sha256(path.read_bytes()).hexdigest()[:12]})"
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
    >>> import tempfile
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
    """CIFAR-10, 50,000 + 10,000 photographs; a tenth of train is for validation."""
    content, source = take("cifar10")
    try:
        if meta := content.pop("batches.meta.txt", None):
            rows = np.frombuffer(b"".join(content[name] for name in sorted(content)), "uint8").reshape(-1, 3073)
            y, x = rows[:, 0].astype("int64"), rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            classes, test = meta.decode().split(), np.arange(len(y)) >= len(y) - len(content["test_batch.bin"]) // 3073
        else:
            source, names = f"{source}: a copy as JPEG, whose pixels differ a little", pd.Series(sorted(content))
            x = np.stack([np.asarray(Image.open(BytesIO(content[name])).convert("RGB")) for name in names])
            (y, classes), test = names.str.split("/").str[1].factorize(sort=True), names.str.startswith("test")
        train, test = (Part(x[rows], y[rows]) for rows in (~test, test))
        return _cut_validation("cifar10", source, train, test, share=0.1, seed=seed, class_names=list(classes))
    except Exception as error:  # NumPy, Pillow and scikit-learn raise many kinds
        raise DataError(f"{source}: not CIFAR-10 ({error}). Put a whole copy there.") from error


def _load_hymenoptera(seed):
    """Ants and bees, unpacked once into the cache; the folder's name has the digest, so what lies there is right."""
    content, source = take("hymenoptera")
    folder = cache_folder() / f"hymenoptera-{digest(content)[:12]}"
    for name, photograph in content.items():
        if not (path := folder / name).is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as part:
                part.write_bytes(photograph)
    return from_folder(folder, seed=seed, name="hymenoptera", source=source)


def _load_rt_polarity(seed):
    """Film reviews, a sentence a line; near duplicates never cross from part to part."""
    content, source = take("rt-polarity")
    labels = {"rt-polarity.neg": "negative", "rt-polarity.pos": "positive"}
    rows = [(line, label) for name, label in labels.items() for line in content.get(name, b"").decode().split("\n")]
    return from_table(pd.DataFrame(rows, columns=["text", "label"]), seed=seed, name="rt-polarity", source=source)


def spoken_digits():
    """Read the free spoken digits: recordings of one second, and who says what.

    Where they cannot be had, `kpretrain.data.speech.synthesised_digits` stand in, and a line says so.

    Returns
    -------
    waves : numpy.ndarray
        int16 `(n, 8000)`, 8 kHz: a recording that is longer loses its end, a shorter one ends in zeros.
    table : pandas.DataFrame
        A row for each: `digit` and `take` (int), `speaker` (str).

    Raises
    ------
    DataError
        As `load`, and if a recording is not of 16 bits, mono, at 8 kHz.

    Examples
    --------
    >>> import tempfile, zipfile
    >>> from unittest.mock import patch
    >>> with tempfile.TemporaryDirectory() as folder, patch.dict("os.environ", KPRETRAIN_DATA=folder):
    ...     with zipfile.ZipFile(f"{folder}/free_spoken_digits.zip", "w") as file:
    ...         with file.open("7_theo_0.wav", "w") as member, wave.open(member, "wb") as recording:
    ...             recording.setparams((1, 2, 8000, 3, "NONE", ""))
    ...             recording.writeframes(np.array([5, -5, 9], "<i2").tobytes())
    ...     waves, table = spoken_digits()
    >>> waves[:, :4].tolist(), table.values.tolist()
    ([[5, -5, 9, 0]], [[7, 'theo', 0]])
    """
    try:
        content, source = take("spoken_digits")
    except MissingDataError as error:
        print(f"{error} Computed voices stand in: vowels without consonants, easier than speech and no measure of it.")
        remember("spoken_digits", "synthesised voices")
        return synthesised_digits()
    waves = np.zeros((len(content), 8000), "int16")
    for row, (name, recording) in zip(waves, sorted(content.items()), strict=True):
        try:
            with wave.open(BytesIO(recording)) as file:
                sound, kind = np.frombuffer(file.readframes(len(row)), "<i2"), file.getparams()[:3]
            if kind != (1, 2, 8000):
                raise ValueError(f"channels, bytes and rate are {kind}, not (1, 2, 8000)")
        except (EOFError, ValueError, wave.Error) as error:
            raise DataError(f"{name} in {source}: not a recording of this set ({error}).") from error
        row[: len(sound)] = sound
    table = pd.Series(sorted(content)).str.extract(r"(?P<digit>\d)_(?P<speaker>\w+)_(?P<take>\d+)")
    remember("spoken_digits", source)
    return waves, table.astype({"digit": int, "take": int})


def _load_spoken_digits(seed):
    waves, table = spoken_digits()
    speakers, digit, source = sorted(table["speaker"].unique()), table["digit"].to_numpy(), loaded()["spoken_digits"]
    test, validation = (table["speaker"] == speakers[(seed + k) % len(speakers)] for k in range(2))
    parts = [Part(waves[rows], digit[rows]) for rows in (~(test | validation), validation, test)]
    return announce(Dataset("spoken_digits", *parts, _DIGITS, source))
