"""One network file in a process of its own: `python -m kpretrain.tools.measure FILE ROWS.npz ANSWERS.npy`.

It prints latency and memory, and imports NumPy and the one engine that the network needs, so that the memory is theirs.
All engines get one thread, so that they can be compared and the slowest calls do not depend on free cores.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from ..session import peak_memory

LEAST, MOST, SECONDS = 20, 200, 1.0  # calls of each batch size, and when to stop


def opened(path):
    """Open a `.onnx`, `.tflite` or `.keras` file: the function takes {input: array (n, ...)}, returns array (n, ...).

    Raises
    ------
    ValueError
        For another kind of file.

    Examples
    --------
    >>> opened("network.txt")
    Traceback (most recent call last):
    ValueError: network.txt: a network is a .onnx, .tflite or .keras file.
    """
    kind = Path(path).suffix
    if kind == ".onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        names = [one.name for one in session.get_inputs()]
        return lambda rows: session.run(None, {name: pick(rows, name) for name in names})[0]
    if kind == ".tflite":
        from ai_edge_litert.interpreter import Interpreter

        run = Interpreter(path, num_threads=1).get_signature_runner()
        kinds = {name: one["dtype"] for name, one in run.get_input_details().items()}

        def predict(rows):  # it brings the inputs to the number of rows by itself
            (answer,) = run(**{name: pick(rows, name).astype(kind) for name, kind in kinds.items()}).values()
            return answer

        return predict
    if kind == ".keras":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        import keras
        import keras_hub  # noqa: F401  (so that its layers can be loaded)

        model = keras.models.load_model(path, compile=False)
        model.compile(jit_compile=False)
        alone = len(model.inputs) == 1
        return lambda rows: model.predict_on_batch(next(iter(rows.values())) if alone else rows)
    raise ValueError(f"{path}: a network is a .onnx, .tflite or .keras file.")


def pick(rows, name):
    """The array for an engine's input `name`, which may have something before or after the network's own name.

    Examples
    --------
    >>> pick({"ids": 1, "mask": 2}, "serving_default_mask:0"), pick({"x": 3}, "args_0")
    (2, 3)
    """
    if len(rows) == 1:
        return next(iter(rows.values()))
    return rows[max((own for own in rows if own in name), key=len)]


def timed(predict, rows):
    """Milliseconds of a call, p50 and p95: some calls are made first and not counted, since they prepare.

    Examples
    --------
    >>> half, most = timed(lambda rows: time.sleep(0.001), {})
    >>> 1 <= half <= most
    True
    """
    for _ in range(3):
        predict(rows)
    start, times = time.perf_counter(), []
    while len(times) < LEAST or (len(times) < MOST and time.perf_counter() - start < SECONDS):
        before = time.perf_counter()
        predict(rows)
        times.append(1000 * (time.perf_counter() - before))
    return np.percentile(times, [50, 95]).tolist()


def main(path, rows, answers):
    """Measure one file with the arrays of an `.npz`, save its answers to all rows, and print one line of JSON."""
    rows, predict, measured = dict(np.load(rows)), opened(path), {}
    for batch in (1, 32):
        some = {name: np.resize(array, (batch, *array.shape[1:])) for name, array in rows.items()}
        measured[f"p50_ms_{batch}"], measured[f"p95_ms_{batch}"] = timed(predict, some)
    peak = peak_memory()  # before the answers, whose number of rows is no property of the network
    measured["peak_mb"] = peak and 1000 * peak
    n = len(next(iter(rows.values())))
    parts = [predict({name: array[k : k + 32] for name, array in rows.items()}) for k in range(0, n, 32)]
    np.save(answers, np.concatenate([np.array(part) for part in parts]))
    print(json.dumps(measured))


if __name__ == "__main__":
    main(*sys.argv[1:])
