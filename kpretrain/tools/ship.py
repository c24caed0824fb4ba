"""`python -m kpretrain ship MODEL`: a .keras file becomes a folder that runs without Keras, with a ledger of its costs.

measure.py measures each file in a process of its own, and serve.py is the service that is copied into the folder.
"""

import contextlib
import gzip
import json
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from ..session import quiet
from ..words import as_markdown
from . import measure as measuring
from . import rows as given
from .doctor import must_write

LIMIT = 300  # seconds for measuring one file
FLAGS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8", "asimddp", "i8mm")  # that int8 is fast with
COLUMNS = {
    "file": "{}", "bytes": "{:,}", "gzip": "{:,}", "p50_ms_1": "{:.2f}", "p95_ms_1": "{:.2f}", "p50_ms_32": "{:.2f}",
    "p95_ms_32": "{:.2f}", "peak_mb": "{:.0f}", "agreement": "{:.2f} %", "lost": "{:+.2f}", "remark": "{}",
}  # fmt: skip

USE_ONNX = '''"""Use the network without Keras: python use_onnx.py FILE, a {kind}."""
import sys

import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession("model.onnx")
(name, shape), file = [(one.name, one.shape[1:]) for one in session.get_inputs()][0], sys.argv[1]
{rows}
scores = session.run(None, rows)[0]
if scores.min() < 0 or abs(scores[0].sum() - 1) > 1e-3:  # logits
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
for row in scores:
    print("class", row.argmax(), f"{{row.max():.0%}} sure")
'''
ROWS = {
    "picture": """image = Image.open(file).convert("L" if shape[2] == 1 else "RGB").resize((shape[1], shape[0]))
rows = {name: np.asarray(image, "float32").reshape(1, *shape)}""",
    "table of rows (.npy)": "rows = {name: np.load(file)}",
    "dict of tables (.npz)": "rows = dict(np.load(file))",
}


def size(path):
    """Bytes of a file, or of all files in a folder: the size of a folder itself is not that of what is in it.

    Raises
    ------
    ValueError
        If it is 0: nothing was written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a").write_bytes(b"12345")
    ...     size(folder)
    5
    """
    path = Path(path)
    total = sum(one.stat().st_size for one in (path, *path.rglob("*")) if one.is_file())
    if not total:
        raise ValueError(f"{path} has 0 bytes: nothing was written.")
    return total


def zipped(path):
    """Bytes of a file when it is compressed with gzip.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "zeros").write_bytes(bytes(10_000))
    ...     zipped(Path(folder) / "zeros") < 100
    True
    """
    return len(gzip.compress(Path(path).read_bytes(), 6))


def cpu():
    """The processor in one line: its kind, and which of the instructions it has that make int8 fast.

    Examples
    --------
    >>> cpu()  # doctest: +ELLIPSIS
    '...'
    """
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return f"{platform.machine()} ({platform.system()}); its instructions for int8 are not known here"
    words = set(info.read_text(encoding="utf8", errors="replace").split())
    have, lack = ([flag for flag in FLAGS[:4] if (flag in words) is wanted] for wanted in (True, False))
    have += [flag for flag in FLAGS[4:] if flag in words]
    return f"{platform.machine()}; has {', '.join(have) or 'none'}; lacks {', '.join(lack) or 'none'} (for int8)"


def measure(path, inputs):
    """Measure a network file in a process of its own.

    Parameters
    ----------
    path : path
        A .onnx, .tflite or .keras file.
    inputs : dict of str to array (n, ...)
        The rows, by the names of the model's inputs. The first 1 and 32 are timed, and all of them answered.

    Returns
    -------
    (dict, array)
        p50_ms_1, p95_ms_1, p50_ms_32, p95_ms_32 (milliseconds of a call with 1 and 32 rows), peak_mb (10^6 bytes);
        and the answers (n, ...).

    Raises
    ------
    ValueError
        If the process fails, with the last line that it wrote, or takes longer than `LIMIT` seconds.

    Examples
    --------
    >>> measure("network.txt", {"x": np.zeros((2, 3))})
    Traceback (most recent call last):
    ValueError: network.txt could not be measured: ValueError: network.txt: a network is a .onnx, .tflite or ...
    """
    with tempfile.TemporaryDirectory() as folder:
        rows, answers = Path(folder) / "rows.npz", Path(folder) / "answers.npy"
        np.savez(rows, **inputs)
        command = [sys.executable, "-m", measuring.__name__, str(path), str(rows), str(answers)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}  # as here, wherever kpretrain was found
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False)
        except subprocess.TimeoutExpired as error:
            raise ValueError(f"{path} could not be measured within {LIMIT} s.") from error
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise ValueError(f"{path} could not be measured: {last}")
        return json.loads(done.stdout.strip().splitlines()[-1]), np.load(answers)


@contextlib.contextmanager
def silent():
    """Hold back what converters write by way of warnings, logging and file descriptor 2.

    Examples
    --------
    >>> with silent():
    ...     warnings.warn("a line that nobody sees")
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with quiet(), warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)


def to_onnx(model, path):
    """Write a keras.Model as an ONNX file. One that was loaded and not called yet is called first, as Keras wants."""
    one = {i.name: np.zeros((1, *(n or 1 for n in i.shape[1:])), i.dtype) for i in model.inputs}
    model(one if len(one) > 1 else next(iter(one.values())))
    with silent():
        model.export(str(path), format="onnx", verbose=False)


def to_litert(model, path, calibrate=None):
    """Write a keras.Model as a LiteRT file; with rows (n, ...) for calibration its weights and activations are int8."""
    import tensorflow as tf

    options = {}
    if calibrate is not None:
        samples = [row[None].astype(model.inputs[0].dtype) for row in calibrate]
        options = {
            "optimizations": [tf.lite.Optimize.DEFAULT],
            "representative_dataset": lambda: ([x] for x in samples),
        }
    with silent():
        model.export(str(path), format="litert", verbose=False, **options)


def to_int8(source, path, calibrate=None, operations=("Conv", "Gather", "Gemm", "MatMul")):
    """Quantise an ONNX file: with rows for calibration weights and activations, else the weights of dense layers alone.

    Parameters
    ----------
    source, path : path
        The float file, and the one that is written.
    calibrate : dict of str to array (n, ...), optional
        Rows of the training part, by input.
    operations : sequence of str, optional
        Which ONNX operations are quantised after a calibration; None is all that ONNX Runtime knows. Attention then
        breaks: to hide padding it adds -2e38 to its scores, and one scale for that range makes all others zero.

    Raises
    ------
    ValueError
        If nothing was quantised.
    """
    import onnx
    import onnxruntime
    from onnxruntime import quantization

    names = [one.name for one in onnxruntime.InferenceSession(str(source)).get_inputs()]

    class Rows(quantization.CalibrationDataReader):
        """Batches of 32 rows, by the file's own names of its inputs."""

        def __init__(self):
            n = len(next(iter(calibrate.values())))
            cuts = [slice(k, k + 32) for k in range(0, n, 32)]
            self.left = ({name: measuring.pick(calibrate, name)[cut] for name in names} for cut in cuts)

        def get_next(self):
            return next(self.left, None)

    with silent():  # it recommends a step for networks that are not exported for inference
        if calibrate is None:
            quantization.quantize_dynamic(str(source), str(path), op_types_to_quantize=["MatMul", "Gemm"])
        else:
            only = None if operations is None else list(operations)
            quantization.quantize_static(str(source), str(path), Rows(), per_channel=True, op_types_to_quantize=only)
    if not any("QuantizeLinear" in node.op_type for node in onnx.load(str(path)).graph.node):
        raise ValueError(f"{path}: nothing was quantised.")


def ship(model, out="shipped", calibrate=None, rows=None):
    """Write a folder that runs without Keras, and the ledger of what each form of the network costs.

    Parameters
    ----------
    model : path
        A .keras file of a classifier: inputs (n, ...), one output (n, classes).
    out : path
        The folder: model.keras (without the state of an optimiser), model.onnx, model.int8.onnx, model.tflite,
        model.int8.tflite, ledger.json, ledger.md, serve.py, Dockerfile, use_onnx.py.
    calibrate : path, optional
        Rows of the *training* part, for int8: a folder of pictures, a .npy, or a .npz by the names of the inputs.
        Without, ONNX gets the weights of dense layers in int8 alone, and LiteRT no int8.
    rows : path, optional
        Rows on which the forms are compared with the original, in the same kinds of file; a .npz may hold their
        labels `y`. Without, random ones, and a line says so.

    Returns
    -------
    list of dict
        The ledger, a row for each form; a form that cannot be made has a remark that says why.

    Raises
    ------
    ValueError
        If the file is no classifier that can be loaded, or rows do not fit it.
    OSError
        If the folder cannot be written.

    Examples
    --------
    >>> ship("network.h5")
    Traceback (most recent call last):
    ValueError: network.h5: there is no such .keras file.
    """
    out = Path(out)
    must_write("--out", out)
    network = _loaded(Path(model))
    calibration = None if calibrate is None else given.read(network, calibrate)[0]
    inputs, labels = (given.random(network), None) if rows is None else given.read(network, rows)
    if rows is None:
        print("No --rows: agreement is on random rows, which says little about real ones.")
    if calibrate is None:
        print("No --calibrate: int8 for the weights of dense layers alone.")
    out.mkdir(parents=True, exist_ok=True)
    one = None if calibration is None or len(network.inputs) > 1 else next(iter(calibration.values()))
    forms = {
        "model.keras": lambda path: network.save(path),
        "model.onnx": lambda path: to_onnx(network, path),
        "model.int8.onnx": lambda path: to_int8(out / "model.onnx", path, calibration),
        "model.tflite": lambda path: to_litert(network, path),
    } | ({} if one is None else {"model.int8.tflite": lambda path: to_litert(network, path, one)})
    ledger, first = [], None
    for file, make in forms.items():
        try:
            make(out / file)
            row, answers = measure(out / file, inputs)
        except Exception as error:  # each library has errors of its own; the original must work
            if first is None:
                raise
            ledger.append({"file": file, "remark": f"cannot be made: {str(error).strip().splitlines()[0][:100]}"})
            continue
        first = answers if first is None else first
        row |= {"file": file, "bytes": size(out / file), "gzip": zipped(out / file)}
        row["agreement"] = 100 * np.mean(answers.argmax(axis=1) == first.argmax(axis=1))
        if labels is not None:
            hits = [np.mean(some.argmax(axis=1) == labels) for some in (first, answers)]
            row["lost"] = 100 * (hits[0] - hits[1])
        whole = next((old for old in ledger if old["file"] == file.replace(".int8", "") != file), None)
        times = {n: row[f"p50_ms_{n}"] / whole[f"p50_ms_{n}"] for n in (1, 32)} if whole else {}
        slower = [f"{ratio:.2f} times the time at batch {n}" for n, ratio in times.items() if ratio > 1]
        row["remark"] = f"slower than {whole['file']}: {', '.join(slower)}" if slower else ""
        ledger.append(row)
    _write(network, out, ledger)
    print(f"{table(ledger)}\n{cpu()}; one thread. All of it lies in {out}.")
    return ledger


def table(ledger):
    """The ledger as a Markdown table: what was not measured is left out.

    Examples
    --------
    >>> print(table([{"file": "a.onnx", "bytes": 1200, "p50_ms_1": 0.5}]))
    | file | bytes | p50_ms_1 |
    | --- | --- | --- |
    | a.onnx | 1,200 | 0.50 |
    """
    rows = [
        {name: form.format(row[name]) for name, form in COLUMNS.items() if row.get(name) not in (None, "")}
        for row in ledger
    ]
    return as_markdown(pd.DataFrame(rows, columns=list(COLUMNS)).dropna(axis="columns", how="all").fillna(""))


def _loaded(path):
    if path.suffix != ".keras" or not path.is_file():
        raise ValueError(f"{path}: there is no such .keras file.")
    with quiet():
        import keras
        import keras_hub  # noqa: F401  (so that its layers can be loaded)

        from .. import models  # noqa: F401  (and the course's own)

    try:
        network = keras.models.load_model(path, compile=False)
    except Exception as error:  # zipfile's, h5py's and Keras's own
        raise ValueError(f"{path} cannot be loaded: {str(error).strip().splitlines()[0]}") from error
    shapes = [tuple(one.shape) for one in getattr(network, "outputs", None) or []]
    if len(shapes) != 1 or len(shapes[0]) != 2 or (shapes[0][1] or 0) < 2:
        raise ValueError(
            f"{path} is no classifier: it should give (n, classes), and gives {shapes or 'no one output'}."
        )
    return network


def _write(network, out, ledger):
    facts = {"machine": cpu(), "python": platform.python_version(), "threads": 1, "ledger": ledger}
    (out / "ledger.json").write_text(json.dumps(facts, indent=1, default=float), encoding="utf8")
    (out / "ledger.md").write_text(f"{table(ledger)}\n\n{facts['machine']}; one thread\n", encoding="utf8")
    several, shape = len(network.inputs) > 1, network.inputs[0].shape[1:]
    kind = list(ROWS)[2 if several else 0 if len(shape) == 3 and shape[2] in (1, 3) else 1]
    (out / "use_onnx.py").write_text(USE_ONNX.format(kind=kind, rows=ROWS[kind]), encoding="utf8")
    for name in ("serve.py", "Dockerfile"):
        shutil.copy(Path(__file__).with_name(name), out / name)
