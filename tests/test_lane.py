"""08 to 12 begin with public weights by their names: with them, and where they cannot be had."""

import socket
import time

import lanes
import numpy as np
import pytest

from kpretrain import backbones, presets

RESNET, BERT, MINILM = "resnet_50_imagenet", "bert_base_en_uncased", "all_minilm_l6_v2_en"
STANDS_IN = {RESNET: "resnet_cifar10", BERT: "bert_docstrings"}


@pytest.fixture
def kagglehub_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def no_network(monkeypatch):
    """The network is not forbidden, but whoever opens a connection finds none."""
    monkeypatch.setenv("KPRETRAIN_OFFLINE", "0")
    asked = []

    def refuse(address, *arguments, **options):
        asked.append(address)
        raise OSError("no network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return asked


def shelve(cache, name):
    """Weights that no one has trained, small, of the class of the real ones and under the real name."""
    if name == RESNET:
        task = lanes.resnet(
            32,
            stackwise_num_filters=[64, 64],
            stackwise_num_blocks=[1, 1],
            stackwise_num_strides=[1, 2],
            block_type="bottleneck_block",
        )
        lanes.shelve(cache, name, task)
        return task.backbone
    parts = lanes.bert(vocabulary_size=200, num_layers=2, num_heads=2, hidden_dim=16, intermediate_dim=32)
    lanes.shelve(cache, name, *parts)
    return parts[0]


@pytest.mark.filterwarnings("error::UserWarning")  # a notebook must not show any
@pytest.mark.parametrize("name", [RESNET, BERT])
def test_the_lane_takes_the_public_weights_from_the_cache_without_a_network(name, kagglehub_cache, no_network, capsys):
    shelved = shelve(kagglehub_cache, name)
    capsys.readouterr()
    space = lanes.run(name)
    printed = capsys.readouterr().out
    assert space["preset"].startswith(str(kagglehub_cache)) and name not in printed and " right; always" in printed
    assert no_network == []  # nobody asked
    found = space["classifier"]
    assert type(found.backbone) is type(shelved) and found.num_classes == len(space["classes"])
    same = {
        layer.name: all(np.array_equal(*both) for both in zip(layer.get_weights(), old.get_weights(), strict=True))
        for layer, old in zip(found.backbone.layers, shelved.layers, strict=True)
        if layer.get_weights()
    }
    moved = {layer for layer, kept in same.items() if not kept}
    assert moved == (set() if name == RESNET else {"transformer_layer_1", "pooled_dense"})
    assert len(same) > len(moved) and np.abs(found.output_dense.bias).max() > 0  # the head learned; it starts at zero
    assert set(space["y"]) == set(range(found.num_classes))  # rows may be sorted by class


@pytest.mark.filterwarnings("error::UserWarning")  # a notebook must not show any
@pytest.mark.parametrize("name", [RESNET, BERT])
def test_the_lane_says_what_stands_in_offline(name, kagglehub_cache, monkeypatch, capsys):
    monkeypatch.setenv("KPRETRAIN_OFFLINE", "1")
    start = time.perf_counter()
    space = lanes.run(name)
    assert time.perf_counter() - start < 60
    lines = [line for line in capsys.readouterr().out.splitlines() if f"No {name} on this machine" in line]
    assert len(lines) == 1 and f"The small {STANDS_IN[name]} stands in" in lines[0] and "expect much less" in lines[0]
    assert space["preset"] == str(presets.FOLDER / STANDS_IN[name])
    assert space["classifier"].backbone.count_params() == presets.load(STANDS_IN[name]).backbone.count_params()


@pytest.mark.filterwarnings("error::UserWarning")  # a notebook must not show any
@pytest.mark.parametrize("stem, name, cells", [("11_sentence_vectors", MINILM, 1), ("12_tagging", BERT, 3)])
def test_11_and_12_begin_with_the_public_weights_too(
    stem, name, cells, kagglehub_cache, no_network, monkeypatch, capsys
):
    import nbformat

    import kpretrain as kp

    parts = lanes.bert(vocabulary_size=200, num_layers=2, num_heads=2, hidden_dim=16, intermediate_dim=32)
    folder = lanes.shelve(kagglehub_cache, name, *parts)
    notebook = nbformat.read(lanes.ROOT / "notebooks" / f"{stem}.ipynb", as_version=4)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    space = {"__name__": "__main__", "kp": kp}  # the set-up cell has imported it
    exec(compile("\n".join(code[2 : 2 + cells]), stem, "exec"), space)  # after set-up and settings
    assert space["preset"] == str(folder) and no_network == []
    printed = capsys.readouterr().out
    assert "stands in" not in printed and "oaded again, it " in printed
    weights = {len(w.shape): w for w in parts[0].weights if "token_embedding" in w.path}[2]
    if stem == "11_sentence_vectors":  # nothing was trained
        np.testing.assert_array_equal(space["embedder"].backbone.token_embedding.embeddings, weights)
    else:
        assert not np.array_equal(space["bert"].token_embedding.embeddings, weights)
        assert len(space["found"]) == len(space["sentence"].split())


def test_08_begins_with_the_public_gpt(kagglehub_cache, no_network, capsys):
    import keras_hub
    import nbformat

    letters = [*sorted({*"return the number of"} - {" "}), "Ġ"]  # how GPT-2 writes a space
    vocabulary = {piece: k for k, piece in enumerate([*letters, "th", "<|endoftext|>"])}
    tokenizer = keras_hub.models.GPT2Tokenizer(vocabulary=vocabulary, merges=["t h"])
    backbone = keras_hub.models.GPT2Backbone(len(vocabulary), 1, 1, 8, 16, max_sequence_length=64)
    reads = keras_hub.models.GPT2CausalLMPreprocessor(tokenizer)
    lanes.shelve(kagglehub_cache, "gpt2_base_en", keras_hub.models.GPT2CausalLM(backbone, preprocessor=reads))
    notebook = nbformat.read(lanes.ROOT / "notebooks" / "08_causal_language_model.ipynb", as_version=4)
    first = next(cell.source for cell in notebook.cells if '"gpt2_base_en"' in cell.source)
    capsys.readouterr()
    exec(compile(first, "08", "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out
    assert printed.startswith("return the number of") and "stands in" not in printed and no_network == []


def test_what_kagglehub_did_not_finish_is_not_taken(kagglehub_cache, monkeypatch):
    monkeypatch.setenv("KPRETRAIN_OFFLINE", "1")
    folder = lanes.shelve(kagglehub_cache, BERT, *lanes.bert(
        vocabulary_size=100, num_layers=1, num_heads=1, hidden_dim=8, intermediate_dim=8
    ))  # fmt: skip
    assert backbones.public(BERT, instead="bert_docstrings") == str(folder)
    assert backbones.texts(BERT, 16).encoder.output.shape == (None, 8)
    marker = folder.parent / ".complete" / folder.name / "model.weights.h5.complete"
    marker.unlink()
    assert backbones.public(BERT, instead="bert_docstrings") == str(presets.FOLDER / "bert_docstrings")
    folder.with_name(f"{folder.name}.complete").touch()  # all of it was downloaded at once
    assert backbones.public(BERT, instead="bert_docstrings") == str(folder)


# ---------------------------------------------------------------- a hub on the loopback


@pytest.fixture
def listening():
    """An address on the loopback that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_hub_that_does_not_answer_is_given_up_after_seconds(listening, kagglehub_cache, monkeypatch, capsys):
    monkeypatch.setenv("KPRETRAIN_OFFLINE", "0")
    monkeypatch.setattr(backbones, "_HUB", listening)
    monkeypatch.setattr(backbones, "_PATIENCE", 1)
    start = time.perf_counter()
    assert backbones.public(RESNET, instead="resnet_cifar10") == str(presets.FOLDER / "resnet_cifar10")
    assert 0.9 < time.perf_counter() - start < 5
    assert f"No {RESNET} on this machine, and {listening} cannot be reached." in capsys.readouterr().out
    with pytest.raises(presets.PresetError, match="cannot be reached"):
        backbones.images(RESNET)


def test_a_name_that_is_looked_for_in_vain_is_given_up_after_seconds(kagglehub_cache, monkeypatch):
    monkeypatch.setenv("KPRETRAIN_OFFLINE", "0")
    monkeypatch.setattr(backbones, "_PATIENCE", 1)

    def search(*_, **__):
        time.sleep(5)
        raise OSError("nothing found")

    monkeypatch.setattr(socket, "getaddrinfo", search)
    start = time.perf_counter()
    assert backbones.public(BERT, instead="bert_docstrings") == str(presets.FOLDER / "bert_docstrings")
    assert time.perf_counter() - start < 4


def test_a_hub_that_answers_is_asked_by_name(kagglehub_cache, monkeypatch):
    import http.server
    import threading

    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)  # 501: an answer all the same
    server.RequestHandlerClass.log_message = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("KPRETRAIN_OFFLINE", "0")
    monkeypatch.setattr(backbones, "_HUB", f"http://127.0.0.1:{server.server_port}")
    try:
        assert backbones.public(RESNET, instead="resnet_cifar10") == RESNET
    finally:
        server.shutdown()
        server.server_close()


def test_a_name_that_nobody_knows_is_refused_rather_than_replaced(kagglehub_cache):
    with pytest.raises(presets.PresetError, match="keras_hub knows no preset 'resnet_51_imagenet'"):
        backbones.public("resnet_51_imagenet", instead="resnet_cifar10")
