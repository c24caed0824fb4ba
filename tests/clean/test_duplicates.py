"""Duplicates: near ones are found, no pair below the threshold is joined, and the row that stays is named."""

import sys

import numpy as np
import pandas as pd
import pytest
import rensa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kpretrain import clean
from kpretrain.clean.noise import fold_text

module = sys.modules["kpretrain.clean.duplicates"]  # the package's attribute of that name is the function
relaxed = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def test_duplicates_of_odd_texts():
    texts = ["A  b", None, "a B", "", "  ", float("nan"), 12, "12", "\ud800", "caf\u00e9", "cafe\u0301", pd.NA]
    assert clean.duplicates(texts).tolist() == [0, 1, 0, 2, 2, 3, 4, 4, 5, 6, 6, 7]
    assert clean.duplicates([]).tolist() == []
    assert clean.duplicates(["one"]).tolist() == [0]
    assert clean.duplicates(pd.Series(["one", "ONE"], index=[7, 7])).dtype == np.int64
    with pytest.raises(TypeError, match="single string"):
        clean.duplicates("one text")
    for threshold in (0, 1.1, float("nan")):
        with pytest.raises(ValueError, match="threshold"):
            clean.duplicates(["a"], threshold)


@pytest.fixture(scope="module")
def planted(bench):
    texts, pairs = bench.make_texts(20_000, seed=3)
    return texts, pairs, bench.similarities(texts, pairs), clean.duplicates(texts)


def test_recall_of_planted_near_duplicates(planted):
    _, pairs, similarity, clusters = planted
    found = clusters[pairs[:, 0]] == clusters[pairs[:, 1]]
    near = similarity >= 0.8
    assert near.sum() > 500
    assert found[near].mean() >= 0.98
    assert found[near & (similarity < 0.85)].mean() >= 0.95


def test_no_pair_below_the_threshold_joins_directly(bench, planted):
    texts, pairs, similarity, clusters = planted
    sets = [bench.shingles(text) for text in texts]
    members = pd.Series(range(len(texts))).groupby(clusters).apply(list)
    several = members[members.map(len) > 1]
    assert len(several) > 500
    for rows in several:  # each row of a cluster has a true near duplicate in it
        best = [max(bench.jaccard(sets[row], sets[other]) for other in rows if other != row) for row in rows]
        assert min(best) >= 0.8
        if len(rows) == 2:
            assert bench.jaccard(sets[rows[0]], sets[rows[1]]) >= 0.8
    assert (clusters[pairs[:, 0]] != clusters[pairs[:, 1]])[similarity < 0.6].mean() > 0.99


@settings(relaxed, max_examples=40)
@given(st.lists(st.text("ab ", max_size=9), max_size=12), st.sampled_from([0.3, 0.5, 0.8, 1.0]))
def test_clusters_agree_with_brute_force(bench, texts, threshold):
    clusters = clean.duplicates(texts, threshold)
    sets = [bench.shingles(text) for text in texts]
    expected = np.arange(len(texts))
    for one in range(len(texts)):
        for other in range(one):
            if bench.jaccard(sets[one], sets[other]) >= threshold:
                expected[expected == expected[one]] = expected[other]
    alike = expected[:, None] == expected
    joined = clusters[:, None] == clusters
    assert not (joined & ~alike).any()
    # Twelve texts fit in one bucket, so only a pair that no band proposes (under 1 %) may be missing.
    assert (joined & alike).sum() >= 0.8 * alike.sum()


def test_bands_propose_what_the_library_would_propose(bench):
    texts, _ = bench.make_texts(1000, seed=1)
    bands, rows = module._bands(0.8)
    assert 1 - (1 - 0.8**rows) ** bands >= 0.99
    texts = list(dict.fromkeys(map(fold_text, texts)))
    keys = module._signatures(texts, 0.8)
    index = rensa.RMinHashLSH(0.8, bands * rows, bands)
    sketches = [rensa.RMinHash(bands * rows, 1) for _ in texts]
    for row, sketch in enumerate(sketches):
        sketch.update(list(module._shingles(texts[row])))
        index.insert(row, sketch)
    theirs = {tuple(sorted((row, other))) for row, sketch in enumerate(sketches) for other in index.query(sketch)}
    shared = (keys[:, None] == keys).any(axis=2)
    assert {(one, other) for one, other in np.argwhere(shared).tolist() if one <= other} == theirs
    assert sum(one != other for one, other in theirs) > 30


def test_a_huge_bucket_is_joined_in_linear_work(monkeypatch):
    texts = [
        f"this is message {number} of one long experiment and nothing else in it changes" for number in range(4000)
    ]
    checks = []
    similarity = module._similarity
    monkeypatch.setattr(module, "_similarity", lambda *pair: checks.append(1) or similarity(*pair))
    assert clean.duplicates(texts).max() == 0
    assert len(checks) < 20 * len(texts)


def test_order_and_repetition_do_not_matter(planted):
    texts, _, _, clusters = planted
    assert (clean.duplicates(texts[:3000]) == clean.duplicates(texts[:3000])).all()
    assert clusters[0] == 0 and (np.diff(np.unique(clusters)) == 1).all()
    first = np.unique(clusters, return_index=True)[1]
    assert (np.diff(first) > 0).all()


def test_drop_duplicates_names_the_kept_row():
    texts = ["Return the mean of the values given along an axis.", "something different altogether", None]
    texts += [
        "return  the mean of the values given along an axis.",
        "Return the mean of the value given along an axis.",
    ]
    table = pd.DataFrame({"doc": [*texts, None]}, index=list("abcdef"))
    cleaned = clean.drop_duplicates(table, "doc")
    assert cleaned.kept.index.tolist() == ["a", "b", "c", "f"]
    assert cleaned.removed["reason"].to_dict() == {"d": "exact duplicate", "e": "near duplicate"}
    assert cleaned.removed["duplicate_of"].tolist() == ["a", "a"]
    assert clean.drop_duplicates(table, "doc", threshold=1).removed.index.tolist() == ["d"]
