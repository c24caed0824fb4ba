"""Drawings of a method: boxes and arrows, a dense network, arrays of numbers. Each carries an alternative text."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Ellipse, FancyArrowPatch, FancyBboxPatch, Rectangle

# Colour-blind safe, and told apart in grey by their edges: what is trained is warm, what stands still is grey.
KINDS = {
    "data": {"facecolor": "#ffffff", "edgecolor": "#4d4d4d"},
    "trained": {"facecolor": "#fddbb5", "edgecolor": "#b35806", "linewidth": 2},
    "frozen": {"facecolor": "#e6e6e6", "edgecolor": "#808080", "hatch": "//"},
    "loss": {"facecolor": "#d6e6f4", "edgecolor": "#2166ac", "linestyle": "--"},
}


def diagram(boxes, arrows, *, alt, size=(1.55, 0.95)):
    """Draw boxes on a grid, and arrows between them.

    Parameters
    ----------
    boxes : dict of str to tuple
        Name -> (column, row, text) or (column, row, text, kind). Row 0 is the uppermost. Columns and rows may be
        fractions. Kinds are those of `KINDS`: "data" (the default), "trained", "frozen" and "loss".
    arrows : sequence of tuple
        (from, to) or (from, to, text), by the boxes' names.
    alt : str
        What the drawing shows, for those who cannot see it.
    size : (float, float)
        Width and height of a place on the grid, in inches.

    Returns
    -------
    matplotlib axis

    Raises
    ------
    ValueError
        For a kind that does not exist, or an arrow to or from a box that does not.

    Examples
    --------
    >>> boxes = {"x": (0, 0, "image"), "f": (1, 0, "encoder", "trained"), "h": (2, 0, "features")}
    >>> axis = diagram(boxes, [("x", "f"), ("f", "h", "64 numbers")], alt="An encoder turns an image into features.")
    >>> len(axis.patches)
    5
    """
    boxes = {name: (*box, "data") if len(box) == 3 else box for name, box in boxes.items()}
    columns, rows = (np.array([box[k] for box in boxes.values()], float) for k in (0, 1))
    axis = _canvas((columns.min() - 0.5, columns.max() + 0.5), (rows.max() + 0.5, rows.min() - 0.5), size)
    patches = {}
    for name, (column, row, text, kind) in boxes.items():
        place = (column - 0.38, row - 0.3)
        style = "round,pad=0,rounding_size=0.08" if kind == "data" else "square,pad=0"
        patches[name] = FancyBboxPatch(place, 0.76, 0.6, boxstyle=style, zorder=2, **KINDS[kind])
        axis.add_patch(patches[name])
        back = {"facecolor": KINDS[kind]["facecolor"], "edgecolor": "none", "pad": 1}  # so that a hatch spares the text
        axis.text(column, row, text, ha="center", va="center", fontsize=10, zorder=3, bbox=back, linespacing=1.1)
    for start, end, *text in arrows:
        _arrow(axis, boxes, patches, start, end, *text)
    return _shown(axis, alt)


def _arrow(axis, boxes, patches, start, end, text=""):
    ends = [boxes[name][:2] for name in (start, end)]
    style = {"arrowstyle": "-|>", "mutation_scale": 13, "color": "#333333", "linewidth": 1.3, "zorder": 1}
    axis.add_patch(FancyArrowPatch(*ends, patchA=patches[start], patchB=patches[end], shrinkA=1, shrinkB=1, **style))
    if text:
        (x, y), (to_x, to_y) = ends
        upright = abs(to_x - x) < 0.3
        place = ((x + to_x) / 2 + 0.06 * upright, (y + to_y) / 2 - 0.06 * (not upright))
        align = {"ha": "left" if upright else "center", "va": "center" if upright else "bottom"}
        axis.text(*place, text, fontsize=9, style="italic", color="#333333", **align)


def network(sizes, *, alt, names=(), size=(1.7, 0.5)):
    """Draw a dense network: a column of circles for each layer, and a line for each weight.

    Parameters
    ----------
    sizes : sequence of int
        Neurons of each layer, from the inputs to the outputs.
    alt : str
        What the drawing shows, for those who cannot see it.
    names : sequence of str
        What stands under each layer.
    size : (float, float)
        Distance of two layers, and of two neurons, in inches.

    Returns
    -------
    matplotlib axis

    Examples
    --------
    >>> axis = network([3, 4, 2], names=["input", "hidden", "output"], alt="Three inputs, four neurons, two outputs.")
    >>> len(axis.patches), len(axis.lines)
    (9, 20)
    """
    places = [np.arange(n) - (n - 1) / 2 for n in sizes]
    bottom = max(sizes) / 2
    axis = _canvas((-0.5, len(sizes) - 0.5), (-bottom - 0.8 * bool(names), bottom), size)
    for layer, (here, there) in enumerate(itertools.pairwise(places)):
        for y in here:
            for to in there:
                axis.plot([layer, layer + 1], [y, to], color="#b0b0b0", linewidth=0.8, zorder=1)
    for layer, column in enumerate(places):
        for y in column:  # as wide as high, in inches
            circle = Ellipse(
                (layer, y), 0.7 * size[1] / size[0], 0.7, zorder=2, **KINDS["trained" if layer else "data"]
            )
            axis.add_patch(circle)
    for layer, name in enumerate(names):
        axis.text(layer, -bottom - 0.4, name, ha="center", va="center", fontsize=10)
    return _shown(axis, alt)


def arrays(parts, *, alt, marks=(), titles=(), decimals=0, cell=0.42):
    """Draw arrays as tables of coloured numbers, with signs between them: a calculation that fits on paper.

    Parameters
    ----------
    parts : sequence of array or str
        2-D arrays, and signs such as "=" or "·".
    alt : str
        What the drawing shows, for those who cannot see it.
    marks : sequence of tuple
        (part, row, column, rows, columns): a frame around so many cells of that part, counted from 0.
    titles : sequence of str
        What stands over each part, "" for nothing.
    decimals : int
        Of the numbers.
    cell : float
        Side of a cell in inches.

    Returns
    -------
    matplotlib axis

    Examples
    --------
    >>> image, kernel = np.eye(3), np.ones((2, 2))
    >>> axis = arrays([image, "∗", kernel, "=", [[2, 1], [1, 2]]], marks=[(0, 0, 0, 2, 2), (4, 0, 0, 1, 1)],
    ...               alt="A kernel of ones slides over a diagonal.")
    >>> [text.get_text() for text in axis.texts if text.get_text() in "∗="]
    ['∗', '=']
    """
    parts = [part if isinstance(part, str) else np.atleast_2d(np.asarray(part, float)) for part in parts]
    widths = [1.2 if isinstance(part, str) else part.shape[1] for part in parts]
    starts = np.concatenate([[0], np.cumsum(np.add(widths, 0.3))])
    tallest = max(len(part) for part in parts if not isinstance(part, str))
    axis = _canvas((-0.1, starts[-1]), (tallest + 0.1, -0.1 - 0.9 * any(titles)), (cell, cell))
    largest = max(np.abs(part).max() for part in parts if not isinstance(part, str)) or 1
    tops = [(tallest - (1 if isinstance(part, str) else len(part))) / 2 for part in parts]
    for part, left, top, width in zip(parts, starts, tops, widths, strict=False):
        if isinstance(part, str):
            axis.text(left + width / 2, tallest / 2, part, ha="center", va="center", fontsize=15)
            continue
        for (row, column), value in np.ndenumerate(part):
            colour = plt.cm.PuOr_r(0.5 + 0.3 * value / largest)
            place = (left + column, top + row)
            axis.add_patch(Rectangle(place, 1, 1, facecolor=colour, edgecolor="#808080", linewidth=0.8))
            digits = f"{value:.{decimals}f}".replace("-", "\u2212")
            axis.text(place[0] + 0.5, place[1] + 0.5, digits, ha="center", va="center", fontsize=9)
    for part, row, column, rows, columns in marks:
        place = (starts[part] + column, tops[part] + row)
        axis.add_patch(Rectangle(place, columns, rows, fill=False, edgecolor="#b35806", linewidth=2.6, zorder=3))
    for title, left, top, width in zip(titles, starts, tops, widths, strict=False):
        axis.text(left + width / 2, top - 0.25, title, ha="center", va="bottom", fontsize=9)
    return _shown(axis, alt)


def _canvas(x, y, size):
    """An axis without a frame that fills its figure; `size` is that of one unit in inches."""
    figure = plt.figure(figsize=(abs(x[1] - x[0]) * size[0], abs(y[1] - y[0]) * size[1]))
    axis = figure.add_axes((0, 0, 1, 1), xlim=x, ylim=y)
    axis.axis("off")
    return axis


def _shown(axis, alt):
    """In a notebook: show the figure now, with its alternative text, which the end of the cell would lose."""
    from IPython import display, get_ipython

    if get_ipython() is not None:
        display.display(axis.figure, metadata={"image/png": {"alt": alt}})
        plt.close(axis.figure)
    axis.figure.set_label(alt)
    return axis
