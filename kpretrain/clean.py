"""Clean text tables: normalise, take out noise and duplicates, and split without a leak.

Nothing here changes its input, and every step keeps the rows that it takes out, with the reason.
"""

import functools
import hashlib
import html
import math
import re
import unicodedata
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import PIL.Image
import PIL.ImageOps
import rensa
from scipy.sparse import coo_array, csgraph

# ------------------------------------------------------------------------------------------------ normalise

_TAGS = (
    "a|abbr|b|blockquote|body|br|center|cite|code|dd|del|details|div|dl|dt|em|font|h[1-6]|head|hr|html|i|img|ins|kbd|"
    "li|mark|ol|p|pre|q|s|samp|small|span|strike|strong|sub|summary|sup|table|tbody|td|tfoot|th|thead|tr|tt|u|ul|var"
)
# Order matters: what holds other markup comes before what it holds. Only known HTML tags go, so that
# "a < b" and "<lambda>" stay. Underscores around a single word stay, since __init__ is a name.
_MARKUP = [
    (re.compile(pattern, flags), replacement)
    for pattern, replacement, flags in [
        # control and zero-width characters that are not white space; lone surrogates, which no file can hold
        ("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
         "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]", "", 0),
        (r"<!--(?:(?!<!--).)*?-->|<(script|style)\b[^<>]*>(?:(?!<\1\b).)*?</\1\s*>", " ", re.S | re.I),
        (rf"</?(?:{_TAGS})(?:\s[^<>]*)?/?>", " ", re.I),
        (r"^[ \t]*([=\-~^\"'#*+_`])\1{2,}[ \t]*$", "", re.M),  # the line under a heading
        (r"^[ \t]*\.\. ([\w-]+)::", r"\1:", re.M),  # .. note::
        (r"^[ \t]*#{1,6}[ \t]+", "", re.M),  # Markdown heading
        (r":[A-Za-z][\w.+:-]*:`([^`<]+?)\s*<[^`>]*>`", r"\1", 0),  # :ref:`title <target>`
        (r":[A-Za-z][\w.+:-]*:`~(?:[^`]*\.)?([^`.]+)`", r"\1", 0),  # :func:`~package.name`
        (r":[A-Za-z][\w.+:-]*:`!?([^`]+)`", r"\1", 0),  # :func:`name`
        (r"`([^`<]+?)\s*<[^`>]*>`__?", r"\1", 0),  # `title <address>`_
        (r"(`+)([^`]+)\1_{0,2}", r"\2", 0),  # ``code``, `name`, `target`_
        (r"!?\[([^\[\]]*)\]\([^()\s]*(?:\s+\"[^\"]*\")?\)", r"\1", 0),  # [text](address), ![text](address)
        (r"(?<![\w*])(\*{1,3})(?=[^\s*])([^*\n]+?)(?<=\S)\1(?![\w*])", r"\2", 0),  # *stress*, **stress**
        (r"(?<!\w)(_{1,2})(?=[^\s_])([^_\n]* [^_\n]*?)(?<=\S)\1(?!\w)", r"\2", 0),  # _two words_
    ]
]  # fmt: skip


def _normalise_once(text):
    text = unicodedata.normalize("NFC", html.unescape(text))
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    return " ".join(text.split())


def _normalise(text):
    # Taking out one layer can uncover another ("&amp;lt;b>"), so it repeats until nothing changes.
    while (changed := _normalise_once(text)) != text:
        text = changed
    return text


def normalise_text(text):
    """Plain text: NFC, without control characters and markup, white space collapsed.

    HTML tags and entities, reST roles and code marks, Markdown links, headings and emphasis go; the words in them
    stay. Entities are resolved until none is left, and ``normalise_text(normalise_text(x)) == normalise_text(x)``.

    Parameters
    ----------
    text : str, Series or sequence of str
        Missing values (None, NaN) stay missing.

    Returns
    -------
    str, Series (the same index and name) or list, as `text`.

    Raises
    ------
    TypeError
        For a value that is neither a string nor missing.
    """
    if isinstance(text, str):
        return _normalise(text)
    if isinstance(text, bytes | Mapping) or not hasattr(text, "__iter__"):
        raise TypeError(f"text must be a string, a Series or a sequence of strings, not {type(text).__name__}")
    values = [value if _is_missing(value) else _normalise(_string(value)) for value in text]
    return pd.Series(values, index=text.index, name=text.name, dtype=text.dtype) if _is_series(text) else values


def _is_series(values):
    return isinstance(values, pd.Series)


def _is_missing(value):
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def _string(value):
    if not isinstance(value, str):
        raise TypeError(f"a text is a {type(value).__name__} ({value!r:.40}): turn the column into strings first")
    return value


# ------------------------------------------------------------------------------------------------ noise


class Cleaned(NamedTuple):
    """What a cleaning step kept, and what it took out: `removed` has a further column, `reason`."""

    kept: pd.DataFrame
    removed: pd.DataFrame

    def report(self):
        """Rows by reason, the most frequent first, then `kept`: DataFrame with the columns rows and percent."""
        rows = self.removed["reason"].value_counts()
        rows["kept"] = len(self.kept)
        total = max(1, len(self.kept) + len(self.removed))
        return pd.DataFrame({"rows": rows, "percent": (100 * rows / total).round(1)}).rename_axis("reason")

    def __str__(self):
        rows = self.report()["rows"].drop("kept")
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in rows.items())
        line = f"removed {len(self.removed):,} of {len(self.kept) + len(self.removed):,} rows"
        return f"{line}: {reasons}" if reasons else line

    __repr__ = __str__

    def _repr_html_(self):
        return f"<p>{html.escape(str(self))}</p>"


_BOILERPLATE = re.compile(
    r"\W*(?:(?:TODO|FIXME|XXX|TBD|HACK)\b|(?i:auto-?(?:matically )?generated|machine[- ]generated|lorem ipsum)\b)"
    r"|.*\b(?i:this (?:file|module|class|function|method|code|docstring|wrapper) (?:is|was|has been) "
    r"(?:auto-?|automatically |machine[- ])generated|do not edit)\b",
    re.S,
)
_UNSPACED = re.compile("[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")  # Thai, Lao, Khmer, kana, Han
_PLAIN_WORD = re.compile(r"[.(\[\"'`*_“‘«¿¡-]*[^\W\d_]+(?:['’/-][^\W\d_]+)*[.,;:?\x21)\]\"'`*_”’»…-]*")


def _is_language(text, min_words):
    if not text.isascii():  # combining marks are no letters to `re`, and some scripts write no spaces
        text = "".join(character for character in text if unicodedata.category(character)[0] != "M")
        text = _UNSPACED.sub(r" \g<0> ", text)
    tokens = text.split()
    plain = sum(1 for token in tokens if _PLAIN_WORD.fullmatch(token))
    if plain < min_words or plain < 0.4 * len(tokens):
        return False
    characters = sum(map(len, tokens))
    return sum(map(str.isalpha, "".join(tokens))) >= 0.5 * characters


def remove_noise(table, text="text", *, min_words=3, boilerplate=20):
    """Take out the rows whose text is missing, empty, boilerplate or no language.

    A row gets the first reason that holds:

    - ``missing``: None or NaN;
    - ``empty``: nothing but white space and control characters;
    - ``boilerplate``: it opens with TODO, FIXME, XXX, TBD, HACK, "auto-generated" or "lorem ipsum", says "this module
      was automatically generated" or "do not edit", or follows a template: at least `boilerplate` *different* texts
      of the table are equal to it once digits are masked (and case and white space ignored). Plain exact copies
      are one text, so they stay here, for `drop_duplicates`;
    - ``not language``: fewer than `min_words` plain words (letters with hyphens, apostrophes and outer punctuation),
      or under 40 % of the tokens between white space are plain words (code), or under half of the characters are
      letters (tables, drawings). In scripts without spaces each character is a word. These are rules of thumb: look
      at ``.removed``.

    Parameters
    ----------
    table : DataFrame
    text : str
        The name of the text column.
    min_words, boilerplate : int

    Returns
    -------
    Cleaned

    Raises
    ------
    TypeError, ValueError
        For something else than a DataFrame, a column that is not there, or a text that is no string.
    """
    values = _text_column(table, text, new=["reason"])
    if boilerplate < 2:
        raise ValueError(f"boilerplate={boilerplate} would take out every row: give 2 or more")
    reasons = np.full(len(values), None, dtype=object)
    missing = np.array([_is_missing(value) for value in values], dtype=bool)
    present = np.flatnonzero(~missing)
    strings = [_string(values[row]) for row in present]
    templated = _templated([_key(string) for string in strings], boilerplate)
    reasons[missing] = "missing"
    for row, string, template in zip(present, strings, templated, strict=True):
        if not _MARKUP[0][0].sub("", string).strip():
            reasons[row] = "empty"
        elif template or _BOILERPLATE.match(string):
            reasons[row] = "boilerplate"
        elif not _is_language(string, min_words):
            reasons[row] = "not language"
    return _cleaned(table, reasons)


def _templated(keys, least):
    """Whether at least `least` different keys share this one's form with digits masked: list of bool."""
    masked = [re.sub(r"\d+", "0", key) for key in keys]
    different = pd.Series(list(dict(zip(keys, masked, strict=True)).values()), dtype=object).value_counts()
    templates = set(different.index[different >= least])
    return [mask in templates for mask in masked]


def _text_column(table, text, new):
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"table must be a pandas DataFrame, not {type(table).__name__}")
    if text not in table.columns:
        raise ValueError(f"no column {text!r} in the table: it has {', '.join(map(repr, table.columns))}")
    for name in new:
        if name in table.columns:
            raise ValueError(f"the table already has a column {name!r}, which this step writes: rename it first")
    return table[text].tolist()


def _cleaned(table, reasons, **columns):
    gone = np.array([reason is not None for reason in reasons], dtype=bool)
    columns = {"reason": reasons, **columns}
    removed = table[gone].assign(**{name: np.asarray(values)[gone] for name, values in columns.items()})
    return Cleaned(table[~gone].copy(), removed)


# ------------------------------------------------------------------------------------------------ duplicates

# Why rensa: datasketch (mature, pure Python) takes about ten times as long for the same MinHash signatures, and
# semhash compares embeddings from a model that it must fetch, so it can't work offline. rensa (Rust) signs a whole
# chunk in one call. Its own index and deduplicator judge by estimates and miss a third of the pairs at 0.8
# (tests/benchmarks), and a query answers with all of a bucket, which is quadratic where thousands of texts share a
# template; so the bands are grouped here, and pairs are checked exactly.
_PERMUTATIONS = 128
_NEIGHBOURS = 4  # rows that a row is checked against in a large bucket
_CHUNK = 2_000_000  # characters that are held as shingles at one time


def duplicates(texts, threshold=0.8, *, shingle=5):
    """Cluster numbers: rows with the same number are exact or near duplicates of one another.

    Texts that agree but for case and white space are exact duplicates. Two others are near duplicates where their
    *similarity* is at least `threshold`: the Jaccard index (shared / all) of their sets of shingles, which are the
    runs of `shingle` characters in the lower-case text with one space at each end. One changed letter in a text of
    60 characters leaves a similarity of 0.84, one changed word of ten about 0.7.
    MinHash proposes pairs, and each is checked with its true similarity, so no pair below the threshold is ever joined
    directly; clusters are connected components, so two of their rows may be less alike than that.

    Parameters
    ----------
    texts : sequence or Series of str, length n
        Other values are compared as `str(value)`. A missing value (None, NaN) is a cluster of its own; empty texts
        are duplicates of one another.
    threshold : float in (0, 1]
    shingle : int
        Characters in a shingle; 5 suits short texts (Leskovec et al., ch. 3).

    Returns
    -------
    ndarray of int64, shape (n,)
        Numbered from 0 in order of first appearance. The same texts give the same numbers every time.

    Raises
    ------
    TypeError, ValueError
        For one string instead of several, or a threshold or shingle out of range.

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
    """
    if isinstance(texts, str | bytes):
        raise TypeError("texts is a single string: pass a sequence of strings")
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold={threshold} must lie in (0, 1]; 0.8 is usual")
    if shingle < 1:
        raise ValueError(f"shingle={shingle} must be at least 1 character; 5 suits short texts")
    # A tuple is equal to no string, so every missing value is a cluster of its own.
    keys = [(row,) if _is_missing(text) else _key(str(text)) for row, text in enumerate(texts)]
    exact = _number(keys)
    strings = [key for key in dict.fromkeys(keys) if isinstance(key, str)]
    places = np.array([isinstance(key, str) for key in dict.fromkeys(keys)], dtype=bool)
    del keys
    clusters = np.arange(places.size)
    clusters[places] = np.flatnonzero(places)[_near(strings, threshold, shingle)]
    return _number(clusters[exact].tolist())


def _key(text):
    text = " ".join(text.casefold().split())
    # Composed and separate accents are one text; a lone surrogate can't be hashed as UTF-8.
    return text if text.isascii() else unicodedata.normalize("NFC", text).encode("utf-8", "replace").decode("utf-8")


def _number(keys):
    numbers = {}
    return np.fromiter((numbers.setdefault(key, len(numbers)) for key in keys), dtype=np.int64, count=len(keys))


def _shingles(text, length):
    padded = f" {text} "
    return {padded[start : start + length] for start in range(max(1, len(padded) - length + 1))}


def _similarity(first, second, length):
    first, second = _shingles(first, length), _shingles(second, length)
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared)


@functools.cache
def _bands(threshold):
    """(bands, rows): the most rows to a band that still propose 99 % of the pairs at the threshold."""
    choices = [(_PERMUTATIONS // rows, rows) for rows in range(1, _PERMUTATIONS + 1)]
    good = [(bands, rows) for bands, rows in choices if 1 - (1 - threshold**rows) ** bands >= 0.99]
    return good[-1] if good else choices[0]


def _near(texts, threshold, length):
    """Connected components of the pairs at the threshold or above: (n different texts) -> (n,) smallest member."""
    labels = np.arange(len(texts))
    if len(texts) < 2:
        return labels
    keys, marks = _signatures(texts, threshold, length)
    joined = np.empty((0, 2), np.int64)
    for band in range(keys.shape[1]):
        for pairs in _candidates(keys, band):
            pairs = _likely(pairs[labels[pairs[:, 0]] != labels[pairs[:, 1]]], marks, threshold)
            alike = [_similarity(texts[a], texts[b], length) >= threshold for a, b in pairs.tolist()]
            if any(alike):
                joined = np.concatenate((joined, pairs[np.array(alike)]))
                labels = _components(joined, len(texts))
    return labels


def _signatures(texts, threshold, length):
    """One hash for each band, and one byte of each MinHash: (n, bands) uint64, (n, bands * rows) uint8."""
    bands, rows = _bands(threshold)
    odd = np.random.default_rng(0).integers(0, 2**63, size=rows, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    keys, marks = np.empty((len(texts), bands), np.uint64), np.empty((len(texts), bands * rows), np.uint8)
    chunk = np.cumsum([len(text) for text in texts]) // _CHUNK
    ends = [*(np.flatnonzero(np.diff(chunk)) + 1).tolist(), len(texts)]
    for start, end in zip([0, *ends], ends, strict=False):
        sets = [_shingles(text, length) for text in texts[start:end]]
        digests = rensa.RMinHash.digest_matrix_from_token_sets(sets, bands * rows, 1).to_rows()
        digests = np.array(digests, dtype=np.uint64)
        marks[start:end] = digests % 256
        keys[start:end] = (digests.reshape(-1, bands, rows) * odd).sum(axis=2)  # (texts, bands, rows) -> (texts, bands)
    return keys, marks


def _candidates(keys, band):
    """Yield the pairs (k, 2) that share this band's bucket: each row with the next, then the second next, ..."""
    # Sorted by the next band too, texts that share both stand side by side.
    order = np.lexsort((keys[:, (band + 1) % keys.shape[1]], keys[:, band]))
    bucket = keys[order, band]
    for step in range(1, _NEIGHBOURS + 1):
        same = bucket[step:] == bucket[:-step]
        yield np.column_stack((order[:-step][same], order[step:][same]))


def _likely(pairs, marks, threshold):
    """Leave out the pairs whose estimate lies four standard errors below the threshold, for speed only."""
    margin = 4 * math.sqrt(threshold * (1 - threshold) / marks.shape[1])
    parts = np.array_split(pairs, len(pairs) // 100_000 + 1)
    kept = [part[(marks[part[:, 0]] == marks[part[:, 1]]).mean(axis=1) >= threshold - margin] for part in parts]
    return np.concatenate(kept)


def _components(pairs, size):
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    labels = csgraph.connected_components(graph, directed=False)[1]
    return np.unique(labels, return_index=True)[1][labels]


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
    TypeError, ValueError
        As `remove_noise` and `duplicates`.
    """
    values = _text_column(table, text, new=["reason", "duplicate_of"])
    clusters = duplicates(values, threshold)
    first = np.unique(clusters, return_index=True)[1][clusters] if len(clusters) else clusters
    reasons = np.full(len(values), None, dtype=object)
    for row in np.flatnonzero(first != np.arange(len(values))):
        same = _key(str(values[row])) == _key(str(values[first[row]]))
        reasons[row] = "exact duplicate" if same else "near duplicate"
    return _cleaned(table, reasons, duplicate_of=table.index[first])


def duplicate_images(images):
    """Cluster numbers for images that agree pixel by pixel.

    Files are compared by what they decode to (mode, size and pixels, a palette applied), so a PNG that was saved
    again with the same pixels is a duplicate of the first, and a JPEG that was compressed again is not. Of an
    animation, the first frame counts; a rotation noted in the file's metadata does not.

    Parameters
    ----------
    images : sequence of str or Path, or ndarray of uint8, shape (n, height, width) or (n, height, width, channels)

    Returns
    -------
    ndarray of int64, shape (n,)
        Numbered from 0 in order of first appearance.

    Raises
    ------
    TypeError, ValueError
        For a file that can't be read (the message names it), one path instead of several, or an array of another type
        or shape.
    """
    if isinstance(images, str | bytes | Path):
        raise TypeError("images is a single path: pass a list of paths")
    if isinstance(images, np.ndarray) and images.dtype.kind not in "OU":
        if images.dtype != np.uint8 or images.ndim not in (3, 4):
            raise ValueError(
                f"images must be uint8 (n, height, width[, channels]), not {images.dtype} {images.shape}: "
                "pass the raw pixels, before any scaling"
            )
        return _number([hashlib.blake2b(np.ascontiguousarray(image)).digest() for image in images])
    return _number([_read_image(path, _pixel_digest) for path in images])


def _read_image(path, read):
    """What `read` makes of the open image."""
    try:
        with PIL.Image.open(path) as image:
            return read(image)
    except Exception as error:  # Pillow raises many kinds for a damaged file
        raise ValueError(f"{path}: cannot be read as an image ({error}): remove or replace the file") from error


def _pixel_digest(image):
    pixels = image.convert("RGBA") if image.mode in ("P", "PA") else image
    return hashlib.blake2b(f"{pixels.mode} {pixels.size} ".encode() + pixels.tobytes()).digest()


class ImagePrint(NamedTuple):
    """What tells whether two pictures are copies, from `image_print`.

    Attributes
    ----------
    digest : bytes
        The same for the same mode, size and pixels.
    grey : ndarray of float32, shape (256,)
        The picture as 16 x 16 grey values with mean 0 and standard deviation 1; all 0 where it has too little contrast.
    """

    digest: bytes
    grey: np.ndarray


# Found on 398 photographs, 301 drawn charts and 1,797 digits; tests/test_clean.py measures it.
_LEAST_CONTRAST = 4  # grey levels of 255: below, what is left is mostly the noise of the compression
_LEAST_CORRELATION = 0.96
_MOST_APART = 0.7  # standard deviations


def image_print(image):
    """Return the `ImagePrint` of a PIL image, so that a picture that is open already is not decoded once more."""
    grey = np.asarray(image.convert("L").resize((16, 16), PIL.Image.Resampling.BOX), np.float32).ravel()
    contrast = grey.std()
    grey = (grey - grey.mean()) / contrast if contrast >= _LEAST_CONTRAST else np.zeros_like(grey)
    return ImagePrint(_pixel_digest(image), grey)


def near_duplicate_images(images):
    """Cluster numbers for pictures that are copies of one another, or nearly: saved again, resized, brightened.

    Two pictures are near duplicates where, at 16 x 16 grey values with mean 0 and standard deviation 1, they correlate
    with 0.96 or more and no value differs by more than 0.7. The second condition parts pictures that share a frame, or
    a white ground, and differ in the small thing on it. Pictures of (nearly) one grey count by their exact pixels only.
    Clusters are connected components. A copy that is turned, or cut by more than a few pixels, is not found.

    Parameters
    ----------
    images : sequence of str, Path or ImagePrint

    Returns
    -------
    ndarray of int64, shape (n,)
        Numbered from 0 in order of first appearance.

    Raises
    ------
    TypeError, ValueError
        For a file that can't be read (the message names it), or one path instead of several.

    Notes
    -----
    Time grows with the square of n: a second or two for 5,000 pictures, besides decoding them.
    """
    if isinstance(images, str | bytes | Path):
        raise TypeError("images is a single path: pass a list of paths")
    prints = [image if isinstance(image, ImagePrint) else _print_of_file(image) for image in images]
    if not prints:
        return np.empty(0, np.int64)
    exact = _number([one.digest for one in prints])
    pairs = [np.column_stack((np.arange(len(prints)), np.unique(exact, return_index=True)[1][exact]))]
    grey = np.stack([one.grey for one in prints])
    rows = np.flatnonzero(grey.any(axis=1))  # those with enough contrast
    grey = grey[rows]
    for start in range(0, len(rows), 256):
        alike = grey[start : start + 256] @ grey[start:].T >= _LEAST_CORRELATION * grey.shape[1]
        found = np.argwhere(np.triu(alike, 1)) + start
        for some in np.array_split(found, len(found) // 20_000 + 1):
            apart = np.abs(grey[some[:, 0]] - grey[some[:, 1]]).max(axis=1, initial=0)
            pairs.append(rows[some[apart <= _MOST_APART]])
    return _number(_components(np.concatenate(pairs), len(prints)).tolist())


def _print_of_file(path):
    return _read_image(path, lambda image: image_print(PIL.ImageOps.exif_transpose(image)))


# ------------------------------------------------------------------------------------------------ split


class Split(NamedTuple):
    """Row positions of the three parts, each an int64 array in ascending order."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split(labels, sizes=(0.8, 0.1, 0.1), *, groups=None, stratify=True, seed=0):
    """Train, validation and test positions, stratified by label, with no group in two parts.

    Every row lands in exactly one part. Each class gets its share of every part, and at least one group in each
    where it has as many groups as there are parts (a class with fewer is named in a warning). Groups of several rows
    are placed first, the largest first, each where it overshoots the wanted counts least; single rows then fill what
    is missing. Sizes are therefore exact within rounding unless groups are large or classes tiny.
    scikit-learn's StratifiedGroupKFold makes equal folds only, and its StratifiedShuffleSplit knows no groups.

    Parameters
    ----------
    labels : sequence of length n
    sizes : three floats that sum to 1
        For train, validation, test. A size of 0 leaves its part empty.
    groups : None, sequence of length n, or list of such sequences
        Cluster numbers from `duplicates`, an author, a file: rows that must stay together. Several are merged:
        rows that any of them connects, also through others, stay together.
    stratify : bool
        False ignores the classes.
    seed : int
        The same seed gives the same split.

    Returns
    -------
    Split
        A named tuple (train, validation, test). Positions ascend, so shuffle before training.

    Raises
    ------
    ValueError
        For empty input, other lengths, missing labels or groups, one class only (with stratify=True), sizes that are
        negative or don't sum to 1, and fewer groups than parts.
    """
    labels = _column(labels, "labels")
    sizes = _check_sizes(sizes)
    classes, names = pd.factorize(labels)
    if stratify and len(names) == 1:
        raise ValueError(f"labels hold one class only ({names[0]!r}): check them, or pass stratify=False")
    if not stratify:
        classes, names = np.zeros(len(labels), np.int64), ["all"]
    groups = _merge(groups, len(labels))
    parts, count = np.flatnonzero(sizes), groups.max() + 1
    if count < len(parts):
        raise ValueError(f"{count} group(s) can't fill {len(parts)} parts: use finer groups, or set a size to 0")
    placed = np.empty(len(labels), np.int64)
    _place(placed, classes, groups, sizes[parts], names, np.random.default_rng(seed))
    return Split(*(np.flatnonzero(parts[placed] == part) for part in range(3)))


def _column(values, name):
    values = pd.Series(np.asarray(values, dtype=object) if isinstance(values, tuple | list) else values)
    if not len(values):
        raise ValueError(f"{name} is empty: nothing to split")
    if missing := int(values.isna().sum()):
        raise ValueError(f"{name} holds {missing} missing value(s): drop or fill these rows first")
    return values


def _check_sizes(sizes):
    sizes = np.asarray(sizes, dtype=float)
    if sizes.shape != (3,) or not (sizes >= 0).all() or abs(sizes.sum() - 1) > 1e-6:
        raise ValueError(f"sizes={sizes.tolist()} must be three numbers from 0 that sum to 1, such as (0.8, 0.1, 0.1)")
    return sizes


def _merge(groups, size):
    """Group numbers from 0, without gaps: connected components where there are several columns of groups."""
    several = isinstance(groups, list | tuple) and len(groups) and np.ndim(groups[0]) == 1
    columns = [] if groups is None else list(groups) if several else [groups]
    merged = np.arange(size)
    for column in columns:
        column = _column(column, "groups")
        if len(column) != size:
            raise ValueError(f"groups has {len(column)} rows and labels {size}: pass one group for each label")
        codes = pd.factorize(column)[0]
        first = np.unique(codes, return_index=True)[1][codes]
        edges = np.concatenate([np.column_stack((np.arange(size), first)), np.column_stack((np.arange(size), merged))])
        merged = _components(edges, size)
    return pd.factorize(merged)[0]


def _place(placed, classes, groups, sizes, names, random):
    """Fill `placed` with a part number for each row."""
    parts = len(sizes)
    left = np.bincount(np.unique(np.column_stack((groups, classes)), axis=0)[:, 1], minlength=len(names))
    if scarce := [str(names[one]) for one in np.flatnonzero(left < parts)]:
        more = f" and {len(scarce) - 3} more" if len(scarce) > 3 else ""
        warnings.warn(f"too few groups for every part: class {', '.join(scarce[:3])}{more}", stacklevel=3)
    wanted = _wanted(np.bincount(classes, minlength=len(names)), left >= parts, sizes, random)
    have = np.zeros_like(wanted)
    lacking = np.where(left >= parts, parts, 0)  # parts that still must get the class

    rows = random.permutation(len(groups))
    rows = rows[np.argsort(groups[rows], kind="stable")]
    members = np.split(rows, np.flatnonzero(np.diff(groups[rows])) + 1)
    members = [members[one] for one in random.permutation(len(members))]
    for member in sorted((one for one in members if len(one) > 1), key=len, reverse=True):
        kinds, counts = np.unique(classes[member], return_counts=True)
        must = kinds[lacking[kinds] >= left[kinds]]
        missing = (have[must] == 0).sum(axis=0)
        after = have[kinds] + counts[:, None] - wanted[kinds]  # (classes of the group, parts)
        room = (-after / wanted[kinds].clip(1)).sum(axis=0)
        part = max(range(parts), key=lambda one: (missing[one], -after.clip(0)[:, one].sum(), room[one]))
        placed[member] = part
        lacking[kinds] -= (have[kinds, part] == 0) & (lacking[kinds] > 0)
        have[kinds, part] += counts
        left[kinds] -= 1

    single = np.array([one[0] for one in members if len(one) == 1], dtype=np.int64)
    for kind in np.unique(classes[single]):
        chosen = single[classes[single] == kind]
        placed[chosen] = _fill(wanted[kind] - have[kind], have[kind], len(chosen))


def _wanted(totals, every_part, sizes, random):
    """Rows of each class for each part, summing to the totals: (classes,) -> (classes, parts)."""
    wanted = np.zeros((len(totals), len(sizes)), np.int64)
    carried = np.zeros(len(sizes))  # rounding is carried from class to class, so that the parts' sizes come out
    for kind in random.permutation(len(totals)):
        exact = totals[kind] * sizes
        short = totals[kind] - np.floor(exact).astype(int).sum()
        order = np.argsort(-(exact - np.floor(exact) + carried), kind="stable")
        wanted[kind] = np.floor(exact)
        wanted[kind, order[:short]] += 1
        carried += exact - wanted[kind]
        while every_part[kind] and not wanted[kind].all():
            wanted[kind, wanted[kind].argmin()] += 1
            wanted[kind, wanted[kind].argmax()] -= 1
    return wanted


def _fill(missing, have, count):
    """Parts for `count` single rows, in proportion to what each part is missing; a part without the class first."""
    missing = np.maximum(missing, 0)
    part = np.repeat(np.arange(len(missing)), missing)
    rank = np.concatenate([(np.arange(amount) + 0.5) / max(amount, 1) for amount in missing])
    rank[np.cumsum(missing)[(missing > 0)] - missing[missing > 0]] -= np.where(have[missing > 0] == 0, 1, 0)
    return part[np.argsort(rank, kind="stable")][:count]
