"""BERT's special tokens and its masks, and the floors of a score on masked tokens. `kpretrain.text` hands them on.

Shape letters: n rows, t tokens in a row, p masked positions in a row, V words in the vocabulary.
"""

from typing import NamedTuple

import keras
import numpy as np

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # their numbers are 0 to 4 in every vocabulary of the course
PAD, UNK, CLS, SEP, MASK = range(len(SPECIAL))


class TextError(ValueError):
    """A text, vocabulary or length that cannot be used; the message names the mend.

    Examples
    --------
    >>> mask(np.array([[CLS, 11, SEP]]), 20, rate=2)
    Traceback (most recent call last):
        ...
    kpretrain.masks.TextError: rate is 2; set it above 0 and to 1 at most, for instance 0.15.
    """


def bert_inputs(rows):
    """Rows of token numbers (n, t) -> the dict that keras_hub's BERT reads, three arrays int32 (n, t).

    Examples
    --------
    >>> bert_inputs(np.array([[CLS, 11, SEP, PAD]]))["padding_mask"].tolist()
    [[1, 1, 1, 0]]
    """
    return {
        "token_ids": rows,
        "padding_mask": (rows != PAD).astype("int32"),
        "segment_ids": np.zeros_like(rows),
    }


class Masked(NamedTuple):
    """Rows with masks in them.

    `rows` int32 (n, t), the altered tokens; `positions` int32 (n, p), ascending; `labels` int32 (n, p), the tokens that
    stood there; `weights` float32 (n, p), 0 where a row has fewer than p masks.

    Examples
    --------
    >>> mask(np.array([[CLS, 11, 12, SEP], [CLS, 11, SEP, PAD]]), 20, rate=1, random=0).weights.tolist()
    [[1.0, 1.0], [1.0, 0.0]]
    """

    rows: np.ndarray
    positions: np.ndarray
    labels: np.ndarray
    weights: np.ndarray


def mask(rows, vocabulary_size, rate=0.15, *, random=None):
    """Choose tokens to be predicted, as BERT does, and hide most of them.

    In each row `rate` of the ordinary tokens are chosen, rounded, and at least one; never a special token. Of the
    chosen ones 80 % become `[MASK]`, 10 % a random ordinary token, 10 % stay.

    Parameters
    ----------
    rows : int array (n, t)
    vocabulary_size : int
        V.
    rate : float
        Above 0, at most 1.
    random : numpy.random.Generator or int, optional
        A new mask for each epoch needs a generator that goes on; a number gives the same masks each time.

    Returns
    -------
    Masked

    Raises
    ------
    TextError
        If a token is outside the vocabulary, or the rate is not above 0 and at most 1.

    References
    ----------
    J. Devlin et al. (2018), BERT, https://arxiv.org/abs/1810.04805.

    Examples
    --------
    >>> rows = np.array([[CLS, 11, 12, 13, 14, 15, SEP, PAD]])
    >>> masked = mask(rows, 20, rate=0.4, random=0)
    >>> masked.rows[0].tolist()  # 13 is hidden, and 18 stands in the place of 15
    [2, 11, 12, 4, 14, 18, 3, 0]
    >>> masked.positions.tolist(), masked.labels.tolist()
    ([[3, 5]], [[13, 15]])
    """
    random = np.random.default_rng(random)
    rows = np.asarray(rows)
    if not 0 < rate <= 1:
        raise TextError(f"rate is {rate!r}; set it above 0 and to 1 at most, for instance 0.15.")
    if rows.size and (rows.max() >= vocabulary_size or rows.min() < 0):
        raise TextError(
            f"Token {rows.max() if rows.max() >= vocabulary_size else rows.min()} is outside the vocabulary of "
            f"{vocabulary_size:,}. Use the tokenizer and the model of the same preset."
        )
    ordinary = rows >= len(SPECIAL)
    count = ordinary.sum(axis=1)
    count = np.where(count > 0, np.maximum(1, np.rint(rate * count)), 0).astype(int)
    most = max(1, count.max(initial=0))
    keys = random.random(rows.shape, dtype="float32")
    keys[~ordinary] = 2  # after all others
    chosen = np.argpartition(keys, min(most, rows.shape[1]) - 1, axis=1)[:, :most]
    if (count < most).any():  # the lowest keys first, so that a row with fewer masks takes them from the front
        chosen = np.take_along_axis(chosen, np.take_along_axis(keys, chosen, axis=1).argsort(axis=1), axis=1)
    weights = np.arange(most) < count[:, None]
    positions = np.sort(np.where(weights, chosen, rows.shape[1]), axis=1)
    positions = np.where(weights, positions, 0)
    labels = np.take_along_axis(rows, positions, axis=1)
    draw = random.random(positions.shape, dtype="float32")  # one draw decides among the three, or they would overlap
    others = random.integers(len(SPECIAL), vocabulary_size, positions.shape)
    new = np.where(draw < 0.8, MASK, np.where(draw < 0.9, others, labels))
    altered = rows.astype("int32")
    altered[np.nonzero(weights)[0], positions[weights]] = new[weights]
    return Masked(altered, positions.astype("int32"), labels.astype("int32"), weights.astype("float32"))


def masked_inputs(masked):
    """Return (inputs, labels, weights) for `fit` or `evaluate` of a `keras_hub.models.BertMaskedLM`.

    Parameters
    ----------
    masked : Masked

    Returns
    -------
    tuple
        The dict that the model reads, and `masked`'s labels and weights, (n, p) each.

    Examples
    --------
    >>> inputs, labels, weights = masked_inputs(mask(np.array([[CLS, 11, 12, SEP]]), 20))
    >>> sorted(inputs), labels.shape, weights.shape
    (['mask_positions', 'padding_mask', 'segment_ids', 'token_ids'], (1, 1), (1, 1))
    """
    inputs = bert_inputs(masked.rows) | {"mask_positions": masked.positions}
    return inputs, masked.labels, masked.weights


class MaskedRows(keras.utils.PyDataset):
    """Batches for `fit`: rows in a new order and with new masks in each epoch.

    Every batch is full and has the same shapes, so that the model is traced once.

    Parameters
    ----------
    rows : int32 array (n, t)
        From `pack`.
    vocabulary_size : int
    batch_size : int
        At most n.
    rate : float
        As in `mask`.
    steps : int, optional
        Batches in an epoch of `fit`; None is one pass over the rows, but for those that fill no batch. Passes follow
        each other without a gap.
    seed : int
        Draws order and masks.

    Raises
    ------
    TextError
        If there are fewer rows than fill a batch.

    Examples
    --------
    >>> rows = np.tile([CLS, 11, 12, 13, 14, SEP], (10, 1))
    >>> batches = MaskedRows(rows, 20, batch_size=4, rate=0.5)
    >>> inputs, labels, weights = batches[0]
    >>> len(batches), inputs["token_ids"].shape, labels.shape
    (2, (4, 6), (4, 2))
    """

    def __init__(self, rows, vocabulary_size, *, batch_size=64, rate=0.15, steps=None, seed=0):
        super().__init__()
        if not 1 <= batch_size <= len(rows):
            raise TextError(f"batch_size is {batch_size}, and there are {len(rows):,} rows: set it from 1 to that.")
        self.rows, self.vocabulary_size, self.rate = rows, vocabulary_size, rate
        self.batch_size, self.steps, self.seed = batch_size, steps or len(rows) // batch_size, seed
        self.masks = max(1, round(rate * (rows >= len(SPECIAL)).sum(axis=1).max()))  # p
        self.epoch = 0

    def __len__(self):
        return self.steps

    def __getitem__(self, index):
        """Return (inputs, labels, weights) of batch `index`; the same ones whenever it is asked for in an epoch."""
        step = self.epoch * self.steps + index
        a_pass, batch = divmod(step, len(self.rows) // self.batch_size)
        order = np.random.default_rng([self.seed, a_pass]).permutation(len(self.rows))
        chosen = self.rows[order[batch * self.batch_size :][: self.batch_size]]
        masked = mask(chosen, self.vocabulary_size, self.rate, random=np.random.default_rng([self.seed, 1, step]))
        missing = ((0, 0), (0, self.masks - masked.positions.shape[1]))
        return masked_inputs(Masked(masked.rows, *(np.pad(part, missing) for part in masked[1:])))

    def on_epoch_end(self):
        """Go on to new masks."""
        self.epoch += 1


def floors(rows, masked, vocabulary_size):
    """Tell what a model scores on masked rows that has learned nothing but the frequencies of words.

    Parameters
    ----------
    rows : int array (n, t)
        Of train.
    masked : Masked
        Of validation, always the same one.
    vocabulary_size : int
        V.

    Returns
    -------
    dict of float
        "uniform loss", ln V nats; "unigram loss", the cross-entropy of the masked tokens under the frequencies in
        `rows` (each count one higher, so that none is zero); "unigram accuracy", from 0 to 1, of always saying the
        commonest.

    Examples
    --------
    >>> rows = np.array([[CLS, 5, 5, 5, 6, SEP]])
    >>> found = floors(rows, mask(rows, 7, random=0), 7)
    >>> {name: round(value, 2) for name, value in found.items()}
    {'uniform loss': 1.95, 'unigram loss': 0.41, 'unigram accuracy': 1.0}
    """
    ordinary = rows[rows >= len(SPECIAL)]
    counts = np.bincount(ordinary, minlength=vocabulary_size).astype(float)
    counts[len(SPECIAL) :] += 1
    wanted = masked.labels[masked.weights > 0]
    return {
        "uniform loss": float(np.log(vocabulary_size)),
        "unigram loss": float(-np.log((counts / counts.sum())[wanted]).mean()),
        "unigram accuracy": float((wanted == counts.argmax()).mean()),
    }
