"""Presets: what is loaded is what was saved, and a file that has changed is never read."""

import json
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from kpretrain import models, presets
from kpretrain.fingerprint import architecture

ABOUT = {"command": "python -m demo --seed 3", "data": {"mnist": "55,000 images"}, "metric": {"probe, %": 96.25}}
ROWS = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), dtype="uint8")
FRESH = """
import sys
import numpy as np
from kpretrain import presets
assert "kpretrain.models" not in sys.modules
model = presets.load(sys.argv[1])
np.save(sys.argv[3], model.predict(np.load(sys.argv[2]), verbose=0))
"""


def small(seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((8, 8, 1)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(3)])


def store(model, folder, name="demo", **changes):
    return presets.save(model, name, folder=folder, **ABOUT | {"seconds": 480.04} | changes)


@pytest.fixture
def stored(tmp_path):
    store(small(), tmp_path)
    return tmp_path


def test_a_class_of_ours_loads_in_a_fresh_process(tmp_path):
    keras.utils.set_random_seed(0)
    parts = [keras.Input((8, 8, 1)), models.Jitter(), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(3)]
    encoder = keras.Sequential(parts)
    path = store(encoder, tmp_path)
    np.save(tmp_path / "rows.npy", ROWS)
    command = [sys.executable, "-c", FRESH, str(path), str(tmp_path / "rows.npy"), str(tmp_path / "out.npy")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-3000:]
    assert "preset demo: probe, % 96.25; trained in 8 min on " in run.stdout
    assert "made again by `python -m demo --seed 3`" in run.stdout
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), encoder.predict(ROWS, verbose=0), rtol=0, atol=1e-6)


def test_the_manifest_says_how_the_preset_was_made(tmp_path):
    path = store(small(), tmp_path, settings={"epochs": np.int64(3)}, seed=7)
    assert path == tmp_path / "demo" and sorted(f.name for f in path.iterdir()) == ["manifest.json", "model.keras"]
    found = presets.manifest("demo", tmp_path)
    assert found == presets.manifest(path) == presets.manifest(str(path))
    assert {key: found[key] for key in ABOUT} == ABOUT
    assert (found["name"], found["seconds"], found["seed"], found["settings"]) == ("demo", 480.0, 7, {"epochs": 3})
    assert found["backend"].startswith(keras.backend.backend() + " ") and found["keras"] == keras.__version__
    assert {"date", "python", "machine"} <= found.keys()
    assert list(found["sha256"]) == ["model.keras"] and len(found["sha256"]["model.keras"]) == 64
    text = (path / "manifest.json").read_text(encoding="utf8")
    places = (tmp_path, Path.home(), Path(sys.prefix), Path(presets.__file__).parents[1])
    assert not [place for place in map(str, places) if place in text]


def test_available_lists_presets_only(stored):
    store(small(), stored, "another")
    (stored / "notes").mkdir()
    (stored / ".gitkeep").touch()
    assert presets.available(stored) == ["another", "demo"] and presets.available(stored / "nowhere") == []


def test_a_flipped_bit_is_seen_before_anything_is_read(stored, monkeypatch):
    file = stored / "demo" / "model.keras"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    monkeypatch.setattr(presets, "_read", lambda place: pytest.fail("a damaged file was read"))
    with pytest.raises(
        presets.PresetError, match=r"model\.keras: missing or damaged .*git checkout -- data/presets/demo.*-m demo"
    ):
        presets.load("demo", stored)
    with pytest.raises(presets.PresetError, match="damaged"):  # and is not trained over in silence
        presets.load_or_train("demo", small, folder=stored)


def test_a_missing_file_is_named(stored):
    (stored / "demo" / ".DS_Store").touch()  # a system's own: no harm
    presets.load("demo", stored)
    (stored / "demo" / "model.keras").unlink()
    with pytest.raises(presets.PresetError, match=r"model\.keras: missing"):
        presets.load("demo", stored)


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", '{"sha256": {}}', '{"sha256": []}', b"\xff\xfe"])
def test_a_missing_or_damaged_manifest_is_named(stored, content):
    file = stored / "demo" / "manifest.json"
    file.unlink()
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    for read in (presets.manifest, presets.load, lambda *where: presets.load_or_train("demo", small, folder=stored)):
        with pytest.raises(presets.PresetError, match=r"manifest\.json: missing or not readable.*git checkout"):
            read("demo", stored)


def test_an_unknown_name_lists_those_that_exist(stored):
    with pytest.raises(presets.PresetError, match=r"No preset .dema. in .*; there are: demo"):
        presets.load("dema", stored)
    with pytest.raises(presets.PresetError, match="there are: none"):
        presets.load("demo", stored / "nowhere")


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "/a"])
def test_a_name_that_is_no_folders_name_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="folder's name"):
        store(small(), tmp_path, name)
    assert not list(tmp_path.iterdir())


def test_a_save_that_fails_leaves_the_older_preset(stored, monkeypatch):
    before = presets.manifest("demo", stored)
    with pytest.raises(AttributeError):
        store(small(1), stored, settings=object())  # no JSON: fails after the model is written
    rename = Path.rename

    def fail(path, target):
        if ".demo-new-" in path.name:
            raise PermissionError("in use")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(PermissionError):
        store(small(1), stored)
    assert presets.manifest("demo", stored) == before and [path.name for path in stored.iterdir()] == ["demo"]
    presets.load("demo", stored)


def test_a_save_replaces_the_older_preset_whole(stored):
    (stored / "demo" / "left_over.txt").touch()
    model = small(1)
    store(model, stored, seconds=12)
    assert [path.name for path in stored.iterdir()] == ["demo"]
    for read, expected in zip(presets.load("demo", stored).get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(read, expected)


def test_the_card_outlives_a_new_training(stored):
    about = presets.manifest("demo", stored)
    file = stored / "demo" / "manifest.json"
    file.write_text(json.dumps(about | {"card": {"licence": "Apache-2.0"}}), encoding="utf8")
    store(small(), stored)
    assert presets.manifest("demo", stored)["card"] == {"licence": "Apache-2.0"}
    store(small(), stored, card={"licence": "MIT"})
    assert presets.manifest("demo", stored)["card"] == {"licence": "MIT"}
    file.write_text("{", encoding="utf8")
    store(small(), stored)
    assert "card" not in presets.manifest("demo", stored)


@pytest.mark.parametrize("name", presets.available())
def test_every_shipped_preset_has_its_card(name):
    assert set(presets.manifest(name)["card"]) == {"amount", "licence", "not_for"}


def test_load_or_train_says_which_it_did(tmp_path, capsys):
    model = small()
    assert presets.load_or_train("demo", lambda: model, folder=tmp_path)[0] is model
    assert (
        "preset demo: not loaded, there is no such preset with seed 0; trained here in less than 0.1 s"
        in capsys.readouterr().out
    )
    assert not list(tmp_path.iterdir())  # a reader's own run stores nothing
    store(model, tmp_path, metric="96 %", seconds=50)
    never = partial(pytest.fail, "trained, though the preset is there")
    found, seconds = presets.load_or_train("demo", never, folder=tmp_path)
    assert seconds == 50 and "preset demo: 96 %; trained in 50 s on" in capsys.readouterr().out
    np.testing.assert_array_equal(found.predict(ROWS, verbose=0), model.predict(ROWS, verbose=0))
    assert presets.load_or_train("demo", lambda: model, retrain=True, folder=tmp_path)[0] is model
    assert "not loaded, as you asked; trained here" in capsys.readouterr().out


def test_a_preset_of_another_seed_is_not_taken(tmp_path):
    model = small()
    store(small(1), tmp_path, seed=1)
    assert presets.load_or_train("demo", lambda: model, seed=2, folder=tmp_path)[0] is model


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The folder in which a command keeps what it trained."""
    monkeypatch.setenv("KPRETRAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KPRETRAIN_RECORD", "the command")
    monkeypatch.setattr(presets, "loaded", lambda: {"mnist": "a file"})
    return tmp_path / "cache" / "presets"


def again(tmp_path, train, capsys, **changes):
    """Run a command (again): what it got, and whether that was trained now."""
    options = dict(seed=3, folder=tmp_path / "presets")
    found = presets.load_or_train("demo", train, **options | changes)
    said = capsys.readouterr().out
    assert said.count("goes on with what the same command kept") + said.count("trained here") == 1
    return *found, "trained here" in said


def test_a_command_that_was_interrupted_goes_on_with_what_it_kept(tmp_path, kept, capsys):
    model, seconds, trained = again(tmp_path, small, capsys)
    assert trained
    (folder,) = kept.iterdir()
    assert folder.name.startswith("demo-") and presets.manifest(folder)["command"] == "the command"
    found, as_long, trained = again(tmp_path, small, capsys)
    assert not trained and as_long == pytest.approx(seconds, abs=0.1)
    np.testing.assert_array_equal(found.predict(ROWS, verbose=0), model.predict(ROWS, verbose=0))


RECIPE = {"units": 3}
CELL = """
def build(units):
    return small({seed}), units

def train():
    return build(RECIPE["units"] + {more})[0]
"""


def cell(seed=0, more=0, **space):
    """The training of a notebook whose cell ran with these numbers in it."""
    space = {"__name__": "__main__", "small": small, "RECIPE": RECIPE} | space
    exec(compile(CELL.format(seed=seed, more=more), "<cell>", "exec"), space)
    return space["train"]


def training_on(rows):
    return lambda: small(rows.ndim)


@pytest.mark.parametrize("change", ["code", "inner code", "recipe", "data", "facts", "command", "seed", "name of data"])
def test_what_was_kept_is_not_taken_after_a_change(tmp_path, kept, capsys, monkeypatch, change):
    assert again(tmp_path, cell(), capsys)[2] and not again(tmp_path, cell(), capsys)[2]
    train, options = cell(), {}
    if change == "code":
        train = cell(more=1)
    elif change == "inner code":
        train = cell(seed=1)
    elif change == "recipe":
        monkeypatch.setitem(RECIPE, "units", 4)
    elif change == "data":
        assert again(tmp_path, training_on(ROWS), capsys)[2] and not again(tmp_path, training_on(+ROWS), capsys)[2]
        train = training_on(ROWS + 1)
    elif change == "name of data":
        monkeypatch.setattr(presets, "loaded", lambda: {"mnist": "another file"})
    elif change == "command":
        monkeypatch.setenv("KPRETRAIN_RECORD", "another command")
    else:
        options = {"facts": {"facts": lambda: [ROWS]}, "seed": {"seed": 4}}[change]
    assert again(tmp_path, train, capsys, **options)[2]
    assert not again(tmp_path, train, capsys, **options)[2]


def test_a_record_names_the_architecture_that_a_reader_of_the_preset_has(tmp_path, kept):
    import keras_hub

    def train():
        rows = keras.Input((8, 4))
        return keras.Model(rows, keras_hub.layers.TransformerDecoder(4, 1)(rows))

    trained, gone_on = (presets.load_or_train("demo", train, folder=tmp_path)[0] for _ in range(2))
    assert architecture(trained) == architecture(gone_on)


def test_without_a_key_nothing_is_kept_and_a_line_says_so(tmp_path, kept, capsys):
    lock = threading.Lock()

    def train():
        with lock:
            return small()

    for _ in range(2):
        presets.load_or_train("demo", train, folder=tmp_path)
        said = capsys.readouterr().out
        assert said.count("demo: nothing is kept, and nothing old is taken") == 1 and "trained here" in said
    assert presets.state_path("demo", train) is None and not kept.exists()


def test_the_state_of_a_training_belongs_to_its_code_and_data(kept, capsys):
    path = presets.state_path("demo", cell(), ROWS)
    assert path.parent == kept.with_name("training") and path.name.endswith(".weights.h5")
    assert presets.state_path("demo", cell(), ROWS.copy()) == path and not capsys.readouterr().out
    changed = (("demo", cell(1), ROWS), ("demo", cell(), ROWS + 1), ("two", cell(), ROWS))
    others = [presets.state_path(*facts) for facts in changed]
    assert len({path, *others}) == 4
    path.parent.mkdir(parents=True)
    path.touch()
    assert presets.state_path("demo", cell(), ROWS) == path
    assert capsys.readouterr().out == "demo: goes on with the training that the same command kept\n"


def test_outside_of_a_record_nothing_is_kept_and_a_long_pretraining_is_shared(tmp_path, kept, monkeypatch):
    assert presets.shared_seed(5) == 5  # a record's run trains anew
    monkeypatch.delenv("KPRETRAIN_RECORD")
    presets.load_or_train("demo", small, folder=tmp_path / "presets")
    assert presets.state_path("demo", small) is None and presets.shared_seed(5) == 0 and not kept.exists()


def test_a_training_that_tells_its_curve_and_all_its_seconds_is_believed(tmp_path, kept, capsys):
    curve = [{"seconds": 30.0}, {"seconds": 70.0}]  # the first row from before an interruption

    def train():
        return small(), {"history": curve, "seconds": 70.0}

    for _ in range(2):
        assert again(tmp_path, train, capsys)[1] == 70.0
    (folder,) = kept.iterdir()
    about = presets.manifest(folder)
    assert about["history"] == curve and about["seconds"] == 70.0


def test_an_optimizers_state_is_left_out(tmp_path):
    plain, trained = small(), small()
    trained.compile("adam", "mse")
    trained.fit(ROWS, trained.predict(ROWS, verbose=0), verbose=0)
    sizes = [(store(m, tmp_path, n) / "model.keras").stat().st_size for m, n in ((plain, "one"), (trained, "two"))]
    assert abs(sizes[0] - sizes[1]) < 0.2 * sizes[0]
    np.testing.assert_array_equal(
        presets.load("two", tmp_path).predict(ROWS, verbose=0), trained.predict(ROWS, verbose=0)
    )
