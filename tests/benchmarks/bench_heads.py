"""The linear head of `kp.arms` beside others, on frozen features, pixels and counted words; validation rows alone.

"logistic" is scikit-learn's with C = 1, "ridge" chooses one of six strengths by leaving out each row in turn, and
"chosen" is `kp.arms.held_back`. Means of five draws of labels, and the seconds of a fit at the most labels.

    KPRETRAIN_DATA=... python tests/benchmarks/bench_heads.py [--only digits,mnist,hymenoptera,lines,rt-polarity]
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import kpretrain as kp

NAMES = "digits", "mnist", "hymenoptera", "lines", "rt-polarity"
MOST = 10_000  # training rows of which features are computed


def described(name):
    """Yield (what, features of train, labels, features of validation, labels) of a data set."""
    data = kp.text.load_lines() if name == "lines" else kp.data.load(name)
    train, held = (
        kp.data.Part(part.x[:most], part.y[:most]) for part, most in ((data.train, MOST), (data.validation, 2000))
    )
    if name == "rt-polarity":  # its rows stand by class
        train = kp.data.Part(data.train.x[::4], data.train.y[::4])
    if name in ("digits", "mnist"):
        yield "pixels", kp.arms.flatten(train.x), train.y, kp.arms.flatten(held.x), held.y
        what, encoder, preprocess = "SimCLR", kp.presets.load("simclr_mnist"), None
    elif name == "hymenoptera":
        what, (encoder, preprocess, _) = "ResNet, all stages", kp.backbones.images("resnet_cifar10")
    else:
        yield "TF-IDF", train.x, train.y, held.x, held.y
        backbone = "bert_docstrings" if name == "lines" else "all_minilm_l6_v2_en"
        what, (encoder, preprocess, _) = "BERT, all layers", kp.backbones.texts(backbone, 48)
    features = kp.Features(kp.transfer.all_layers(encoder), preprocess=preprocess, cache=False)
    yield what, features.fit_transform(train.x), train.y, features.fit_transform(held.x), held.y


def heads(what):
    words = what == "TF-IDF"
    before = [TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))] if words else []
    fixed = before or [StandardScaler()]
    return {
        "logistic": make_pipeline(*fixed, LogisticRegression(max_iter=2000)),
        "ridge": make_pipeline(*fixed, RidgeClassifierCV(np.logspace(-2, 3, 6) if words else np.logspace(1, 6, 6))),
        "chosen": kp.arms.held_back(before, features=not words),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=NAMES, type=lambda text: text.split(","))
    parser.add_argument("--draws", default=5, type=int)
    asked = parser.parse_args()
    kp.setup()
    for name in asked.only:
        for what, x, y, held_x, held_y in described(name):
            rows, fewest = [], np.unique(y, return_counts=True)[1].min()
            for n in (each for each in (2, 5, 10, 50, 200) if each <= fewest):
                for draw in range(asked.draws):
                    order = np.random.default_rng(draw).permutation(len(y))
                    few = order[pd.Series(y[order]).groupby(y[order]).cumcount() < n]
                    for head, model in heads(what).items():
                        start = time.perf_counter()
                        fitted = clone(model).fit(x[few], y[few])
                        seconds = time.perf_counter() - start
                        rows.append((head, n, 100 * np.mean(fitted.predict(held_x) == held_y), seconds))
            table = pd.DataFrame(rows, columns=["head", "labels per class", "right, %", "seconds"])
            right = table.pivot_table(index="head", columns="labels per class", values="right, %", sort=False).round(1)
            most = table[table["labels per class"] == table["labels per class"].max()]
            right["seconds, at most labels"] = most.groupby("head")["seconds"].mean().round(2)
            print(f"\n{name}, {what}\n{right.to_string()}", flush=True)


if __name__ == "__main__":
    main()
