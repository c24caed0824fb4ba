"""Use the unlabelled rows a second time: spread a few labels over them along nearest neighbours."""

import hashlib
import warnings

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, normalize
from sklearn.semi_supervised import LabelSpreading
from sklearn.utils.validation import check_is_fitted

from .transfer import Features


class SpreadLabels(ClassifierMixin, BaseEstimator):
    """Spread a few labels over an unlabelled pool along nearest neighbours, then train a student on all of them.

    The pool's rows are joined to their nearest neighbours in feature space, labels flow along the joints until they
    settle, and all rows together teach the student. It uses the unlabelled rows a second time, so its
    fair rival is the same without pretraining: spreading over pixels, with a student from scratch.

    Parameters
    ----------
    pool : array (n, ...)
        Unlabelled raw rows, of train only.
    features : transformer, optional
        Raw rows -> features, such as `Features(encoder)`; None takes the raw values. Rows are scaled to length 1.
    student : classifier, optional
        Takes raw rows, such as `FineTune(encoder)`; None lets the nearest rows of the pool vote.
    neighbors : int
        To how many others each row of the pool is joined.
    alpha : float
        How far labels flow, below 1.
    keep : float
        The share of the pool that teaches, the most certain rows first. On MNIST less than 1 did harm: the rows left
        out are the hard ones, and the student never learns them.
    random_state : int, optional
        Given to the student.

    Attributes
    ----------
    spread_labels_ : array (n,)
        The label that each row of the pool was given.
    certainty_ : float array (n,)
        From 0 to 1.

    References
    ----------
    D. Zhou et al. (2003), Learning with local and global consistency, NeurIPS 16; scikit-learn's `LabelSpreading`.
    """

    def __init__(self, pool, features=None, student=None, *, neighbors=10, alpha=0.99, keep=1.0, random_state=None):
        self.pool, self.features, self.student = pool, features, student
        self.neighbors, self.alpha, self.keep, self.random_state = neighbors, alpha, keep, random_state

    def fit(self, x, y):
        """Spread the labels `y` (n,) of the raw rows `x` (n, ...) over the pool, and train the student.

        Raises
        ------
        ValueError
            If the pool has no more rows than `neighbors`, or all labels are the same.
        """
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("SpreadLabels needs labels of at least two classes.")
        if len(self.pool) <= self.neighbors:
            raise ValueError(f"The pool has {len(self.pool)} rows; it needs more than neighbors, {self.neighbors}.")
        self.features_ = clone(Features() if self.features is None else self.features).fit(x)
        pool = self._directions(self.pool)
        known = np.full(len(pool), -1)
        # a labelled row speaks for the row of the pool that is nearest to it: itself, where it belongs to the pool
        known[np.argmax(self._directions(x) @ pool.T, axis=1)] = numbers
        graph = _neighbour_graph(pool, self.neighbors)
        spread = LabelSpreading(kernel=lambda *_: graph, alpha=self.alpha, max_iter=100, tol=1e-4)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # 100 steps are enough for the order of the classes
            spread.fit(pool, known)
        self.spread_labels_ = self.classes_[spread.transduction_]
        self.certainty_ = spread.label_distributions_.max(axis=1)
        surest = np.argsort(-self.certainty_, kind="stable")[: max(1, round(self.keep * len(pool)))]
        if self.student is None:
            self.student_ = make_pipeline(self.features_, Normalizer(), KNeighborsClassifier(self.neighbors))
        else:
            self.student_ = clone(self.student)
            if "random_state" in self.student_.get_params():
                self.student_.set_params(random_state=self.random_state)
        self.student_.fit(np.asarray(self.pool)[surest], self.spread_labels_[surest])
        return self

    def predict(self, x):
        """Return the student's classes (n,) of raw rows."""
        check_is_fitted(self)
        return self.student_.predict(x)

    def _directions(self, rows):
        return normalize(np.asarray(self.features_.transform(rows), "float32"))


_graphs = {}  # a comparison asks for the same graph once a draw


def _neighbour_graph(rows, neighbors):
    """Sparse (n, n): the weights of the joints between each row and its nearest neighbours, symmetric."""
    key = (hashlib.sha256(rows.tobytes()).hexdigest(), neighbors)
    if key not in _graphs:
        found = NearestNeighbors(n_neighbors=neighbors + 1, algorithm="brute").fit(rows).kneighbors(rows)
        distances, nearest = (part[:, 1:] for part in found)  # the first is the row itself
        weights = np.exp(-((distances / np.median(distances)) ** 2))
        start = np.repeat(np.arange(len(rows)), neighbors)
        graph = scipy.sparse.csr_array((weights.ravel(), (start, nearest.ravel())), (len(rows), len(rows)))
        if len(_graphs) >= 4:
            del _graphs[next(iter(_graphs))]
        _graphs[key] = graph + graph.T
    return _graphs[key]
