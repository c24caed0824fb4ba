"""Scores of frozen features agree with their definitions, and order what is plainly better before what is worse."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.covariance import LedoitWolf
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import FunctionTransformer

from kpretrain import backbones, ranking
from kpretrain.transfer import Features


def blobs(n=30, d=4, apart=1.0, classes=3, seed=0):
    random, y = np.random.default_rng(seed), np.arange(n) % classes
    return random.normal(size=(n, d)) + apart * random.normal(size=(classes, d))[y], y


@pytest.mark.parametrize(("n", "d"), [(12, 3), (9, 20)])  # more rows than features, and fewer
def test_logme_is_the_highest_evidence_of_the_bayesian_linear_model(n, d):
    features, y = blobs(n, d)

    def lost(logs, target):
        covariance = np.eye(n) * np.exp(logs[1]) + features @ features.T * np.exp(logs[0])
        return -multivariate_normal.logpdf(target, np.zeros(n), covariance) / n

    starts = [(a, b) for a in (-6, -3, 0) for b in (-6, -3, 0)]
    options = {"method": "Nelder-Mead", "options": {"xatol": 1e-6, "fatol": 1e-9, "maxiter": 2000}}
    best = [max(-minimize(lost, s, (1.0 * (y == k),), **options).fun for s in starts) for k in range(3)]
    assert ranking.log_evidence(features, y) == pytest.approx(np.mean(best), abs=1e-5)
    assert ranking.log_evidence(7 * features, y) == pytest.approx(np.mean(best), abs=1e-5)  # no matter the scale


def test_h_score_is_the_trace_of_its_definition():
    features, y = blobs(60, 5)
    means = np.stack([features[y == k].mean(axis=0) for k in y])
    plain = np.trace(np.linalg.solve(np.cov(features.T, bias=True), np.cov(means.T, bias=True)))
    assert ranking.h_score(features, y, shrinkage=0) == pytest.approx(plain)
    wide, y = blobs(20, 50)
    found = LedoitWolf().fit(wide)
    means = np.stack([wide[y == k].mean(axis=0) for k in y])
    shrunk = np.trace(np.linalg.solve(found.covariance_, (1 - found.shrinkage_) * np.cov(means.T, bias=True)))
    assert ranking.h_score(wide, y) == pytest.approx(shrunk)


def test_better_features_score_higher_in_each_measure():
    (clear, y), (noise, _) = blobs(60, apart=4), blobs(60, apart=0)
    rows = np.arange(60)[:, None]
    found = ranking.rank(
        {name: FunctionTransformer(lambda x, f=f: f[x[:, 0]]) for name, f in (("noise", noise), ("clear", clear))},
        rows,
        np.array(["a", "b", "c"])[y],  # labels need not be numbers
    )
    assert [*found.index] == ["clear", "noise"]
    assert (found.loc["clear", [*ranking.MEASURES]] > found.loc["noise", [*ranking.MEASURES]]).all()
    assert found.loc["noise", "probe"] < 55 and found.loc["clear", "probe"] > 90
    assert (found["low"] < found["probe"]).all() and (found["probe"] <= found["high"]).all()
    hits = found.attrs["hits"]
    assert all(100 * np.mean(hits[name]) == pytest.approx(found.loc[name, "probe"]) for name in hits)


def test_labels_that_say_nothing_get_no_credit_for_many_features():
    random = np.random.default_rng(0)
    y = random.permutation(np.arange(40) % 2)
    found = ranking.rank({"wide": FunctionTransformer()}, random.normal(size=(40, 300)), y)
    assert abs(found["probe"].item() - 50) < 25  # by rows that the probe has not seen


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="two rows of each class; it has 1 and 1"):
        ranking.rank({"one": FunctionTransformer()}, np.eye(3), [0, 0, 1])
    with pytest.raises(ValueError, match="it has 0 and 2"):
        ranking.rank({}, np.eye(4), [0, 0, 1, 1])


def test_at_hand_fits_the_rows(monkeypatch):
    monkeypatch.setattr(backbones, "kept", lambda kind: [])
    digits = np.random.default_rng(0).integers(0, 256, (6, 28, 28, 1)).astype("uint8")
    found = ranking.at_hand(digits)
    assert {"pixels", "resnet_cifar10", "simclr_mnist", "plain_mnist", "denoising_mnist", "masked_mnist"} < {*found}
    small = {name: one for name, one in found.items() if "mnist" in name}
    widths = {name: one.fit_transform(digits).shape for name, one in small.items()}
    assert set(widths.values()) == {(6, 128), (6, 64)}
    pretrained, control = (
        found[name].fit_transform(digits) for name in ("simclr_mnist", "simclr_mnist, random weights")
    )
    assert not np.allclose(pretrained, control)
    assert [*ranking.at_hand(np.zeros((2, 32, 32, 3), "uint8"))] == [
        "pixels", "resnet_cifar10", "resnet_cifar10, random weights",
    ]  # fmt: skip


def test_texts_of_another_length_have_the_same_features_but_for_the_padding(monkeypatch):
    monkeypatch.setattr(backbones, "kept", lambda kind: [])
    texts = np.array(["Return the mean of the array.", "Draw a line."], object)
    short, long = ranking.at_hand(texts, length=16), ranking.at_hand(texts, length=32)
    assert isinstance(short["TF-IDF"], TfidfVectorizer)
    for name in ("bert_docstrings", "gpt_docstrings", "lstm_docstrings"):
        assert isinstance(short[name], Features)
        features = [some[name].fit_transform(texts) for some in (short, long)]
        np.testing.assert_allclose(*features, atol=1e-4)  # padding does not count
        assert not np.allclose(features[0][0], features[0][1], atol=1e-3)


def test_public_presets_are_found_in_the_cache_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    monkeypatch.setattr(backbones, "_packaged", lambda: None)
    assert backbones.kept("images") == backbones.kept("texts") == []
    import keras_hub

    for name, file in (("resnet_18_imagenet", "image_converter.json"), ("bert_tiny_en_uncased", "tokenizer.json")):
        handle = keras_hub.models.Backbone.presets[name]["kaggle_handle"].removeprefix("kaggle://")
        folder = tmp_path / "models" / handle
        done = folder.parent / ".complete" / folder.name
        for place in (folder, done):
            place.mkdir(parents=True)
        for each in ("config.json", "model.weights.h5", file):
            (folder / each).write_text("{}")
            (done / f"{each}.complete").write_text("")
    assert backbones.kept("images") == ["resnet_18_imagenet"] and backbones.kept("texts") == ["bert_tiny_en_uncased"]
