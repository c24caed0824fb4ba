"""Contrastive tuning on a few labels (SetFit) beside TF-IDF and frozen vectors, on film reviews (rt-polarity).

The same draws for all arms, the same test rows; the settings are those of the paper's authors, not chosen here.

    KPRETRAIN_DATA=... python tests/benchmarks/bench_few_labels.py [--backbone FOLDER] [--labels 8,16] [--draws 5]

--backbone takes what `kp.backbones.texts` takes: "all_minilm_l6_v2_en" or a Hugging Face folder of it.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

import kpretrain as kp


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="all_minilm_l6_v2_en")
    parser.add_argument("--labels", default="8,16", type=lambda text: [int(number) for number in text.split(",")])
    parser.add_argument("--draws", default=5, type=int)
    parser.add_argument("--length", default=48, type=int, help="tokens in a row")
    parser.add_argument("--test-rows", default=1000, type=int)
    asked = parser.parse_args()
    kp.setup()
    data = kp.data.load("rt-polarity")
    rows = slice(0, asked.test_rows)
    data = dataclasses.replace(data, test=kp.data.Part(data.test.x[rows], data.test.y[rows]))
    found = kp.backbones.texts(asked.backbone, asked.length)
    frozen = kp.Features(found.encoder, preprocess=found.preprocess)
    arms = {
        "TF-IDF": kp.arms.texts(data, None)["TF-IDF"],
        "frozen": kp.arms.Arm(make_pipeline(frozen, Normalizer(), LogisticRegression(max_iter=2000)), "TF-IDF"),
        "contrastive": kp.arms.contrastive(found.encoder, preprocess=found.preprocess, against=("TF-IDF", "frozen")),
    }
    comparison = kp.compare(arms, data, labels_per_class=asked.labels, seeds=asked.draws)
    print(comparison.summary().to_string())
    print(comparison.verdict())
    table = comparison.table()
    print(table.groupby(["labels", "arm"], sort=False)["fit_seconds"].mean().round(1).to_string())


if __name__ == "__main__":
    main()
