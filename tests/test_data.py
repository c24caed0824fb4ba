"""Data: found in the stated order, checked before use, split without a leak, and nothing lost in silence."""

import contextlib
import hashlib
import http.server
import importlib.metadata
import io
import os
import random
import re
import subprocess
import sys
import threading
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kpretrain import data

PARTS = ("train", "validation", "test")


def sizes(dataset):
    return tuple(len(getattr(dataset, part).y) for part in PARTS)


def all_rows(dataset):
    return [row for part in PARTS for row in getattr(dataset, part).x]


def part_of(dataset, row):
    return {part for part in PARTS if row in set(getattr(dataset, part).x)}


def test_every_nth_row_of_each_part_keeps_its_label():
    rows = data.Part(np.arange(10)[:, None], np.arange(10) % 3)
    whole = data.Dataset("some", rows, rows, data.Part(rows.x[:4], rows.y[:4]), ["a", "b", "c"], "here")
    thin = whole.every(3)
    assert sizes(thin) == (4, 4, 2) and sizes(whole.every(1)) == sizes(whole) == (10, 10, 4)
    assert thin.train.x[:, 0].tolist() == [0, 3, 6, 9] and thin.train.y.tolist() == [0, 0, 0, 0]
    assert thin.name == "some" and thin.class_names == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test": [0, 1, 2]}, "own: the class 'wasp' has 0 training rows, and test has some"),
        ({"validation": [2]}, "own: the class 'wasp' has 0 training rows, and validation has some"),
        ({"validation": [0, 3]}, "own: validation has class 3 in y, but class_names has 3 names"),
        ({"train": [0, -1, 1]}, "own: train has class -1 in y"),
        ({"test": [0]}, "own: test has 3 rows in x and 1 in y"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused_by_name(change, message):
    parts = {part: np.array(change.get(part, [0, 1, 1])) for part in PARTS}
    parts = {part: data.Part(np.zeros(3 if "3 rows" in message else len(y)), y) for part, y in parts.items()}
    with pytest.raises(data.DataError, match=message):
        data.Dataset("own", **parts, class_names=["ant", "bee", "wasp"], source="here")


# ------------------------------------------------------------------------------------------------ MNIST


def mnist_arrays(n=400, seed=0):
    """A small set in MNIST's form: no two images alike."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for part, rows in (("train", n), ("test", n // 2)):
        arrays[f"x_{part}"] = rng.integers(0, 256, (rows, 28, 28), dtype="uint8")
        arrays[f"y_{part}"] = (np.arange(rows) % 10).astype("uint8")
    return arrays


def write_mnist(folder, **arrays):
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "mnist.npz", **(arrays or mnist_arrays()))
    return folder / "mnist.npz"


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A machine on which no MNIST lies; the network is allowed, and refuses every connection."""
    monkeypatch.delenv("KPRETRAIN_DATA", raising=False)
    monkeypatch.setattr(data, "_REPOSITORY_DATA", tmp_path / "repository")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("KPRETRAIN_OFFLINE", "0")
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(data, "_MNIST_URL", "http://127.0.0.1:9/mnist.npz")
    return tmp_path


def test_mnist_is_looked_for_in_order(nowhere, monkeypatch, capsys):
    places = {
        "$KPRETRAIN_DATA": nowhere / "mine",
        "the repository's data": nowhere / "repository",
        "Keras's cache": nowhere / "keras" / "datasets",
    }
    files = {words: write_mnist(folder, **mnist_arrays(seed=k)) for k, (words, folder) in enumerate(places.items())}
    monkeypatch.setenv("KPRETRAIN_DATA", str(places["$KPRETRAIN_DATA"]))
    for words, file in files.items():
        dataset = data.load("mnist")
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
        assert dataset.source == f"{words}/mnist.npz (sha256 {digest})" == data.loaded()["mnist"]
        assert dataset.source in capsys.readouterr().out
        file.unlink()
    assert data.load("mnist").name == "digits"
    out = capsys.readouterr().out
    assert "download failed (ConnectionError)" in out
    assert "Using scikit-learn's 1,797 digits instead" in out and "scores are lower" in out


def test_a_data_folder_that_is_none_is_an_error(nowhere, monkeypatch):
    monkeypatch.setenv("KPRETRAIN_DATA", str(nowhere / "typo"))
    with pytest.raises(data.DataError, match=r"KPRETRAIN_DATA is .*typo.*Correct it"):
        data.load("mnist")


def test_an_unknown_dataset_names_those_there_are():
    with pytest.raises(ValueError, match=r"'imagenet'.*'digits'.*from_folder"):
        data.load("imagenet")


@pytest.fixture
def serve(nowhere, monkeypatch):
    """Serve a small mnist.npz in a given way; return the list of requests that came."""
    body, requests, over = write_mnist(nowhere / "server").read_bytes(), [], threading.Event()

    def start(way):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                requests.append(self.path)
                if way == "silent":
                    over.wait(20)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if way == "truncated" else body)

            def log_message(self, *_):
                pass

        server.RequestHandlerClass = Handler
        sha256 = "0" * 64 if way == "wrong" else hashlib.sha256(body).hexdigest()
        monkeypatch.setattr(data, "_MNIST_SHA256", sha256)
        return requests

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), None)
    server.daemon_threads = True
    monkeypatch.setattr(data, "_MNIST_URL", f"http://127.0.0.1:{server.server_port}/mnist.npz")
    monkeypatch.setattr(data, "_TIMEOUT", 0.5)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield start
    over.set()
    server.shutdown()
    server.server_close()


def test_mnist_is_downloaded_once(serve, nowhere):
    requests = serve("whole")
    assert data.load("mnist").source.startswith("Keras's cache/mnist.npz")
    assert [path.name for path in (nowhere / "keras/datasets").iterdir()] == ["mnist.npz"]
    assert data.load("mnist").name == "mnist"
    assert requests == ["/mnist.npz"]


@pytest.mark.parametrize(
    ("way", "line"), [("wrong", "wrong sha256"), ("truncated", "download failed"), ("silent", "download failed (")]
)
def test_a_bad_download_leaves_nothing_behind(serve, nowhere, capsys, way, line):
    requests, start = serve(way), time.perf_counter()
    assert data.load("mnist").name == "digits"
    out = capsys.readouterr().out
    assert requests and line in out and "digits instead" in out
    assert not [path for path in (nowhere / "keras").rglob("*") if path.is_file()]
    assert time.perf_counter() - start < 10


def test_offline_asks_no_server(serve, monkeypatch, capsys):
    requests = serve("whole")
    monkeypatch.setenv("KPRETRAIN_OFFLINE", "1")
    assert data.load("mnist").name == "digits"
    assert requests == [] and "KPRETRAIN_OFFLINE=1 forbids the network" in capsys.readouterr().out


def test_a_cache_that_cannot_be_written_falls_back(serve, nowhere, capsys):
    serve("whole")
    (nowhere / "keras").write_text("a file where the folder should be")
    assert data.load("mnist").name == "digits"
    assert "download failed" in capsys.readouterr().out


class Bomb:
    """Unpickling it would write a file."""

    def __reduce__(self):
        return os.mkdir, ("unpickled",)


def without(key):
    arrays = mnist_arrays()
    del arrays[key]
    return arrays


BAD_ARRAYS = {
    "missing key": (without("y_test"), "no array y_test; it holds"),
    "flat rows": (
        mnist_arrays() | {"x_train": np.zeros((400, 784), "uint8")},
        r"x_train is uint8 \(400, 784\), wanted",
    ),
    "other size": (mnist_arrays() | {"x_test": np.zeros((200, 32, 32), "uint8")}, r"x_test is uint8 \(200, 32, 32\)"),
    "floats": (mnist_arrays() | {"x_train": np.zeros((400, 28, 28))}, "x_train is float64"),
    "float labels": (mnist_arrays() | {"y_train": np.arange(400) % 10 / 1.0}, "y_train is float64"),
    "too few labels": (mnist_arrays() | {"y_test": np.arange(199) % 10}, "wanted 200 integers"),
    "label 10": (mnist_arrays() | {"y_train": np.arange(400) % 11}, "each digit from 0 to 9"),
    "a digit missing": (mnist_arrays() | {"y_train": np.arange(400) % 9}, "each digit from 0 to 9"),
    "too small": (mnist_arrays(100), "at least 12 times"),
    "pickled": (mnist_arrays() | {"x_train": np.array([Bomb()], object)}, "not a readable mnist.npz"),
    "pickled beside": (mnist_arrays() | {"more": np.array([Bomb()], object)}, "not a readable mnist.npz"),
}


@pytest.mark.parametrize(("arrays", "message"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_bad_arrays_are_named_and_never_unpickled(nowhere, monkeypatch, arrays, message):
    monkeypatch.chdir(nowhere)
    file = write_mnist(nowhere / "repository", **arrays)
    with pytest.raises(data.DataError, match=message) as error:
        data.load("mnist")
    assert str(file) in str(error.value) and "Delete the file" in str(error.value)
    assert not (nowhere / "unpickled").exists()


def test_damaged_files_are_never_half_used(nowhere):
    whole, file = write_mnist(nowhere / "whole").read_bytes(), nowhere / "mnist.npz"
    right = data.read_mnist(nowhere / "whole" / "mnist.npz")
    chance = random.Random(0)
    bodies = [b"", b"not a zip", whole[:-1], whole[:1000], whole[len(whole) // 2 :]]
    for _ in range(60):
        place, length = chance.randrange(len(whole)), chance.choice([1, 8, 200])
        bodies.append(whole[:place] + chance.randbytes(length) + whole[place + length :])
    damaged = 0
    for body in bodies:
        file.write_bytes(body)
        try:  # a changed date in the zip's directory harms nothing
            assert all(np.array_equal(array, right[key]) for key, array in data.read_mnist(file).items())
        except data.DataError as error:
            damaged += 1
            assert "mnist.npz" in str(error) and "whole copy" in str(error)
    assert damaged > 55


def test_a_bare_array_is_no_mnist(tmp_path):
    with open(tmp_path / "mnist.npz", "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(data.DataError, match=r"not a readable mnist\.npz"):
        data.read_mnist(tmp_path / "mnist.npz")


def test_mnist_parts_are_raw_stratified_and_apart(nowhere, monkeypatch):
    arrays = mnist_arrays(1200)
    monkeypatch.setenv("KPRETRAIN_DATA", str(write_mnist(nowhere, **arrays).parent))
    dataset, same, other = data.load("mnist"), data.load("mnist"), data.load("mnist", seed=1)
    assert sizes(dataset) == (1100, 100, 600)
    assert set(np.bincount(dataset.validation.y)) == {10} and set(np.bincount(dataset.train.y)) == {110}
    for part in PARTS:
        x, y = getattr(dataset, part)
        assert x.dtype == np.uint8 and x.shape[1:] == (28, 28, 1) and y.dtype == np.int64
    assert len({row.tobytes() for row in all_rows(dataset)}) == 1800  # every image once: nothing lost, nothing shared
    pictures = {image.tobytes(): label for image, label in zip(arrays["x_train"], arrays["y_train"], strict=True)}
    assert all(pictures[x.tobytes()] == y for x, y in zip(*dataset.train, strict=True))
    assert np.array_equal(dataset.test.x[..., 0], arrays["x_test"])
    assert dataset.unlabelled is dataset.train.x
    assert np.array_equal(dataset.validation.x, same.validation.x)
    assert not np.array_equal(dataset.validation.x, other.validation.x)
    assert np.array_equal(dataset.test.x, other.test.x)


def test_digits(capsys):
    dataset = data.load("digits")
    assert sizes(dataset) == (1198, 240, 359)
    assert "digits: 1,198 train, 240 validation, 359 test rows in 10 classes" in capsys.readouterr().out
    x, y = dataset.train
    assert x.dtype == np.uint8 and x.shape[1:] == (28, 28, 1) and set(y) == set(range(10))
    assert x.min() == 0 and x.max() > 240
    assert not x[:, :4].any() and not x[:, :, :4].any() and x[:, 4:24, 4:24].any(axis=(1, 2, 3)).all()
    test = {row.tobytes() for row in dataset.test.x}
    assert not test & {row.tobytes() for part in ("train", "validation") for row in getattr(dataset, part).x}
    assert np.array_equal(dataset.test.x, data.load("digits", seed=3).test.x)


def test_real_mnist(real_data):
    arrays = data.read_mnist(real_data / "mnist.npz")
    assert len(arrays["x_train"]) == 60_000 and len(arrays["x_test"]) == 10_000
    assert arrays["y_train"][:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    dataset = data.load("mnist")
    assert sizes(dataset) == (55_000, 5_000, 10_000)
    assert dataset.name == "mnist" and "$KPRETRAIN_DATA" in dataset.source


# ------------------------------------------------------------------------------------------------ docstrings


@pytest.fixture(scope="module")
def corpus():
    start = time.perf_counter()
    return data.docstrings(), time.perf_counter() - start


def test_the_docstrings_of_the_installed_packages(corpus, record_property):
    table, seconds = corpus
    record_property("seconds", round(seconds, 1))
    assert table.columns.tolist() == ["library", "module", "name", "kind", "text", "cluster"]
    assert {"numpy", "pandas", "scikit-learn", "keras", "keras-hub", "tensorflow"} <= set(table["library"])
    assert len(table) > 30_000 and 0 < table["text"].isna().sum() < len(table) / 2
    row = table[(table["module"] == "numpy") & (table["kind"] == "module")].iloc[0]
    assert "NumPy" in row["text"] and row["name"] == ""
    assert (table["cluster"] == -1).equals(table["text"].isna())
    assert not table["module"].str.contains(r"\.tests\.").any()


def test_docstrings_are_read_from_the_cache(corpus, monkeypatch):
    monkeypatch.setattr(data, "_read_docstrings", None)
    pd.testing.assert_frame_equal(data.docstrings(), corpus[0])


def test_docstrings_split_lets_no_near_duplicate_cross(corpus, capsys):
    table = corpus[0].dropna(subset=["text"])
    cluster = dict(zip(table["text"], table["cluster"], strict=True))
    dataset, other = data.load("docstrings"), data.load("docstrings", seed=5)
    assert "duplicate of a test row" in capsys.readouterr().out
    train, validation, test = ({cluster[text] for text in getattr(dataset, part).x} for part in PARTS)
    assert not train & test and not validation & test and not train & validation
    assert sum(sizes(dataset)) + len(dataset.removed) == len(table)
    share = np.array(sizes(dataset)) / len(table)
    assert (np.abs(share - [0.75, 0.1, 0.1]) < 0.1).all()
    assert all(np.array_equal(getattr(dataset, part).x, getattr(other, part).x) for part in PARTS)
    by_text = table.groupby("text")["library"].agg(set)
    module = (table["library"] + table["module"])[~table["text"].duplicated(keep=False)]
    module = dict(zip(table["text"][module.index], module, strict=True))
    train, validation, test = ({module.get(text) for text in getattr(dataset, part).x} - {None} for part in PARTS)
    assert len(test) > 100 and not train & test and not validation & test and not train & validation
    assert all(dataset.class_names[y] in by_text[x] for x, y in zip(*dataset.test, strict=True))


def test_a_new_module_moves_no_other():
    before = [f"numpy/numpy.module_{number}" for number in range(2000)]
    after = sorted([*before, *(f"numpy/numpy.new_{number}" for number in range(100))])
    old = dict(zip(before, data.stable_part(pd.Series(before)), strict=True))
    new = dict(zip(after, data.stable_part(pd.Series(after)), strict=True))
    assert all(new[key] == part for key, part in old.items())
    assert {part: round(list(old.values()).count(part) / 2000, 1) for part in PARTS} == dict(
        zip(PARTS, (0.8, 0.1, 0.1), strict=True)
    )
    assert old["numpy/numpy.module_0"] == "train" and old["numpy/numpy.module_3"] == "test"  # on every machine


def test_the_cache_key_holds_the_versions(monkeypatch):
    packages = {"numpy": None, "pandas": None}
    keys = {data._corpus_key(packages), data._corpus_key({"numpy": None}), data._corpus_key({"not_installed": None})}
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0" if name == "pandas" else version(name))
    keys.add(data._corpus_key(packages))
    assert len(keys) == 4


@pytest.fixture
def small_corpus(tmp_path, monkeypatch):
    """A corpus of two rows in a cache of its own; returns the list of its builds."""
    built = []

    def build(packages):
        built.append(packages)
        return pd.DataFrame({"library": ["numpy", "keras"], "text": ["one", None]})

    monkeypatch.setenv("KPRETRAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(data, "_read_docstrings", build)
    monkeypatch.setattr(data, "_corpus_key", lambda packages: "key")
    return built


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_a_truncated_cache_is_built_again(small_corpus, tmp_path, capsys, keep):
    first = data.docstrings()
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(file.read_bytes()[:keep])
    again = data.docstrings()
    out = capsys.readouterr().out
    assert str(file) in out and "building it again" in out and len(small_corpus) == 2
    pd.testing.assert_frame_equal(first, again)
    data.docstrings()
    assert len(small_corpus) == 2 and capsys.readouterr().out == ""
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [file.name]


def test_a_cache_that_cannot_be_written_is_told(small_corpus, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KPRETRAIN_CACHE", str(tmp_path / "file" / "cache"))
    assert len(data.docstrings()) == 2
    out = capsys.readouterr().out
    assert str(tmp_path / "file") in out and "cannot be written" in out and "Set KPRETRAIN_CACHE" in out


def test_a_full_disk_leaves_no_half_file(small_corpus, tmp_path, monkeypatch, capsys):
    def half(table, path):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", half)
    assert len(data.docstrings()) == 2
    assert "No space left on device" in capsys.readouterr().out
    assert list((tmp_path / "cache").iterdir()) == []


FAKE = """
import sys
from kpretrain import data
data.LIBRARIES.clear()
data.LIBRARIES.update(fake_one="one", fake_two="two")
table = data.docstrings()
print(len(table), table["text"].notna().sum(), table["cluster"].nunique(), table["text"].isin(["Say ?."]).sum())
print(sorted({"fake_one", "fake_two", "keras", "tensorflow"} & set(sys.modules)))
"""


def test_two_processes_fill_the_cache_at_once_and_import_nothing(tmp_path):
    for name in ("fake_one", "fake_two"):
        (tmp_path / name / "tests").mkdir(parents=True)
        (tmp_path / name / "__init__.py").write_text(f'"""Package {name}."""\nopen({name!r} + "-imported", "w")\n')
        (tmp_path / name / "tests" / "test_it.py").write_text('"""Left out."""')
        (tmp_path / name / "broken.py").write_text("def (:\n")
        (tmp_path / name / "nul.py").write_bytes(b"\0")
        bodies = [f'def f{k}():\n    """Return the number {k} of the {name} package."""' for k in range(300)]
        (tmp_path / name / "many.py").write_text(
            "\n".join(["x = '\\d'", *bodies, "def bare(): ...", "def _bare(): ..."])
        )
        (tmp_path / name / "odd.py").write_text(
            'def f():\n    "Say \\ud800."\nclass C:\n    "A"\n    def m(self): "B"\n'
        )
    here = os.pathsep.join([str(tmp_path), str(Path(data.__file__).parents[1])])
    environment = os.environ | {"KPRETRAIN_CACHE": str(tmp_path / "cache"), "PYTHONPATH": here}
    command = [sys.executable, "-c", FAKE]
    run = {"env": environment, "cwd": tmp_path, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    both = [subprocess.Popen(command, **run) for _ in range(2)]
    outputs = [process.communicate(timeout=100) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    first, second = (out.splitlines() for out, _ in outputs)
    assert first == second
    # a package has one docstring of its own, 300 functions, the one without, and f, C, C.m with their empty module
    assert first[0].split()[:2] == [str(2 * (1 + 1 + 300 + 1 + 1 + 3)), str(2 * (1 + 300 + 3))]
    assert first[0].split()[3] == "2" and first[1] == "[]"
    assert not list(tmp_path.glob("*-imported"))
    (file,) = (tmp_path / "cache").iterdir()
    assert file.suffix == ".parquet" and len(pd.read_parquet(file)) == int(first[0].split()[0])


def test_warnings_about_other_peoples_code_stay_away(tmp_path, recwarn):
    (tmp_path / "old.py").write_text('"""A module."""\nx = "\\d"\n')
    warnings.simplefilter("always")
    assert data._parse_files([("one", "one/old.py", tmp_path / "old.py")]) == [
        ("one", "one.old", "", "module", "A module.")
    ]
    assert not recwarn.list


def test_no_package_installed_names_the_mend(monkeypatch):
    monkeypatch.setattr(data, "LIBRARIES", {"not_there": "x"})
    with pytest.raises(data.DataError, match=r"pip install -r requirements\.txt"):
        data.docstrings()


# ------------------------------------------------------------------------------------------------ image folders


def photo(path, seed, size=(16, 12), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], *([len(mode)] if len(mode) > 1 else []))
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype="uint8")
    Image.fromarray(pixels, mode if mode == "CMYK" else None).save(path, **options)
    return str(path)


def photos(folder, classes=("ants", "bees"), n=10):
    return [photo(folder / name / f"{k}.png", 100 * c + k) for c, name in enumerate(classes) for k in range(n)]


def image_files(folder):
    return {str(p) for p in folder.rglob("*") if p.suffix in data._IMAGE_ENDINGS and "/." not in p.as_posix()}


def accounted(dataset):
    files = [*all_rows(dataset), *dataset.removed["path"]]
    assert len(files) == len(set(files))
    return set(files)


def test_from_folder(tmp_path, capsys):
    paths = photos(tmp_path / "photos", n=20)
    dataset = data.from_folder(tmp_path / "photos")
    assert sizes(dataset) == (32, 4, 4) and dataset.class_names == ["ants", "bees"]
    assert "photos: 32 train, 4 validation, 4 test rows in 2 classes, from the folder photos" in capsys.readouterr().out
    assert sorted(all_rows(dataset)) == sorted(paths) and dataset.removed.empty
    assert all(
        Path(x).parent.name == dataset.class_names[y] for p in PARTS for x, y in zip(*getattr(dataset, p), strict=True)
    )
    assert all(
        np.bincount(getattr(dataset, part).y).tolist() == [n / 2] * 2 for part, n in zip(PARTS, (32, 4, 4), strict=True)
    )
    assert np.array_equal(dataset.test.x, data.from_folder(tmp_path / "photos").test.x)
    assert not np.array_equal(dataset.test.x, data.from_folder(tmp_path / "photos", seed=1).test.x)


def test_a_bad_folder_is_named(tmp_path):
    with pytest.raises(data.DataError, match=r"nowhere: no such folder.*subfolder"):
        data.from_folder(tmp_path / "nowhere")
    photo(tmp_path / "flat" / "a.png", 0)
    with pytest.raises(data.DataError, match="flat: no class folders"):
        data.from_folder(tmp_path / "flat")
    photos(tmp_path / "one", ["ants"])
    with pytest.raises(data.DataError, match=r"one: 1 of 1 classes have 3 or more.*two are needed"):
        data.from_folder(tmp_path / "one")
    photos(tmp_path / "empty")
    (tmp_path / "empty" / "wasps").mkdir()
    with pytest.raises(data.DataError, match="wasps: no images in this class folder"):
        data.from_folder(tmp_path / "empty")
    for name in ("a", "b", "c"):
        photo(tmp_path / "few" / name / "x.png", ord(name))
    with pytest.raises(data.DataError, match="few: 0 of 3 classes have 3 or more"):
        data.from_folder(tmp_path / "few")
    with pytest.raises(data.DataError, match=r"sizes=\[0\.5, 0\.5, 0\.5\]"):
        photos(tmp_path / "good")
        data.from_folder(tmp_path / "good", sizes=(0.5, 0.5, 0.5))


def test_files_left_out_are_listed_with_the_reason(tmp_path, capsys):
    photos(tmp_path)
    bad = {
        tmp_path / "ants" / "text.jpg": b"no image",
        tmp_path / "ants" / "nothing.png": b"",
        tmp_path / "bees" / "half.png": (tmp_path / "bees" / "0.png").read_bytes()[:300],
    }
    for path, body in bad.items():
        path.write_bytes(body)
    photo(tmp_path / "bees" / "dot.png", 1, size=(1, 1))
    photo(tmp_path / "loose.png", 2)
    photo(tmp_path / "wasps" / "rare.png", 3)
    (tmp_path / "bees" / "notes.txt").write_text("no image, and does not claim to be one")
    for hidden in ("ants/._0.png", ".git/a.png", "bees/.ipynb_checkpoints/0.png"):
        photo(tmp_path / hidden, 4)
    dataset = data.from_folder(tmp_path)
    reasons = {
        Path(path).name: reason for path, reason in zip(dataset.removed["path"], dataset.removed["reason"], strict=True)
    }
    assert reasons == {
        "text.jpg": "not a readable image",
        "nothing.png": "not a readable image",
        "half.png": "not a readable image",
        "dot.png": "smaller than 8 pixels",
        "loose.png": "in no class folder",
        "rare.png": "class with fewer than 3 rows",
    }
    assert accounted(dataset) == image_files(tmp_path)
    assert "3 (not a readable image)" in capsys.readouterr().out


@pytest.mark.parametrize("seed", range(5))
def test_exact_copies_never_cross(tmp_path, seed):
    photos(tmp_path, n=12)
    for copy in range(6):
        for k in range(3):  # each of three ants three times, once under another class
            photo(tmp_path / ("bees" if copy == 1 else "ants") / f"copy{copy}-{k}.png", k)
    dataset = data.from_folder(tmp_path, seed=seed)
    assert dataset.removed.empty
    pixels = [{Image.open(path).tobytes() for path in getattr(dataset, part).x} for part in PARTS]
    assert not pixels[0] & pixels[1] and not pixels[0] & pixels[2] and not pixels[1] & pixels[2]
    assert accounted(dataset) == image_files(tmp_path)


def scenery(path, seed, **options):
    """A smooth picture, which survives compression as a photograph does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    spots = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype="uint8")
    image = Image.fromarray(spots).resize((140, 100), Image.Resampling.BICUBIC)
    image.resize(options.pop("size", image.size)).save(path, **options)
    return str(path)


@pytest.mark.parametrize("seed", range(3))
def test_near_copies_never_cross_and_are_told(tmp_path, seed, capsys):
    for number, name in enumerate(("ants", "bees")):
        for k in range(12):
            scenery(tmp_path / name / f"{k}.png", 100 * number + k)
    for k in range(4):
        scenery(tmp_path / "ants" / f"{k}-again.jpg", k, quality=30)
        scenery(tmp_path / "bees" / f"{k}-small.png", k, size=(70, 50))  # under another class
    dataset = data.from_folder(tmp_path, seed=seed)
    assert "; 12 near-duplicate pictures in 4 groups stay in one part" in capsys.readouterr().out
    table = dataset.near_duplicates
    assert table["path"].map(lambda path: re.split(r"[-.]", Path(path).name)[0]).nunique() == 4 and len(table) == 12
    for _, group in table.groupby("group"):
        assert len(group) == 3 and any(set(group["path"]) <= set(getattr(dataset, part).x) for part in PARTS)
    assert dataset.removed.empty and accounted(dataset) == image_files(tmp_path)


def test_a_near_copy_of_a_given_test_picture_leaves_train(tmp_path):
    for number, part in enumerate(("train", "val", "test")):
        for c, name in enumerate(("ants", "bees")):
            for k in range(6):
                scenery(tmp_path / part / name / f"{k}.png", 100 * number + 10 * c + k)
    scenery(tmp_path / "test" / "ants" / "again.jpg", 0, quality=40)
    scenery(tmp_path / "val" / "bees" / "again.png", 1)
    removed = data.from_folder(tmp_path).removed
    reasons = {Path(path).name: reason for path, reason in zip(removed["path"], removed["reason"], strict=True)}
    assert reasons == {"0.png": "near duplicate of a test row", "1.png": "duplicate of a validation row"}


@pytest.mark.parametrize(
    "layout", [("train", "val"), ("train", "test"), ("Train", "valid", "test"), ("train", "val", "validation")]
)
def test_a_split_of_the_folder_is_kept(tmp_path, layout):
    for number, part in enumerate(layout):
        for c, name in enumerate(("ants", "bees")):
            for k in range(10):
                photo(tmp_path / part / name / f"{k}.png", 1000 * number + 100 * c + k)
    photo(tmp_path / "test" / "ants" / "9.png", 0)  # copies of train's first image
    photo(tmp_path / layout[1] / "ants" / "8.png", 0)
    photo(tmp_path / "test" / "bees" / "9.png", 5)
    photo(tmp_path / "extra" / "ants" / "0.png", 7000)
    dataset = data.from_folder(tmp_path)
    folders = [{Path(path).parents[1].name for path in getattr(dataset, part).x} for part in PARTS]
    assert folders[0] == {layout[0]} and folders[2] == {"test"}
    assert folders[1] == ({layout[0]} if len(layout) == 2 and layout[1] == "test" else set(layout[1:]) - {"test"})
    reasons = dataset.removed["reason"].value_counts()
    assert reasons["duplicate of a test row"] >= 2 and reasons["in no class folder"] == 1
    assert str(tmp_path / layout[0] / "ants" / "0.png") in set(dataset.removed["path"])
    assert accounted(dataset) == image_files(tmp_path)


def test_val_alone_is_the_test_part(tmp_path):
    for part in ("train", "val"):
        for c, name in enumerate(("ants", "bees")):
            for k in range(4):
                photo(tmp_path / part / name / f"{k}.png", (part == "val") * 1000 + 100 * c + k)
    dataset = data.from_folder(tmp_path)
    assert sizes(dataset) == (6, 2, 8) and set(dataset.validation.y) == {0, 1}
    assert all("/val/" in path for path in dataset.test.x)


def test_a_class_that_only_test_has_is_left_out(tmp_path):
    photos(tmp_path / "train"), photos(tmp_path / "test", ["ants", "bees", "wasps"], 11)
    for k in range(10):  # otherwise all of test would be copies
        for c, name in enumerate(("ants", "bees")):
            photo(tmp_path / "train" / name / f"{k}.png", 5000 + 100 * c + k)
    dataset = data.from_folder(tmp_path)
    assert dataset.class_names == ["ants", "bees"] and sizes(dataset)[2] == 22
    assert dataset.removed["reason"].tolist() == ["class that train does not have"] * 11


def test_a_class_may_be_called_train(tmp_path):
    photos(tmp_path, ["train", "bus"])
    assert data.from_folder(tmp_path).class_names == ["bus", "train"]


def test_read_images_of_every_kind(tmp_path):
    deep = np.array([[0, 300, 32768, 65535]] * 4, "uint16")
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(deep).save(tmp_path / "deep.tif")
    Image.fromarray((deep // 256).astype("uint16")).save(tmp_path / "dark.png")
    Image.fromarray(np.linspace(0, 1, 16, dtype="float32").reshape(4, 4)).save(tmp_path / "float.tif")
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 255))
    clear.paste((0, 0, 0, 0), (0, 0, 2, 4))
    clear.save(tmp_path / "clear.png")
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 255, 0, 255, 0])
    palette.paste(0, (0, 0, 2, 4))
    palette.save(tmp_path / "palette.png", transparency=0)
    palette.save(tmp_path / "frame.gif")
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / "ink.jpg")
    turned = Image.new("RGB", (4, 4), "black")
    turned.paste((255, 255, 255), (0, 0, 4, 2))  # the upper half is white
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    turned.save(tmp_path / "turned.png", exif=exif)
    Image.new("RGB", (1, 1), (9, 8, 7)).save(tmp_path / "dot.png")

    def read(name, **options):
        (image,) = data.read_images([tmp_path / name], (4, 4), **options)
        assert image.dtype == np.uint8
        return image

    assert read("deep.png")[0].tolist() == [[0] * 3, [1] * 3, [128] * 3, [255] * 3]
    assert np.array_equal(read("deep.png"), read("deep.tif"))
    assert read("dark.png", grey=True).max() == 1  # dark, rather than stretched
    assert read("float.tif", grey=True)[..., 0].ravel().tolist() == [round(255 * k / 15) for k in range(16)]
    assert read("clear.png")[0].tolist() == [[255] * 3] * 2 + [[255, 0, 0]] * 2
    assert read("clear.png", grey=True)[0, 0] == 255
    assert read("palette.png")[0].tolist() == [[255] * 3] * 2 + [[0, 255, 0]] * 2
    assert read("frame.gif")[0].tolist() == [[0, 0, 255]] * 2 + [[0, 255, 0]] * 2
    assert np.abs(read("ink.jpg").astype(int) - [255, 0, 0]).max() < 30
    assert not read("turned.png")[0].any() and (read("turned.png")[3] == 255).all()
    assert (read("dot.png") == [9, 8, 7]).all()


def test_read_images_keeps_proportions_and_order(tmp_path):
    wide = Image.new("RGB", (40, 10), "black")
    wide.paste((255, 255, 255), (15, 0, 25, 10))  # a white square in the middle
    wide.save(tmp_path / "wide.png")
    images = data.read_images([tmp_path / "wide.png", photo(tmp_path / "b.png", 0)], (10, 10))
    assert images.shape == (2, 10, 10, 3) and (images[0] == 255).all()
    assert data.read_images([], (5, 7), grey=True).shape == (0, 5, 7, 1)


def test_read_images_names_the_bad_file(tmp_path):
    with pytest.raises(data.DataError, match=r"gone\.png.*Replace the file"):
        data.read_images([tmp_path / "gone.png"], (4, 4))
    whole = Path(photo(tmp_path / "a.png", 0)).read_bytes()
    chance = random.Random(0)
    for _ in range(100):
        place = chance.randrange(len(whole))
        (tmp_path / "a.png").write_bytes(whole[:place] + chance.randbytes(4) + whole[place + 4 :])
        with contextlib.suppress(data.DataError):  # any other error is a bug
            data.read_images([tmp_path / "a.png"], (4, 4))


def test_real_hymenoptera(real_data, tmp_path):
    if not (archive := real_data / "hymenoptera_data.zip").is_file():
        pytest.skip("KPRETRAIN_DATA has no hymenoptera_data.zip")
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path)
    dataset = data.from_folder(tmp_path / "hymenoptera_data")
    assert dataset.class_names == ["ants", "bees"]
    assert accounted(dataset) == image_files(tmp_path) and len(dataset.test.y) == 153
    assert all("/val/" in path for path in dataset.test.x) and all("/train/" in path for path in dataset.train.x)
    (gif,) = (path for path in accounted(dataset) if Image.open(path).format == "GIF")
    images = data.read_images([gif, *dataset.test.x[:7]], (32, 48))
    assert images.shape == (8, 32, 48, 3) and (images.std((1, 2, 3)) > 5).all()


# ------------------------------------------------------------------------------------------------ tables

WORDS = (
    "amber basil cedar dune ember fjord grove heron inlet jetty kelp lagoon moss nectar orchid pebble quartz".split()
)


def reviews(n=40, classes=("bad", "good")):
    """Texts of which no two are alike."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.permutation(WORDS)) for _ in range(n)]
    return pd.DataFrame({"text": texts, "label": [classes[k % len(classes)] for k in range(n)]})


WRITERS = {
    "csv": lambda table, path: table.to_csv(path, index=False),
    "tsv": lambda table, path: table.to_csv(path, index=False, sep="\t"),
    "jsonl": lambda table, path: table.to_json(path, orient="records", lines=True),
    "parquet": lambda table, path: table.to_parquet(path),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_from_table_reads_every_kind(tmp_path, capsys, kind):
    table = reviews()
    table.loc[3, "text"] = 'caf\u00e9, "quoted",\nand a\ttab'
    WRITERS[kind](table, tmp_path / f"reviews.{kind}")
    dataset = data.from_table(tmp_path / f"reviews.{kind}")
    assert sizes(dataset) == (32, 4, 4) and dataset.class_names == ["bad", "good"]
    assert sorted(all_rows(dataset)) == sorted(table["text"])
    label = dict(zip(table["text"], table["label"], strict=True))
    assert all(label[x] == dataset.class_names[y] for x, y in zip(*dataset.train, strict=True))
    assert f"the table reviews.{kind}" in capsys.readouterr().out


def test_from_table_reads_a_frame_and_leaves_it_alone():
    table = reviews().set_index(pd.Index(["same"] * 40))
    table.loc[:, "part"] = "mine"
    table.iloc[4, 1] = None
    before = table.copy(deep=True)
    dataset = data.from_table(table)
    pd.testing.assert_frame_equal(table, before)
    assert sum(sizes(dataset)) == 39 and dataset.removed["part"].tolist() == ["mine"]
    other = data.from_table(table.reset_index(drop=True))
    assert all(np.array_equal(getattr(dataset, part).x, getattr(other, part).x) for part in PARTS)


@pytest.mark.parametrize("column", ["part", "reason", "path", "cluster"])
def test_columns_may_have_any_name(column):
    table = reviews().rename(columns={"label": column})
    assert data.from_table(table, label=column).class_names == ["bad", "good"]
    table = reviews().rename(columns={"text": column})
    assert sorted(all_rows(data.from_table(table, text=column))) == sorted(table[column])


def test_bad_tables_are_named(tmp_path):
    def fails(name, body, message, **options):
        (tmp_path / name).write_bytes(body)
        with pytest.raises(data.DataError, match=message) as error:
            data.from_table(tmp_path / name, **options)
        assert name in str(error.value)

    whole = b"text,label\n" + b"".join(b"%s,%s\n" % (w.encode(), b"ab"[k % 2 : k % 2 + 1]) for k, w in enumerate(WORDS))
    fails("a.csv", whole, "no column 'review'; it has text, label", text="review")
    fails("a.csv", whole, "no column 'user'", group="user")
    fails("zero.csv", b"", "cannot be read as CSV")
    fails("zero.tsv", b"", "cannot be read as TSV")
    fails("zero.jsonl", b"", "no rows")
    fails("zero.parquet", b"", "cannot be read as PARQUET")
    fails("head.csv", b"text,label\n", "no rows")
    fails("broken.jsonl", b'{"text": "a", "label', "cannot be read as JSONL")
    fails("half.parquet", b"PAR1" + bytes(50), "cannot be read as PARQUET")
    fails("ragged.csv", b'text,label\na,b\n"open,c\n', "cannot be read as CSV")
    fails("commas.csv", b"text,label\n" + b"well, that was fine,good\n" * 9, "cannot be read as CSV|more fields than")
    fails("comma.csv", b"text,label\n" + b"well, fine,good\n" * 9, "more fields than the header")
    fails("table.xlsx", b"PK", r"cannot read '\.xlsx' files; use one of \.csv")
    fails(
        "one.csv", b"text,label\n" + b"".join(b"%s,a\n" % w.encode() for w in WORDS), "1 of 1 classes.*two are needed"
    )
    fails("few.csv", b"text,label\nx,a\ny,b\n", "0 of 2 classes have 3 or more")
    fails("same.csv", b"text,label\n" + b"same,a\nsame,b\n" * 9, r"group\(s\) can't fill 3 parts")
    with pytest.raises(data.DataError, match=r"gone\.csv: no such file"):
        data.from_table(tmp_path / "gone.csv")
    with pytest.raises(data.DataError, match="table: the table has no rows"):
        data.from_table(pd.DataFrame())
    with pytest.raises(data.DataError, match="2 columns 'label'"):
        data.from_table(pd.concat([reviews(), reviews()[["label"]]], axis=1))


def test_latin_1_is_told_and_read_when_named(tmp_path):
    table = reviews()
    table["text"] += " caf\u00e9"
    for kind in ("csv", "tsv", "jsonl"):
        file = tmp_path / f"old.{kind}"
        WRITERS[kind](table, file)
        body = file.read_text(encoding="utf8").replace("\\u00e9", "\u00e9")
        file.write_text(body, encoding="latin-1")
        message = rf"old\.{kind}: not utf-8.*0xe9.*encoding='latin-1', or --encoding latin-1"
        with pytest.raises(data.DataError, match=message):
            data.from_table(file)
        assert data.read_table(str(file), "latin-1").equals(table)
        assert sorted(all_rows(data.from_table(file, encoding="latin-1"))) == sorted(table["text"])


def test_rows_left_out_are_listed_with_the_reason(capsys):
    table = reviews(60)
    table["user"] = [f"u{k}" for k in range(60)]
    table.loc[0, "label"], table.loc[1, "label"] = None, "  "
    table.loc[2, "text"], table.loc[3, "text"] = None, " \n"
    table.loc[[4, 5], "label"] = "rare"
    table.loc[[6, 7, 8], "user"] = [None, np.nan, ""]
    dataset = data.from_table(table, group="user")
    assert dataset.removed["reason"].value_counts().to_dict() == {
        "missing label": 2,
        "empty text": 2,
        "class with fewer than 3 rows": 2,
        "missing group": 3,
    }
    assert sorted(dataset.removed["user"].dropna()) == sorted(table["user"].iloc[[0, 1, 2, 3, 4, 5, 8]])
    assert sum(sizes(dataset)) + len(dataset.removed) == 60
    out = capsys.readouterr().out
    assert "left out" in out and "2 (missing label)" in out and "3 (missing group)" in out


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([0.0, 1.0, np.nan], ["0", "1"]),
        ([0.5, 1.0, 0.5], ["0.5", "1.0"]),
        ([True, False, True], ["False", "True"]),
        ([True, False, None], ["False", "True"]),
        ([3, 7, 3], ["3", "7"]),
        (pd.Categorical(["x", "y", None]), ["x", "y"]),
        (pd.array([1, 2, None], dtype="Int64"), ["1", "2"]),
    ],
)
def test_labels_of_every_type(labels, names):
    table = reviews(60)
    table["label"] = (
        pd.Series(labels).iloc[[0, 1, 2] * 20].to_numpy() if isinstance(labels, list) else labels.take([0, 1, 2] * 20)
    )
    dataset = data.from_table(table)
    assert dataset.class_names == names
    assert sum(sizes(dataset)) + len(dataset.removed) == 60


@pytest.mark.parametrize("seed", range(5))
def test_duplicates_and_groups_never_cross(seed):
    table = reviews(60)
    copies = pd.concat([table.head(6).assign(text=table["text"].head(6) + end) for end in ("", ".", " !")])
    table = pd.concat([table, copies], ignore_index=True)
    table["user"] = np.arange(len(table)) // 4
    dataset = data.from_table(table, group="user", seed=seed)
    user = dict(zip(table["text"], table["user"], strict=True))
    users = [{user[text] for text in getattr(dataset, part).x} for part in PARTS]
    roots = [{text.rstrip(" .!") for text in getattr(dataset, part).x} for part in PARTS]
    for kinds in (users, roots):
        assert not kinds[0] & kinds[1] and not kinds[0] & kinds[2] and not kinds[1] & kinds[2]
    assert sum(sizes(dataset)) + len(dataset.removed) == len(table)


def test_a_class_that_only_test_could_get_is_left_out():
    table = pd.concat([reviews(40), pd.DataFrame({"text": ["the same words again"] * 3, "label": "odd"})])
    for seed in range(5):
        with pytest.warns(UserWarning, match="too few groups"):
            dataset = data.from_table(table, seed=seed)
        assert sum(sizes(dataset)) + len(dataset.removed) == 43
        assert set(dataset.test.y) <= set(dataset.train.y)


# ------------------------------------------------------------------------------------------------ data that lies there


def jpeg(colour):
    stream = io.BytesIO()
    Image.fromarray(np.full((32, 32, 3), colour, "uint8")).save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """An own `$KPRETRAIN_DATA`, and an own cache."""
    monkeypatch.setenv("KPRETRAIN_DATA", str(tmp_path))
    monkeypatch.setenv("KPRETRAIN_CACHE", str(tmp_path / "cache"))
    return tmp_path


def write_photographs(path, top, parts, per_class=20):
    with zipfile.ZipFile(path, "w") as file:
        for part in parts:
            for number, name in enumerate(("ant", "bee")):
                for image in range(per_class):
                    colour = (120 * number + image, 200 * (part == parts[0]), image)
                    file.writestr(f"{top}/{part}/{name}/{image:04d}.jpg", jpeg(colour))


def test_cifar10_from_a_zip_of_folders(shelf):
    write_photographs(shelf / "cifar10_images.zip", "cifar10_images", ("train", "test"))
    found = data.load("cifar10")
    assert sizes(found) == (36, 4, 40) and found.class_names == ["ant", "bee"]
    assert found.train.x.shape == (36, 32, 32, 3) and found.train.x.dtype == np.uint8
    for part in PARTS:
        x, y = getattr(found, part)
        np.testing.assert_array_equal(x[..., 0].mean(axis=(1, 2)) > 70, y == 1)  # rows and classes belong together
    assert sorted(np.bincount(found.validation.y)) == [2, 2]
    np.testing.assert_array_equal(data.load("cifar10", seed=0).train.x, found.train.x)
    assert not np.array_equal(data.load("cifar10", seed=1).train.x, found.train.x)


def test_hymenoptera_is_unpacked_once(shelf, capsys, monkeypatch):
    write_photographs(shelf / "hymenoptera_data.zip", "hymenoptera_data", ("train", "val"))
    found = data.load("hymenoptera")
    assert sizes(found) == (36, 4, 40) and found.name == "hymenoptera" and found.source == "hymenoptera_data.zip"
    assert capsys.readouterr().out.count("rows in 2 classes") == 1
    monkeypatch.setattr(data.shutil, "unpack_archive", None)
    assert data.load("hymenoptera").train.x.tolist() == found.train.x.tolist()
    assert len(list((shelf / "cache").iterdir())) == 1


def test_another_archive_is_noticed(shelf):
    write_photographs(shelf / "hymenoptera_data.zip", "hymenoptera_data", ("train", "val"))
    before = data.load("hymenoptera")
    write_photographs(shelf / "hymenoptera_data.zip", "hymenoptera_data", ("train", "val"), per_class=10)
    assert sizes(data.load("hymenoptera")) == (18, 2, 20)
    assert all(Path(path).is_file() for path in before.train.x)  # another process may be reading them


def test_who_unpacks_second_takes_the_first_ones_folder(shelf, monkeypatch):
    write_photographs(shelf / "hymenoptera_data.zip", "hymenoptera_data", ("train", "val"))
    unpack = data.shutil.unpack_archive

    def slow(*arguments):
        """Another process is done while this one unpacks."""
        monkeypatch.setattr(data.shutil, "unpack_archive", unpack)
        data.load("hymenoptera")
        unpack(*arguments)

    monkeypatch.setattr(data.shutil, "unpack_archive", slow)
    assert sizes(data.load("hymenoptera")) == (36, 4, 40)
    assert len(list((shelf / "cache").iterdir())) == 1


@pytest.mark.parametrize("encoding", ["utf8", "latin-1"])
def test_rt_polarity_reads_both_encodings_and_keeps_near_duplicates_together(shelf, encoding, capsys):
    folder = shelf / "rt-polaritydata"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for ending, word in (("pos", "fin\u00e9"), ("neg", "dull")):
        lines = [f"{word} " + " ".join(f"w{rng.integers(5000)}" for _ in range(12)) for _ in range(100)]
        (folder / f"rt-polarity.{ending}").write_text("\n".join([*lines, lines[0] + " ."]), encoding=encoding)
    found = data.load("rt-polarity")
    assert sum(sizes(found)) == 202 and found.class_names == ["negative", "positive"]
    assert capsys.readouterr().out.count("rows in 2 classes") == 1
    for part in PARTS:
        x, y = getattr(found, part)
        assert [text.startswith("fin\u00e9") for text in x] == (y == 1).tolist()
    twins = [row for row in all_rows(found) if row.endswith(" .")]
    assert all(part_of(found, row) == part_of(found, row[:-2]) for row in twins) and len(twins) == 2


@pytest.mark.parametrize("name", ["cifar10", "hymenoptera", "rt-polarity"])
def test_data_that_is_not_there_says_what_to_put_where(shelf, name):
    with pytest.raises(data.DataError, match=r"is neither in \$KPRETRAIN_DATA nor in the repository's data/\. Put"):
        data.load(name)


@pytest.mark.parametrize("name, file", [("cifar10", "cifar10_images.zip"), ("hymenoptera", "hymenoptera_data.zip")])
def test_a_zip_cut_short(shelf, name, file):
    write_photographs(shelf / file, file[:-4], ("train", "val"))
    (shelf / file).write_bytes((shelf / file).read_bytes()[:-300])
    with pytest.raises(data.DataError, match=rf"{file}: not .* Put a whole copy in its place\."):
        data.load(name)
    assert not list((shelf / "cache").glob("*"))
