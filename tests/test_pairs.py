"""Contrastive tuning on a few labels: the pairs, their loss against a loop, and what the tuning does."""

import keras
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

import kpretrain as kp
from kpretrain.transfer.pairs import _Twins, labelled_pairs


def flat_encoder(width=6, seed=0):
    """Vectors (n, width) of rows (n, 8), linear."""
    return keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(width, kernel_initializer=keras.initializers.GlorotUniform(seed))]
    )


def rows(n=24, classes=3, seed=0):
    """Rows (n, 8) whose first columns tell the class weakly, beneath columns of large noise."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = random.normal(size=(n, 8)) * [1, 1, 1, 6, 6, 6, 6, 6]
    x[np.arange(n), y] += 4
    return x.astype("float32"), y


def test_each_row_begins_as_many_pairs_of_one_class_as_of_two():
    y = np.array([0, 0, 1, 1, 1, 2])
    first, second, same = labelled_pairs(y, 5, np.random.default_rng(0))
    assert (np.bincount(first) == 10).all()
    assert ((y[first] == y[second]) == same).all()
    alone = (first == second) & (same == 1)
    assert set(first[alone]) == {5}  # nothing else of its class, and no other row is its own partner


def test_the_loss_agrees_with_a_loop():
    encoder, (x, y) = flat_encoder(), rows()
    first, second, same = labelled_pairs(y, 3, np.random.default_rng(1))
    vectors = keras.ops.convert_to_numpy(encoder(x)).astype("float64")
    total = 0.0
    for a, b, target in zip(first, second, same, strict=True):
        cosine = vectors[a] @ vectors[b] / (np.linalg.norm(vectors[a]) * np.linalg.norm(vectors[b]))
        total += (cosine - target) ** 2
    twins = _Twins(encoder)
    twins.compile(loss="mse")
    found = twins.evaluate((x[first], x[second]), same, batch_size=len(same), verbose=0)
    assert found == pytest.approx(total / len(same), rel=1e-5)


def test_tuning_lowers_the_loss_brings_classes_together_and_beats_the_frozen_encoder():
    encoder, (x, y), (fresh_x, fresh_y) = flat_encoder(), rows(), rows(600, seed=1)
    before = encoder.get_weights()
    tuned = kp.transfer.ContrastiveTune(encoder, pairs=50, learning_rate=2e-2, random_state=0).fit(x, y)
    assert tuned.history_[-20:].mean() < 0.5 * tuned.history_[:20].mean()
    frozen = LogisticRegression(max_iter=2000).fit(encoder.predict(x, verbose=0), y)
    assert tuned.score(fresh_x, fresh_y) > frozen.score(encoder.predict(fresh_x, verbose=0), fresh_y) + 0.05
    assert all((old == new).all() for old, new in zip(before, encoder.get_weights(), strict=True))  # left as it is


def test_the_same_random_state_gives_the_same_answer_and_another_one_does_not():
    x, y = rows()
    make = kp.transfer.ContrastiveTune(flat_encoder(), updates=20, learning_rate=1e-2)
    one, same, other = (clone(make).set_params(random_state=seed).fit(x, y).predict_proba(x) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_one_pass_over_the_pairs_is_the_most():
    x, y = rows(6)
    tuned = kp.transfer.ContrastiveTune(flat_encoder(), pairs=4, batch_size=16, random_state=0).fit(x, y)
    assert len(tuned.history_) == 3  # 6 rows x 4 pairs x 2 kinds, 16 at a time


def test_texts_and_their_dicts_of_arrays_can_be_tuned():
    text, label = np.array(["a warm red", "deep red", "cold blue", "a pale blue"], object), np.array(list("rrbb"))
    backbone = kp.backbones.texts("bert_docstrings", length=16)
    arm = kp.arms.contrastive(backbone.encoder, preprocess=backbone.preprocess, pairs=2, updates=2)
    tuned = clone(arm.estimator).set_params(random_state=0).fit(text, label)
    assert tuned.predict(text).shape == (4,) and set(tuned.classes_) == {"r", "b"} and arm.against == ("TF-IDF",)


def test_what_cannot_be_tuned_is_refused():
    x, y = rows()
    with pytest.raises(ValueError, match="there is one class"):
        kp.transfer.ContrastiveTune(flat_encoder()).fit(x, np.zeros(len(x)))
    with pytest.raises(ValueError, match="pairs is 0; set it to 1"):
        kp.transfer.ContrastiveTune(flat_encoder(), pairs=0).fit(x, y)
    with pytest.raises(ValueError, match="learning_rate is 1e\\+30: take a lower one"):
        kp.transfer.ContrastiveTune(flat_encoder(), learning_rate=1e30, updates=30, random_state=0).fit(x, y)
