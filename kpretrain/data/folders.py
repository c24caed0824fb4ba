"""Folders of images, one subfolder a class: your own, and those of the course."""

import os
from dataclasses import replace
from pathlib import Path

import pandas as pd
from PIL import Image

from .. import clean
from .dataset import PARTS, DataError, announce
from .images import open_image
from .parts import SIZES, assemble, enough_per_class, split_rows, twins

IMAGE_ENDINGS = {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"}
_SHORTEST_SIDE = 8  # pixels
_PART_FOLDERS = {"val": "validation", "valid": "validation"} | {part: part for part in PARTS}


def from_folder(folder, *, sizes=SIZES, seed=0, name=None, source=None):
    """Read a folder of images, one subfolder a class: `photos/<class>/*.jpg`.

    A folder with `train/`, and `val/` or `test/` or both, keeps that split: where there is no test folder, `val` is
    the test part; a validation part that is missing is cut from train; a copy or near copy of a test image leaves the
    other parts. Otherwise the images are split here, stratified by class, and copies and near copies of an image, such
    as one saved again or resized (`clean.near_duplicate_images`), never cross.
    Hidden files and folders, `__MACOSX` and links to a folder above are passed over; images with a side of less than
    8 pixels, or more than 89 million in all, are left out.

    Parameters
    ----------
    folder : path
    sizes : three floats
        Shares of train, validation and test, where the folder has no split of its own.
    seed : int
        Draws the parts that the folder does not give.
    name, source : str, optional
        What the dataset is called, and where it comes from in words; the folder's name by default.

    Returns
    -------
    Dataset
        `x` holds paths as strings; `read_images` turns them into arrays. `removed` lists the files left out, and why.

    Raises
    ------
    DataError
        If the folder is missing, has no images, has an empty class folder, fewer than two classes, or a name that is
        not in UTF-8.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for k in range(20):
    ...         path = Path(folder, "photos", ["ant", "bee"][k % 2], f"{k}.png")
    ...         path.parent.mkdir(parents=True, exist_ok=True)
    ...         Image.new("RGB", (16, 12), (10 * k, 0, 0)).save(path)
    ...     photos = from_folder(path.parents[1])
    photos: 16 train, 2 validation, 2 test rows in 2 classes, from the folder photos
    """
    folder = Path(folder)
    name, source = name or folder.name, source or f"the folder {folder.name}"
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder. It should hold a subfolder of images for each class.")
    given = {path: part for path in _subfolders(folder) if (part := _PART_FOLDERS.get(path.name.lower()))}
    has_split = "train" in given.values() and len(set(given.values())) > 1
    parts = given if has_split else {folder: ""}
    table = pd.concat([_list_images(path).assign(part=part) for path, part in parts.items()], ignore_index=True)
    table["reason"], prints = zip(*map(_look, table["path"]), strict=True)
    stray = sorted(set(_images(folder)) - set(table["path"]))
    removed = [table[table["reason"] != ""], pd.DataFrame({"path": stray, "reason": "in no class folder"})]
    least, removed = 1 if has_split else 3, pd.concat(removed, ignore_index=True)
    usable, rare = enough_per_class(table[table["reason"] == ""], "label", least, folder, removed)
    copies = clean.near_duplicate_images([prints[row] for row in usable.index])
    part = usable["part"].to_numpy(object)
    if not has_split:
        part = split_rows(usable["label"], sizes, groups=copies, seed=seed, name=folder)
    elif "test" not in given.values():
        part[part == "validation"] = "test"
    reason = twins(part, copies)
    stays = reason == ""
    removed = pd.concat([removed, rare, usable.assign(reason=reason)[~stays]], ignore_index=True)
    usable, part, copies = usable[stays], part[stays], copies[stays]
    train = part == "train"
    enough_per_class(usable[train], "label", 1, folder, removed)
    if "validation" not in part:
        part[train] = split_rows(usable["label"][train], (0.9, 0.1, 0), groups=copies[train], seed=seed, name=folder)
    dataset = assemble(usable, part, x="path", y="label", removed=removed, name=name, source=source)
    near = pd.DataFrame({"path": usable["path"], "group": copies})[~usable["path"].isin(dataset.removed["path"])]
    near = near[near["group"].duplicated(keep=False)].sort_values("group", kind="stable", ignore_index=True)
    return announce(replace(dataset, near_duplicates=near))


def _hidden(name):
    return name.startswith(".") or name == "__MACOSX"  # what macOS adds to an archive


def _parts(path):
    """What paths are sorted by, so that every system draws the same rows: Windows would disregard capital letters."""
    return path.parts


def _subfolders(folder):
    above = {folder.resolve(), *folder.resolve().parents}  # where a link leads in a circle
    folders = (path for path in folder.iterdir() if path.is_dir() and not _hidden(path.name))
    return sorted((path for path in folders if path.resolve() not in above), key=_parts)


def _images(folder):
    """Paths of all image files under a folder, in order, without hidden ones."""
    paths = sorted(folder.rglob("*"), key=_parts)
    inside = (path.relative_to(folder) for path in paths if path.suffix.lower() in IMAGE_ENDINGS)
    paths = [str(folder / path) for path in inside if not any(map(_hidden, path.parts))]
    for path in paths:
        if path.encode(errors="replace").decode() != path:
            raise DataError(f"{path!a}: this name is not in UTF-8. Rename it.")
    return paths


def _list_images(folder):
    rows = []
    for class_folder in _subfolders(folder):
        if not (files := _images(class_folder)):
            raise DataError(f"{class_folder}: no {', '.join(sorted(IMAGE_ENDINGS))}. Add some, or remove the folder.")
        rows += [(path, class_folder.name) for path in files]
    if not rows:
        raise DataError(f"{folder}: no class folders. Put the images of each class into a subfolder of its name.")
    return pd.DataFrame(rows, columns=["path", "label"])


def _look(path):
    """Why an image file cannot be used, or an empty string, and its `ImagePrint`: each file is decoded once."""
    if not os.path.isfile(path):  # a pipe would be waited for
        return "not a file", None
    try:
        image = open_image(path)
    except DataError as error:
        bomb = isinstance(error.__cause__, Image.DecompressionBombWarning | Image.DecompressionBombError)
        return f"more than {Image.MAX_IMAGE_PIXELS:,} pixels" if bomb else "not a readable image", None
    small = min(image.size) < _SHORTEST_SIDE
    return f"smaller than {_SHORTEST_SIDE} pixels" if small else "", clean.image_print(image)
