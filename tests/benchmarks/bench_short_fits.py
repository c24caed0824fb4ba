"""What `session.reuse_memory` and `session.spare_the_tuner` save: fits of convolutions on 64x64 pixels, in pairs.

    python tests/benchmarks/bench_short_fits.py

Each time is of a process of its own: 10 updates of 32 images, after a first fit that compiles. The ways take turns,
three times, and a ratio is the median of three pairs.
"""

import os
import subprocess
import sys

CODE = """if True:
    import sys, time
    from kpretrain import session
    if "memory" in sys.argv:
        session.reuse_memory()
    import keras, numpy as np
    if "tuner" in sys.argv:
        session.spare_the_tuner()
    x, y = np.random.default_rng(0).random((320, 64, 64, 3), "float32"), np.arange(320) % 10
    block = [keras.layers.Conv2D(64, 3, padding="same"), keras.layers.BatchNormalization(), keras.layers.ReLU()]
    more = [type(layer).from_config(layer.get_config() | {"name": None}) for layer in block]
    ends = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10)]
    network = keras.Sequential([keras.Input((64, 64, 3)), *block, *more, *ends])
    network.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    network.fit(x[:64], y[:64], batch_size=32, verbose=0)
    start = time.perf_counter()
    network.fit(x, y, batch_size=32, verbose=0)
    print(time.perf_counter() - start)
"""


def seconds(*switches):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    command = [sys.executable, "-c", CODE, *switches]
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def main():
    ways = {"neither": (), "memory": ("memory",), "tuner": ("tuner",), "both": ("memory", "tuner")}
    runs = [{name: seconds(*switches) for name, switches in ways.items()} for _ in range(3)]
    for name in ways:
        times = sorted(run[name] for run in runs)
        ratio = sorted(run["neither"] / run[name] for run in runs)[1]
        print(
            f"{name:8} {', '.join(f'{one:.1f}' for one in times)} s; {ratio:.2f} times as fast (median of three pairs)"
        )


if __name__ == "__main__":
    main()
