"""Fingerprints: equal for equal things, in every process, and different after any change that matters."""

import copy

import keras
import numpy as np
import pytest
import scipy.sparse
from keras import layers
from sklearn.linear_model import LogisticRegression

from kpretrain import data
from kpretrain.fingerprint import fingerprint


def make_encoder(statistics=True):
    keras.utils.set_random_seed(0)
    encoder = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.BatchNormalization()])
    if statistics:
        encoder.layers[1].moving_mean.assign([0.1, 0.2, 0.3])
    return encoder


def test_a_fingerprint_tells_apart():
    model = make_encoder()
    moved = make_encoder()
    moved.layers[0].kernel.assign_add(moved.layers[0].kernel * 0 + 1e-3)

    def function(n):
        return lambda x: x + n

    different = [
        model,
        moved,
        make_encoder(statistics=False),
        np.zeros(4),
        np.zeros(4, "float32"),
        np.zeros((2, 2)),
        np.array(["ab", "c"], object),
        np.array(["a", "bc"], object),
        LogisticRegression(),
        LogisticRegression(C=2),
        function(1),
        function(2),
        lambda: "a",
        lambda: "b",
        lambda x: np.sum(x),
        lambda x: np.mean(x),
        lambda x, y=1: x,
        lambda x, y=2: x,
        1,
        1.0,
        "1",
        True,
        None,
        [],
        (),
        {},
        [[1], 2],
        [1, [2]],
        data.Part(np.zeros(1), np.zeros(1)),
    ]
    assert len({fingerprint(value) for value in different}) == len(different)
    assert fingerprint(model) == fingerprint(make_encoder()) == fingerprint(copy.deepcopy(model))


def test_a_fingerprint_reads_vocabularies():
    def lookup(words):
        return layers.StringLookup(vocabulary=words)

    assert fingerprint(lookup(["a", "b"])) == fingerprint(lookup(["a", "b"]))
    assert fingerprint(lookup(["a", "b"])) != fingerprint(lookup(["a", "c"]))
    keras_hub = pytest.importorskip("keras_hub")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    first, second = (keras_hub.models.BertTokenizer(vocabulary=[*special, word]) for word in ("one", "two"))
    preprocessors = [
        keras_hub.models.BertTextClassifierPreprocessor(each, sequence_length=4) for each in (first, second)
    ]
    assert fingerprint(first) != fingerprint(second)
    assert fingerprint(preprocessors[0]) != fingerprint(preprocessors[1])
    tokenizers = pytest.importorskip("tokenizers")
    models = [tokenizers.models.WordLevel({f"w{n}": n for n in range(500)} | {last: 500}) for last in ("one", "two")]
    assert fingerprint(tokenizers.Tokenizer(models[0])) != fingerprint(tokenizers.Tokenizer(models[1]))


def test_no_fingerprint_without_a_stable_description():
    class Plain:
        pass

    with pytest.raises(TypeError, match=r"Plain object at 0x.* has no description"):
        fingerprint({"arm": [Plain()]})
    with pytest.raises(TypeError, match="has no description"):
        fingerprint(lambda plain=Plain(): plain)  # noqa: B008


WRITTEN = """
import keras
from sklearn.base import BaseEstimator

class Arm(BaseEstimator):
    def fit(self, x, y):
        return {one}

class Layer(keras.layers.Layer):
    def call(self, x):
        return x + {one}
"""


@pytest.mark.parametrize("name", ["Arm", "Layer"])
def test_a_class_of_a_notebook_counts_with_its_code(name):
    def written(one, module="__main__"):
        space = {"__name__": module}
        exec(compile(WRITTEN.format(one=one), "cell", "exec"), space)
        return fingerprint(space[name]())

    assert written(1) == written(1) != written(2)
    assert written(1, "a_package") == written(2, "a_package")


def test_sparse_arrays_are_told_apart_by_their_numbers():
    one, two = scipy.sparse.eye_array(3, format="csr"), scipy.sparse.csr_array(np.diag([1.0, 1.0, 2.0]))
    other = scipy.sparse.csr_array(np.eye(3)[[1, 0, 2]])
    assert len({fingerprint(value) for value in (one, two, other)}) == 3
    assert fingerprint(one) == fingerprint(one.copy())
