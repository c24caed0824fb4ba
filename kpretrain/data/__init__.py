"""Datasets of raw rows: MNIST, digits, the docstrings corpus, image folders and text tables.

A dataset's parts are `(x, y)`: uint8 images `(n, height, width, channels)`, strings or paths in `x`,
class numbers in `y`. Nothing is scaled, tokenised or cleaned here: each model owns its preprocessing.
A test part always exists and is apart from the others.
"""

from ..files import cache_folder
from .corpus import docstrings
from .dataset import DataError, Dataset, Part, announce, loaded
from .folders import from_folder
from .images import read_images, read_images_once
from .named import load, read_mnist, spoken_digits
from .parts import assemble, stable_part, twins
from .tables import from_table, read_table
