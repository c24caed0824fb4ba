"""The linear head on frozen features, pixels and counted words, with a strength that few rows can choose."""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits


def held_back(steps, features=True):
    """Return a linear classifier whose strength is chosen within the rows that it is fitted to.

    Logistic regression, its weights held back by one of a few strengths: the one with the least log loss under
    cross-validation (`Folds`). With few labels and many features no single strength is right.

    Parameters
    ----------
    steps : sequence of scikit-learn transformers
        What comes before it.
    features : bool
        Features of an encoder, or pixels: they are standardised, and C is 0.0001 to 1. False is for TF-IDF, whose rows
        have length 1: they stay as they are, and C is 0.1 to 100.

    Returns
    -------
    scikit-learn pipeline

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> words = held_back([TfidfVectorizer()], features=False)
    >>> words.fit(["warm red", "cold blue"] * 4, [0, 1] * 4).predict(["a blue sea"])
    array([1])
    """
    scaled, strengths = ([StandardScaler()], [1e-4, 1e-3, 0.01, 0.1, 1]) if features else ([], [0.1, 1, 10, 100])
    plain, by_loss = LogisticRegression(max_iter=2000), {"scoring": "neg_log_loss", "cv": Folds()}
    return make_pipeline(*steps, *scaled, _Search(plain, {"C": strengths}, **by_loss))


class _Search(GridSearchCV):
    """It is judged by its accuracy, as any classifier is, whatever it chooses by."""

    def fit(self, X, y=None, **params):
        with threadpool_limits(1):  # in products so small, two threads mostly wait for one another: seven times as long
            return super().fit(X, y, **params)

    def score(self, X, y=None):
        return float(np.mean(self.predict(X) == y))


@dataclass(frozen=True)
class Folds:
    """Stratified folds for few rows: five, or as many as the smallest class has rows.

    A class of one row cannot be held out. Then all rows are fitted and scored, so the weakest strength is chosen.

    Examples
    --------
    >>> rows, y = np.zeros((6, 1)), np.array([0, 1] * 3)
    >>> [held.tolist() for _, held in Folds().split(rows, y)]
    [[0, 1], [2, 3], [4, 5]]
    >>> Folds().get_n_splits(rows, [0, 1, 1, 1, 1, 1])
    1
    """

    most: int = 5

    def get_n_splits(self, x, y, groups=None):
        return min(self.most, int(np.unique(y, return_counts=True)[1].min()))

    def split(self, x, y, groups=None):
        if (folds := self.get_n_splits(x, y)) > 1:
            return StratifiedKFold(folds).split(x, y)
        every = np.arange(len(y))
        return iter([(every, every)])
