"""The named datasets' files: looked for in order, downloaded whole and verified or not at all, opened within limits.

The server runs on the loopback; nothing here needs a network.
"""

import hashlib
import http.server
import io
import os
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import packed
import pytest

from kpretrain import data
from kpretrain.data import fetch

ROOT = Path(data.__file__).resolve().parents[2]


def published(name):
    """(what a server sends, sha256 of what was published): the archive is packed in another way than at first."""
    if name == "mnist":
        body = packed.zipped({f"{key}.npy": npy(array) for key, array in packed.mnist_arrays().items()})
        return body, hashlib.sha256(body).hexdigest()
    if name == "cifar10":
        body = packed.tarred(packed.cifar_binary(), "cifar-10-batches-bin/")
        return body, hashlib.sha256(body).hexdigest()
    if name == "hymenoptera":
        content = packed.photographs(("train", "val"))
        more = {"__MACOSX/x/train/ant/._0000.jpg": b"", "x/train/ant/Thumbs.db": b"", "x/read me.txt": b"1"}
        body = packed.zipped({f"x/{name}": photo for name, photo in content.items()} | more, "", zipfile.ZIP_DEFLATED)
    elif name == "rt-polarity":
        content = {name: fetch._sentences(text) for name, text in packed.sentences().items()}
        body = packed.tarred(packed.sentences("cp1252") | {"README.1.0.txt": b"1"}, "rt-polaritydata/")
    else:
        content = packed.takes()
        body = packed.zipped(content | {"LICENSE": b"", "7_x_0.wav.txt": b""}, "digits-1.0.10/recordings/")
    return body, fetch.digest(content)


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.fixture
def serve(nowhere, monkeypatch):
    """Serve a body in a given way as a dataset's archive; return the list of requests that came."""
    requests, over, state = [], threading.Event(), {}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            requests.append(self.path)
            body, way = state["body"], state["way"]
            if way == "silent":
                return over.wait(20)
            if way == "login" and self.path != "/login":
                return self.answer(302, Location="/login")
            if way == "login":
                return self.answer(200, b"<html>Your password?</html>", **{"Content-Type": "text/html; charset=utf-8"})
            if way == "missing":
                return self.answer(404, b"not here")
            if way == "chunked":
                self.answer(200, b"", length=False, **{"Transfer-Encoding": "chunked"})
                for piece in (body[:1000], body[1000:], b""):
                    self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            elif way == "truncated":
                self.answer(200, b"", length=False, **{"Content-Length": str(len(body))})
                self.wfile.write(body[: len(body) // 2])
                self.close_connection = True
            elif way in ("dripping", "endless"):
                self.answer(200, b"", length=False, Connection="close")
                while not over.wait(0.05 if way == "dripping" else 0):
                    self.wfile.write(b"x" if way == "dripping" else b"x" * 2**16)
            elif way == "paced":
                self.answer(200, b"", length=False, **{"Content-Length": str(len(body))})
                for start in range(0, len(body), len(body) // 8):
                    self.wfile.write(body[start : start + len(body) // 8])
                    over.wait(0.04)
            else:
                self.answer(200, body)

        def answer(self, code, body=b"", length=True, **headers):
            self.send_response(code)
            for key, value in (headers | ({"Content-Length": str(len(body))} if length else {})).items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        def handle(self):
            try:
                super().handle()
            except ConnectionError:
                pass  # the client gave up

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    monkeypatch.setattr(fetch, "_CONNECT", 0.5)
    monkeypatch.setattr(fetch, "_SILENCE", 0.5)

    def start(name, way="whole", body=None, sha256=None):
        right = published(name)
        state.update(way=way, body=right[0] if body is None else body)
        url = f"http://127.0.0.1:{server.server_port}/{fetch.SOURCES[name].files[0]}"
        monkeypatch.setitem(fetch.SOURCES, name, fetch.SOURCES[name]._replace(url=url, sha256=sha256 or right[1]))
        return requests

    yield start
    over.set()
    server.shutdown()
    server.server_close()


def left(nowhere):
    return [path.name for path in (nowhere / "cache").rglob("*") if path.is_file()]


@pytest.mark.parametrize("way", ["whole", "chunked", "paced"])
@pytest.mark.parametrize("name", fetch.SOURCES)
def test_a_set_is_downloaded_once_and_is_what_was_published(serve, nowhere, capsys, name, way):
    requests, file = serve(name, way), fetch.SOURCES[name].files[0]
    path, place = fetch.find(name)
    assert path == nowhere / "cache" / file and place == "the cache" and left(nowhere) == [file]
    out, err = capsys.readouterr()
    assert out.count("\n") == 1 and f" MB downloaded from {fetch.SOURCES[name].url}, kept as {path}" in out
    assert f"{name}: " in err and "B/s" in err  # the progress bar
    found = data.load(name)
    assert found.name == name and found.source.startswith(f"the cache/{file} (sha256 ")
    assert "published" not in found.source and data.loaded()[name] == found.source
    assert requests == [f"/{file}"]


BAD = {
    "wrong": "what came is not what was published",
    "truncated": "ProtocolError",
    "silent": "ReadTimeout",
    "dripping": "the network is too slow",
    "endless": "it has no end",
    "login": "a web page came instead, perhaps a login",
    "missing": "HTTPError",
    "no archive": "",
}


@pytest.mark.parametrize("name", ["mnist", "cifar10", "hymenoptera"])
@pytest.mark.parametrize("way", BAD)
def test_a_bad_download_is_one_sentence_within_seconds_and_leaves_nothing(
    serve, nowhere, monkeypatch, capsys, name, way
):
    monkeypatch.setattr(fetch, "_MOST_BYTES", 5 * 2**20)
    body = b"no archive" if way == "no archive" else None
    requests, start = serve(name, way, body, "0" * 64 if way == "wrong" else None), time.perf_counter()
    if name == "mnist":
        assert data.load("mnist").name == "digits"
        out = capsys.readouterr().out
        assert "Using scikit-learn's 1,797 digits instead" in out and "scores are lower" in out
    else:
        with pytest.raises(data.DataError) as error:
            data.load(name)
        out = str(error.value)
    file, url = fetch.SOURCES[name].files[0], fetch.SOURCES[name].url
    assert f"{name}: not on this machine, and the download failed: {BAD[way]}" in out
    assert f"Put {file} into $KPRETRAIN_DATA or the repository's data/: {url}" in out and "\n" not in out.split(url)[0]
    assert requests and not left(nowhere)
    assert time.perf_counter() - start < 10


def test_a_server_that_refuses(nowhere, capsys):
    assert data.load("mnist").name == "digits"
    assert "the download failed: ConnectionError" in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(set(fetch.SOURCES) - {"mnist"}))
def test_offline_asks_no_server(serve, monkeypatch, name):
    requests = serve(name)
    monkeypatch.setenv("KPRETRAIN_OFFLINE", "1")
    with pytest.raises(
        data.DataError, match=rf"{name}: not on.* KPRETRAIN_OFFLINE=1 forbids the network\. Put .* into"
    ):
        fetch.take(name)  # which `load` calls; the spoken digits have a stand-in there
    assert requests == []


def test_offline_mnist_is_the_digits(serve, monkeypatch, capsys):
    requests = serve("mnist")
    monkeypatch.setenv("KPRETRAIN_OFFLINE", "1")
    assert data.load("mnist").name == "digits"
    assert requests == [] and "KPRETRAIN_OFFLINE=1 forbids the network" in capsys.readouterr().out


def test_a_cache_that_cannot_be_written_falls_back(serve, nowhere, capsys):
    serve("mnist")
    (nowhere / "cache").write_text("a file where the folder should be")
    assert data.load("mnist").name == "digits"
    assert "the download failed: FileExistsError" in capsys.readouterr().out


def test_places_in_order(nowhere, monkeypatch):
    places = {
        "$KPRETRAIN_DATA": nowhere / "mine",
        "the repository's data": nowhere / "repository",
        "Keras's cache": nowhere / "keras" / "datasets",
        "the cache": nowhere / "cache",
    }
    files = {
        words: packed.write_mnist(folder, **packed.mnist_arrays(seed=k))
        for k, (words, folder) in enumerate(places.items())
    }
    monkeypatch.setenv("KPRETRAIN_DATA", str(places["$KPRETRAIN_DATA"]))
    for words, file in files.items():
        dataset = data.load("mnist")
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
        assert dataset.source == f"{words}/mnist.npz (sha256 {sha256})" == data.loaded()["mnist"]
        file.unlink()
    assert data.load("mnist").name == "digits"


def test_a_data_folder_that_is_none_is_an_error(nowhere, monkeypatch):
    monkeypatch.setenv("KPRETRAIN_DATA", str(nowhere / "typo"))
    for name in fetch.SOURCES:
        with pytest.raises(data.DataError, match=r"KPRETRAIN_DATA is .*typo.*Correct it"):
            data.load(name)


# ---------------------------------------------------------------- two processes, and one that is killed

FIND = """
import sys
from kpretrain.data import fetch
fetch.SOURCES["spoken_digits"] = fetch.SOURCES["spoken_digits"]._replace(url=sys.argv[1], sha256=sys.argv[2])
print("start", flush=True)
print(fetch.find("spoken_digits")[1])
"""


def another_process(nowhere):
    source = fetch.SOURCES["spoken_digits"]
    return subprocess.Popen(
        [sys.executable, "-c", FIND, source.url, source.sha256],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def test_two_processes_at_once(serve, nowhere):
    requests = serve("spoken_digits", "paced")
    both = [another_process(nowhere) for _ in range(2)]
    assert all("the cache" in process.communicate(timeout=60)[0] for process in both)
    assert left(nowhere) == ["free_spoken_digits.zip"] and 1 <= len(requests) <= 2
    assert len(data.load("spoken_digits").test.y) == 20


def test_a_download_that_was_killed_is_never_taken_for_a_whole_one(serve, nowhere):
    requests = serve("spoken_digits", "dripping")
    process = another_process(nowhere)
    while not left(nowhere):
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.communicate()
    (part,) = left(nowhere)
    assert part.endswith(".part")
    serve("spoken_digits")
    assert data.load("spoken_digits").source.startswith("the cache/free_spoken_digits.zip") and len(requests) == 2


# ---------------------------------------------------------------- what an archive may hold


def put(shelf, name, body, file=0):
    (shelf / fetch.SOURCES[name].files[file]).write_bytes(body)


def test_too_many_members(shelf, monkeypatch):
    monkeypatch.setattr(fetch, "_MOST_MEMBERS", 50)
    put(shelf, "hymenoptera", packed.zipped(packed.photographs(("train", "val"))))
    put(shelf, "rt-polarity", packed.tarred(packed.sentences() | {str(k): b"" for k in range(50)}))
    for name in ("hymenoptera", "rt-polarity"):
        with pytest.raises(data.DataError, match=r"it holds more than 50 files or 400 MiB\). Put a whole copy there"):
            data.load(name)


def test_bombs_are_refused_before_they_are_unpacked(serve, shelf, monkeypatch):
    monkeypatch.setattr(fetch, "_MOST_BYTES", 2**20)
    zeros = {"train/ant/0.jpg": bytes(20 * 2**20)}
    archives = {
        "hymenoptera": packed.zipped(zeros, "", zipfile.ZIP_DEFLATED),
        "rt-polarity": packed.tarred({"rt-polarity.pos": bytes(20 * 2**20)}),
    }
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("unpacked"))
    monkeypatch.setattr(tarfile.ExFileObject, "read", lambda *_: pytest.fail("unpacked"))
    for name, body in archives.items():
        assert len(body) < 2**16
        put(shelf, name, body)
        with pytest.raises(data.DataError, match=r"holds more than 100,000 files or 1 MiB|unexpected end"):
            data.load(name)
        (shelf / fetch.SOURCES[name].files[0]).unlink()
        monkeypatch.setenv("KPRETRAIN_OFFLINE", "0")
        serve(name, body=body)
        with pytest.raises(data.DataError, match=r"download failed: (it holds more than|ReadError)"):
            data.load(name)
    assert not left(shelf)


def test_a_zip_that_lies_about_its_sizes_is_not_read_beyond_them(shelf):
    name = "train/ant/0.jpg"
    body = packed.zipped({name: bytes(2**20)}, "", zipfile.ZIP_DEFLATED)
    put(shelf, "hymenoptera", body.replace((2**20).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(data.DataError, match="Bad CRC-32"):
        data.load("hymenoptera")


OUTSIDE = ["../evil.jpg", "/tmp/evil.jpg", "train/ant/../../../evil.jpg", "train/ant/..", "train/ant/..\\evil.jpg"]


def test_names_that_lead_outside_are_passed_over(shelf):
    right = packed.photographs(("train", "val"))
    deep = {f"../../{name}": photo for name, photo in right.items()}  # the folders above a member do not count
    put(shelf, "hymenoptera", packed.zipped(deep | dict.fromkeys(OUTSIDE, packed.jpeg(9))))
    before = set(shelf.parent.rglob("*"))
    content, _ = fetch.take("hymenoptera")
    assert content == right
    data.load("hymenoptera")
    new = [path for path in set(shelf.parent.rglob("*")) - before if path.is_file()]
    assert len(new) == 80 and all(path.is_relative_to(shelf / "cache") for path in new)


def test_links_are_passed_over(shelf):
    secret = shelf / "secret.txt"
    secret.write_text("mine")
    links = [("rt-polarity.pos", str(secret)), ("rt-polarity.neg", "../secret.txt")]
    put(shelf, "rt-polarity", packed.tarred({"README": b""}, "x/", links))
    with pytest.raises(data.DataError, match="it holds no file of this dataset"):
        data.load("rt-polarity")
    put(shelf, "rt-polarity", packed.tarred(packed.sentences(), "x/", [("extra", "/etc")]))
    assert set(fetch.take("rt-polarity")[0]) == {"rt-polarity.pos", "rt-polarity.neg"}


@pytest.mark.parametrize("name", sorted(set(fetch.SOURCES) - {"mnist"}))
def test_an_archive_cut_short_is_named_and_stays(shelf, name):
    put(shelf, name, published(name)[0][:-300])
    path = shelf / fetch.SOURCES[name].files[0]
    with pytest.raises(data.DataError) as error:
        data.load(name)
    assert str(error.value).startswith(f"{path}: cannot be used (") and "Put a whole copy there" in str(error.value)
    assert path.is_file() and not left(shelf)


# ---------------------------------------------------------------- what is verified


def test_the_digest_is_of_names_and_contents_and_of_nothing_else():
    one = {"b.wav": b"2", "a.wav": b"1"}
    lines = [f"{hashlib.sha256(one[name]).hexdigest()}  {name}\n" for name in one]
    assert fetch.digest(one) == hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
    others = [{"a.wav": b"2", "b.wav": b"1"}, {"a.wav": b"1"}, one | {"c.wav": b""}, {"a.wav": b"1", "c.wav": b"2"}]
    assert len({fetch.digest(other) for other in [one, *others]}) == 5


def test_another_number_of_takes_is_refused_as_a_download_and_said_of_a_file(serve, shelf, monkeypatch):
    fewer = packed.zipped(packed.takes(speakers=("ann", "bob", "cleo", "dan", "eve")))
    monkeypatch.delenv("KPRETRAIN_DATA")
    monkeypatch.setenv("KPRETRAIN_OFFLINE", "0")
    serve("spoken_digits", body=fewer)
    with pytest.raises(data.DataError, match="what came is not what was published"):
        fetch.take("spoken_digits")
    monkeypatch.setenv("KPRETRAIN_DATA", str(shelf))
    put(shelf, "spoken_digits", fewer)
    assert data.load("spoken_digits").source.endswith("), not as published")


def test_sentences_are_the_same_in_both_encodings():
    one, other = packed.sentences("utf8"), packed.sentences("cp1252")
    assert one != other and all(fetch._sentences(one[name]) == fetch._sentences(other[name]) for name in one)
    assert all(len(fetch._sentences(text).split(b"\n")) == 101 for text in other.values())  # 0x85 ends no line
    assert fetch._sentences(b"a \r\n b\n\n") == b"a\nb"


@pytest.mark.parametrize(
    "name, count, size",
    [("hymenoptera", 398, 47_385_924), ("rt-polarity", 2, 1_228_279), ("spoken_digits", 3000, 21_128_848)],
)
def test_the_real_copies_are_as_published(real_data, name, count, size):
    if not any((real_data / file).exists() for file in fetch.SOURCES[name].files):
        pytest.skip(f"KPRETRAIN_DATA has no {name}")
    content, source = fetch.take(name)
    assert (len(content), sum(map(len, content.values()))) == (count, size)
    assert fetch.digest(content) == fetch.SOURCES[name].sha256 and "not as published" not in source


def test_the_real_sentences_as_windows_1252_are_the_same(real_data, shelf):
    if not (folder := real_data / "rt-polaritydata").is_dir():
        pytest.skip("KPRETRAIN_DATA has no rt-polaritydata")
    source = {path.name: path.read_text("utf8").encode("cp1252") for path in folder.iterdir()}
    assert {name: len(text) for name, text in source.items()} == {"rt-polarity.neg": 612290, "rt-polarity.pos": 626168}
    put(shelf, "rt-polarity", packed.tarred(source, "rt-polaritydata/"))
    content, words = fetch.take("rt-polarity")
    assert fetch.digest(content) == fetch.SOURCES["rt-polarity"].sha256 and "not as published" not in words
    assert sum(len(text.split(b"\n")) for text in content.values()) == 10_662


def test_addresses_are_https_and_hashes_whole():
    for source in fetch.SOURCES.values():
        assert source.url.startswith("https://") and len(bytes.fromhex(source.sha256)) == 32
