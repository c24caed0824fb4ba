"""The course's datasets: found in the stated order, checked before use, split without a leak."""

import hashlib
import http.server
import io
import os
import random
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rows import PARTS, all_rows, part_of, sizes

from kpretrain import data
from kpretrain.data import named


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
    monkeypatch.setattr(named, "_REPOSITORY_DATA", tmp_path / "repository")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("KPRETRAIN_OFFLINE", "0")
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(named, "_MNIST_URL", "http://127.0.0.1:9/mnist.npz")
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
        monkeypatch.setattr(named, "_MNIST_SHA256", sha256)
        return requests

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), None)
    server.daemon_threads = True
    monkeypatch.setattr(named, "_MNIST_URL", f"http://127.0.0.1:{server.server_port}/mnist.npz")
    monkeypatch.setattr(named, "_TIMEOUT", 0.5)
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
    "missing key": (without("y_test"), "y_test is not a file in the archive"),
    "flat rows": (
        mnist_arrays() | {"x_train": np.zeros((400, 784), "uint8")},
        r"x_train is uint8 \(400, 784\).* wanted",
    ),
    "other size": (mnist_arrays() | {"x_test": np.zeros((200, 32, 32), "uint8")}, r"x_test is uint8 \(200, 32, 32\)"),
    "floats": (mnist_arrays() | {"x_train": np.zeros((400, 28, 28))}, "x_train is float64"),
    "float labels": (mnist_arrays() | {"y_train": np.arange(400) % 10 / 1.0}, r"y_train float64 \(400,\)"),
    "too few labels": (
        mnist_arrays() | {"y_test": np.arange(199) % 10},
        r"x_test is uint8 \(200, 28, 28\), and y_test int64 \(199,\)",
    ),
    "label 10": (mnist_arrays() | {"y_train": np.arange(400) % 11}, "each digit from 0 to 9"),
    "a digit missing": (mnist_arrays() | {"y_train": np.arange(400) % 9}, "each digit from 0 to 9"),
    "too small": (mnist_arrays(100), "at least 12 times"),
    "pickled": (mnist_arrays() | {"x_train": np.array([Bomb()], object)}, "not a readable mnist.npz"),
}


@pytest.mark.parametrize(("arrays", "message"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_bad_arrays_are_named_and_never_unpickled(nowhere, monkeypatch, arrays, message):
    monkeypatch.chdir(nowhere)
    file = write_mnist(nowhere / "repository", **arrays)
    with pytest.raises(data.DataError, match=message) as error:
        data.load("mnist")
    assert str(file) in str(error.value) and "Delete the file" in str(error.value)
    assert not (nowhere / "unpickled").exists()


def test_what_lies_beside_the_four_arrays_is_never_unpickled(nowhere, monkeypatch):
    monkeypatch.chdir(nowhere)
    file = write_mnist(nowhere / "repository", **mnist_arrays(), more=np.array([Bomb()], object))
    assert [len(part.y) for part in data.read_mnist(file)] == [400, 200]
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
            found = data.read_mnist(file)
            assert all(
                np.array_equal(*pair) for pairs in zip(found, right, strict=True) for pair in zip(*pairs, strict=True)
            )
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
    train, test = data.read_mnist(real_data / "mnist.npz")
    assert len(train.x) == 60_000 and len(test.x) == 10_000
    assert train.y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    dataset = data.load("mnist")
    assert sizes(dataset) == (55_000, 5_000, 10_000)
    assert dataset.name == "mnist" and "$KPRETRAIN_DATA" in dataset.source


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
    monkeypatch.setattr(named.shutil, "unpack_archive", None)
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
    unpack = named.shutil.unpack_archive

    def slow(*arguments):
        """Another process is done while this one unpacks."""
        monkeypatch.setattr(named.shutil, "unpack_archive", unpack)
        data.load("hymenoptera")
        unpack(*arguments)

    monkeypatch.setattr(named.shutil, "unpack_archive", slow)
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
    with pytest.raises(data.DataError, match=r"not on this machine\. Put .* into \$KPRETRAIN_DATA or the repo"):
        data.load(name)


@pytest.mark.parametrize("name, file", [("cifar10", "cifar10_images.zip"), ("hymenoptera", "hymenoptera_data.zip")])
def test_a_zip_cut_short(shelf, name, file):
    write_photographs(shelf / file, file[:-4], ("train", "val"))
    (shelf / file).write_bytes((shelf / file).read_bytes()[:-300])
    with pytest.raises(data.DataError, match=rf"{file}: not .* Put a whole copy there\."):
        data.load(name)
    assert not list((shelf / "cache").glob("*"))
