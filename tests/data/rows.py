"""What the tests of datasets share."""

import numpy as np
from PIL import Image

from kpretrain.data.folders import IMAGE_ENDINGS

PARTS = ("train", "validation", "test")


def sizes(dataset):
    return tuple(len(getattr(dataset, part).y) for part in PARTS)


def all_rows(dataset):
    return [row for part in PARTS for row in getattr(dataset, part).x]


def part_of(dataset, row):
    return {part for part in PARTS if row in set(getattr(dataset, part).x)}


def photo(path, seed, size=(16, 12), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], *([len(mode)] if len(mode) > 1 else []))
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype="uint8")
    Image.fromarray(pixels, mode if mode == "CMYK" else None).save(path, **options)
    return str(path)


def photos(folder, classes=("ants", "bees"), n=10):
    return [photo(folder / name / f"{k}.png", 100 * c + k) for c, name in enumerate(classes) for k in range(n)]


def image_files(folder):
    return {str(p) for p in folder.rglob("*") if p.suffix in IMAGE_ENDINGS and "/." not in p.as_posix()}


def accounted(dataset):
    files = [*all_rows(dataset), *dataset.removed["path"]]
    assert len(files) == len(set(files))
    return set(files)
