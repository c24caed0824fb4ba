"""The arms of a comparison: what stands beside a pretrained encoder, so that the comparison is fair."""

import os
from dataclasses import dataclass, replace

import numpy as np
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from .heads import held_back

_LENGTHS = 16, 32, 64, 128, 256  # tokens in a row; MiniLM was trained on 256 at most


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

    Raises
    ------
    ValueError
        If the estimator is no classifier, or the seconds are no number from 0.

    Examples
    --------
    >>> from sklearn.svm import SVC
    >>> Arm(SVC(), against="scratch", note="as it comes")
    Arm(estimator=SVC(), against=('scratch',), pretraining_seconds=0.0, note='as it comes')
    """

    estimator: object
    against: tuple = ()
    pretraining_seconds: float = 0.0
    note: str = ""

    def __post_init__(self):
        """Take one name for a sequence of names, and refuse what is no classifier."""
        against = (self.against,) if isinstance(self.against, str) else tuple(self.against)
        object.__setattr__(self, "against", against)
        able = all(hasattr(self.estimator, name) for name in ("fit", "predict", "get_params"))
        if isinstance(self.estimator, type) or not able:
            raise ValueError(f"An arm is a scikit-learn classifier or pipeline, not {self.estimator!r}.")
        if not 0 <= self.pretraining_seconds < np.inf:
            raise ValueError(f"pretraining_seconds must be a number from 0, not {self.pretraining_seconds!r}.")


def images(
    dataset,
    encoder="resnet_cifar10",
    *,
    preprocess=None,
    probe=None,
    name="pretrained",
    pretraining_seconds=None,
    extra_updates=None,
    scratch=None,
    **training,
):
    """Return the standard arms for images, by name: a plain dict, to which `arms["my SVM"] = SVC()` adds one.

    - "pixels": a linear classifier on standardised pixels, of images shrunk to 32x32 where they are larger;
    - "scratch": the encoder's architecture with fresh weights, trained on the labels alone;
    - "scratch, longer": the same with `extra_updates` more, where they are given;
    - "frozen random": a linear classifier on the features of the encoder with fresh weights;
    - "frozen": the same with the pretrained weights, compared with "scratch" and "frozen random";
    - "fine-tuned": the encoder trained further, compared with "scratch" and "scratch, longer".

    The linear classifiers are `held_back`: each chooses its strength in the draw, and so the baseline has as many tries
    as the encoder. Features are those of all layers (`kp.transfer.all_layers`).

    The rivals of an arm of your own are named with `Arm(SVC(), against="scratch")`; without, it is shown but no
    verdict is passed on it.

    Parameters
    ----------
    dataset : Dataset
        Rows uint8 `(n, height, width, channels)`, or paths, which are decoded once in a process.
    encoder : keras.Model, str, path or None
        Pretrained. A name or a folder is that of a backbone, which brings its `preprocess` and its pretraining
        seconds (`kp.backbones.images`). None gives "pixels" alone: without an encoder there is nothing to train,
        freeze or tune.
    preprocess : callable, optional
        As in `Features` and `FineTune`. An encoder in hand needs one that reads paths, where the rows are paths.
    probe : scikit-learn classifier, optional
        Takes the place of `held_back`: a linear probe as papers have it, on the encoder's output alone. The chapters on
        pretraining put `LogisticRegression(max_iter=2000)` here.
    name : str
        Of the encoder. With another than "pretrained", the arms that depend on it are "frozen (name)" and so on, and
        `images(dataset, one, name="SimCLR") | images(dataset, other, name="denoising")` holds both. Where their
        pretraining seconds differ, give both the larger `extra_updates`: there is one "scratch, longer".
    pretraining_seconds : float, optional
        Charged to "frozen" and "fine-tuned". None is what a named backbone took, and 0 for an encoder in hand.
    extra_updates : int, optional
        Of "scratch, longer": about as many as take the pretraining seconds. 0 leaves this arm out, and so does None,
        which says so: each of its fits takes as long as the pretraining did.
    scratch : dict, optional
        The settings of training in which scratch differs: `{"learning_rate": 3e-3}` where a fresh network needs
        another rate.
    **training
        Settings of `FineTune` for scratch and fine-tuned alike: augment, updates, batch_size, learning_rate,
        weight_decay, head_first.

    Returns
    -------
    dict of str to Arm

    Raises
    ------
    TypeError
        If a setting of training is unknown.
    ValueError
        If the rows are neither images in an array nor paths, or are paths that the encoder cannot read.
    PresetError
        If a named backbone cannot be loaded (`kp.backbones.images`).

    Examples
    --------
    >>> import kpretrain as kp
    >>> digits = kp.data.load("digits")  # doctest: +ELLIPSIS
    digits: ...
    >>> arms = images(digits, kp.models.image_encoder(), updates=200, scratch={"updates": 400})
    >>> list(arms)
    ['pixels', 'scratch', 'frozen random', 'frozen', 'fine-tuned']
    >>> arms["scratch"].estimator.updates, arms["fine-tuned"].estimator.updates, arms["fine-tuned"].against
    (400, 200, ('scratch',))
    """
    x = dataset.train.x
    paths = len(x) > 0 and isinstance(x[0], str) and os.path.isfile(x[0])
    if not paths and (getattr(x, "ndim", 0) != 4 or x.dtype != np.uint8):
        given = f"{getattr(x, 'dtype', type(x).__name__)} {np.shape(x)}"
        raise ValueError(
            f"{dataset.name}: images are rows uint8 (n, height, width, channels), not {given}. "
            "kp.data.read_images turns paths into them."
        )
    backbone = encoder, preprocess, *_ = _backbone("images", dataset, encoder, preprocess, pretraining_seconds)
    if paths and encoder is not None and preprocess is None:
        raise ValueError(
            f"{dataset.name}: the rows are paths, which {encoder.name!r} cannot read. Give a preprocess that reads "
            "them (kp.data.read_images), or name a backbone in place of the encoder."
        )
    steps, note = [FunctionTransformer(flatten)], "standardised pixels"
    if paths or max(x.shape[1:3]) > 32:
        from ..backbones import Thumbnails  # which brings Keras

        thumbnails = FunctionTransformer(Thumbnails(getattr(preprocess, "size", (32, 32))))
        steps, note = [thumbnails, *steps], f"{note} of images shrunk to 32x32"
    options = {"probe": probe, "name": name, "extra_updates": extra_updates, "scratch": scratch}
    networks = _with_encoder(backbone, **options, **training)
    return {"pixels": _linear(steps, probe, note)} | networks


def flatten(rows):
    """Return rows (n, ...) of numbers as float32 (n, d): the space of pixels, neither scaled nor cut.

    Examples
    --------
    >>> flatten(np.zeros((5, 28, 28, 1), "uint8")).shape
    (5, 784)
    """
    return rows.reshape(len(rows), -1).astype("float32")


def texts(dataset, encoder="bert_docstrings", *, preprocess=None, probe=None, pretraining_seconds=None, **options):
    """Return the standard arms for texts, by name: those of `images`, with "TF-IDF" in place of "pixels".

    "TF-IDF" is a linear classifier on words and pairs of words, fitted to the labelled texts alone.

    Parameters
    ----------
    dataset : Dataset
        Rows are strings.
    encoder : keras.Model, str, path or None
        Pretrained; takes what `preprocess` makes of strings. A name or a folder is that of a backbone
        (`kp.backbones.texts`). None gives "TF-IDF" alone.
    preprocess : callable, optional
        As in `FineTune`. A backbone that is named reads rows of 16, 32, 64, 128 or 256 tokens, the least that holds
        95 % of the texts whole, and no more than it can; a line says how many texts are cut.
    probe, pretraining_seconds
        As in `images`.
    **options
        As in `images`: name, extra_updates, scratch, and the settings of training. Two of these have another default:
        batch_size is 32, and learning_rate is 1e-3 for an encoder of up to 10 million parameters, 1e-4 above.

    Returns
    -------
    dict of str to Arm

    Raises
    ------
    TypeError
        If a setting of training is unknown.
    ValueError
        If the rows are not strings.
    PresetError
        If a named backbone cannot be loaded (`kp.backbones.texts`).

    Examples
    --------
    >>> import kpretrain as kp
    >>> part = kp.data.Part(np.array(["warm red", "cold blue"] * 4, object), np.array([0, 1] * 4))
    >>> colours = kp.data.Dataset("colours", part, None, part, ["warm", "cold"], "made here")
    >>> arms = texts(colours, None)
    >>> list(arms), arms["TF-IDF"].estimator.fit(*part).predict(["a blue sea"])
    (['TF-IDF'], array([1]))
    """
    if not len(dataset.train.x) or not isinstance(dataset.train.x[0], str):
        raise ValueError(f"{dataset.name}: texts are rows of strings, not {type(dataset.train.x[0]).__name__}.")
    backbone = encoder, *_ = _backbone("texts", dataset, encoder, preprocess, pretraining_seconds)
    rate = 1e-3 if encoder is None or encoder.count_params() <= 1e7 else 1e-4
    options = {"batch_size": 32, "learning_rate": rate} | options
    networks = _with_encoder(backbone, probe=probe, **options)
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
    return {"TF-IDF": _linear([words], probe, "words and pairs of words", features=False)} | networks


def contrastive(encoder, *, preprocess=None, against=("TF-IDF",), pretraining_seconds=0.0, **settings):
    """Return contrastive tuning on the draw's own labels (SetFit, https://arxiv.org/abs/2209.11055), as an arm.

    Parameters
    ----------
    encoder : keras.Model
        Pretrained.
    preprocess, **settings
        Of `kp.transfer.ContrastiveTune`.
    against, pretraining_seconds
        Of `Arm`.

    Returns
    -------
    Arm

    Examples
    --------
    >>> import kpretrain as kp
    >>> contrastive(kp.models.image_encoder(), against="scratch", pairs=10).estimator.pairs
    10
    """
    from ..transfer import ContrastiveTune  # which brings Keras

    tuned = ContrastiveTune(encoder, preprocess=preprocess, **settings)
    return Arm(
        tuned, against, pretraining_seconds, f"{tuned.pairs} pairs of a kind for each row, then logistic regression"
    )


def _backbone(kind, dataset, encoder, preprocess, seconds):
    """(encoder, preprocess, pretraining seconds, a note); an encoder that is named is loaded and brings the others."""
    note = ""
    if isinstance(encoder, str | os.PathLike):
        from .. import backbones  # which bring Keras

        encoder, its_own, took = backbones.images(encoder) if kind == "images" else backbones.texts(encoder, None)
        seconds = took if seconds is None else seconds
        if preprocess is None:
            preprocess, note = _fitted(its_own, dataset.train.x) if kind == "texts" else (its_own, "")
    return encoder, preprocess, seconds or 0.0, note


def _fitted(inputs, texts, some=1000):
    """(`kp.text.Inputs` with rows as short as the texts allow: half the tokens take half the time; what is cut)."""
    texts = [str(text) for text in texts[:: max(1, len(texts) // some)]]
    tokens = [len(one.ids) + 2 for one in inputs.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
    enough = next((n for n in _LENGTHS if np.quantile(tokens, 0.95) <= n), _LENGTHS[-1])
    length = min(enough, inputs.length)
    longer = 100 * np.mean([count > length for count in tokens])
    cut = f"rows of {length} tokens; {longer:.1f} % of the texts are longer and are cut"
    if longer:
        print(f"arms: {cut}.")
    return replace(inputs, length=length), cut


def _with_encoder(backbone, *, probe=None, name="pretrained", extra_updates=None, scratch=None, **training):
    """The arms that need an encoder, in the order in which they are shown."""
    (encoder, preprocess, seconds, note), of_scratch = backbone, training | (scratch or {})
    if encoder is None:
        return {}
    from ..transfer import Features, FineTune, all_layers, fresh  # which bring Keras

    blank = fresh(encoder, 0)  # so that the arms without pretraining are the same ones beside every encoder
    of_scratch |= {"weights": "random", "preprocess": preprocess}
    scratch, of = FineTune(blank, **of_scratch), "" if name == "pretrained" else f" ({name})"
    arms = {"scratch": Arm(scratch, note=note)}
    if extra_updates is None and seconds:
        print(f"arms: no 'scratch, longer': each of its fits would take {seconds:,.0f} s; extra_updates puts it in.")
    if extra_updates:
        longer = FineTune(blank, **of_scratch | {"updates": scratch.updates + extra_updates})
        why = f"{extra_updates} more updates; the pretraining took {seconds:.0f} s"
        arms["scratch, longer"] = Arm(longer, note=f"{why}; {note}" if note else why)
    rivals = tuple(arms)
    body = all_layers if probe is None else lambda whole: whole
    untrained = Features(body(blank), weights="random", preprocess=preprocess)
    frozen, tuned = Features(body(encoder), preprocess=preprocess), FineTune(encoder, preprocess=preprocess, **training)
    arms["frozen random"] = _linear([untrained], probe, note)
    arms[f"frozen{of}"] = replace(
        _linear([frozen], probe, note), against=("scratch", "frozen random"), pretraining_seconds=seconds
    )
    arms[f"fine-tuned{of}"] = Arm(tuned, rivals, seconds, note)
    return arms


def _linear(steps, probe, note, features=True):
    """An arm: `held_back`, or the probe in its place."""
    if probe is None:
        return Arm(held_back(steps, features), note="; ".join(filter(None, [note, "strength chosen in the draw"])))
    return Arm(make_pipeline(*steps, *[StandardScaler()] * features, clone(probe)), note=note)
