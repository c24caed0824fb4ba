"""Exact and near duplicates among texts, by MinHash and a true comparison."""

import functools

import numpy as np
import pandas as pd
import rensa
from joblib import Parallel, delayed
from scipy.sparse import coo_array, csgraph

from .noise import fold_text, is_missing, take_out

# Why rensa: datasketch (mature, pure Python) takes about ten times as long for the same MinHash signatures, and
# semhash compares embeddings from a model that it must fetch, so it can't work offline. rensa (Rust) signs a whole
# chunk in one call. Its own index and deduplicator judge by estimates and miss a third of the pairs at 0.8
# (tests/benchmarks), and a query answers with all of a bucket, which is quadratic where thousands of texts share a
# template; so the bands are grouped here, and pairs are checked exactly.
_PERMUTATIONS = 128
_NEIGHBOURS = 4  # rows that a row is checked against in a large bucket
_CHUNK = 2_000_000  # characters that are held as shingles at one time
_SHINGLE = 5  # characters; suits short texts (Leskovec et al., ch. 3)


def first_row(values):
    """For each value, the row where it first stands: n values -> int array (n,).

    Examples
    --------
    >>> first_row(["a", "b", "a"]).tolist()
    [0, 1, 0]
    """
    codes = pd.factorize(pd.Series(values, dtype=object))[0]
    return np.unique(codes, return_index=True)[1][codes]


def components(pairs, size):
    """Number the connected components of a graph of `size` nodes, in order of first appearance.

    Parameters
    ----------
    pairs : int array (k, 2)
        The edges.
    size : int

    Returns
    -------
    ndarray of int64, shape (size,)

    Examples
    --------
    >>> components(np.array([[0, 3], [1, 3]]), 4).tolist()
    [0, 0, 1, 0]
    """
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    return pd.factorize(csgraph.connected_components(graph, directed=False)[1])[0]


def duplicates(texts, threshold=0.8):
    """Cluster numbers: rows with the same number are exact or near duplicates of one another.

    Texts that agree but for case and white space are exact duplicates. Two others are near duplicates where their
    *similarity* is at least `threshold`: the Jaccard index (shared / all) of their sets of shingles, which are the
    runs of five characters in the lower-case text with one space at each end. One changed letter in a text of
    60 characters leaves a similarity of 0.84, one changed word of ten about 0.7.
    MinHash proposes pairs, and each is checked with its true similarity, so no pair below the threshold is ever joined
    directly; clusters are connected components, so two of their rows may be less alike than that.

    Parameters
    ----------
    texts : sequence or Series of str, length n
        Other values are compared as `str(value)`. A missing value (None, NaN) is a cluster of its own; empty texts
        are duplicates of one another.
    threshold : float in (0, 1]

    Returns
    -------
    ndarray of int64, shape (n,)
        Numbered from 0 in order of first appearance. The same texts give the same numbers every time.

    Raises
    ------
    TypeError, ValueError
        For one string instead of several, or a threshold out of range.

    Notes
    -----
    The bands are chosen so that a pair exactly at the threshold is proposed with a probability of 99 % or more. Time
    grows about linearly with the characters: in a large bucket a row is checked only against its next four
    neighbours, sorted by another band. So among many texts of one template a pair may be missed if no chain of near
    duplicates connects it; copies of one text are found all the same.

    References
    ----------
    Broder (1997), On the resemblance and containment of documents, https://doi.org/10.1109/SEQUEN.1997.666900;
    Lee et al. (2021), Deduplicating training data makes language models better, https://arxiv.org/abs/2107.06499;
    Leskovec, Rajaraman and Ullman, Mining of massive datasets, http://www.mmds.org.

    Examples
    --------
    >>> line = "Return the mean of the values given along an axis."
    >>> duplicates([line, "Something else.", line.upper(), line.replace("values", "value"), None]).tolist()
    [0, 1, 0, 0, 2]
    """
    if isinstance(texts, str | bytes):
        raise TypeError("texts is a single string: pass a sequence of strings")
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold={threshold} must lie in (0, 1]; 0.8 is usual")
    texts = list(texts)
    present = [row for row, text in enumerate(texts) if not is_missing(text)]
    exact, different = pd.factorize(np.array([fold_text(str(texts[row])) for row in present], dtype=object))
    clusters = len(texts) + np.arange(len(texts))  # a number of its own for each missing text
    clusters[present] = _near(different, threshold)[exact]
    return pd.factorize(clusters)[0]


@functools.lru_cache(maxsize=64)  # neighbours in a bucket are compared one after another
def _shingles(text):
    padded = f" {text} "
    return {padded[start : start + _SHINGLE] for start in range(max(1, len(padded) - _SHINGLE + 1))}


def _similarity(first, second):
    first, second = _shingles(first), _shingles(second)
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared)


def _bands(threshold):
    """(bands, rows): the most rows to a band that still propose 99 % of the pairs at the threshold."""
    choices = range(1, _PERMUTATIONS + 1)
    good = (rows for rows in choices if 1 - (1 - threshold**rows) ** (_PERMUTATIONS // rows) >= 0.99)
    rows = max(good, default=1)
    return _PERMUTATIONS // rows, rows


def _near(texts, threshold):
    """Clusters of the pairs at the threshold or above: n different texts -> (n,) numbers."""
    labels, joined = np.arange(len(texts)), np.empty((0, 2), np.int64)
    keys = _signatures(texts, threshold)
    similar = functools.cache(lambda a, b: _similarity(texts[a], texts[b]) >= threshold)  # many bands propose a pair
    for band in range(keys.shape[1]):
        for pairs in _candidates(keys, band):
            pairs = pairs[labels[pairs[:, 0]] != labels[pairs[:, 1]]]
            alike = [similar(*pair) for pair in np.sort(pairs, axis=1).tolist()]
            if any(alike):
                joined = np.concatenate((joined, pairs[alike]))
                labels = components(joined, len(texts))
    return labels


def _signatures(texts, threshold):
    """One hash for each band: (n, bands) uint64."""
    chunk = np.cumsum([len(text) for text in texts]) // _CHUNK
    parts = np.split(np.asarray(texts, dtype=object), np.flatnonzero(np.diff(chunk)) + 1)
    jobs = -1 if len(parts) > 2 else 1  # a process takes longer to start than to sign a chunk
    return np.concatenate(Parallel(n_jobs=jobs)(delayed(_sign)(part, *_bands(threshold)) for part in parts))


def _sign(texts, bands, rows):
    odd = np.random.default_rng(0).integers(0, 2**63, size=rows, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    sets = [_shingles(text) for text in texts]
    digests = rensa.RMinHash.digest_matrix_from_token_sets(sets, bands * rows, 1).to_rows()
    # (texts, bands, rows) -> (texts, bands)
    return (np.array(digests, np.uint64).reshape(-1, bands, rows) * odd).sum(axis=2)


def _candidates(keys, band):
    """Yield the pairs (k, 2) that share this band's bucket: each row with the next, then the second next, ..."""
    # Sorted by the next band too, texts that share both stand side by side.
    order = np.lexsort((keys[:, (band + 1) % keys.shape[1]], keys[:, band]))
    bucket = keys[order, band]
    for step in range(1, _NEIGHBOURS + 1):
        same = bucket[step:] == bucket[:-step]
        yield np.column_stack((order[:-step][same], order[step:][same]))


def drop_duplicates(table, text="text", threshold=0.8):
    """Keep the first row of each cluster of `duplicates`.

    Parameters
    ----------
    table : DataFrame
    text : str
        The name of the text column. Rows without a text are kept.
    threshold : float in (0, 1]

    Returns
    -------
    Cleaned
        The reason in ``removed`` is ``exact duplicate`` or ``near duplicate`` of the row that was kept, whose index
        label stands in the column ``duplicate_of``.

    Raises
    ------
    KeyError, TypeError, ValueError
        As `remove_noise` and `duplicates`.

    Examples
    --------
    >>> cleaned = drop_duplicates(pd.DataFrame({"text": ["One text", "another", "one  text"]}))
    >>> cleaned.removed
            text           reason  duplicate_of
    2  one  text  exact duplicate             0
    """
    values = table[text].tolist()
    first = first_row(duplicates(values, threshold))
    reasons = [None] * len(values)
    for row in np.flatnonzero(first != np.arange(len(values))):
        same = fold_text(str(values[row])) == fold_text(str(values[first[row]]))
        reasons[row] = "exact duplicate" if same else "near duplicate"
    return take_out(table, reasons, duplicate_of=table.index[first])
