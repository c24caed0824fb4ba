"""Text: masks as BERT's, rows without padding, tokens as keras_hub's, nothing of the test part in what is fitted."""

import copy
import re
import subprocess
import sys
import unicodedata
from collections import Counter

import keras
import keras_hub
import numpy as np
import pandas as pd
import pytest
from scipy.stats import chisquare
from test_notebooks import ROOT, definitions

import kpretrain as kp
from kpretrain import clean, data, masks, presets, text, transfer
from kpretrain.fingerprint import fingerprint
from kpretrain.text import CLS, MASK, PAD, SEP, SPECIAL, UNK, TextError

V = 1005  # words in the vocabulary of random rows: 1,000 ordinary ones
PARTS = ("train", "validation", "test")


def make_rows(lengths, t=128, seed=0):
    """[CLS], so many random ordinary tokens, [SEP], and [PAD] to the end."""
    random = np.random.default_rng(seed)
    rows = np.full((len(lengths), t), PAD, "int32")
    for row, length in zip(rows, lengths, strict=True):
        row[: length + 2] = [CLS, *random.integers(len(SPECIAL), V, length), SEP]
    return rows


def restored(inputs, labels, weights):
    """The rows before they were masked."""
    rows = inputs["token_ids"].copy()
    for row, places, old, there in zip(rows, inputs["mask_positions"], labels, weights > 0, strict=True):
        row[places[there]] = old[there]
    return rows


@pytest.fixture(scope="module")
def full():
    return make_rows([126] * 20_000)


@pytest.fixture(scope="module")
def uneven():
    """Rows of all lengths, some tokens of them unknown; the first has none, the second only unknown ones."""
    rows = make_rows(np.arange(2000) % 127)
    ordinary = rows >= len(SPECIAL)
    rows[ordinary & (np.random.default_rng(1).random(rows.shape) < 0.1)] = UNK
    rows[1, 1] = UNK
    return rows


# ------------------------------------------------------------------------------------------------ masks


def check_shares(new, labels):
    """80 % masked, 10 % random and 10 % as they were, within four standard errors, which are far below 1 %."""
    random = (V - len(SPECIAL) - 1) / (V - len(SPECIAL))  # a random token is now and then the one that stood there
    shares = {0.8: new == MASK, 0.1 * random: (new != MASK) & (new != labels), 0.2 - 0.1 * random: new == labels}
    for share, found in shares.items():
        assert abs(found.mean() - share) < 4 * np.sqrt(share * (1 - share) / found.size)


def test_of_the_chosen_80_10_and_10_percent(full):
    masked = text.mask(full, V, random=0)
    assert masked.weights.all() and masked.labels.size > 300_000
    check_shares(np.take_along_axis(masked.rows, masked.positions, axis=1), masked.labels)


def test_independent_draws_would_be_noticed(full):
    labels, random = full[:, 1:20], np.random.default_rng(0)
    others = random.integers(len(SPECIAL), V, labels.shape)
    new = np.where(random.random(labels.shape) < 0.1, others, labels)
    new = np.where((random.random(labels.shape) < 0.9) & (new == labels), MASK, new)  # 81, 10 and 9 %
    with pytest.raises(AssertionError):
        check_shares(new, labels)


@pytest.mark.parametrize("rate", [0.01, 0.15, 0.5, 1])
def test_each_row_has_its_share_of_masks(uneven, rate):
    ordinary = (uneven >= len(SPECIAL)).sum(axis=1)
    wanted = np.where(ordinary > 0, np.maximum(1, np.round(rate * ordinary)), 0)
    assert wanted.min() == 0 and np.ptp(ordinary) > 100
    masked = text.mask(uneven, V, rate, random=0)
    assert np.array_equal(masked.weights.sum(axis=1), wanted)
    assert masked.positions.shape == masked.labels.shape == masked.weights.shape == (2000, wanted.max())
    assert [part.dtype for part in masked] == ["int32", "int32", "int32", "float32"]


def test_what_is_masked_and_what_is_left(uneven):
    before = uneven.copy()
    masked = text.mask(uneven, V, random=0)
    assert np.array_equal(uneven, before)
    chosen = np.zeros(uneven.shape, bool)
    for row, places, weights in zip(chosen, masked.positions, masked.weights, strict=True):
        assert set(weights) <= {0, 1} and (np.diff(weights) <= 0).all()
        assert (np.diff(places[weights > 0]) > 0).all()  # ascending, none twice
        row[places[weights > 0]] = True
    assert chosen.sum() == masked.weights.sum() > 10_000
    assert (uneven[chosen] >= len(SPECIAL)).all()
    assert np.array_equal(masked.rows[~chosen], uneven[~chosen])
    new = masked.rows[chosen]
    assert ((new >= len(SPECIAL)) | (new == MASK)).all() and new.max() < V
    assert np.array_equal(masked.labels[masked.weights > 0], uneven[chosen])
    assert np.array_equal(restored(*text.masked_inputs(masked)), uneven)


def test_random_tokens_are_uniform(full):
    masked = text.mask(full, V, random=1)
    changed = masked.rows[(masked.rows != full) & (masked.rows != MASK)]
    counts = np.bincount(changed, minlength=V)[len(SPECIAL) :]
    assert len(changed) > 30_000 and len(counts) == V - len(SPECIAL)
    assert chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize("length", [126, 40])
def test_every_position_is_equally_likely(length):
    rows = make_rows([126, 40] * 5000)
    masked = text.mask(rows, V, random=0)
    own = (rows >= len(SPECIAL)).sum(axis=1) == length
    counts = np.bincount(masked.positions[own][masked.weights[own] > 0], minlength=128)
    share, n = round(0.15 * length) / length, own.sum()
    assert n == 5000 and counts[0] == 0 and not counts[length + 1 :].any()
    assert (np.abs(counts[1 : length + 1] - n * share) < 4 * np.sqrt(n * share * (1 - share))).all()


def test_masks_are_fresh_with_a_generator_and_repeat_with_a_seed(uneven):
    random = np.random.default_rng(3)
    one, two = (text.mask(uneven, V, random=random) for _ in range(2))
    assert not np.array_equal(one.positions, two.positions)
    for again in (text.mask(uneven, V, random=3), text.mask(uneven, V, random=np.random.default_rng(3))):
        assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(text.mask(uneven, V).positions, text.mask(uneven, V).positions)


def test_rows_with_nothing_to_mask():
    rows = make_rows([0, 0], t=8)
    masked = text.mask(rows, V, random=0)
    assert np.array_equal(masked.rows, rows) and masked.weights.shape == (2, 1) and not masked.weights.any()
    empty = text.mask(np.zeros((0, 8), int), V)
    assert empty.rows.shape == (0, 8) and len(empty.positions) == len(empty.labels) == len(empty.weights) == 0


@pytest.mark.parametrize("rate", [0, -0.1, 1.5, float("nan")])
def test_a_rate_that_is_none(full, rate):
    with pytest.raises(TextError, match="set it above 0 and to 1 at most"):
        text.mask(full[:2], V, rate)


@pytest.mark.parametrize("token", [V, 30_000, -1])
def test_a_token_outside_the_vocabulary(token):
    rows = make_rows([5, 5], t=8)
    rows[1, 3] = token
    with pytest.raises(TextError, match=rf"Token {token} is outside the vocabulary of 1,005\. Use the tokenizer and"):
        text.mask(rows, V)


# ------------------------------------------------------------------------------------------------ batches for `fit`


def epochs(batches, n):
    """All batches of n epochs: [[(inputs, labels, weights), ...], ...]."""
    found = []
    for _ in range(n):
        found.append([batches[index] for index in range(len(batches))])
        batches.on_epoch_end()
    return found


def as_set(rows):
    return {row.tobytes() for row in rows}


@pytest.fixture
def few():
    """20 rows, all different, of 3 to 22 ordinary tokens."""
    return make_rows(range(3, 23), t=24)


def test_every_row_once_in_a_pass_in_a_new_order_with_new_masks(few):
    one, two = epochs(text.MaskedRows(few, V, batch_size=4), 2)
    orders = [np.concatenate([restored(*batch) for batch in epoch]) for epoch in (one, two)]
    assert len(one) == 5 and len(as_set(few)) == 20
    assert as_set(orders[0]) == as_set(orders[1]) == as_set(few) and len(orders[0]) == 20
    assert not np.array_equal(*orders) and not np.array_equal(orders[0], few)
    masks = [np.concatenate([batch[0]["token_ids"] for batch in epoch]) == MASK for epoch in (one, two)]
    where = [
        {row.tobytes(): hidden.tobytes() for row, hidden in zip(order, mask, strict=True)}
        for order, mask in zip(orders, masks, strict=True)
    ]
    assert sum(where[0][row] != where[1][row] for row in where[0]) > 10


def test_all_batches_have_one_shape(few):
    batches = [batch for epoch in epochs(text.MaskedRows(few, V, batch_size=3), 3) for batch in epoch]
    shapes = [keras.tree.map_structure(lambda array: (array.shape, array.dtype), batch) for batch in batches]
    assert len(batches) == 18 and all(shape == shapes[0] for shape in shapes)
    assert shapes[0][1] == ((3, 3), "int32") and shapes[0][0]["token_ids"] == ((3, 24), "int32")
    for inputs, _, weights in batches:
        rows = inputs["token_ids"]
        assert np.array_equal(inputs["padding_mask"], rows != PAD) and not inputs["segment_ids"].any()
        ordinary = (restored(inputs, _, weights) >= len(SPECIAL)).sum(axis=1)
        assert np.array_equal(weights.sum(axis=1), np.maximum(1, np.round(0.15 * ordinary)))


def test_a_pass_goes_on_in_the_next_epoch(few):
    batches = [b for epoch in epochs(text.MaskedRows(few, V, batch_size=4, steps=3), 5) for b in epoch]
    for start in (0, 5, 10):
        assert as_set(np.concatenate([restored(*b) for b in batches[start : start + 5]])) == as_set(few)


def test_a_seed_repeats_to_the_last_bit(few):
    one, same, other = (
        keras.tree.flatten(epochs(text.MaskedRows(few, V, seed=seed, batch_size=4), 2)) for seed in (0, 0, 1)
    )
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    batches = text.MaskedRows(few, V, batch_size=4)
    assert np.array_equal(batches[2][1], batches[2][1])  # whenever it is asked for


def test_fit_sees_every_batch_of_an_epoch_once_and_no_mask_twice(few):
    seen = []

    class Watched(text.MaskedRows):
        def __getitem__(self, index):
            inputs, labels, _ = super().__getitem__(index)
            seen.append((self.epoch, index, inputs["token_ids"].tobytes()))
            return inputs["token_ids"].astype("float32"), labels[:, :1].astype("float32")

    model = keras.Sequential([keras.Input((24,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", steps_per_execution=2)
    model.fit(Watched(few, V, batch_size=5), epochs=3, verbose=0)
    trained = seen[-12:]  # Keras asks for some more before it starts
    assert len({epoch for epoch, _, _ in trained}) == 3 and len({content for *_, content in trained}) == 12
    assert sorted(index for _, index, _ in trained) == sorted([0, 1, 2, 3] * 3)


@pytest.mark.parametrize("batch_size", [0, 21])
def test_a_batch_that_cannot_be_filled(few, batch_size):
    with pytest.raises(TextError, match=f"batch_size is {batch_size}, and there are 20 rows"):
        text.MaskedRows(few, V, batch_size=batch_size)


def test_floors_by_hand():
    rows = np.array([[CLS, 5, 5, 5, 6, SEP, PAD]])  # of V = 8: three 5, one 6, no 7
    masked = masks.Masked(
        rows=rows,
        positions=np.array([[1, 2], [1, 0]], "int32"),
        labels=np.array([[5, 7], [6, CLS]], "int32"),
        weights=np.array([[1, 1], [1, 0]], "float32"),
    )
    found = text.floors(rows, masked, 8)
    assert found["uniform loss"] == pytest.approx(np.log(8))
    assert found["unigram loss"] == pytest.approx(-(np.log(4 / 7) + np.log(1 / 7) + np.log(2 / 7)) / 3)
    assert found["unigram accuracy"] == pytest.approx(1 / 3)


@pytest.mark.filterwarnings("error")
def test_floors_warn_of_nothing(uneven):
    assert 0 < text.floors(uneven, text.mask(uneven, V, random=0), V)["unigram accuracy"] < 0.1


# ------------------------------------------------------------------------------------------------ the corpus


@pytest.fixture(scope="module")
def corpus():
    return text.load_corpus()


@pytest.fixture(scope="module")
def lines():
    return text.load_lines()


def test_lines_hold_no_name_of_a_library(lines):
    name = re.compile(text.GIVEAWAYS, re.IGNORECASE)
    assert name.search("The SciKit-learn way") and len(lines.train.y) > 10_000
    assert [line for part in PARTS for line in getattr(lines, part).x if name.search(line)] == []


def test_lines_of_a_library_are_capped(lines):
    assert len(lines.class_names) == 8 and set(lines.test.y) == set(lines.train.y) == set(range(8))
    for part in (lines.validation, lines.test):
        assert np.bincount(part.y).max() == 250
    assert np.bincount(lines.train.y).max() > 1000
    assert (lines.removed["reason"] == "beyond 250 of its library").any()
    assert {"duplicate of a test row", "duplicate of a row of its part"} <= set(lines.removed["reason"])


def test_no_test_line_or_near_duplicate_is_in_train_or_in_the_corpus(corpus, lines):
    train, validation, test = (list(getattr(lines, part).x) for part in PARTS)
    summaries = text.summary_line(pd.Series([*corpus[0], *corpus[1]])).tolist()
    clusters = clean.duplicates(train + validation + test + summaries)
    ends = np.cumsum([len(train), len(validation), len(test)])
    in_train, in_validation, in_test, in_corpus = map(set, np.split(clusters, ends))
    assert not in_test & in_train and not in_test & in_validation and not in_test & in_corpus
    assert not in_validation & in_train
    assert len(in_train) == len(train) and len(in_test) == len(test)  # one of each cluster
    assert set(train) <= set(summaries) and in_validation <= in_corpus  # the same parts


LIBRARIES = ("numpy", "scipy", "pandas", "keras")
STRANGE = "жуть"  # its letters stand nowhere else


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """A small corpus in which the test part alone has a strange word, but for twins of test rows in train."""
    words = np.array(
        [a + b + c for a in ("ba", "do", "ki", "lu") for b in ("men", "rat", "sol") for c in ("", "s", "ing")]
    )
    random, records = np.random.default_rng(0), []
    for library in LIBRARIES:
        modules = pd.Series([f"{library}.module_{number}" for number in range(60)])
        for module, part in zip(modules, data.stable_part(library + "/" + modules), strict=True):
            summary, more = (" ".join(random.choice(words, 12)) for _ in range(2))
            summary = f"{summary} {STRANGE}" if part == "test" else summary
            records.append((library, module, part, f"{summary}\n\n{more}"))
    table = pd.DataFrame(records, columns=["library", "module", "part", "text"])
    test, home = table[table["part"] == "test"]["text"].tolist(), table[table["part"] == "train"]["module"].iloc[0]
    line = test[1].split("\n")[0]
    twins = [test[0] + " end", f"{line}\n\nAnother paragraph, {' '.join(random.choice(words, 40))}."]
    table = pd.concat([table, pd.DataFrame({"library": "numpy", "module": home, "part": "train", "text": twins})])
    table["cluster"] = clean.duplicates(table["text"].tolist())
    assert test[0] != twins[0] and table["cluster"].duplicated().sum() == 1 and len(test) > 15
    monkeypatch.setenv("KPRETRAIN_CACHE", str(tmp_path))
    monkeypatch.setattr(data, "docstrings", lambda: table.drop(columns="part"))
    monkeypatch.setattr(data, "loaded", lambda: {"docstrings": "4 installed libraries (versions 0123)"})
    return table


def test_nothing_is_fitted_on_the_test_part(fake):
    (train, validation), found = text.load_corpus(), text.load_lines()
    assert len(train) == (fake["part"] == "train").sum() - 2  # the two twins are out
    assert not [one for one in [*train, *validation, *found.train.x, *found.validation.x] if "ж" in one]
    assert all(STRANGE in line for line in found.test.x)
    assert [entry for entry in text.train_vocabulary(fake["text"].tolist(), 500) if "ж" in entry]
    vocabulary = text.train_vocabulary(train, 500)
    assert not [entry for entry in vocabulary if set(entry) & set(STRANGE)]
    fast = text.fast_tokenizer(vocabulary)
    assert all(UNK in fast.encode(line, add_special_tokens=False).ids for line in found.test.x)


def test_the_corpus_keeps_the_order_of_the_modules(fake):
    train, _ = text.load_corpus()
    kept = fake[fake["part"] == "train"]["text"].tolist()
    assert train == [one for one in kept if one in set(train)]


def test_the_summary_line_is_that_of_notebook_01(corpus):
    (reference,) = definitions("01_clean_and_split", "summary_line", GIVEAWAYS=text.GIVEAWAYS)
    raw = pd.Series([*corpus[1], None, "", "  One\n \n two", "NumPy's <b>tf.keras</b> and ``scikit\u00a0learn``"])
    found = text.summary_line(raw)
    pd.testing.assert_series_equal(found, clean.normalise_text(reference(raw)))
    assert found.tolist()[-3:] == ["", "One", "'s . and"] and pd.isna(found.iloc[-4])


def test_the_names_are_those_of_notebook_01():
    source = (ROOT / "notebooks" / "01_clean_and_split.ipynb").read_text(encoding="utf8").replace("\\\\", "\\")
    assert f'GIVEAWAYS = r\\"{text.GIVEAWAYS}\\"' in source


# ------------------------------------------------------------------------------------------------ vocabulary, tokens


@pytest.fixture(scope="module")
def vocabulary(corpus):
    return text.train_vocabulary([*corpus[0][::15], "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ"], 3000)


@pytest.fixture(scope="module")
def fast(vocabulary):
    return text.fast_tokenizer(vocabulary)


def by_keras_hub(vocabulary, texts):
    tokens = keras_hub.models.BertTokenizer(vocabulary=vocabulary, lowercase=True, strip_accents=True)(list(texts))
    return [[int(number) for number in row] for row in (tokens.to_list() if hasattr(tokens, "to_list") else tokens)]


def by_us(fast, texts):
    return [one.ids for one in fast.encode_batch(list(texts), add_special_tokens=False)]


def test_the_vocabulary_is_one_that_keras_hub_takes(vocabulary):
    assert tuple(vocabulary[:5]) == SPECIAL and len(vocabulary) == len(set(vocabulary)) == 3000
    assert (PAD, UNK, CLS, SEP, MASK) == (0, 1, 2, 3, 4)
    tokenizer = keras_hub.models.BertTokenizer(vocabulary=vocabulary, lowercase=True)
    assert (tokenizer.pad_token_id, tokenizer.cls_token_id) == (PAD, CLS)
    assert (tokenizer.sep_token_id, tokenizer.mask_token_id) == (SEP, MASK)
    assert "array" in vocabulary and not [entry for entry in vocabulary[5:] if entry != entry.lower()]


def test_lines_give_the_tokens_of_keras_hub(vocabulary, fast, lines):
    chosen = [*lines.test.x, *lines.train.x[:2000]]
    plain = [line for line in chosen if unicodedata.is_normalized("NFKC", line)]  # keras_hub writes ² as 2
    assert len(plain) > 0.99 * len(chosen) > 3000
    assert sum(not line.isascii() for line in plain) > 5
    assert by_us(fast, plain) == by_keras_hub(vocabulary, plain)


HARD = {
    "accents": ["Naïve café", "nai\u0308ve", "El Niño, Ångström, Bézier"],
    "CJK": ["深度学习 model深度", "日本語のテキスト", "한국어 텍스트"],
    "emoji": ["😀 emoji😀😀", "👍🏽"],
    "Greek": ["ΑΒΓ ΔΊΚΤΥΟ Σίσυφο", "λάμδα-calculus"],
    "other scripts": ["שלום עולם", "اللغة العربية", "हिन्दी", "Привет, ёж"],
    "very long words": ["a" * 99, "a" * 100, "a" * 101, "a" * 5000, "array" * 30],
    "underlines": ["___", "a_b __init__ _x", "====\n----", "~~~ ^^^ ``` $+<=>|"],
    "special tokens": ["[MASK] and [SEP]", "[PAD][CLS] [UNK]"],
    "white space": ["", " ", "\t\r\n a\tb\n"],
}


@pytest.mark.parametrize("texts", HARD.values(), ids=HARD)
def test_hard_texts_give_the_tokens_of_keras_hub(vocabulary, fast, texts):
    assert by_us(fast, texts) == by_keras_hub(vocabulary, texts)


def test_words_outside_the_vocabulary_are_unknown(fast):
    ids = fast.encode("the 深 array Ж" + "a" * 101, add_special_tokens=False).ids
    assert ids.count(UNK) == 2 and len(ids) == 4
    assert not set(fast.encode("[MASK] [PAD]", add_special_tokens=False).ids) & {MASK, PAD}  # text can't forge them


def test_accents_and_case_are_folded(fast):
    one, two = (fast.encode(line, add_special_tokens=False).ids for line in ("Naïve ARRAYS", "naive arrays"))
    assert one == two and UNK not in one


@pytest.mark.parametrize("words", ["深度学习 深度 学习", "اللغة العربية جميلة", "нейронная сеть", "ψψ ψ"])
def test_a_vocabulary_of_another_script(words):
    vocabulary = text.train_vocabulary([words, words], 100)
    ids = by_us(text.fast_tokenizer(vocabulary), [words])
    assert tuple(vocabulary[:5]) == SPECIAL and UNK not in ids[0] and ids == by_keras_hub(vocabulary, [words])


def test_one_string_is_one_text():
    assert text.train_vocabulary("a cat, a cat", 50) == text.train_vocabulary(["a cat, a cat"], 50)


@pytest.mark.parametrize("texts", [[], "", [" ", "\n\t"]])
def test_a_vocabulary_of_nothing(texts):
    with pytest.raises(TextError, match=r"corpus is empty\. Give the texts of the train part"):
        text.train_vocabulary(texts)


@pytest.mark.parametrize("words", [["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", "a"], ["[PAD]", "a", "b"], []])
def test_a_vocabulary_without_special_tokens_in_their_place(words):
    with pytest.raises(TextError, match=r"A vocabulary begins with \[PAD\] and holds \[PAD\], \[UNK\]"):
        text.fast_tokenizer(words)


def test_a_vocabulary_of_another_preset_reads_texts_and_is_not_packed():
    """BERT's own has its special tokens from number 100 on; masks would take ordinary tokens for special ones."""
    words = ["[PAD]", "red", "[MASK]", "[SEP]", "blue", "[UNK]", "[CLS]"]
    found = text.Inputs(text.fast_tokenizer(words), 6)(["Red blue green", "blue"])
    np.testing.assert_array_equal(found["token_ids"], [[6, 1, 4, 5, 3, 0], [6, 4, 3, 0, 0, 0]])
    np.testing.assert_array_equal(found["padding_mask"], [[1, 1, 1, 1, 1, 0], [1, 1, 1, 0, 0, 0]])
    with pytest.raises(TextError, match="Packed rows and masks take a vocabulary that begins with SPECIAL"):
        text.pack(["red blue"], text.fast_tokenizer(words), 6)


# ------------------------------------------------------------------------------------------------ packed rows


@pytest.mark.parametrize("length", [3, 8, 128])
def test_packed_rows_lose_and_add_nothing(fast, corpus, length):
    texts = [re.sub(r"([^\w\s])\1+", r"\1", one) for one in corpus[1][:50]]
    rows = text.pack(texts, fast, length)
    assert rows.dtype == np.int32 and rows.shape[1] == length and (rows[:, 0] == CLS).all()
    stream = rows[:, 1:].ravel()
    wanted = [number for ids in by_us(fast, texts) for number in (*ids, SEP)]
    assert stream[: len(wanted)].tolist() == wanted
    assert (stream[len(wanted) :] == PAD).all() and len(stream) - len(wanted) < length - 1


def test_empty_texts_are_skipped(fast):
    assert np.array_equal(text.pack(["", "the array", " \n", "the"], fast, 8), text.pack(["the array", "the"], fast, 8))
    assert text.pack(["the array", "", "the"], fast, 8)[0].tolist().count(SEP) == 2


def test_rulers_become_two_tokens(fast):
    (row,) = text.pack(["the\n==========\narray"], fast, 8)
    assert row.tolist() == [CLS, *fast.encode("the == array", add_special_tokens=False).ids, SEP, PAD, PAD]


def test_an_endless_line(fast):
    rows = text.pack(["array " * 100_000], fast, 128)
    stream = rows[:, 1:].ravel()
    assert (stream == fast.token_to_id("array")).sum() == 100_000 and stream[100_000] == SEP
    assert len(rows) == -(-100_001 // 127)


# ------------------------------------------------------------------------------------------------ encoders


def make_backbone(size):
    keras.utils.set_random_seed(0)
    return keras_hub.models.BertBackbone(size, 1, 2, 16, 32, max_sequence_length=32)


@pytest.fixture(scope="module")
def encoder(vocabulary):
    return text.sentence_encoder(make_backbone(len(vocabulary)))


TEXTS = ["Return the array.", "Compute the sum of a function over an axis", "", "the"]


def test_inputs_are_cut_and_padded(fast):
    found = text.Inputs(fast, 8)(["array " * 20, "the array", ""])
    array, the = map(fast.token_to_id, ("array", "the"))
    assert found["token_ids"].tolist() == [
        [CLS, *[array] * 6, SEP],
        [CLS, the, array, SEP, *[PAD] * 4],
        [CLS, SEP, *[PAD] * 6],
    ]
    assert found["padding_mask"].sum(axis=1).tolist() == [8, 4, 2] and found["padding_mask"][1, 3] == 1
    assert not found["segment_ids"].any() and {part.dtype.name for part in found.values()} == {"int32"}


def test_inputs_have_a_fingerprint(vocabulary):
    def made(words, length=16):
        return fingerprint(text.Inputs(text.fast_tokenizer(words), length))

    swapped = [*vocabulary[:-2], vocabulary[-1], vocabulary[-2]]
    assert made(vocabulary) == made(list(vocabulary))
    assert len({made(vocabulary), made(swapped), made(vocabulary[:-1]), made(vocabulary, 17)}) == 4


def test_features_do_not_depend_on_the_padding(encoder, fast):
    short, long = (kp.Features(encoder, preprocess=text.Inputs(fast, n)).fit_transform(TEXTS) for n in (16, 32))
    assert short.shape == (4, 16) and np.ptp(short, axis=0).max() > 0.1
    np.testing.assert_allclose(short, long, rtol=0, atol=1e-5)
    inputs = text.Inputs(fast, 32)(TEXTS)
    seen = encoder(inputs | {"padding_mask": np.ones_like(inputs["padding_mask"])}, training=False)
    assert np.abs(keras.ops.convert_to_numpy(seen) - short).max() > 0.01  # were the pads read, it would show


def test_the_vector_is_the_mean_over_the_tokens(encoder, vocabulary, fast):
    inputs = text.Inputs(fast, 16)(TEXTS)
    backbone = make_backbone(len(vocabulary))
    states = keras.ops.convert_to_numpy(backbone(inputs, training=False)["sequence_output"])
    wanted = [row[there > 0].mean(axis=0) for row, there in zip(states, inputs["padding_mask"], strict=True)]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(encoder(inputs, training=False)), wanted, atol=1e-5)


def test_an_encoder_is_copied_and_drawn_anew(encoder, fast):
    inputs = text.Inputs(fast, 16)(TEXTS)

    def features(model):
        return keras.ops.convert_to_numpy(model(inputs, training=False))

    copied, drawn = copy.deepcopy(encoder), transfer.fresh(encoder, 1)
    assert np.array_equal(features(copied), features(encoder))
    assert np.array_equal(features(drawn), features(transfer.fresh(encoder, 1)))
    assert np.abs(features(drawn) - features(encoder)).max() > 0.1
    before = features(encoder)
    copied.set_weights([value + 1 for value in copied.get_weights()])
    assert np.array_equal(features(encoder), before)


def test_a_bert_learns_from_masked_rows_and_counts_masked_tokens_only():
    rows = np.repeat(np.arange(len(SPECIAL), 25, dtype="int32"), 8)[:, None].repeat(16, axis=1)  # a word, repeated
    rows[:, 0], rows[:, 15], rows[::2, 8], rows[::2, 9:] = CLS, SEP, SEP, PAD
    task = keras_hub.models.BertMaskedLM(make_backbone(25), None)
    model = keras.Model(task.input, task.output)
    model.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=["sparse_categorical_accuracy"],
    )
    inputs, labels, weights = text.masked_inputs(text.mask(rows, 25, random=0))
    assert set(weights.ravel()) == {0, 1}
    first = model.evaluate(inputs, labels, sample_weight=weights, verbose=0)
    changed = np.where(weights > 0, labels, 24)
    assert model.evaluate(inputs, changed, sample_weight=weights, verbose=0) == pytest.approx(first)
    model.fit(text.MaskedRows(rows, 25, batch_size=32, steps=100), epochs=1, verbose=0)
    last = model.evaluate(inputs, labels, sample_weight=weights, verbose=0)
    floor = text.floors(rows, text.mask(rows, 25, random=0), 25)["unigram accuracy"]
    assert floor < 0.1 and first[1] < 0.2 and last[1] > 0.7 and last[0] < first[0] / 2


# ------------------------------------------------------------------------------------------------ presets


def test_seen_texts_are_known_by_their_hashes():
    texts = [f"text {number}" for number in range(2000)]
    stored = text.hashes([*texts[:1000], texts[0]])
    assert text.seen(texts, stored).tolist() == [True] * 1000 + [False] * 1000
    assert text.seen(["TEXT 3", "text  3"], stored).tolist() == [True, False]
    assert stored == text.hashes(texts[999::-1]) and len(stored) == 4 * -(-4 * 1000 // 3)  # four bytes each, in base64
    assert text.seen(texts, text.hashes([])).tolist() == [False] * 2000


FRESH = """
import sys
import keras, numpy as np
from kpretrain import presets
task = presets.load(sys.argv[1])
inputs = dict(np.load(sys.argv[2]))
tokenizer = task.preprocessor.tokenizer
tokens = [int(number) for number in tokenizer("Naïve ARRAY")]
print(type(task).__name__, task.preprocessor.sequence_length, len(tokenizer.get_vocabulary()), tokens)
np.save(sys.argv[3], keras.Model(task.input, task.output).predict(inputs, verbose=0))
"""


def test_a_masked_language_model_is_stored_and_loaded_in_a_fresh_process(vocabulary, fast, tmp_path):
    tokenizer = keras_hub.models.BertTokenizer(vocabulary=vocabulary, lowercase=True, strip_accents=True)
    preprocessor = keras_hub.models.BertMaskedLMPreprocessor(tokenizer, sequence_length=16)
    task = keras_hub.models.BertMaskedLM(make_backbone(len(vocabulary)), preprocessor)
    facts = {"command": "python -m demo", "data": "four texts", "metric": "none", "seconds": 1}
    place = presets.save(task, "demo", folder=tmp_path, **facts)
    rows = text.Inputs(fast, 16)(TEXTS)["token_ids"]
    inputs, _, weights = text.masked_inputs(text.mask(rows, len(vocabulary), random=0))
    assert weights.tolist() == [[1], [1], [0], [1]]
    np.savez(tmp_path / "inputs.npz", **inputs)
    command = [sys.executable, "-c", FRESH, *map(str, (place, tmp_path / "inputs.npz", tmp_path / "logits.npy"))]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-3000:]
    tokens = fast.encode("naive array", add_special_tokens=False).ids
    assert run.stdout.splitlines()[-1] == f"BertMaskedLM 16 {len(vocabulary)} {tokens}"
    logits = keras.Model(task.input, task.output).predict(inputs, verbose=0)
    assert logits.shape == (4, 1, len(vocabulary)) and logits.std() > 0.01
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), logits, rtol=0, atol=1e-5)
    files = [path for path in place.rglob("*") if path.suffix == ".h5"]
    assert files and Counter(path.suffix for path in place.rglob("*"))[".txt"] == 1  # weights, and one vocabulary
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content[:-100] + bytes([content[-100] ^ 1]) + content[-99:])
        with pytest.raises(presets.PresetError, match=rf"{re.escape(file.name)}: missing or damaged .*python -m demo"):
            presets.load(place)
        file.write_bytes(content)


def test_rows_with_fewer_masks_do_not_rely_on_a_sorted_partition(monkeypatch):
    """A partition may leave its first part in any order; some processors happen to sort it."""

    def backwards(keys, kth, axis):
        order = keys.argsort(axis=axis)
        return np.concatenate([order[:, kth::-1], order[:, kth + 1 :]], axis=1)

    monkeypatch.setattr(np, "argpartition", backwards)
    rows = np.random.default_rng(0).integers(5, 500, (40, 60)).astype("int32")
    rows[1:, 20:] = text.PAD
    masked = text.mask(rows, 500, 0.5, random=1)
    assert masked.weights.sum(axis=1).tolist() == [30] + [10] * 39
    assert (masked.labels[masked.weights > 0] >= len(text.SPECIAL)).all()
