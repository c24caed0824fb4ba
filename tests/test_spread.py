"""Spreading labels: two moons with one label each, a student, and what cannot be spread."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_moons
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import FunctionTransformer

from kpretrain import spread

SHIFT = FunctionTransformer(lambda x: np.c_[x, np.ones(len(x))])  # from directions to places: rows are scaled to 1


@pytest.fixture(scope="module")
def moons():
    x, y = make_moons(600, noise=0.05, random_state=0)
    return x, np.array(["upper", "lower"])[y], [int(np.flatnonzero(y == label)[0]) for label in (0, 1)]


def test_one_label_a_moon_is_enough(moons):
    x, y, first = moons
    model = spread.SpreadLabels(x, SHIFT).fit(x[first], y[first])
    assert (model.spread_labels_ == y).mean() > 0.97
    assert KNeighborsClassifier(1).fit(x[first], y[first]).score(x, y) < 0.9  # without the pool it is not
    assert model.score(x, y) > 0.97 and list(model.classes_) == ["lower", "upper"]
    assert model.certainty_.shape == (600,) and 0.5 <= model.certainty_.min() <= model.certainty_.max() <= 1


def test_a_labelled_row_outside_the_pool_speaks_for_its_nearest(moons):
    x, y, first = moons
    pool = np.delete(x, first, axis=0)
    model = spread.SpreadLabels(pool, SHIFT).fit(x[first], y[first])
    assert (model.spread_labels_ == np.delete(y, first)).mean() > 0.97


def test_the_student_learns_the_surest_rows(moons):
    x, y, first = moons

    class Student(KNeighborsClassifier):
        def __init__(self, n_neighbors=1, random_state=None):
            super().__init__(n_neighbors)
            self.random_state = random_state

    model = spread.SpreadLabels(x, SHIFT, Student(), keep=0.25, random_state=7).fit(x[first], y[first])
    assert model.student_.n_samples_fit_ == 150 and model.student_.random_state == 7
    assert not hasattr(model.student, "n_samples_fit_")  # the constructor's own is left alone
    taught = {row.tobytes() for row in model.student_._fit_X}
    sure = np.array([row.tobytes() in taught for row in x])
    assert model.certainty_[sure].min() >= model.certainty_[~sure].max()


def test_the_graph_is_symmetric_and_computed_once(moons, monkeypatch):
    x = np.asarray(moons[0], "float32")
    graph = spread._neighbour_graph(x, 5)
    assert abs(graph - graph.T).max() == 0 and (graph.diagonal() == 0).all() and graph.nnz >= 600 * 5
    monkeypatch.setattr(spread, "NearestNeighbors", None)
    assert spread._neighbour_graph(x.copy(), 5) is graph


def test_what_cannot_be_spread_is_refused(moons):
    x, y, first = moons
    with pytest.raises(ValueError, match="at least two classes"):
        spread.SpreadLabels(x).fit(x[:1], y[:1])
    with pytest.raises(ValueError, match="needs more than neighbors, 10"):
        spread.SpreadLabels(x[:10]).fit(x[first], y[first])
    copy = clone(spread.SpreadLabels(x, SHIFT, keep=0.5))
    assert copy.keep == 0.5 and np.array_equal(copy.pool, x)
