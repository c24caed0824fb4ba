"""Datasets of raw rows: MNIST, digits, the docstrings corpus, image folders and text tables.

A dataset's parts are `(x, y)`: uint8 images `(n, height, width, channels)`, strings or paths in `x`,
class numbers in `y`. Nothing is scaled, tokenised or cleaned here: each model owns its preprocessing.
A test part always exists and is apart from the others.
"""

import ast
import contextlib
import hashlib
import importlib.metadata
import importlib.util
import io
import os
import shutil
import tempfile
import uuid
import warnings
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from . import clean

_REPOSITORY_DATA = Path(__file__).parents[1] / "data"
_MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
_MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
_TIMEOUT = 20  # seconds without an answer before a download is given up

_loaded = {}
_MOST_REMEMBERED = 2**30  # bytes of decoded images that a process keeps
_decoded = {}  # (path, what the system tells of the file, height, width) -> uint8 (height, width, 3)


class DataError(ValueError):
    """A file or table that cannot be used; the message names it and the mend."""


class Part(NamedTuple):
    """One part of a dataset: `x` raw rows, `y` class numbers (int64), both of length n."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Dataset:
    """Raw rows in three parts that share no row.

    Attributes
    ----------
    train, validation, test : Part
        `(x, y)`; `x` is uint8 `(n, height, width, channels)`, or strings, or paths.
    class_names : list of str
        `class_names[k]` is the name of class `k`.
    source : str
        Where the rows come from, in words.
    removed : pandas.DataFrame
        Rows left out, each with its `reason`. Often empty.
    near_duplicates : pandas.DataFrame
        Of a folder of images: the pictures (`path`) that are near duplicates of one another, with their `group`. Those
        of one group stand in one part.

    Raises
    ------
    DataError
        If `x` and `y` of a part differ in length, if a class number has no name, or if validation or test have a class
        that train lacks.
    """

    name: str
    train: Part
    validation: Part
    test: Part
    class_names: list
    source: str
    removed: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({"reason": []}), repr=False)
    near_duplicates: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({"path": [], "group": []}), repr=False)

    def __post_init__(self):
        known = None  # the classes of train, which comes first
        for part in ("train", "validation", "test"):
            if getattr(self, part) is None:
                continue
            x, y = getattr(self, part)
            if len(x) != len(y):
                raise DataError(f"{self.name}: {part} has {len(x):,} rows in x and {len(y):,} in y.")
            present = np.unique(y)
            if present.dtype.kind not in "iu":
                continue
            if len(unnamed := present[(present < 0) | (present >= len(self.class_names))]):
                names = f"class_names has {len(self.class_names)} names, for the classes from 0"
                raise DataError(f"{self.name}: {part} has class {unnamed[0]} in y, but {names}.")
            known = present if known is None else known
            if len(unseen := np.setdiff1d(present, known)):
                raise DataError(
                    f"{self.name}: the class {self.class_names[unseen[0]]!r} has 0 training rows, and {part} has some. "
                    "Add rows to train, or leave the class out."
                )

    @property
    def unlabelled(self):
        """The rows of `train` without their labels."""
        return self.train.x

    def every(self, step):
        """Return a Dataset of every `step`-th row of each part, for a quick look; the tables stay as they are."""
        parts = {name: getattr(self, name) for name in ("train", "validation", "test")}
        return replace(self, **{name: Part(part.x[::step], part.y[::step]) for name, part in parts.items()})

    def __repr__(self):
        sizes = ", ".join(f"{len(getattr(self, part).y):,} {part}" for part in ("train", "validation", "test"))
        text = f"{self.name}: {sizes} rows in {len(self.class_names)} classes, from {self.source}"
        if len(self.removed):
            counts = self.removed["reason"].value_counts()
            text += "; left out " + ", ".join(f"{n:,} ({reason})" for reason, n in counts.items())
        if count := len(self.near_duplicates):
            groups = self.near_duplicates["group"].nunique()
            text += f"; {count:,} near-duplicate pictures in {groups:,} group{'s' * (groups > 1)} stay in one part"
        return text


def loaded():
    """Return what this process has loaded so far: dataset name -> source."""
    return dict(_loaded)


def cache_folder():
    """Return the folder for cached files, `$KPRETRAIN_CACHE` or the user's cache folder; it may not exist yet."""
    import platformdirs

    return Path(os.environ.get("KPRETRAIN_CACHE") or platformdirs.user_cache_dir("kpretrain", appauthor=False))


def load(name, *, seed=0):
    """Load one of the course's datasets.

    Parameters
    ----------
    name : {"mnist", "digits", "docstrings", "cifar10", "hymenoptera", "rt-polarity"}
        "mnist" is looked for in `$KPRETRAIN_DATA`, the repository's `data/`, Keras's cache, then the
        network (unless `KPRETRAIN_OFFLINE=1`); if it is nowhere, scikit-learn's digits stand in and a line says so.
        The last three are looked for in `$KPRETRAIN_DATA` and the repository's `data/` only: `cifar10_images.zip`
        gives uint8 `(n, 32, 32, 3)`, `hymenoptera_data.zip` (photographs of ants and bees) gives paths, and
        `rt-polaritydata/` (film reviews) gives sentences.
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
        raise ValueError(
            f"No dataset {name!r}; choose one of {sorted(loaders)}, or use from_folder or from_table for your own."
        )
    return _announce(loaders[name](seed))


def _announce(dataset):
    _loaded[dataset.name] = dataset.source
    print(dataset)
    return dataset


def _cut(labels, share, seed):
    """Positions of a stratified, seeded cut: (the rest, the share)."""
    from sklearn.model_selection import train_test_split

    return train_test_split(np.arange(len(labels)), test_size=share, stratify=labels, random_state=seed)


# ---------------------------------------------------------------- MNIST and digits


def _data_folder():
    """The folder that `$KPRETRAIN_DATA` names, or None if it is not set."""
    value = os.environ.get("KPRETRAIN_DATA")
    if not value:
        return None
    folder = Path(value).expanduser()
    if not folder.is_dir():
        raise DataError(f"KPRETRAIN_DATA is {value!r}, which is not a folder. Correct it, or unset it.")
    return folder


def offline():
    """Tell whether KPRETRAIN_OFFLINE forbids the network."""
    return os.environ.get("KPRETRAIN_OFFLINE", "") not in ("", "0")


def _load_mnist(seed):
    path, source, why_not = _find_mnist()
    if path is None:
        print(
            f"mnist: {why_not}. Using scikit-learn's 1,797 digits instead: "
            "fewer and coarser images, so scores are lower and noisier than on MNIST."
        )
        return _load_digits(seed)
    arrays = read_mnist(path)
    x, y = arrays["x_train"], arrays["y_train"]
    rest, held = _cut(y, 1 / 12, seed)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return Dataset(
        name="mnist",
        train=Part(x[rest], y[rest]),
        validation=Part(x[held], y[held]),
        test=Part(arrays["x_test"], arrays["y_test"]),
        class_names=[str(digit) for digit in range(10)],
        source=f"{source}/mnist.npz (sha256 {digest})",
    )


def _find_mnist():
    """(path, its folder in words, None), or (None, None, why it was not found)."""
    keras_cache = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets"
    folders = [
        (_data_folder(), "$KPRETRAIN_DATA"),
        (_REPOSITORY_DATA, "the repository's data"),
        (keras_cache, "Keras's cache"),
    ]
    for folder, words in folders:
        if folder is not None and (folder / "mnist.npz").is_file():
            return folder / "mnist.npz", words, None
    if offline():
        return None, None, "not on this machine, and KPRETRAIN_OFFLINE=1 forbids the network"
    try:
        return _download(_MNIST_URL, _MNIST_SHA256, keras_cache), "Keras's cache", None
    except ValueError:
        return None, None, "not on this machine, and what the download brought has the wrong sha256"
    except OSError as error:  # no network, time-out, a folder that can't be written
        return None, None, f"not on this machine, and the download failed ({type(error).__name__})"


def _download(url, sha256, folder):
    """Fetch a file into `folder`: whole and with the right sha256, or not at all."""
    import pooch

    pooch.get_logger().setLevel("WARNING")
    downloader = pooch.HTTPDownloader(timeout=_TIMEOUT, progressbar=False)
    return Path(
        pooch.retrieve(url, f"sha256:{sha256}", fname=url.rsplit("/", 1)[1], path=folder, downloader=downloader)
    )


def read_mnist(path):
    """Read an `mnist.npz` and check it.

    Returns
    -------
    dict
        `x_train`, `x_test`: uint8 `(n, 28, 28, 1)`; `y_train`, `y_test`: int64 `(n,)`, 0 to 9.

    Raises
    ------
    DataError
        If the file is truncated, holds pickled objects, lacks an array or has wrong shapes or values.
    """
    path = Path(path)
    mend = "Delete the file to have it downloaded again, or put a whole copy in its place."
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except Exception as error:  # NumPy, zipfile and zlib raise many kinds for a damaged file
        raise DataError(f"{path}: not a readable mnist.npz ({error}). {mend}") from error
    if missing := {"x_train", "y_train", "x_test", "y_test"} - arrays.keys():
        raise DataError(f"{path}: no array {', '.join(sorted(missing))}; it holds {sorted(arrays)}. {mend}")
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.ndim != 3 or x.shape[1:] != (28, 28) or x.dtype != np.uint8:
            raise DataError(f"{path}: x_{part} is {x.dtype} {x.shape}, wanted uint8 (n, 28, 28). {mend}")
        if y.shape != x.shape[:1] or y.dtype.kind not in "iu":
            raise DataError(f"{path}: y_{part} is {y.dtype} {y.shape}, wanted {len(x)} integers. {mend}")
        digits, counts = np.unique(y, return_counts=True)
        if set(digits) != set(range(10)) or counts.min() < 12:  # 12: one of each digit for validation
            raise DataError(
                f"{path}: y_{part} must hold each digit from 0 to 9 at least 12 times, "
                f"it holds {digits[:12]}, {counts[:12]} times. {mend}"
            )
        arrays[f"x_{part}"], arrays[f"y_{part}"] = x[..., None], y.astype("int64")
    return arrays


def _load_digits(seed):
    """scikit-learn's digits at MNIST's size: 8x8 enlarged to 20x20 in the middle of 28x28.

    Rows of the same writer stand together in the file, so the test part is its last fifth, not a
    random draw: a random test set would share its writers with train.
    """
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = np.zeros((len(digits.images), 28, 28, 1), "uint8")
    for row, image in zip(x, digits.images, strict=True):
        small = Image.fromarray((image * (255 / 16)).astype("uint8"))
        row[4:24, 4:24, 0] = small.resize((20, 20), Image.Resampling.BICUBIC)
    y = digits.target.astype("int64")
    first_test = len(y) - len(y) // 5
    rest, held = _cut(y[:first_test], 1 / 6, seed)
    return Dataset(
        name="digits",
        train=Part(x[rest], y[rest]),
        validation=Part(x[held], y[held]),
        test=Part(x[first_test:], y[first_test:]),
        class_names=[str(digit) for digit in range(10)],
        source="scikit-learn's load_digits, enlarged to 28x28",
    )


# ---------------------------------------------------------------- the docstrings corpus

# The import names that make up the corpus, and the library each counts as. keras_core is Keras 3
# before its release: the same library, and a rich source of near duplicates.
LIBRARIES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "pandas": "pandas",
    "sklearn": "scikit-learn",
    "matplotlib": "matplotlib",
    "tensorflow": "tensorflow",
    "keras": "keras",
    "keras_core": "keras",
    "keras_hub": "keras-hub",
    "keras_cv": "keras-cv",
}
_READER_VERSION = 1  # raise it when the reader's output changes: it is part of the cache key


def docstrings():
    """Return the docstrings of the installed scientific packages as a raw table.

    The files are parsed with `ast`; nothing is imported. The table is cached in `cache_folder()`,
    keyed by the packages' versions.

    Returns
    -------
    pandas.DataFrame
        A row for each documented or public module, class and function, in a fixed order: `library`, `module`, `name`,
        `kind` (module, class or function), `text` (missing where there is no docstring) and `cluster` (int: rows of one
        number are exact or near duplicates, -1 where the text is missing).

    Raises
    ------
    DataError
        If none of the packages is installed.
    """
    packages = {name: folder for name in LIBRARIES if (folder := _package_folder(name)) is not None}
    if not packages:
        raise DataError("None of the packages of the docstrings corpus is installed: pip install -r requirements.txt")
    key = _corpus_key(packages)
    _loaded["docstrings"] = f"{len({LIBRARIES[name] for name in packages})} installed libraries (versions {key})"
    return _cached_table(f"docstrings-{key}.parquet", lambda: _read_docstrings(packages))


def _package_folder(name):
    """The folder of an installed package, found without importing it."""
    spec = importlib.util.find_spec(name)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


def _corpus_key(packages):
    distributions = importlib.metadata.packages_distributions()
    versions = sorted(
        f"{name}=={importlib.metadata.version(distributions[name][0]) if name in distributions else 'unknown'}"
        for name in packages
    )
    return hashlib.sha256("\n".join([str(_READER_VERSION), *versions]).encode()).hexdigest()[:16]


def _read_docstrings(packages):
    from joblib import Parallel, delayed

    files = [
        (LIBRARIES[name], path.relative_to(folder.parent).as_posix(), path)
        for name, folder in packages.items()
        for path in sorted(folder.rglob("*.py"))
        if "tests" not in path.parts
    ]
    batches = [files[start : start + 200] for start in range(0, len(files), 200)]
    rows = [row for batch in Parallel(n_jobs=-1)(delayed(_parse_files)(b) for b in batches) for row in batch]
    table = pd.DataFrame(rows, columns=["library", "module", "name", "kind", "text"])
    present = table["text"].notna()
    table["cluster"] = -1
    table.loc[present, "cluster"] = clean.duplicates(table.loc[present, "text"].tolist())
    return table


def _parse_files(files):
    rows = []
    for library, relative, path in files:
        try:
            with warnings.catch_warnings(action="ignore"):  # invalid escapes in other people's strings
                tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue  # a template or a file for another Python version
        module = relative.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        rows.extend((library, module, *row) for row in _documented(tree, ""))
    return rows


def _documented(node, prefix):
    """Yield (name, kind, docstring or None) of a module, its classes and functions; private ones if documented."""
    if isinstance(node, ast.Module):
        yield "", "module", _docstring(node)
    for child in getattr(node, "body", []):
        is_class = isinstance(child, ast.ClassDef)
        if is_class or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            name, text = prefix + child.name, _docstring(child)
            if text or not child.name.startswith("_"):
                yield name, "class" if is_class else "function", text
            if is_class:
                yield from _documented(child, name + ".")


def _docstring(node):
    text = ast.get_docstring(node)
    return text and text.encode("utf8", "replace").decode("utf8")  # a lone surrogate can't be stored


def _cached_table(file_name, build):
    """Read a table from the cache, or build it and store it there in one step."""
    path = cache_folder() / file_name
    try:
        return pd.read_parquet(path)
    except (FileNotFoundError, NotADirectoryError):
        pass  # the first time
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        print(f"{path}: the cached table cannot be read ({type(error).__name__}); building it again.")
    table = build()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            table.to_parquet(temporary)
    except OSError as error:
        print(
            f"{path.parent}: the cache cannot be written ({error.strerror}), so this will be built again next time. "
            "Set KPRETRAIN_CACHE to a folder that can."
        )
    return table


@contextlib.contextmanager
def replacing(path):
    """Give a temporary name beside `path`, moved into place only if the block succeeds.

    Two processes may do this at once: each writes its own file, and the last move wins whole.
    """
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _load_docstrings(seed):
    """The documented rows, split by a stable hash, so that `seed` changes nothing here."""
    table = docstrings().dropna(subset=["text"])
    part = stable_part(table["library"] + "/" + table["module"])
    reason = _twins(part, table["cluster"].to_numpy())
    removed = table[reason != ""].drop(columns="cluster").assign(reason=reason[reason != ""])
    source = _loaded["docstrings"]
    return _dataset("docstrings", table[reason == ""], part[reason == ""], "text", "library", source, removed)


def _twins(part, cluster):
    """Why a row must leave its part, or "": its duplicate stands in the test or the validation part."""
    near_test = (part != "test") & np.isin(cluster, cluster[part == "test"])
    near_validation = (part == "train") & np.isin(cluster, cluster[part == "validation"])
    reasons = ["duplicate of a test row", "duplicate of a validation row"]
    return np.select([near_test, near_validation], reasons, default="")


def stable_part(keys):
    """Assign each key to a part by its SHA-256: 80 % train, 10 % validation, 10 % test, the same on every machine.

    Parameters
    ----------
    keys : iterable of str
        Rows with the same key, such as a module's lines, go to the same part.

    Returns
    -------
    numpy.ndarray of str, (n,)
        "train", "validation" or "test".
    """
    number = {key: int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) % 10 for key in set(keys)}
    return np.array(["test", "validation", *["train"] * 8])[[number[key] for key in keys]]


# ---------------------------------------------------------------- photographs and reviews that lie on the disk

_SOURCES = {
    "cifar10_images.zip": "a zip of cifar10_images/{train,test}/<class>/*.jpg",
    "hymenoptera_data.zip": "https://download.pytorch.org/tutorial/hymenoptera_data.zip",
    "rt-polaritydata": "https://www.cs.cornell.edu/people/pabo/movie-review-data/rt-polaritydata.tar.gz, unpacked",
}


def _on_disk(name):
    """A file or folder of `_SOURCES`."""
    for folder in (_data_folder(), _REPOSITORY_DATA):
        if folder is not None and (folder / name).exists():
            return folder / name
    raise DataError(
        f"{name} is neither in $KPRETRAIN_DATA nor in the repository's data/. Put it there: {_SOURCES[name]}."
    )


def _load_cifar10(seed):
    """CIFAR-10 as an image folder in a zip: 50,000 + 10,000 photographs; a tenth of train is for validation."""
    from PIL import Image

    path, parts = _on_disk("cifar10_images.zip"), {}
    try:
        with zipfile.ZipFile(path) as photos:
            names = sorted(name for name in photos.namelist() if name.endswith(".jpg"))
            classes = sorted({name.split("/")[-2] for name in names})
            for part in ("train", "test"):
                chosen = [name for name in names if f"/{part}/" in name]
                x = np.empty((len(chosen), 32, 32, 3), "uint8")
                for row, name in zip(x, chosen, strict=True):
                    row[:] = np.asarray(Image.open(io.BytesIO(photos.read(name))).convert("RGB"))
                parts[part] = Part(x, np.array([classes.index(name.split("/")[-2]) for name in chosen]))
            rest, held = _cut(parts["train"].y, 0.1, seed)
    except Exception as error:  # zipfile, zlib, Pillow and scikit-learn raise many kinds
        raise DataError(f"{path}: not {_SOURCES[path.name]} ({error}). Put a whole copy in its place.") from error
    train, held = (Part(*(array[rows] for array in parts["train"])) for rows in (rest, held))
    return Dataset("cifar10", train, held, parts["test"], classes, path.name)


def _load_hymenoptera(seed):
    """Ants and bees, unpacked once into the cache."""
    path = _on_disk("hymenoptera_data.zip")
    return replace(_read_folder(_unpacked(path), (0.8, 0.1, 0.1), 8, seed), name="hymenoptera", source=path.name)


def _unpacked(path):
    """The folder of a zip's contents in the cache, which has the sha256 in its name; those of earlier zips stay."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    folder = cache_folder() / f"{path.stem}-{digest}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as unpacked:
        try:
            shutil.unpack_archive(path, unpacked, "zip")
            (Path(unpacked) / path.stem).rename(folder)
        except (OSError, ValueError, shutil.ReadError, zipfile.BadZipFile) as error:
            if not folder.is_dir():  # else another process was quicker, and its folder is as good
                raise DataError(f"{path}: not a readable zip ({error}). Put a whole copy in its place.") from error
    return folder


def _load_rt_polarity(seed):
    """Film reviews (Pang and Lee 2005), a sentence a line; near duplicates never cross from part to part."""
    folder, rows = _on_disk("rt-polaritydata"), []
    for ending, label in (("neg", "negative"), ("pos", "positive")):
        path = folder / f"rt-polarity.{ending}"
        try:
            lines = path.read_text(encoding="utf8").splitlines()
        except UnicodeDecodeError:  # as it was published
            lines = path.read_text(encoding="latin-1").splitlines()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}). Put a whole copy in its place.") from error
        rows += [(line.strip(), label) for line in lines]
    table = pd.DataFrame(rows, columns=["text", "label"])
    dataset = _split_table("rt-polarity", table, "text", "label", None, (0.8, 0.1, 0.1), "utf-8", seed)
    return replace(dataset, source=folder.name)


# ---------------------------------------------------------------- your own images and tables

_IMAGE_ENDINGS = {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"}
_PART_FOLDERS = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


def from_folder(folder, *, sizes=(0.8, 0.1, 0.1), minimum_side=8, seed=0):
    """Read a folder of images, one subfolder a class: `photos/<class>/*.jpg`.

    A folder with `train/`, and `val/` or `test/` or both, keeps that split: where there is no test folder, `val` is
    the test part; a validation part that is missing is cut from train; a copy or near copy of a test image leaves the
    other parts. Otherwise the images are split here, stratified by class, and copies and near copies of an image, such
    as one saved again or resized (`clean.near_duplicate_images`), never cross.
    Hidden files and folders are passed over.

    Parameters
    ----------
    folder : path
    sizes : three floats
        Shares of train, validation and test, where the folder has no split of its own.
    minimum_side : int
        Images with a shorter side, in pixels, are left out.

    Returns
    -------
    Dataset
        `x` holds paths as strings; `read_images` turns them into arrays. `removed` lists the files left out, and why.

    Raises
    ------
    DataError
        If the folder is missing, has no images, has an empty class folder, or fewer than two classes.
    """
    return _announce(_read_folder(Path(folder), sizes, minimum_side, seed))


def _read_folder(folder, sizes, minimum_side, seed):
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder. It should hold a subfolder of images for each class.")
    parts = [(_PART_FOLDERS[p.name.lower()], p) for p in _subfolders(folder) if p.name.lower() in _PART_FOLDERS]
    names = {part for part, _ in parts}
    has_split = "train" in names and len(names) > 1
    if not has_split:
        parts = [("all", folder)]
    table = pd.concat([_list_images(path).assign(part=part) for part, path in parts], ignore_index=True)
    faults, prints = zip(*(_look(path, minimum_side) for path in table["path"]), strict=True)
    table["reason"] = faults
    stray = sorted(set(_images(folder)) - set(table["path"]))
    removed = [table[table["reason"] != ""], pd.DataFrame({"path": stray, "reason": "in no class folder"})]
    kept, rare = _enough_per_class(table[table["reason"] == ""], "label", 1 if has_split else 3, folder)
    part, prints = kept["part"].to_numpy(object), [prints[row] for row in kept.index]
    exact = pd.factorize(np.array([one.digest for one in prints], object))[0]
    copies = clean.near_duplicate_images(prints)
    if not has_split:
        part = _split(folder, kept["label"], sizes, copies, seed)
    elif "test" not in names:
        part[part == "validation"] = "test"
    reason, near = _twins(part, exact), _twins(part, copies)
    reason = np.where((reason == "") & (near != ""), np.char.add("near ", near), reason)
    removed += [rare, kept[reason != ""].assign(reason=reason[reason != ""])]
    kept, part, copies = kept[reason == ""], part[reason == ""], copies[reason == ""]
    if "validation" not in part:
        train = part == "train"
        part[train] = _split(folder, kept["label"][train], (0.9, 0.1, 0), copies[train], seed)
    removed = pd.concat(removed, ignore_index=True)
    dataset = _dataset(folder.name, kept, part, "path", "label", f"the folder {folder.name}", removed)
    near = pd.DataFrame({"path": kept["path"], "group": copies})
    near = near[~near["path"].isin(dataset.removed["path"])].sort_values("group", kind="stable", ignore_index=True)
    return replace(dataset, near_duplicates=near[near["group"].duplicated(keep=False)].reset_index(drop=True))


def _subfolders(folder):
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _images(folder):
    """Paths of all image files under a folder, in order, without hidden ones."""
    inside = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.suffix.lower() in _IMAGE_ENDINGS)
    return [str(folder / path) for path in inside if not any(name.startswith(".") for name in path.parts)]


def _list_images(folder):
    rows = []
    for class_folder in _subfolders(folder):
        files = _images(class_folder)
        if not files:
            raise DataError(f"{class_folder}: no images in this class folder. Add some, or remove the folder.")
        rows.extend((path, class_folder.name) for path in files)
    if not rows:
        raise DataError(f"{folder}: no class folders. Put the images of each class into a subfolder of its name.")
    return pd.DataFrame(rows, columns=["path", "label"])


def _look(path, minimum_side):
    """Why an image file cannot be used, or an empty string, and its `ImagePrint`: each file is decoded once."""
    try:
        image = _open_image(path)
    except DataError:
        return "not a readable image", None
    small = min(image.size) < minimum_side
    return f"smaller than {minimum_side} pixels" if small else "", clean.image_print(image)


def read_images(paths, size, *, grey=False):
    """Read image files into one array.

    Images are turned upright (EXIF), 16-bit ones scaled to 8 bits, transparent ones laid on white, and each is
    enlarged or shrunk so that it covers `size`, then cropped in the middle: proportions are kept.

    Parameters
    ----------
    paths : sequence of path
    size : (int, int)
        Height and width in pixels.
    grey : bool
        One channel instead of three.

    Returns
    -------
    numpy.ndarray
        uint8 `(n, height, width, 3)`, or `(n, height, width, 1)` if grey.

    Raises
    ------
    DataError
        If a file is missing or is no image.
    """
    from PIL import Image, ImageOps

    height, width = size
    images = np.empty((len(paths), height, width, 1 if grey else 3), "uint8")
    for row, path in zip(images, paths, strict=True):
        image = _open_image(path).convert("L" if grey else "RGB")
        row[:] = np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)).reshape(row.shape)
    return images


def read_images_once(paths, size):
    """`read_images` in colour, each file decoded once as long as this process lives and the file does not change.

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
    """
    images = np.empty((len(paths), *size, 3), "uint8")
    for row, path in zip(images, map(str, paths), strict=True):
        found = os.stat(path) if os.path.isfile(path) else None  # a copy may bring its old time of change with it
        told = found and (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        key = (path, told, *size)
        if key in _decoded:
            row[:] = _decoded[key]
            continue
        row[:] = read_images([path], size)[0]
        if len(_decoded) * row.nbytes < _MOST_REMEMBERED:
            _decoded[key] = row.copy()  # a view would keep the whole array alive
    return images


def _open_image(path):
    """An image file as an upright RGB or grey image of 8 bits without transparency."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as file:
            image = _eight_bit(ImageOps.exif_transpose(file))
            return image if image.mode == "L" else image.convert("RGB")
    except Exception as error:  # Pillow raises many kinds for a damaged file
        raise DataError(f"{path}: not a readable image ({error}). Replace the file, or remove it.") from error


def _eight_bit(image):
    """An 8-bit image without transparency. PIL's own conversion clips 16-bit values at 255 instead of scaling."""
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype="float64")
        # The file does not tell what white is, unless it has 16 bits: the least usual value that clips nothing.
        least = 65535 if image.mode.startswith("I;16") else 255 if image.mode == "I" else 1
        top = next((top for top in (1, 255, 65535) if top >= max(least, values.max())), values.max())
        return Image.fromarray((values * (255 / top)).round().clip(0, 255).astype("uint8"))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image


def from_table(table, text="text", label="label", *, group=None, sizes=(0.8, 0.1, 0.1), encoding="utf-8", seed=0):
    """Read a table of labelled texts.

    Near duplicates (`clean.duplicates`), and rows of one `group`, never cross from one part to another.

    Parameters
    ----------
    table : path or pandas.DataFrame
        A CSV, TSV, JSONL or Parquet file, told by its ending.
    text, label : str
        Column names.
    group : str, optional
        A column whose values must stay together, for instance a user or a document.
    encoding : str
        Of a CSV, TSV or JSONL file.

    Returns
    -------
    Dataset
        `x` holds strings. `removed` lists the rows left out, and why in the column `reason`: missing label or group,
        empty text, rare class.

    Raises
    ------
    DataError
        If the file is missing, empty, of another kind or encoding, lacks a column, or has fewer than two classes.
    """
    name = "table" if isinstance(table, pd.DataFrame) else Path(table).name
    return _announce(_split_table(name, table, text, label, group, sizes, encoding, seed))


def _split_table(name, table, text, label, group, sizes, encoding, seed):
    rows = table if isinstance(table, pd.DataFrame) else read_table(table, encoding)
    if rows.empty:
        raise DataError(f"{name}: the table has no rows.")
    named = [column for column in (text, label, group) if column is not None]
    for column in named:
        if (count := rows.columns.tolist().count(column)) != 1:
            has = ", ".join(map(str, rows.columns))
            raise DataError(f"{name}: {count or 'no'} column{'s' * (count > 1)} {column!r}; it has {has}.")
    reasons = ["empty text", "missing label", "missing group"]
    reason = np.select([_blank(rows[column]) for column in named], reasons[: len(named)], default="")
    removed, kept = rows[reason != ""].assign(reason=reason[reason != ""]), rows[reason == ""].copy()
    kept[label] = _label_names(kept[label])
    kept[text] = kept[text].astype(str)
    kept, rare = _enough_per_class(kept, label, 3, name)
    groups = [clean.duplicates(kept[text].tolist())]
    if group is not None:
        groups.append(kept[group].to_numpy())
    part = _split(name, kept[label], sizes, groups, seed)
    return _dataset(name, kept, part, text, label, f"the table {name}", pd.concat([removed, rare]))


def _blank(column):
    return column.isna() | (column.astype(object).map(str).str.strip() == "")


def read_table(path, encoding="utf-8"):
    """Read a table from a file.

    Parameters
    ----------
    path : path
        A CSV, TSV, JSONL or Parquet file, told by its ending.
    encoding : str
        Of a CSV, TSV or JSONL file.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    DataError
        If the file is missing, of another kind or encoding, or its rows have more fields than its header.
    """
    path = Path(path)
    readers = {
        ".csv": lambda: pd.read_csv(path, encoding=encoding),
        ".tsv": lambda: pd.read_csv(path, sep="\t", encoding=encoding),
        ".jsonl": lambda: pd.read_json(path, lines=True, encoding=encoding),
        ".parquet": lambda: pd.read_parquet(path),
    }
    if not path.is_file():
        raise DataError(f"{path}: no such file.")
    if path.suffix.lower() not in readers:
        raise DataError(f"{path}: cannot read {path.suffix or 'this'!r} files; use one of {', '.join(readers)}.")
    try:
        table = readers[path.suffix.lower()]()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not {encoding} (byte {error.start} is {error.object[error.start]:#04x}). Name its encoding, "
            "for instance encoding='latin-1', or --encoding latin-1 on the command line."
        ) from error
    except (ValueError, OSError) as error:  # pandas' and pyarrow's parser errors are ValueErrors
        raise DataError(f"{path}: cannot be read as {path.suffix.lower()[1:].upper()} ({error}).") from error
    if path.suffix.lower() in (".csv", ".tsv") and not isinstance(table.index, pd.RangeIndex):
        # pandas takes the surplus for row names, and every column shifts.
        raise DataError(f"{path}: the rows have more fields than the header. Quote the texts that hold a separator.")
    return table


def _label_names(labels):
    """Labels as strings; whole numbers that a missing value turned into floats come back as whole numbers."""
    if pd.api.types.is_float_dtype(labels) and (labels % 1 == 0).all():
        labels = labels.astype("int64")
    return labels.astype(str)


def _enough_per_class(table, label, least, name):
    """Take out classes with fewer than `least` rows; at least two classes must be left."""
    counts = table[label].map(table[label].value_counts())
    kept, rare = table[counts >= least].copy(), table[counts < least]
    if kept[label].nunique() < 2:
        raise DataError(
            f"{name}: {kept[label].nunique()} of {table[label].nunique()} classes have {least} or more usable rows; "
            "two are needed. Add rows or classes."
        )
    return kept, rare.assign(reason=f"class with fewer than {least} rows")


def _split(name, labels, sizes, groups, seed):
    """The part of each row by name, from `clean.split`."""
    try:
        split = clean.split(labels.to_numpy(), sizes, groups=groups, seed=seed)
    except ValueError as error:
        raise DataError(f"{name}: {error}") from error
    part = np.empty(len(labels), object)
    for which, positions in zip(("train", "validation", "test"), split, strict=True):
        part[positions] = which
    return part


def _dataset(name, table, part, x, y, source, removed):
    class_names = sorted(table.loc[part == "train", y].unique())
    if len(class_names) < 2:
        raise DataError(f"{name}: train has {len(class_names)} class(es), two are needed. Add rows or classes.")
    unseen = ~table[y].isin(class_names)
    removed = pd.concat([removed, table[unseen].assign(reason="class that train does not have")])
    number = {class_name: k for k, class_name in enumerate(class_names)}

    def rows(which):
        chosen = table[(part == which) & ~unseen]
        if chosen.empty:
            raise DataError(f"{name}: no rows are left for the {which} part. Add rows, or change the sizes.")
        return Part(chosen[x].to_numpy(object), chosen[y].map(number).to_numpy("int64"))

    return Dataset(name, rows("train"), rows("validation"), rows("test"), class_names, source, removed)
