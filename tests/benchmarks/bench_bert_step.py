"""How fast BERT-base learns on this machine: training steps as a masked language model, on random tokens.

    KERAS_BACKEND=jax python tests/benchmarks/bench_bert_step.py
    KERAS_BACKEND=jax python tests/benchmarks/bench_bert_step.py --layers 2 --rows 8 --steps 2   # on a processor

One line of JSON for each length and each arithmetic: milliseconds for a step (the median of three runs of `--steps`),
tokens a second, FLOP a second, what a large matrix product reaches in the same arithmetic, and GiB at the most so far.
FLOP are counted, not measured: six for each weight that multiplies and each token, three times the two products of
attention, and the output layer for the hidden tokens alone. Chapter 16 shows what a GPU answered
(data/results/16_bert_on_a_gpu.jsonl).
"""

import argparse
import json
import platform
import statistics
import time

import keras
import keras_hub
import numpy as np

WIDTH, VOCABULARY, HIDDEN_SHARE = 768, 30_522, 0.15


def device():
    """The name of the device that trains, and its memory in use at the most so far, in GiB (None where unknown)."""
    if keras.backend.backend() == "jax":
        import jax

        first = jax.devices()[0]
        peak = (first.memory_stats() or {}).get("peak_bytes_in_use")
        return first.device_kind, peak and peak / 2**30
    if keras.backend.backend() == "torch":
        import torch

        if torch.cuda.is_available():
            return torch.cuda.get_device_name(0), torch.cuda.max_memory_allocated() / 2**30
    return platform.processor() or platform.machine(), None


def product(dtype, n, times=10):
    """FLOP a second of a chain of products of two n x n matrices."""
    draw = np.random.default_rng(0).normal(size=(n, n)) / np.sqrt(n)
    matrix = keras.ops.cast(keras.ops.convert_to_tensor(draw), dtype)
    seconds = []
    for _ in range(4):  # the first one also compiles
        start, x = time.perf_counter(), matrix
        for _ in range(times):
            x = keras.ops.matmul(x, matrix)
        keras.ops.convert_to_numpy(x[0, 0])  # wait for the end
        seconds.append(time.perf_counter() - start)
    return 2 * n**3 * times / min(seconds)


def flop_a_step(layers, rows, length, hidden):
    weights = layers * (4 * WIDTH**2 + 2 * WIDTH * 4 * WIDTH)
    output = WIDTH**2 + WIDTH * VOCABULARY
    attention = 3 * layers * rows * 4 * length**2 * WIDTH
    return 6 * weights * rows * length + attention + 6 * output * rows * hidden


def measure(policy, layers, rows, length, steps):
    keras.utils.clear_session()
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(0)
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=VOCABULARY, num_layers=layers, num_heads=12, hidden_dim=WIDTH, intermediate_dim=4 * WIDTH,
        max_sequence_length=512,
    )  # fmt: skip
    task = keras_hub.models.BertMaskedLM(backbone, preprocessor=None)
    model = keras.Model(task.input, task.output)  # a task of keras_hub reads its rows by tf.data
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(1e-4), loss)
    random, hidden = np.random.default_rng(0), round(HIDDEN_SHARE * length)
    n = rows * steps
    x = {
        "token_ids": random.integers(1, VOCABULARY, (n, length), dtype="int32"),
        "segment_ids": np.zeros((n, length), "int32"),
        "padding_mask": np.ones((n, length), "int32"),
        "mask_positions": np.sort(random.permuted(np.tile(np.arange(length), (n, 1)), axis=1)[:, :hidden]).astype(
            "int32"
        ),
    }
    y = random.integers(1, VOCABULARY, (n, hidden), dtype="int32")
    seconds = []
    for _ in range(4):  # the first one also compiles
        start = time.perf_counter()
        history = model.fit(x, y, batch_size=rows, shuffle=False, verbose=0)
        seconds.append((time.perf_counter() - start) / steps)
    step = statistics.median(seconds[1:])
    speed = flop_a_step(layers, rows, length, hidden) / step
    return {
        "arithmetic": policy, "length": length, "rows": rows, "parameters": backbone.count_params(),
        "first_s": round(seconds[0] * steps, 1), "step_ms": round(1000 * step, 2),
        "tokens_per_s": round(rows * length / step), "flop_per_s": float(f"{speed:.4g}"),
        "loss": round(history.history["loss"][0], 3), "memory_gib": device()[1],
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--rows", type=int, nargs="+", default=[256, 64], help="a step's rows of 128 and of 512 tokens")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--arithmetic", nargs="+", default=["mixed_bfloat16", "float32"])
    parser.add_argument("--product", type=int, default=8192, help="rows and columns of the large product")
    arguments = parser.parse_args()
    name = keras.backend.backend()
    here = {"device": device()[0], "backend": f"{name} {__import__(name).__version__}", "keras": keras.__version__}
    for policy in arguments.arithmetic:
        large = product(keras.DTypePolicy(policy).compute_dtype, arguments.product)
        for length, rows in zip((128, 512), arguments.rows, strict=False):
            row = measure(policy, arguments.layers, rows, length, arguments.steps)
            print(json.dumps(here | row | {"product_flop_per_s": float(f"{large:.4g}")}), flush=True)


if __name__ == "__main__":
    main()
