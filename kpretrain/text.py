"""Language: summary lines and corpus, a WordPiece vocabulary, packed rows, inputs and encoder; the masks of masks.py.

Shape letters: n rows or texts, t tokens in a row, d features.
"""

# ruff: noqa: F401  the names of masks.py are read as kp.text.mask, too

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pandas as pd
import tokenizers

from . import clean, data
from .files import cached_table
from .masks import CLS, MASK, PAD, SEP, SPECIAL, UNK, MaskedRows, TextError, bert_inputs, floors, mask, masked_inputs

GIVEAWAYS = r"\b(numpy|np|scipy|pandas|pd|scikit.?learn|sklearn|matplotlib|pyplot|tensorflow|tf|keras\w*)\b"
_TOO_SMALL = ("keras-cv",)  # too few distinct summary lines
_MOST_LINES = 250  # of a library in test and in validation: tensorflow has as many as all others together


# ---------------------------------------------------------------- the corpus and its summary lines


def summary_line(text):
    """Return the first paragraph of each docstring without library names (pandas Series of str; missing stays so).

    Examples
    --------
    >>> summary_line(pd.Series(["The mean of a NumPy\\narray.\\n\\nMore about it."])).tolist()
    ['The mean of a array.']
    """
    paragraphs = text.str.strip().str.split(r"\n\s*\n", n=1, regex=True).str[0]
    return clean.normalise_text(paragraphs.str.replace(GIVEAWAYS, " ", case=False, regex=True))


def _split_corpus():
    """Documented rows: library, text, line, part (by module), and the cluster of lines that are near duplicates.

    A row leaves train where its docstring *or* its line has a twin in the test or the validation part; from
    validation, where it has one in test.
    """
    table = data.docstrings().dropna(subset=["text"]).reset_index(drop=True)
    table["line"] = summary_line(table["text"])
    table["part"] = data.stable_part(table["library"] + "/" + table["module"])
    key = hashlib.sha256("\n".join(table["line"]).encode()).hexdigest()[:16]
    lines = cached_table(
        f"lines-{key}.parquet", lambda: pd.DataFrame({"cluster": clean.duplicates(table["line"].tolist())})
    )
    table["line_cluster"] = lines["cluster"].to_numpy()
    part = table["part"].to_numpy()
    reasons = [data.twins(part, table[column].to_numpy()) for column in ("cluster", "line_cluster")]
    table["twin"] = np.where(reasons[0] != "", reasons[0], reasons[1])
    return table


def load_corpus():
    """Load the docstrings on which the language models are trained, and those that watch over them.

    Returns
    -------
    train, validation : list of str
        Whole docstrings in the order of their modules. None stands in the test part of `load_lines`, and none has a
        near duplicate there, of the whole docstring or of its summary line.

    Examples
    --------
    >>> train, validation = load_corpus()  # doctest: +SKIP
    """
    table = _split_corpus()
    table = table[table["twin"] == ""]
    return tuple(table["text"][table["part"] == part].tolist() for part in ("train", "validation"))


def load_lines():
    """Load the task "which library does this summary line come from?".

    Returns
    -------
    Dataset
        `x` holds strings without the names of libraries, one of each cluster of near duplicates; `y` one of eight
        libraries. The parts are those of `load_corpus`, by module; validation and test hold at most 250 lines of a
        library.

    Examples
    --------
    >>> load_lines().class_names[:3]  # doctest: +SKIP
    ['keras', 'keras-hub', 'matplotlib']
    """
    table = _split_corpus().drop(columns=["text", "cluster"]).rename(columns={"line": "text"})
    noise = clean.remove_noise(table, "text")
    rows = noise.kept[~noise.kept["library"].isin(_TOO_SMALL)].rename(columns={"twin": "reason"})
    free = rows[rows["reason"] == ""]
    rows.loc[free.index[free.duplicated("line_cluster")], "reason"] = "duplicate of a row of its part"
    order = [hashlib.sha256(text.encode()).hexdigest() for text in rows["text"]]
    rows = rows.assign(order=order).sort_values("order")
    rank = rows[rows["reason"] == ""].groupby(["part", "library"]).cumcount().reindex(rows.index, fill_value=0)
    rows.loc[(rank >= _MOST_LINES) & (rows["part"] != "train"), "reason"] = f"beyond {_MOST_LINES} of its library"
    removed = pd.concat([noise.removed, rows[rows["reason"] != ""]])[["library", "text", "reason"]]
    rows = rows[rows["reason"] == ""]
    about = {"name": "lines", "source": f"the summary lines of {data.loaded()['docstrings']}"}
    part = rows["part"].to_numpy()
    return data.announce(data.assemble(rows, part, x="text", y="library", removed=removed, **about))


# ---------------------------------------------------------------- vocabulary and rows


_RUNS = re.compile(r"([^\w\s]|_)\1{2,}")  # "-----" and "......": each of their characters would become a token


def train_vocabulary(texts, size=8000):
    """Train a WordPiece vocabulary on lower-cased texts, with Hugging Face's `tokenizers`.

    Parameters
    ----------
    texts : sequence of str
        Of train only: a word that stands in test alone must stay unknown.
    size : int
        The most entries, special tokens included, but each character gets one. A small corpus gives fewer.

    Returns
    -------
    list of str
        The entries in the order of their numbers, `SPECIAL` first, as `keras_hub.models.BertTokenizer` takes them.

    Raises
    ------
    TextError
        If there are no texts, or nothing but white space in them.

    References
    ----------
    M. Schuster, K. Nakajima (2012), Japanese and Korean voice search, ICASSP.

    Examples
    --------
    >>> words = train_vocabulary(["return the mean", "return the means"], 40)
    >>> words[:5] == list(SPECIAL), "return" in words
    (True, True)
    """
    texts = [texts] if isinstance(texts, str) else list(texts)
    if not any(text.strip() for text in texts):
        raise TextError("The corpus is empty. Give the texts of the train part; `load_corpus()` reads the docstrings.")
    texts = [_RUNS.sub(r"\1\1", text) for text in texts]

    def train(size, first):
        trainer = tokenizers.trainers.WordPieceTrainer(
            vocab_size=size, min_frequency=2, special_tokens=first, show_progress=False
        )
        model = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
        model.normalizer, model.pre_tokenizer = _normalizer(), tokenizers.pre_tokenizers.BertPreTokenizer()
        model.train_from_iterator(texts, trainer)
        return model.get_vocab()

    # the trainer numbers the characters inside words in another order each time, and ties then fall otherwise:
    # they are found first, and given to it in order
    inside = sorted(piece for piece in train(1, list(SPECIAL)) if len(piece) == 3 and piece.startswith("##"))
    vocabulary = train(size, [*SPECIAL, *inside])
    return sorted(vocabulary, key=vocabulary.get)


def _normalizer():
    steps = tokenizers.normalizers
    return steps.Sequence([steps.BertNormalizer(lowercase=True), steps.NFKC()])


def fast_tokenizer(vocabulary):
    """Return Hugging Face's tokenizer of a vocabulary, which is faster than keras_hub's and splits text alike.

    keras_hub's is `BertTokenizer(vocabulary, lowercase=True, strip_accents=True)`. They differ on a few characters,
    such as the Greek final sigma and invisible ones.

    Parameters
    ----------
    vocabulary : list of str
        From `train_vocabulary`, or `get_vocabulary()` of an uncased `keras_hub.models.BertTokenizer`.

    Returns
    -------
    tokenizers.Tokenizer
        `encode(text).ids` holds no special tokens.

    Raises
    ------
    TextError
        If the vocabulary does not begin with `[PAD]`, or lacks another one of `SPECIAL`.

    Examples
    --------
    >>> fast = fast_tokenizer([*SPECIAL, "mean", "##s", "the"])
    >>> fast.encode("The MEANS of").ids
    [7, 5, 6, 1]
    """
    if not vocabulary or vocabulary[PAD] != SPECIAL[PAD] or not set(SPECIAL) <= set(vocabulary):
        begins = ", ".join(vocabulary[:5])
        raise TextError(f"A vocabulary begins with [PAD] and holds {', '.join(SPECIAL)}; this one begins {begins}.")
    model = tokenizers.models.WordPiece({word: number for number, word in enumerate(vocabulary)}, unk_token="[UNK]")
    fast = tokenizers.Tokenizer(model)
    fast.normalizer, fast.pre_tokenizer = _normalizer(), tokenizers.pre_tokenizers.BertPreTokenizer()
    fast.decoder = tokenizers.decoders.WordPiece()
    return fast


def pack(texts, tokenizer, length):
    """Cut texts into rows of one length without padding: `[CLS]`, then text after text, each closed by `[SEP]`.

    A text that does not fit goes on in the next row, so that only the end of the last row is `[PAD]`.

    Parameters
    ----------
    texts : sequence of str
        In an order that keeps together what belongs together: a row holds neighbours.
    tokenizer : tokenizers.Tokenizer
        From `fast_tokenizer`.
    length : int
        Tokens in a row, t.

    Returns
    -------
    ndarray of shape (n, t), int32

    Raises
    ------
    TextError
        If the vocabulary is none of `train_vocabulary`.

    Examples
    --------
    >>> pack(["the mean", "means"], fast_tokenizer([*SPECIAL, "mean", "##s", "the"]), 5).tolist()
    [[2, 7, 5, 3, 5], [2, 6, 3, 0, 0]]
    """
    if [tokenizer.token_to_id(token) for token in SPECIAL] != list(range(len(SPECIAL))):
        raise TextError("Packed rows and masks take a vocabulary that begins with SPECIAL, as train_vocabulary's does.")
    encoded = tokenizer.encode_batch_fast([_RUNS.sub(r"\1\1", text) for text in texts], add_special_tokens=False)
    stream = [number for one in encoded if one.ids for number in (*one.ids, SEP)]
    room = length - 1
    stream += [PAD] * (-len(stream) % room)
    rows = np.asarray(stream, "int32").reshape(-1, room)
    return np.concatenate([np.full((len(rows), 1), CLS, "int32"), rows], axis=1)


@dataclass(frozen=True)
class Inputs:
    """Strings -> what a BERT of keras_hub reads: a `preprocess` for `kp.Features` and `kp.FineTune`.

    Attributes
    ----------
    tokenizer : tokenizers.Tokenizer
        From `fast_tokenizer`.
    length : int
        Tokens in a row, t; a longer text is cut, a shorter one padded.

    Examples
    --------
    >>> inputs = Inputs(fast_tokenizer([*SPECIAL, "mean", "##s", "the"]), 5)
    >>> inputs(["the", "the mean means"])["token_ids"].tolist()
    [[2, 7, 3, 0, 0], [2, 7, 5, 5, 3]]
    """

    tokenizer: Any
    length: int

    def __call__(self, texts):
        """Return `token_ids`, `padding_mask` and `segment_ids`, each int32 (n, t): `[CLS]` text `[SEP]` `[PAD]`..."""
        rows = np.full((len(texts), self.length), PAD, "int32")
        first, last = map(self.tokenizer.token_to_id, ("[CLS]", "[SEP]"))
        clean_texts = [_RUNS.sub(r"\1\1", str(text)) for text in texts]
        for row, one in zip(rows, self.tokenizer.encode_batch_fast(clean_texts, add_special_tokens=False), strict=True):
            ids = one.ids[: self.length - 2]
            row[: len(ids) + 2] = [first, *ids, last]
        return bert_inputs(rows)


# ---------------------------------------------------------------- encoders, and what a preset has seen


def sentence_encoder(backbone):
    """Return a model that gives each text one vector: the mean of the backbone's outputs over its tokens.

    Parameters
    ----------
    backbone : keras_hub.models.BertBackbone
        Not copied. What it has for `[CLS]` alone, the pooled dense layer, is not used.

    Returns
    -------
    keras.Model
        What `Inputs` gives, (n, t) each -> (n, d) float32.

    Examples
    --------
    >>> import keras_hub
    >>> backbone = keras_hub.models.BertBackbone(8, 1, 2, 4, 8, max_sequence_length=5)
    >>> inputs = Inputs(fast_tokenizer([*SPECIAL, "mean", "##s", "the"]), 5)
    >>> sentence_encoder(backbone).predict(inputs(["the mean", "means"]), verbose=0).shape
    (2, 4)
    """
    states = keras.ops.cast(backbone.output["sequence_output"], "float32")  # (n, t, d)
    real = keras.ops.cast(keras.ops.expand_dims(backbone.input["padding_mask"], -1), "float32")  # (n, t, 1)
    mean = keras.ops.sum(states * real, axis=1) / keras.ops.sum(real, axis=1)  # -> (n, d)
    return keras.Model(backbone.input, mean, name="sentence_encoder")


def hashes(texts):
    """Return four bytes of each text's SHA-256 as one base64 string, for a preset's manifest; case does not count.

    Examples
    --------
    >>> hashes(["A text", "a TEXT"])
    'c0GU7Q=='
    """
    return base64.b64encode(b"".join(sorted({_four_bytes(text) for text in texts}))).decode()


def seen(texts, hashes):
    """Tell which texts are among those of `hashes(...)`: bool array (n,). One in 100,000 may be so by accident.

    Examples
    --------
    >>> seen(["a text", "another"], hashes(["A text"])).tolist()
    [True, False]
    """
    stored = base64.b64decode(hashes)
    known = {stored[start : start + 4] for start in range(0, len(stored), 4)}
    return np.array([_four_bytes(text) in known for text in texts], bool)


def _four_bytes(text):
    return hashlib.sha256(text.casefold().encode()).digest()[:4]
