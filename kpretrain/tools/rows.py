"""Rows for `python -m kpretrain ship`: read from a file or a folder and checked, or drawn at random."""

from pathlib import Path

import numpy as np


def read(network, path):
    """Read ({input: array (n, ...)}, labels (n,) or None) for a network from a folder of pictures, a .npy or a .npz.

    Raises
    ------
    ValueError
        If there is no such file, or its arrays do not fit the inputs.

    Examples
    --------
    >>> import keras
    >>> network = keras.Sequential([keras.Input((3,), name="x"), keras.layers.Dense(2)])
    >>> np.savez("rows.npz", x=np.zeros((5, 3)), y=np.zeros(5))
    >>> arrays, labels = read(network, "rows.npz")
    >>> arrays["x"].shape, labels.shape
    ((5, 3), (5,))
    """
    path = Path(path)
    wanted, labels = {one.name: one for one in network.inputs}, None
    if path.is_dir():
        arrays = {next(iter(wanted)): _pictures(network, path)}
    elif path.suffix in (".npy", ".npz") and path.is_file():
        loaded = np.load(path)
        arrays = {"x": loaded} if path.suffix == ".npy" else dict(loaded)
        labels = arrays.pop("y", None)
        if len(wanted) == len(arrays) == 1:
            arrays = dict(zip(wanted, arrays.values(), strict=True))
    else:
        raise ValueError(f"{path}: rows are a folder of pictures, a .npy or a .npz.")
    if arrays.keys() != wanted.keys():
        raise ValueError(f"{path} holds {', '.join(arrays)}; the model's inputs are {', '.join(wanted)}.")
    for name, array in arrays.items():
        shape = wanted[name].shape[1:]
        fits = [have == want or want is None for have, want in zip(array.shape[1:], shape, strict=False)]
        if array.ndim != len(shape) + 1 or not all(fits) or not len(array):
            raise ValueError(f"{path}: rows of {name} must be {tuple(shape)}, and the array is {array.shape}.")
        arrays[name] = array.astype(wanted[name].dtype)
    if labels is not None and labels.shape != (len(array),):
        raise ValueError(f"{path}: y must hold one label for each of the {len(array)} rows.")
    return arrays, labels


def _pictures(network, folder):
    from ..data import read_images

    shape = network.inputs[0].shape[1:]
    if len(network.inputs) > 1 or len(shape) != 3 or shape[2] not in (1, 3) or None in shape:
        raise ValueError(f"{folder}: the model takes no pictures of one size; give a .npy or .npz.")
    paths = sorted(str(one) for one in folder.rglob("*") if one.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp"))
    if not paths:
        raise ValueError(f"{folder} holds no pictures.")
    rows = read_images(np.array(paths[:500]), tuple(shape[:2]))
    return rows.mean(axis=-1, keepdims=True) if shape[2] == 1 else rows


def random(network, n=64):
    """Draw {input: array (n, ...)} for a network: numbers from 0 to 255, or 0 and 1 where whole ones are wanted.

    Raises
    ------
    ValueError
        If an input has free lengths.

    Examples
    --------
    >>> import keras
    >>> network = keras.Sequential([keras.Input((3,), name="x"), keras.layers.Dense(2)])
    >>> random(network)["x"].shape
    (64, 3)
    """
    rng, arrays = np.random.default_rng(0), {}
    for one in network.inputs:
        if None in one.shape[1:]:
            raise ValueError(
                f"The input {one.name} is {tuple(one.shape)}, with free lengths: give real ones by --rows."
            )
        shape = (n, *one.shape[1:])
        drawn = rng.uniform(0, 255, shape) if "float" in one.dtype else rng.integers(0, 2, shape)
        arrays[one.name] = drawn.astype(one.dtype)
    return arrays
