"""Seconds and accuracy of a head on cached features, beside training it through the frozen encoder.

    python tests/benchmarks/bench_cached_features.py --rows 50000 --epochs 10

Both train the same Dense head with the same optimizer, batches and epochs on the same rows, and both start from
nothing compiled. "through the encoder" is the usual way: `encoder.trainable = False` and `encoder(x, training=False)`
in the model, so each epoch runs all rows through it. "cached features" computes them once with `kpretrain.Features`,
which counts, and trains on them; "cache warm" is the same a second time, with the features on disk. The encoder was
trained for an epoch on as many rows, off the clock (where there are enough, on others). The rows are MNIST, or
scikit-learn's digits, repeated, where it is not on this machine. CPU seconds are the ones to read where other programs
run at the same time.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import keras
import numpy as np
from sklearn.linear_model import LogisticRegression

from kpretrain import data, transfer


def make_encoder():
    """A CNN: (batch, 28, 28, 1) -> (batch, 128)."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(32, 5, strides=2, padding="same", activation="relu"),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.Conv2D(128, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
        ]
    )


def train(body, x, y, epochs, rate=0.01):
    """Train a Dense head on `body`, a model or None: the features themselves. Returns the model."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input(x.shape[1:])
    features = inputs if body is None else body(inputs) if body.trainable else body(inputs, training=False)
    model = keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(features))
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", steps_per_execution=10)
    model.fit(x, y, batch_size=256, epochs=epochs, verbose=0)
    return model


def accuracy(model, x, y):
    """Share of rows for which the model names the right class."""
    return (model.predict(x, batch_size=1000, verbose=0).argmax(axis=1) == y).mean()


def main():
    """Print one line for each way, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    dataset = data.load("mnist")
    order = np.random.default_rng(0).permutation(max(2 * options.rows, len(dataset.train.y)))
    x, y = (part[order[: options.rows] % len(part)] for part in dataset.train)
    test = dataset.test
    encoder = transfer.fresh(make_encoder(), 0)
    train(encoder, *(part[order[options.rows : 2 * options.rows] % len(part)] for part in dataset.train), 1, 0.001)
    encoder.trainable = False

    rows = []

    def clock():
        return np.array([time.perf_counter(), time.process_time()])

    with tempfile.TemporaryDirectory() as folder:
        os.environ["KPRETRAIN_CACHE"] = folder
        for name in ("cached features", "cache warm"):
            start = clock()
            features = transfer.Features(encoder).fit(x)
            extracted = features.transform(x)
            middle = clock()
            head = train(None, extracted, y, options.epochs)
            end = clock()
            rows.append((name, middle - start, end - middle, accuracy(head, features.transform(test.x), test.y)))
        start = clock()
        probe = LogisticRegression(max_iter=1000).fit(extracted, y)
        score = probe.score(features.transform(test.x), test.y)
        rows.append(("  its scikit-learn head", np.zeros(2), clock() - start, score))
        del extracted
    start = clock()
    whole = train(encoder, x, y, options.epochs)
    rows.append(("through the encoder", np.zeros(2), clock() - start, accuracy(whole, test.x, test.y)))

    print(f"{len(x):,} rows, {options.epochs} epochs; {os.cpu_count()} CPUs, keras on {keras.backend.backend()}")
    print(f"{'way':<24}{'extract s':>11}{'train s':>9}{'total s':>9}{'CPU s':>8}{'accuracy':>10}")
    totals = {}
    for name, extract, training, score in rows:
        wall, cpu = totals[name] = extract + training
        print(f"{name:<24}{extract[0]:>11.2f}{training[0]:>9.2f}{wall:>9.2f}{cpu:>8.2f}{score:>10.4f}")
    for name in ("cached features", "cache warm"):
        wall, cpu = totals["through the encoder"] / totals[name]
        print(f"{name}: {wall:.1f} times as fast as through the encoder, {cpu:.1f} times by CPU seconds")


if __name__ == "__main__":
    main()
