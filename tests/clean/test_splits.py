"""Splits: a partition, stratified, near the sizes, and no group or near duplicate in two parts."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kpretrain import clean

relaxed = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])

labels_and_groups = st.integers(3, 80).flatmap(
    lambda size: st.tuples(
        st.lists(st.sampled_from("abc"), min_size=size, max_size=size),
        st.lists(st.integers(0, 30), min_size=size, max_size=size),
    )
)


def quiet_split(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return clean.split(*arguments, **options)


@settings(relaxed, max_examples=150)
@given(labels_and_groups, st.integers(0, 2**32 - 1), st.booleans())
def test_split_is_a_partition_that_keeps_groups_together(drawn, seed, stratify):
    labels, groups = map(np.array, drawn)
    if len(set(groups)) < 3 or (stratify and len(set(labels)) < 2):
        with pytest.raises(ValueError, match=r"can't fill|one class only"):
            quiet_split(labels, groups=groups, seed=seed, stratify=stratify)
        return
    parts = quiet_split(labels, groups=groups, seed=seed, stratify=stratify)
    assert np.sort(np.concatenate(parts)).tolist() == list(range(len(labels)))
    owners = [set(groups[part]) for part in parts]
    assert not owners[0] & owners[1] and not owners[0] & owners[2] and not owners[1] & owners[2]


@pytest.fixture(scope="module")
def few_texts(bench):
    """(texts, rows of each planted pair of near duplicates) of five draws."""
    drawn = [bench.make_texts(300, seed=seed) for seed in range(5)]
    return [(texts, pairs[bench.similarities(texts, pairs) >= 0.8]) for texts, pairs in drawn]


@settings(relaxed, max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_planted_duplicates_never_cross_a_split(few_texts, seed):
    texts, near = few_texts[seed % 5]
    labels = np.random.default_rng(seed).integers(0, 3, len(texts))
    part = np.empty(len(texts), int)
    for number, rows in enumerate(clean.split(labels, groups=clean.duplicates(texts), seed=seed)):
        part[rows] = number
    assert len(near) >= 5
    assert (part[near[:, 0]] == part[near[:, 1]]).all()


@pytest.mark.parametrize("grouped", [False, True])
def test_split_is_stratified_and_near_the_sizes(grouped):
    random = np.random.default_rng(0)
    labels = random.choice(5, 5000, p=[0.5, 0.3, 0.1, 0.08, 0.02])
    groups = random.zipf(1.6, 5000) % 2000 if grouped else None
    for seed in range(3):
        parts = clean.split(labels, groups=groups, seed=seed)
        assert np.allclose([len(part) / 5000 for part in parts], (0.8, 0.1, 0.1), atol=0.005)
        for part in parts:
            shares = np.bincount(labels[part], minlength=5) / len(part)
            assert np.allclose(shares, np.bincount(labels) / 5000, atol=0.01)


def test_rounding_does_not_add_up_over_classes():
    labels = np.repeat(np.arange(50), 15)  # 1.5 rows of each class for validation, and for test
    assert [len(part) for part in clean.split(labels)] == [600, 75, 75]


@settings(relaxed, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 30)), min_size=3, max_size=40), st.integers(0, 99))
def test_every_part_holds_every_class_that_has_enough_groups(drawn, seed):
    labels = np.repeat([label for label, _ in drawn], [size for _, size in drawn])
    groups = np.repeat(np.arange(len(drawn)), [size for _, size in drawn])
    if len(set(labels)) < 2:
        return
    parts = quiet_split(labels, groups=groups, seed=seed)
    for label in set(labels):
        if sum(one == label for one, _ in drawn) >= 3:
            assert all((labels[part] == label).any() for part in parts)


def test_split_repeats_and_depends_on_the_seed():
    labels = np.arange(300) % 3
    first, again, other = clean.split(labels, seed=1), clean.split(labels, seed=1), clean.split(labels, seed=2)
    assert all((one == two).all() for one, two in zip(first, again, strict=True))
    assert set(first.test) != set(other.test)
    assert first._fields == ("train", "validation", "test")
    assert [len(part) for part in clean.split(labels, (0.5, 0, 0.5))] == [150, 0, 150]
    assert clean.split(pd.Series(labels, index=labels[::-1])).train.tolist() == clean.split(labels).train.tolist()


def test_several_groups_are_merged_transitively():
    labels = list("ab" * 10)
    authors = [0, 0, 1, *range(10, 27)]
    files = ["x", "y", "y", *map(str, range(17))]
    for seed in range(20):
        for groups in ([authors, files], [np.array(authors), pd.Series(files)], (authors, files)):
            parts = clean.split(labels, groups=groups, seed=seed)
            assert any({0, 1, 2} <= set(part.tolist()) for part in parts)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([], {}, "labels is empty"),
        (["a", None, "b"], {}, r"labels holds 1 missing value.*drop or fill"),
        ([0.0, float("nan"), 1.0], {}, "missing value"),
        (["a"] * 9, {}, r"one class only \('a'\).*stratify=False"),
        (["a", "b"] * 5, {"sizes": (0.8, 0.1, 0.2)}, "sum to 1"),
        (["a", "b"] * 5, {"sizes": (0.9, 0.1)}, "three numbers"),
        (["a", "b"] * 5, {"sizes": (1.1, -0.1, 0)}, "from 0"),
        (["a", "b"] * 5, {"groups": [1, 2, 3]}, "groups has 3 rows and labels 10"),
        (["a", "b"] * 5, {"groups": [1, None] * 5}, "groups holds 5 missing"),
        (["a", "b"] * 5, {"groups": [1, 2] * 5}, r"2 group\(s\) can't fill 3 parts"),
        (["a", "b"], {}, r"2 group\(s\) can't fill 3 parts"),
    ],
)
def test_bad_splits_say_how_to_mend_them(labels, options, message):
    with pytest.raises(ValueError, match=message):
        clean.split(labels, **options)


def test_one_class_without_stratify_and_scarce_classes():
    parts = clean.split(["a"] * 20, stratify=False)
    assert [len(part) for part in parts] == [16, 2, 2]
    with pytest.warns(UserWarning, match="class rare; 1 in all"):
        clean.split(["a"] * 20 + ["rare"] * 2)
