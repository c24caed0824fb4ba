"""The contrastive objective, for images and for texts: two views of the same thing belong together."""

from keras import ops


def _unit(embeddings):
    """Rows of length 1, in float32. The floor keeps the gradient of a zero row finite."""
    embeddings = ops.cast(embeddings, "float32")
    return embeddings * ops.rsqrt(ops.maximum(ops.sum(ops.square(embeddings), axis=-1, keepdims=True), 1e-12))


def _cosines(units):
    """All pairs of rows; a row with itself gets -1e9, whose exponential is 0 in float32."""
    rows = ops.arange(ops.shape(units)[0])
    cosines = ops.matmul(units, ops.transpose(units))  # (2n, width) -> (2n, 2n)
    return ops.where(rows[:, None] == rows[None, :], -1e9, cosines)


def nt_xent(first, second, temperature=0.5):
    """The normalised, temperature-scaled cross-entropy of two views' embeddings (https://arxiv.org/abs/2002.05709).

    Each of the 2n rows has one positive, the other view of its image, and 2n - 2 negatives: all other rows, those of
    its own view included. Equal embeddings give ln(2n - 1).

    Parameters
    ----------
    first, second : tensor (n, width)
        Row i of both comes from image i. Any length and float dtype: they are scaled to length 1, in float32.
    temperature : float

    Returns
    -------
    tensor, float32 scalar
        Mean over the 2n rows.

    Examples
    --------
    >>> import numpy as np
    >>> import kpretrain as kp
    >>> equal = np.ones((2, 8), "float32")
    >>> round(float(kp.objectives.nt_xent(equal, equal)), 4)  # ln 3: nothing to tell the pair from the others
    1.0986
    """
    first, second = _unit(first), _unit(second)
    others = ops.logsumexp(_cosines(ops.concatenate([first, second])) / temperature, axis=1)  # (2n, 2n) -> (2n,)
    return ops.mean(others) - ops.mean(ops.sum(first * second, axis=-1)) / temperature
