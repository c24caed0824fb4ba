"""The draws of a comparison: which rows are labelled, and how many."""

import numpy as np

from .. import words

_LADDER, _MOST_LABELLED = (1, 2, 5, 10, 20, 50, 100, 200), 1000  # labels per class; labelled rows in a draw


def label_sizes(dataset, middle=True):
    """Choose labels per class from the data: up to three of 1, 2, 5, 10, 20, 50, 100 and 200, spread out.

    Without `middle`, only the smallest and the largest of them, which takes two thirds of the time. Every class must
    have as many training rows, and a draw may hold 1,000 rows in all. Sizes below 5 are taken only
    where few others are left.

    Returns
    -------
    list of int
        Ascending.
    str
        The choice in words, with the class that limits it.

    Examples
    --------
    >>> import numpy as np
    >>> from kpretrain.data import Dataset, Part
    >>> y = np.tile([0, 1], 30)
    >>> part = Part(np.random.default_rng(0).normal(y[:, None], 1, (60, 2)), y)
    >>> dataset = Dataset("blobs", part, part, part, ["low", "high"], "drawn")
    >>> sizes, why = label_sizes(dataset)
    >>> sizes, why[:52]
    ([5, 10, 20], 'Chosen from the data: 5, 10 and 20 labels per class.')
    """
    labels, counts = np.unique(dataset.train.y, return_counts=True)
    fewest = counts.min()
    fit = [n for n in _LADDER if n <= min(fewest, max(_MOST_LABELLED // len(labels), 1))]
    fit = enough if len(enough := [n for n in fit if n >= 5]) >= 3 else fit
    sizes = sorted({fit[0], fit[len(fit) // 2], fit[-1]} if middle else {fit[0], fit[-1]})
    why = (
        f"Chosen from the data: {words.per_class(*sizes)}. The smallest of {len(labels)} classes, "
        f"{class_name(dataset, labels[counts.argmin()])!r}, has {words.count(fewest, 'training row')}"
    )
    if fewest * len(labels) > _MOST_LABELLED:
        why += f", and a draw holds up to {max(_MOST_LABELLED, len(labels)):,} rows in all"
    return sizes, why + "."


def class_name(dataset, label):
    """Return the name of a class: that of a class number, or the label itself.

    Examples
    --------
    >>> import numpy as np
    >>> from kpretrain.data import Dataset, Part
    >>> part = Part(np.arange(6.0), np.array([0, 1, 0, 1, 0, 1]))
    >>> dataset = Dataset("six", part, part, part, ["low", "high"], "typed")
    >>> class_name(dataset, 1), class_name(dataset, "high")
    ('high', 'high')
    """
    known = isinstance(label, int | np.integer) and label < len(dataset.class_names)
    return str(dataset.class_names[label] if known else label)


def classes_of(dataset):
    """Return the classes that a draw takes its rows from.

    Raises
    ------
    ValueError
        If the test part holds fewer than two classes, or one that no training row is of.

    Examples
    --------
    >>> import numpy as np
    >>> from kpretrain.data import Dataset, Part
    >>> part = Part(np.arange(6.0), np.array([0, 1, 0, 1, 0, 1]))
    >>> dataset = Dataset("six", part, part, part, ["low", "high"], "typed")
    >>> classes_of(dataset)
    array([0, 1])
    """
    y, tested = np.asarray(dataset.train.y), np.unique(dataset.test.y)
    if len(tested) < 2:
        raise ValueError(
            f"{dataset.name}: the test part holds {len(tested)} class(es); two are needed to compare arms."
        )
    if unseen := [class_name(dataset, label) for label in np.setdiff1d(tested, y)]:
        raise ValueError(f"{dataset.name}: the test part holds {words.listed(unseen)}, which no training row is of.")
    return np.union1d(np.unique(y), np.arange(len(dataset.class_names)) if y.dtype.kind in "iu" else y[:0])


def draw(dataset, classes, seed, most):
    """Draw labelled rows: positions in train, `most` of each class, classes in turn.

    So the first n * classes of them are the draw of n labels per class.

    Parameters
    ----------
    dataset : Dataset
    classes : sequence of k classes
        From `classes_of`.
    seed : int
    most : int

    Returns
    -------
    array of int `(most * k,)`

    Raises
    ------
    ValueError
        If a class has too few training rows.

    Examples
    --------
    >>> import numpy as np
    >>> from kpretrain.data import Dataset, Part
    >>> part = Part(np.arange(6.0), np.array([0, 1, 0, 1, 0, 1]))
    >>> dataset = Dataset("six", part, part, part, ["low", "high"], "typed")
    >>> dataset.train.y[draw(dataset, classes_of(dataset), seed=0, most=2)]
    array([0, 1, 0, 1])
    """
    y, orders = np.asarray(dataset.train.y), []
    for k, label in enumerate(classes):
        rows = np.flatnonzero(y == label)
        if len(rows) < most:
            raise ValueError(
                f"{dataset.name}: the class {class_name(dataset, label)!r} has "
                f"{words.count(len(rows), 'training row')}, and {most} labels are wanted."
            )
        orders.append(np.random.default_rng([seed, k]).permutation(rows)[:most])
    return np.stack(orders, axis=1).ravel()  # (most, classes) -> (most * classes,)
