"""The arms of a comparison: what stands beside a pretrained encoder, so that the comparison is fair."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

_MOST_EXTRA = 60  # seconds of pretraining up to which "scratch, longer" is put in unasked


@dataclass(frozen=True)
class Arm:
    """One arm of a comparison.

    Attributes
    ----------
    estimator : scikit-learn classifier or pipeline
        Takes raw rows. Its `random_state` is set by `compare`, whatever it holds.
    against : sequence of str
        Names of the arms that it is compared with. These contrasts are fixed here, before a score is seen, and
        the verdict speaks of no others.
    pretraining_seconds : float
        What its pretraining took; charged to it in every table.
    note : str
        A remark for readers of the record.
    """

    estimator: Any
    against: Sequence[str] = ()
    pretraining_seconds: float = 0.0
    note: str = ""

    def __post_init__(self):
        """Take one name for a sequence of names, and refuse what is no classifier."""
        against = (self.against,) if isinstance(self.against, str) else tuple(self.against)
        object.__setattr__(self, "against", against)
        needed = ("fit", "predict", "get_params")
        if isinstance(self.estimator, type) or not all(hasattr(self.estimator, name) for name in needed):
            raise ValueError(f"An arm is a scikit-learn classifier or pipeline, not {self.estimator!r}.")
        if not 0 <= self.pretraining_seconds < np.inf:
            raise ValueError(f"pretraining_seconds must be a number from 0, not {self.pretraining_seconds!r}.")


def images(
    dataset,
    encoder="resnet_cifar10",
    *,
    preprocess=None,
    augment=None,
    updates=300,
    batch_size=64,
    learning_rate=1e-3,
    scratch_learning_rate=None,
    pretraining_seconds=None,
    extra_updates=None,
    name="pretrained",
):
    """Return the standard arms for images, by name: a plain dict, to which `arms["my SVM"] = SVC()` adds one.

    - "pixels": logistic regression on standardised pixels, of images shrunk to 32x32 where they are larger;
    - "scratch": the encoder's architecture with fresh weights, trained on the labels alone;
    - "scratch, longer": the same with the pretraining seconds as extra training, where there are any;
    - "frozen random": logistic regression on the features of the encoder with fresh weights;
    - "frozen": the same with the pretrained weights, compared with "scratch" and "frozen random";
    - "fine-tuned": the encoder trained further, compared with "scratch" and "scratch, longer".

    Scratch and fine-tuned share augmentation, updates and batch size. The rivals of an arm of your own are named with
    `Arm(SVC(), against="scratch")`; without, it is shown but no verdict is passed on it.

    Parameters
    ----------
    dataset : Dataset
        Rows uint8 `(n, height, width, channels)`, or paths, which are decoded once in a process.
    encoder : keras.Model, str, path or None
        Pretrained. A name or a folder is that of a backbone, which brings its `preprocess` and its pretraining
        seconds (`kp.backbones.images`). None gives "pixels" alone: without an encoder there is nothing to train,
        freeze or tune.
    preprocess, augment, updates, batch_size, learning_rate
        As in `FineTune`; `preprocess` as in `Features` too. An encoder in hand needs one that reads paths, where the
        rows are paths.
    scratch_learning_rate : float, optional
        Where a fresh network needs another rate; None is `learning_rate`.
    pretraining_seconds : float, optional
        Charged to "frozen" and "fine-tuned". None is what a named backbone took, and 0 for an encoder in hand.
    extra_updates : int, optional
        Of "scratch, longer". None measures it: scratch is fitted twice to a few rows, for 10 and for 60 updates; the
        difference in time over 50 is what an update takes, and the pretraining seconds are divided by that. It then
        depends on this machine: records that are to be pooled should name the number. After more than 60 seconds of
        pretraining, None leaves the arm out and says so: each of its fits would take as long. 0 leaves it out too.
    name : str
        Of the encoder. With another than "pretrained", the arms that depend on it are "frozen (name)" and so on, and
        `images(dataset, one, name="SimCLR") | images(dataset, other, name="denoising")` holds both. Where their
        pretraining seconds differ, give both the larger `extra_updates`: there is one "scratch, longer".

    Returns
    -------
    dict of str to Arm

    Raises
    ------
    ValueError
        If the rows are neither images in an array nor paths, or are paths that the encoder cannot read.
    PresetError
        If a named backbone cannot be loaded (`kp.backbones.images`).
    """
    x = dataset.train.x
    paths = len(x) > 0 and isinstance(x[0], str) and os.path.isfile(x[0])
    if not paths and (getattr(x, "ndim", 0) != 4 or x.dtype != np.uint8):
        found = f"{getattr(x, 'dtype', type(x).__name__)} {np.shape(x)}"
        raise ValueError(
            f"{dataset.name}: images are rows uint8 (n, height, width, channels), not {found}. "
            "kp.data.read_images turns paths into them."
        )
    encoder, preprocess, pretraining_seconds = _backbone("images", encoder, preprocess, pretraining_seconds)
    if paths and encoder is not None and preprocess is None:
        raise ValueError(
            f"{dataset.name}: the rows are paths, which {encoder.name!r} cannot read. Give a preprocess that reads "
            "them (kp.data.read_images), or name a backbone in place of the encoder."
        )
    from .transfer import Features

    plain = {"pixels": Arm(_linear(Features()), note="standardised pixels")}
    if paths or max(x.shape[1:3]) > 32:
        from .backbones import Thumbnails

        shrunk = Features(preprocess=Thumbnails(getattr(preprocess, "size", (32, 32))))
        plain = {"pixels": Arm(_linear(shrunk), note="standardised pixels of images shrunk to 32x32")}
    training = {"augment": augment, "updates": updates, "batch_size": batch_size, "learning_rate": learning_rate}
    rest = (scratch_learning_rate, pretraining_seconds, extra_updates, name)
    return plain | _network_arms(dataset, encoder, {"preprocess": preprocess}, training, *rest)


def texts(
    dataset,
    encoder="bert_docstrings",
    *,
    preprocess=None,
    updates=300,
    batch_size=32,
    learning_rate=None,
    scratch_learning_rate=None,
    pretraining_seconds=None,
    extra_updates=None,
    name="pretrained",
):
    """Return the standard arms for texts, by name: those of `images`, with "TF-IDF" in place of "pixels".

    "TF-IDF" is logistic regression on words and pairs of words, fitted to the labelled texts alone.

    Parameters
    ----------
    dataset : Dataset
        Rows are strings.
    encoder : keras.Model, str, path or None
        Pretrained; takes what `preprocess` makes of strings. A name or a folder is that of a backbone
        (`kp.backbones.texts`). None gives "TF-IDF" alone.
    preprocess, updates, batch_size, learning_rate
        As in `FineTune`. A learning rate of None is 1e-3 for an encoder of up to 10 million parameters, 1e-4 above.
        A backbone that is named reads rows of 16, 32 or 64 tokens, the least that holds 95 % of the texts whole; a
        line says how many are cut.
    scratch_learning_rate, pretraining_seconds, extra_updates, name
        As in `images`.

    Returns
    -------
    dict of str to Arm

    Raises
    ------
    ValueError
        If the rows are not strings.
    PresetError
        If a named backbone cannot be loaded (`kp.backbones.texts`).
    """
    if not len(dataset.train.x) or not isinstance(dataset.train.x[0], str):
        raise ValueError(f"{dataset.name}: texts are rows of strings, not {type(dataset.train.x[0]).__name__}.")
    own, cut = preprocess, ""
    encoder, preprocess, pretraining_seconds = _backbone("texts", encoder, preprocess, pretraining_seconds)
    if own is None and preprocess is not None:
        preprocess, cut = _fitted(preprocess, dataset.train.x)
    if learning_rate is None:
        learning_rate = 1e-3 if encoder is None or encoder.count_params() <= 1e7 else 1e-4
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=1)
    plain = {"TF-IDF": Arm(make_pipeline(words, LogisticRegression(max_iter=2000)), note="words and pairs of words")}
    training = {"updates": updates, "batch_size": batch_size, "learning_rate": learning_rate}
    rest = (scratch_learning_rate, pretraining_seconds, extra_updates, name)
    networks = _network_arms(dataset, encoder, {"preprocess": preprocess}, training, *rest)
    return plain | {
        called: replace(arm, note="; ".join(filter(None, (arm.note, cut)))) for called, arm in networks.items()
    }


def tuned_tfidf():
    """Return TF-IDF with logistic regression that chooses among six settings, as an arm.

    Words alone, or words and pairs of words, each with C = 0.1, 1 or 10, by 5-fold cross-validation within the rows
    that it is fitted to. A rival for arms that were tuned: `arms["TF-IDF"] = kp.arms.tuned_tfidf()`. It is fitted 31
    times, where the standard arm of `texts` is fitted once.

    Returns
    -------
    Arm
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    words = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(max_iter=2000))
    settings = {"tfidfvectorizer__ngram_range": [(1, 1), (1, 2)], "logisticregression__C": [0.1, 1, 10]}
    return Arm(GridSearchCV(words, settings), note="six settings, cross-validated in the draw")


def _backbone(kind, encoder, preprocess, seconds):
    """(encoder, preprocess, pretraining seconds); an encoder that is named is loaded and brings the others."""
    if isinstance(encoder, str | os.PathLike):
        from . import backbones

        encoder, its_own, took = getattr(backbones, kind)(encoder)
        preprocess, seconds = preprocess or its_own, took if seconds is None else seconds
    return encoder, preprocess, seconds or 0.0


def _fitted(inputs, texts, some=1000):
    """(`kp.text.Inputs` with rows as short as the texts allow: half the tokens take half the time; what is cut)."""
    texts = [str(text) for text in texts[:: max(1, len(texts) // some)]]
    tokens = [len(one.ids) + 2 for one in inputs.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
    length = next((n for n in (16, 32) if np.quantile(tokens, 0.95) <= n < inputs.length), inputs.length)
    longer = 100 * np.mean([count > length for count in tokens])
    cut = f"rows of {length} tokens; {longer:.1f} % of the texts are longer and are cut"
    if longer:
        print(f"arms: {cut}.")
    return replace(inputs, length=length), cut


def _network_arms(dataset, encoder, common, training, scratch_rate, seconds, extra_updates, name):
    """The arms that need an encoder, in the order in which they are shown."""
    if encoder is None:
        return {}
    from .transfer import Features, FineTune, fresh

    blank = fresh(encoder, 0)  # so that the arms without pretraining are the same ones beside every encoder
    called = "{}" if name == "pretrained" else f"{{}} ({name})"
    frozen, tuned, longer = called.format("frozen"), called.format("fine-tuned"), "scratch, longer"
    rate = training["learning_rate"] if scratch_rate is None else scratch_rate
    scratch = FineTune(blank, weights="random", **common, **(training | {"learning_rate": rate}))
    arms = {"scratch": Arm(scratch)}
    if extra_updates is None and seconds > _MOST_EXTRA:
        print(
            f"arms: no {longer!r}, since each of its fits would train for the {seconds:,.0f} s of the pretraining; "
            "extra_updates puts it in."
        )
    elif extra_updates is None and seconds > 0:
        extra_updates = round(seconds / _update_seconds(scratch, dataset.train))
    if extra_updates:
        estimator = FineTune(**(scratch.get_params(deep=False) | {"updates": training["updates"] + extra_updates}))
        arms[longer] = Arm(estimator, note=f"{extra_updates} more updates; the pretraining took {seconds:.0f} s")
    arms["frozen random"] = Arm(_linear(Features(blank, weights="random", **common)))
    arms[frozen] = Arm(_linear(Features(encoder, **common)), ("scratch", "frozen random"), seconds)
    rivals = [rival for rival in ("scratch", longer) if rival in arms]
    arms[tuned] = Arm(FineTune(encoder, **common, **training), rivals, seconds)
    return arms


def _linear(features):
    """Logistic regression on standardised features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(features, StandardScaler(), LogisticRegression(max_iter=2000))


def _update_seconds(estimator, train, few=10, many=60):
    """Seconds that an update takes: of two fits of different length, so that their start drops out."""
    from sklearn.base import clone

    rows = np.concatenate([np.flatnonzero(train.y == label)[:10] for label in np.unique(train.y)])
    seconds = []
    for updates in (few, many):
        trial = clone(estimator).set_params(updates=updates, random_state=0)
        started = time.perf_counter()
        trial.fit(train.x[rows], train.y[rows])
        seconds.append(time.perf_counter() - started)
    return max(seconds[1] - seconds[0], 1e-3) / (many - few)
