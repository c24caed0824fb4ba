"""Tokens per second of BERT's masking, beside keras_hub's and Hugging Face's, and what it costs a training.

    python tests/benchmarks/bench_masking.py --repeats 7

All mask the same batch of 256 rows of 128 tokens at a rate of 15 %, and make the model's inputs of it: ours with
`text.mask` and `text.masked_inputs`, keras_hub's `MaskedLMMaskGenerator` in a parallel map of a `tf.data` pipeline that
holds the batch, and transformers' `DataCollatorForLanguageModeling`, told which tokens are special. The last is left
out where transformers is not installed. The three take turns, and the best turn of each counts.

Then a small BERT is trained by `text.MaskedRows`, which masks anew in each epoch, and on the same batches masked
beforehand, in turns too: the ratio tells what masking anew costs.
"""

import argparse
import importlib.metadata
import importlib.util
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import keras
import keras_hub
import numpy as np
import tensorflow as tf

from kpretrain import text

V, RATE = 8000, 0.15


def make_rows(n, t=128, seed=0):
    """Return rows of random ordinary tokens between [CLS] and [SEP]: int32 (n, t)."""
    rows = np.random.default_rng(seed).integers(len(text.SPECIAL), V, (n, t), dtype="int32")
    rows[:, 0], rows[:, -1] = text.CLS, text.SEP
    return rows


def ours(rows):
    """Return a function that masks `rows` so many times."""
    random = np.random.default_rng(0)

    def run(times):
        for _ in range(times):
            text.masked_inputs(text.mask(rows, V, RATE, random=random))

    return run


def of_keras_hub(rows):
    """The same with keras_hub's layer in a tf.data pipeline, which is traced off the clock."""
    generator = keras_hub.layers.MaskedLMMaskGenerator(
        vocabulary_size=V,
        mask_selection_rate=RATE,
        mask_token_id=text.MASK,
        mask_selection_length=round(RATE * (rows.shape[1] - 2)),
        unselectable_token_ids=list(range(len(text.SPECIAL))),
    )

    def inputs(tokens):
        masked = generator(tokens)
        real = tf.cast(tokens != text.PAD, "int32")
        made = {"token_ids": masked["token_ids"], "mask_positions": masked["mask_positions"], "padding_mask": real}
        return made | {"segment_ids": tf.zeros_like(tokens)}, masked["mask_ids"], masked["mask_weights"]

    batches = tf.data.Dataset.from_tensors(rows).repeat().map(inputs, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    def run(times):
        for _ in batches.take(times):  # a new one each turn: a pipeline that goes on fills its buffer off the clock
            pass

    return run


def of_hugging_face(rows):
    """The same with transformers' collator, on torch where it is installed, else on NumPy."""
    import transformers

    words = [*text.SPECIAL, *(f"word{number}" for number in range(V - len(text.SPECIAL)))]
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=text.fast_tokenizer(words),
        **{f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")},
    )
    kind = "pt" if importlib.util.find_spec("torch") else "np"
    collate = transformers.DataCollatorForLanguageModeling(tokenizer, mlm_probability=RATE, return_tensors=kind)
    examples = [{"input_ids": row, "special_tokens_mask": (row < len(text.SPECIAL)).astype(int)} for row in rows]

    def run(times):
        for _ in range(times):
            collate([dict(example) for example in examples])

    return run


def in_turns(ways, repeats, times):
    """Best seconds of each way for one time, of `repeats` turns; each has warmed up before."""
    for run in ways.values():
        run(3)
    best = dict.fromkeys(ways, np.inf)
    for _ in range(repeats):
        for name, run in ways.items():
            start = time.perf_counter()
            run(times)
            best[name] = min(best[name], (time.perf_counter() - start) / times)
    return best


class Stored(keras.utils.PyDataset):
    """The batches of another dataset, made beforehand."""

    def __init__(self, batches):
        super().__init__()
        self.batches = [batches[index] for index in range(len(batches))]

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


def training(steps, batch_size=64):
    """Return the two ways to train one small BERT for so many batches."""
    backbone = keras_hub.models.BertBackbone(V, 2, 2, 128, 512, max_sequence_length=128)
    backbone.get_layer("pooled_dense").trainable = False  # masked tokens do not train it
    task = keras_hub.models.BertMaskedLM(backbone, None)
    model = keras.Model(task.input, task.output)
    model.compile(keras.optimizers.AdamW(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    anew = text.MaskedRows(make_rows(40_000), V, batch_size=batch_size, rate=RATE, steps=steps)
    ways = {"masked anew": anew, "masked beforehand": Stored(anew)}
    return {
        name: lambda times, batches=batches: model.fit(batches, epochs=times, shuffle=False, verbose=0)
        for name, batches in ways.items()
    }


def main():
    """Print one line for each way, and the ratios to ours."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--times", type=int, default=100, help="batches masked in a turn")
    parser.add_argument("--steps", type=int, default=30, help="batches trained in a turn")
    parser.add_argument("--no-training", action="store_true", help="leave the training out")
    options = parser.parse_args()
    rows = make_rows(256)
    ways = {"text.mask": ours(rows), "MaskedLMMaskGenerator": of_keras_hub(rows)}
    if importlib.util.find_spec("transformers"):
        ways["DataCollatorForLanguageModeling"] = of_hugging_face(rows)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"{rows.shape[0]} rows x {rows.shape[1]} tokens, {options.repeats} turns, the best counts; {cores} CPU(s)")
    print(f"{'way':<34}{'M tokens/s':>11}{'ms/batch':>10}{'ours is faster by':>19}")
    best = in_turns(ways, options.repeats, options.times)
    for name, seconds in best.items():
        ratio = seconds / best["text.mask"]
        print(f"{name:<34}{rows.size / seconds / 1e6:>11.1f}{1e3 * seconds:>10.2f}{ratio:>19.1f}", flush=True)
    if "DataCollatorForLanguageModeling" in best:
        torch = "torch" if importlib.util.find_spec("torch") else "NumPy: torch is not installed"
        print(f"transformers {importlib.metadata.version('transformers')}, on {torch}")
    else:
        print("DataCollatorForLanguageModeling: skipped, transformers is not installed")
    if options.no_training:
        return
    best = in_turns(training(options.steps), options.repeats, 1)
    print(f"\n{'training, 64 rows a batch':<34}{'k tokens/s':>11}{'ms/batch':>10}")
    for name, seconds in best.items():
        each = seconds / options.steps
        print(f"{name:<34}{64 * 128 / each / 1e3:>11.1f}{1e3 * each:>10.1f}")
    print(
        f"masked anew runs at {best['masked beforehand'] / best['masked anew']:.1%} of the speed of masked beforehand"
    )


if __name__ == "__main__":
    main()
