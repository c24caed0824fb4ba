"""Figures that more than one notebook draws. Each returns matplotlib axes, so that a cell can add to them."""

import math

import matplotlib.pyplot as plt
import numpy as np


def images(images, titles=None, *, columns=10, size=0.9):
    """Draw images in a grid.

    Parameters
    ----------
    images : array
        `(n, height, width)`, `(n, height, width, 1)` or `(n, height, width, 3)`; uint8, or floats from 0 to 1.
    titles : sequence of str, optional
        One above each image.
    columns : int
    size : float
        Width of one image in inches.

    Returns
    -------
    array of matplotlib axes

    Examples
    --------
    >>> import numpy as np
    >>> import kpretrain as kp
    >>> kp.plot.images(np.zeros((5, 28, 28), "uint8"), titles="abcde", columns=3).shape
    (2, 3)
    """
    images = np.asarray(images)
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    height = size * (1.3 if titles is not None else 1.05)
    _, axes = plt.subplots(rows, columns, figsize=(columns * size, rows * height), squeeze=False, layout="compressed")
    for axis in axes.flat:
        axis.axis("off")
    top = 255 if images.dtype == np.uint8 else 1
    for number, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
        axis.imshow(image, cmap="gray", vmin=0, vmax=top)
        if titles is not None:
            axis.set_title(titles[number], fontsize=8)
    return axes


def learning_curves(histories, metrics=("loss", "accuracy")):
    """Draw what `fit` recorded, for one or several networks: training dashed, validation solid.

    Parameters
    ----------
    histories : dict
        name -> `keras.callbacks.History`, or the dict in its `history`.
    metrics : sequence of str
        One panel each.

    Returns
    -------
    array of matplotlib axes

    Examples
    --------
    >>> import kpretrain as kp
    >>> recorded = {"loss": [2.3, 1.1, 0.7], "val_loss": [2.2, 1.2, 0.9]}
    >>> axes = kp.plot.learning_curves({"dense": recorded}, metrics=["loss"])
    >>> axes[0].get_xlabel(), len(axes[0].lines)
    ('epoch', 2)
    """
    figure, axes = plt.subplots(1, len(metrics), figsize=(4.2 * len(metrics), 3), squeeze=False, layout="constrained")
    for axis, metric in zip(axes[0], metrics, strict=True):
        for number, (name, history) in enumerate(histories.items()):
            values = getattr(history, "history", history)
            epochs = np.arange(1, len(values[metric]) + 1)
            colour = f"C{number}"
            axis.plot(epochs, values[metric], "--", color=colour, alpha=0.6, label=f"{name}, training")
            if f"val_{metric}" in values:
                axis.plot(epochs, values[f"val_{metric}"], "-", color=colour, label=f"{name}, validation")
        axis.set(xlabel="epoch", ylabel=metric)
        axis.xaxis.get_major_locator().set_params(integer=True)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(labels)), fontsize=8)
    return axes[0]
