"""A network leaves Keras: what `ship` writes is whole and agrees, and its service survives whatever is sent to it."""

import http.client
import json
import socket
import subprocess
import sys
import threading
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from kpretrain.tools import serve, ship
from kpretrain.tools.cli import main


def cnn():
    keras.utils.set_random_seed(0)
    shrunk = layers.Conv2D(4, 3, strides=2, activation="relu")
    return keras.Sequential(
        [keras.Input((8, 6, 1), name="pixels"), layers.Rescaling(1 / 255), shrunk, layers.Flatten(), layers.Dense(3)]
    )


def dense():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((20,), name="x"), layers.Dense(64, "relu"), layers.Dense(2, "softmax")])


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """(folder, ledger, model, rows) of the small CNN, calibrated, with labels that it gets right."""
    folder, model = tmp_path_factory.mktemp("ship"), cnn()
    rows = np.random.default_rng(0).integers(0, 256, (80, 8, 6, 1)).astype("float32")
    model.save(folder / "cnn.keras")
    np.save(folder / "train.npy", rows[:40])
    np.savez(folder / "test.npz", x=rows, y=model.predict(rows, verbose=0).argmax(axis=1))
    files = [str(folder / name) for name in ("cnn.keras", "train.npy", "test.npz")]
    ledger = ship.ship(files[0], folder / "out", files[1], files[2])
    return folder / "out", {row["file"]: row for row in ledger}, model, rows


def test_each_form_is_written_measured_and_agrees(shipped):
    folder, ledger, *_ = shipped
    assert list(ledger) == ["model.keras", "model.onnx", "model.int8.onnx", "model.tflite", "model.int8.tflite"]
    for file, row in ledger.items():
        assert row["bytes"] == (folder / file).stat().st_size > 0 and row["peak_mb"] > 10, file
        assert 0 < row["p50_ms_1"] <= row["p95_ms_1"] and 0 < row["p50_ms_32"] <= row["p95_ms_32"], file
        assert row["agreement"] >= (100 if "int8" not in file else 85), file
        assert row["lost"] == pytest.approx(100 - row["agreement"]), file  # the labels are the original's answers
    for whole in ("model.onnx", "model.tflite"):
        small = ledger[whole.replace("model", "model.int8")]
        slower = [n for n in (1, 32) if small[f"p50_ms_{n}"] > ledger[whole][f"p50_ms_{n}"]]
        assert ("slower" in small["remark"]) == bool(slower)
    stored = json.loads((folder / "ledger.json").read_text())
    assert len(stored["ledger"]) == 5 and stored["machine"]
    assert "| model.int8.onnx |" in (folder / "ledger.md").read_text()


def test_convolutions_are_quantised_and_nothing_quantised_is_told(shipped, tmp_path):
    import onnx

    folder, *_ = shipped
    graph = onnx.load(folder / "model.int8.onnx").graph
    kernels = [one for one in graph.initializer if one.data_type == onnx.TensorProto.INT8 and len(one.dims) == 4]
    assert [node.op_type for node in graph.node].count("Conv") == 1 and len(kernels) == 1
    flat = keras.Sequential([keras.Input((4, 4, 1)), layers.GlobalAveragePooling2D(), layers.Softmax()])
    ship.to_onnx(flat, tmp_path / "flat.onnx")
    with pytest.raises(ValueError, match="nothing was quantised"):
        ship.to_int8(tmp_path / "flat.onnx", tmp_path / "int8.onnx")


def test_attention_with_a_padding_mask_survives_the_calibration(tmp_path):
    """The mask is a huge negative number; in a scale with the scores of attention it makes them all alike."""
    import onnxruntime

    keras.utils.set_random_seed(0)
    ids, mask = (keras.Input((12,), dtype="int32", name=name) for name in ("ids", "mask"))
    x = layers.Embedding(50, 16, embeddings_initializer="random_normal")(ids) * 40.0
    seen = keras.ops.expand_dims(keras.ops.cast(mask, "bool"), 1)  # (n, 1, 12)
    x = layers.MultiHeadAttention(2, 8)(x, x, attention_mask=seen)
    model = keras.Model([ids, mask], layers.Dense(3)(x[:, 0]))
    random = np.random.default_rng(0)
    rows = {"ids": random.integers(0, 50, (200, 12)).astype("int32"), "mask": np.ones((200, 12), "int32")}
    rows["mask"][:, 8:] = 0
    ship.to_onnx(model, tmp_path / "whole.onnx")
    ship.to_int8(tmp_path / "whole.onnx", tmp_path / "sound.onnx", rows)
    ship.to_int8(tmp_path / "whole.onnx", tmp_path / "all.onnx", rows, operations=None)
    whole, sound, every = (
        onnxruntime.InferenceSession(str(tmp_path / f"{name}.onnx")).run(None, rows)[0]
        for name in ("whole", "sound", "all")
    )
    far = {name: np.abs(one - whole).mean() / whole.std() for name, one in (("sound", sound), ("all", every))}
    assert far["sound"] < 0.1 < 0.3 < far["all"], far


def test_the_folder_works_without_keras_and_without_the_course(shipped, tmp_path):
    folder, _, model, rows = shipped
    Image.fromarray(rows[0, :, :, 0].astype("uint8")).save(tmp_path / "one.png")
    blocked = "import sys; sys.modules.update(keras=None, tensorflow=None, kpretrain=None); del sys.argv[0]; "
    blocked += "import runpy; runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", blocked, "use_onnx.py", str(tmp_path / "one.png")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"class {model.predict(rows[:1], verbose=0).argmax()} " in done.stdout
    done = subprocess.run([*command[:3], "serve.py", "--help"], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "--port" in done.stdout
    docker = (folder / "Dockerfile").read_text()
    copied = docker.split("COPY ")[1].split(" ./")[0].split()
    assert all((folder / name).is_file() for name in copied) and "USER service" in docker


def test_the_command_prints_the_ledger_and_says_what_it_lacks(tmp_path, capsys, monkeypatch):
    dense().save(tmp_path / "dense.keras")
    monkeypatch.chdir(tmp_path)
    assert main(["ship", "dense.keras"]) == 0
    told = capsys.readouterr().out
    assert "No --rows" in told and "No --calibrate" in told and "| model.int8.onnx |" in told
    assert not (tmp_path / "shipped" / "model.int8.tflite").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.keras"], "there is no such .keras file"),
        (["broken.keras"], "cannot be loaded"),
        (["encoder.keras"], "is no classifier"),
        (["dense.keras", "--rows", "none.npy"], "a folder of pictures, a .npy or a .npz"),
        (["dense.keras", "--rows", "narrow.npy"], "rows of x must be (20,)"),
        (["dense.keras", "--rows", "."], "takes no pictures"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dense().save("dense.keras")
    keras.Sequential([keras.Input((4, 4, 1)), layers.Conv2D(2, 3)]).save("encoder.keras")
    (tmp_path / "broken.keras").write_bytes(b"no zip")
    np.save("narrow.npy", np.zeros((3, 19)))
    assert main(["ship", *arguments]) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1 and "Traceback" not in told


# ---------------------------------------------------------------- the service


@pytest.fixture(scope="module")
def service(shipped):
    server = serve.Service(serve.Network(shipped[0] / "model.onnx"), port=0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def ask(service, body, kind="application/json", path="/predict", method="POST", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", service.server_port, timeout=20)
    connection.request(method, path, body, {"Content-Type": kind, **headers})
    response = connection.getresponse()
    answer = response.status, json.loads(response.read())
    connection.close()
    return answer


def test_it_answers_as_the_network_does(service, shipped):
    *_, model, rows = shipped
    status, answer = ask(service, json.dumps({"rows": rows[:5].tolist()}))
    expected = keras.ops.convert_to_numpy(keras.ops.softmax(model(rows[:5])))
    assert status == 200 and answer["classes"] == expected.argmax(axis=1).tolist()
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-4)
    status, health = ask(service, None, path="/health", method="GET")
    assert status == 200 and health["inputs"]["pixels"]["shape"] == [8, 6, 1]


GOOD = np.zeros((1, 8, 6, 1)).tolist()


@pytest.mark.parametrize(
    ("status", "body", "options"),
    [
        (404, "{}", {"path": "/nowhere"}),
        (404, None, {"path": "/nowhere", "method": "GET"}),
        (501, "{}", {"method": "DELETE"}),
        (415, "{}", {"kind": "text/plain"}),
        (400, "{", {}),
        (400, "[" * 100_000, {}),
        (400, b"\xff\xfe", {}),
        (400, "{}", {"Content-Length": "two"}),
        (413, "{}", {"Content-Length": "99999999"}),
        (422, "[]", {}),
        (422, '{"rows": 7}', {}),
        (422, '{"rows": []}', {}),
        (422, '{"rows": [[1, 2], [3]]}', {}),
        (422, json.dumps({"rows": np.zeros((1, 6, 8, 1)).tolist()}), {}),
        (422, json.dumps({"rows": GOOD}).replace("0.0", "true"), {}),
        (422, json.dumps({"rows": GOOD}).replace("0.0", "NaN", 1), {}),
        (422, json.dumps({"rows": GOOD}).replace("0.0", "1e300", 1), {}),
        (422, json.dumps({"rows": GOOD}).replace("0.0", "9" * 400, 1), {}),
        (413, json.dumps({"rows": GOOD * 257}), {}),
        (400, b"no picture", {"kind": "image/png"}),
    ],
)
def test_what_cannot_be_answered_gets_a_status_and_one_line(service, status, body, options):
    found, answer = ask(service, body, **options)
    assert (found, list(answer)) == (status, ["error"])
    assert "Traceback" not in answer["error"] and "\n" not in answer["error"]


@pytest.mark.parametrize("number", ["NaN", "1e300"])  # as float32 the second is infinite
def test_numbers_are_finite_on_their_way_in(service, number):
    told = "pixels: every number must be finite."
    assert ask(service, json.dumps({"rows": GOOD}).replace("0.0", number)) == (422, {"error": told})


def test_and_on_their_way_out(service, monkeypatch):
    lost = SimpleNamespace(run=lambda *_: [np.array([[np.nan, 0.0, 1.0]])])
    monkeypatch.setattr(service.network, "session", lost)
    told = "The network finds no finite answer for these rows."
    assert ask(service, json.dumps({"rows": GOOD})) == (422, {"error": told})


def test_a_picture_that_is_too_large_is_not_unpacked(service, monkeypatch, tmp_path):
    monkeypatch.setattr(serve, "PIXELS", 100)
    Image.new("L", (11, 10)).save(tmp_path / "large.png")
    assert ask(service, (tmp_path / "large.png").read_bytes(), "image/png")[0] == 413


def test_a_slow_client_is_let_go_and_others_are_served(service, monkeypatch):
    monkeypatch.setattr(serve, "SECONDS", 0.5)
    with socket.create_connection(("127.0.0.1", service.server_port), timeout=20) as slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{")
        assert ask(service, json.dumps({"rows": GOOD}))[0] == 200
        told = b"".join(iter(lambda: slow.recv(1000), b""))
    assert b" 408 " in told.splitlines()[0]


def test_fuzzed_requests_break_nothing(service, shipped, capfd):
    from benchmarks.bench_service import fuzz

    statuses = fuzz(lambda body, kind: ask(service, body, kind), GOOD, 300)
    assert set(statuses) <= {200, 400, 413, 422} and len(statuses) >= 3
    assert ask(service, json.dumps({"rows": GOOD}))[0] == 200
    assert "Traceback" not in capfd.readouterr().err
