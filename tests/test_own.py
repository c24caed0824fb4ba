"""Your own data: columns guessed or refused, nothing lost in silence, a plan that keeps to the time, one whole page."""

import html
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import keras_hub
import lanes
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_backbones import preset

from kpretrain import backbones, data, presets, text
from kpretrain.comparison import Comparison
from kpretrain.paths import ROOT
from kpretrain.tools import own
from kpretrain.tools.cli import main

WORDS = {"sport": ["goal", "match", "team"], "money": ["bank", "market", "price"]}
WORDS |= {"science": ["cell", "light", "star"], "travel": ["beach", "train", "hotel"]}


def news(rows=160, seed=0):
    """A table of four classes, each with words of its own among common ones."""
    random, common = np.random.default_rng(seed), ["the", "of", "a", "new", "and"]
    labels = [list(WORDS)[k % 4] for k in range(rows)]
    texts = [" ".join([*random.choice(WORDS[label] + common, 9), f"item{k}"]) for k, label in enumerate(labels)]
    return pd.DataFrame({"number": np.arange(rows), "story": texts, "category": labels})


def photos(folder, classes=3, each=30, side=14, seed=0):
    """Grey PNGs, each class brighter in another part."""
    random = np.random.default_rng(seed)
    for k in range(classes):
        (folder / f"kind{k}").mkdir(parents=True)
        for number in range(each):
            image = random.integers(0, 120, (side, side)).astype("uint8")
            image[4 * k : 4 * k + 4] += 100
            Image.fromarray(image).save(folder / f"kind{k}" / f"{number}.png")
    return folder


# ---------------------------------------------------------------- columns


def test_columns_are_guessed_and_said():
    found, label, how = own.columns(news())
    assert (found, label) == ("story", "category") and "guessed" in how
    assert own.columns(news(), "story", "category") == ("story", "category", "")
    few = news().rename(columns={"category": "kind"})
    assert own.columns(few)[1] == "kind"  # four values, and the numbers are all different
    assert own.columns(few.assign(Stars=1 + few["number"] % 5))[1] == "Stars"  # by its name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.assign(reply=t["story"]),
            "'story' and 'reply' hold texts of like length.*--text.*'category' .4 v",
        ),
        (lambda t: t[["number"]], "no column of texts"),
        (lambda t: t.assign(label=t["category"]), "'category' and 'label' may.*--label"),
        (lambda t: t[["number", "story"]], r"none is called so.*'number' \(160 values\)"),
        (lambda t: t.rename(columns={"category": "a"}).assign(b=t["number"] % 3), "'a' and 'b' may"),
    ],
)
def test_ambiguous_columns_are_refused_with_a_list(change, message):
    with pytest.raises(data.DataError, match=message):
        own.columns(change(news()))


# ---------------------------------------------------------------- what is left out


def rows_of(counts, test=2):
    y = np.repeat(np.arange(len(counts)), counts)
    tested = np.repeat(np.arange(len(counts)), test)
    parts = [data.Part(labels.astype(object), labels) for labels in (y, tested, tested)]
    return data.Dataset("rows", *parts, [f"class {k}" for k in range(len(counts))], "made here")


def test_rare_classes_and_surplus_test_rows_go_and_are_counted():
    dataset, lines = own._trimmed(rows_of([50, 2, 60, 4]))
    assert dataset.class_names == ["class 0", "class 2"] and np.bincount(dataset.train.y).tolist() == [50, 60]
    assert (dataset.train.x[dataset.train.y == 1] == 2).all()  # a row keeps its class
    assert lines == ["Left out: 14 rows of classes with fewer than 5 training rows (class 1, class 3)."]
    for kept in ([3, 4], [9, 3, 3]):  # they are most of the rows, or too many
        assert len(own._trimmed(rows_of(kept))[0].class_names) == len(kept)
    many, lines = own._trimmed(rows_of([9, 9, 9], test=700))
    assert len(many.test.y) == 1000 and set(np.bincount(many.test.y)) <= {333, 334}
    assert lines == ["Left out: 1,100 of 2,100 test rows, evenly over the classes, for speed."]


def test_what_reading_leaves_out_is_counted(tmp_path):
    table = news()
    table.loc[[3, 5], "category"] = None
    table = pd.concat([table, pd.DataFrame({"story": ["one row alone"], "category": ["lonely"]})])
    table.to_csv(tmp_path / "news.csv", index=False)
    _, lines = own.read(tmp_path / "news.csv")
    assert lines[1:3] == [
        "Left out while reading: 2 rows, missing label.",
        "Left out while reading: 1 rows, class with fewer than 3 rows.",
    ]


def test_few_rows_are_tested_on_in_validation_too(tmp_path, capsys):
    dataset, notes = own.read(photos(tmp_path / "photos", classes=2, each=30))
    assert (len(dataset.train.y), len(dataset.validation.y), len(dataset.test.y)) == (36, 0, 24)
    assert set(dataset.train.x).isdisjoint(dataset.test.x)
    assert notes[0].startswith("The 12 validation rows are tested on as well") and "24 test rows, each 4.2" in notes[0]
    assert notes[1].startswith("Beware: each of the 24 test rows is 4.2 points")
    news(600).to_csv(tmp_path / "news.csv", index=False)
    dataset, notes = own.read(tmp_path / "news.csv")
    assert (len(dataset.train.y), len(dataset.test.y)) == (480, 120) and len(notes) == 1
    assert own._joined(many := rows_of([9, 9], test=100)) == (many, [])  # 200 test rows


def test_a_split_of_ones_own_is_kept(tmp_path):
    for part, each in (("train", 20), ("val", 5), ("test", 6)):
        photos(tmp_path / "photos" / part, classes=2, each=each, seed=each)  # others: copies would be left out
    dataset, notes = own.read(tmp_path / "photos")
    assert (len(dataset.train.y), len(dataset.test.y)) == (40, 22) and "The 10 validation rows" in notes[0]


# ---------------------------------------------------------------- time


class Draws:
    """In place of `compare`: each draw takes so many seconds of a clock of its own, once."""

    def __init__(self, monkeypatch, folder, seconds, stop=None):
        self.folder, self.seconds, self.stop, self.now = folder, seconds, stop, 0.0
        monkeypatch.setattr(own, "compare", self)
        for name, clock in (("perf_counter", lambda: self.now), ("time", lambda: self.now)):
            monkeypatch.setattr(own.time, name, clock)
        folder.mkdir(exist_ok=True)

    def __call__(self, arms, dataset, labels, seeds, *, folder, progress):
        if (seeds, labels) == ([self.stop], [5, 20]):
            raise KeyboardInterrupt
        rows = []
        for n in labels:
            file = self.folder / f"{n} {seeds}.json"
            self.now += 0 if file.exists() else self.seconds / 2
            file.touch()
            rows.append(("scratch", n, *seeds, 50.0, self.seconds / 2, 0.0))
        columns = ["arm", "labels", "seed", "score", "fit_seconds", "predict_seconds"]
        return Comparison(pd.DataFrame(rows, columns=columns), {}, 10)

    def run(self, minutes, most=20):
        self.now = 0.0
        return own._draws({"scratch": None}, None, [5, 20], most, minutes, 0.0, self.folder)


def test_draws_are_added_while_there_is_time_and_kept(monkeypatch, tmp_path, capsys):
    draws = Draws(monkeypatch, tmp_path / "cells", 50)
    assert draws.run(minutes=5) == (6, False)  # a seventh would not fit
    said = capsys.readouterr().out.splitlines()
    assert "Draws are added until 5 minutes are used up, 3 at least, 20 at most" in said[0]
    assert said[1].startswith("A draw takes about") and said[2] == "Draw 1: 50 s." and len(said) == 8
    assert draws.run(minutes=1) == (7, False)  # one more, however short the time is
    assert capsys.readouterr().out.splitlines()[-1] == "Draw 7: 50 s (6 kept from before)."
    assert draws.run(minutes=5) == (13, False)
    assert draws.run(minutes=0) == (20, False) and draws.now == 7 * 50
    capsys.readouterr()
    assert draws.run(minutes=5) == (20, False) and draws.now == 0
    assert "All 20 draws are kept" in capsys.readouterr().out


def test_three_draws_are_run_whatever_they_take(monkeypatch, tmp_path, capsys):
    draws = Draws(monkeypatch, tmp_path / "cells", 600)
    assert draws.run(minutes=2) == (3, False)
    said = capsys.readouterr().out.splitlines()
    assert "3 draws are longer than the minutes allow; they are done by about" in said[1]
    assert said[2:] == [f"Draw {number}: 10 min." for number in (1, 2, 3)]
    assert draws.run(minutes=2) == (4, False)
    assert Draws(monkeypatch, tmp_path / "other", 600).run(minutes=2, most=1) == (1, False)


@pytest.mark.parametrize(
    ("stop", "said"), [(0, "No draw is whole yet"), (1, "1 whole draw is kept"), (3, "3 whole draws are kept")]
)
def test_ctrl_c_says_what_is_kept(monkeypatch, tmp_path, capsys, stop, said):
    assert Draws(monkeypatch, tmp_path / "cells", 9, stop).run(minutes=5) == (stop, True)
    assert f"{said}; the same command goes on." in capsys.readouterr().out


# ---------------------------------------------------------------- from end to end


@pytest.fixture
def small_backbones(monkeypatch, tmp_path):
    """Backbones of one layer under every name: what is tested here does not depend on the network."""
    monkeypatch.setenv("KPRETRAIN_CACHE", str(tmp_path / "cache"))
    keras.utils.set_random_seed(0)
    converter = keras_hub.layers.ResNetImageConverter(image_size=(16, 16), scale=1 / 255)
    reads = [keras.layers.Flatten(), keras.layers.Dense(8, "relu")]
    seen = backbones.Backbone(keras.Sequential([keras.Input((16, 16, 3)), *reads]), backbones.Pictures(converter), 70.0)
    monkeypatch.setattr(backbones, "images", lambda name: seen)
    tokenizer = text.fast_tokenizer(text.train_vocabulary(news()["story"].tolist(), 200))
    tokens = {
        name: keras.Input((None,), dtype="int32", name=name) for name in ("token_ids", "padding_mask", "segment_ids")
    }
    words = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(300, 8)(tokens["token_ids"]))
    read = backbones.Backbone(keras.Model(tokens, words), text.Inputs(tokenizer, 64), 70.0)
    monkeypatch.setattr(backbones, "texts", lambda name, length: read)
    monkeypatch.setattr(backbones, "public", lambda name, instead: name)


def test_a_folder_of_small_grey_pictures(tmp_path, capsys, small_backbones):
    folder, out = photos(tmp_path / "photos"), tmp_path / "report"
    (folder / "kind0" / "broken.png").write_bytes(b"no image")
    Image.new("RGBA", (30, 9), "red").save(folder / "kind1" / "wide.png")
    call = ["compare", str(folder), "--out", str(out), "--seeds", "3", "--labels", "2,5", "--updates", "10"]
    assert main(call) == 0
    said, page = capsys.readouterr().out, (out / "index.html").read_text(encoding="utf8")
    found = Comparison.load(out / "comparison.json")
    assert "2 and 5 labels per class. Draws are added until 10 minutes are used up, 3 at least, 3 at most" in said
    answer = next(line for line in said.splitlines() if line.startswith("It cannot be told yet: 3 draws of labels"))
    assert answer in html.unescape(page).split("<dl")[0]  # at the head
    assert said.count("1 rows, not a readable image") == 1 and "1 rows, not a readable image" in page
    line = "No verdict from 3 draws: 5 are needed. The same command adds more."
    assert line in said and line in html.unescape(page)
    for arm, rows in found.summary().iterrows():
        assert all(cell in page for cell in (arm, *rows))
    best = found.table().groupby(["labels", "arm"])["score"].mean().groupby("labels").max()
    assert all(f"({score:.1f} %)" in page for score in best)
    assert "The 18 validation rows are tested on as well" in said and "each of the 36 test rows is 2.8 points" in said
    assert "<script" not in page and not re.search(r'(src|href)="(?!#|data:)', page)  # nothing is loaded
    command = json.loads((out / "comparison.json").read_text())["command"]
    assert command.endswith("--labels 2,5 --seeds 3 --updates 10 --minutes 0") and command in html.unescape(page)


def test_a_table_of_texts_and_the_same_command_gives_the_same_scores(tmp_path, capsys, monkeypatch, small_backbones):
    news().to_csv(tmp_path / "news.csv", index=False)
    monkeypatch.chdir(tmp_path)
    call = ["compare", "news.csv", "--labels", "2", "--seeds", "3", "--updates", "2"]
    assert main([*call, "--minutes", "0"]) == 0
    said = capsys.readouterr().out
    assert "texts from the column 'story', labels from 'category' (guessed" in said
    assert "Left out: the arm scratch trained for the 70 s" in said
    first = Comparison.load("comparison/comparison.json")
    assert first.against == {"frozen": ("TF-IDF", "scratch"), "fine-tuned": ("TF-IDF", "scratch")}
    notes = first.facts["notes"]
    assert all("strength chosen in the draw" in notes[arm] for arm in ("TF-IDF", "frozen", "frozen random"))
    monkeypatch.setenv("KPRETRAIN_CACHE", str(tmp_path / "another cache"))
    assert main([*call, "--minutes", "0", "--out", "again"]) == 0
    again = Comparison.load("again/comparison.json")
    assert first.table()["score"].tolist() == again.table()["score"].tolist()


def test_the_shipped_backbone_stands_in_and_the_answer_says_so_first(tmp_path, capsys, monkeypatch, small_backbones):
    """The bare command without a network: the page begins with what it speaks of, and how to ask real weights."""
    monkeypatch.setattr(backbones, "public", lambda name, instead: str(presets.FOLDER / instead))
    folder, out = photos(tmp_path / "photos"), tmp_path / "report"
    assert main(["compare", str(folder), "--out", str(out), "--seeds", "3", "--labels", "2", "--updates", "2"]) == 0
    first = (
        "This speaks of resnet_cifar10, a small stand-in. Where the network is up, `python -m kpretrain compare "
        f"{folder} --encoder resnet_18_imagenet` asks real weights. It cannot be told yet"
    )
    assert first in html.unescape((out / "index.html").read_text(encoding="utf8")).split("<dl")[0]
    assert any(line.startswith(first) for line in capsys.readouterr().out.splitlines())


def test_frozen_networks_are_asked_at_all_layers_under_a_head_that_is_held_back(tmp_path, capsys):
    dataset, _ = own.read(photos(tmp_path / "photos"))
    arms, _ = own._arms("images", dataset, "resnet_cifar10", 2, False)
    for name in ("pixels", "frozen", "frozen random"):
        assert arms[name].estimator[-1].scoring == "neg_log_loss", name
    features = {name: arms[name].estimator[0] for name in ("frozen", "frozen random")}
    assert {name: one.weights for name, one in features.items()} == {"frozen": "pretrained", "frozen random": "random"}
    assert all(one.encoder.output.shape == (None, 2 * (64 + 128 + 256)) for one in features.values())
    assert arms["fine-tuned"].estimator.encoder.output.shape == (None, 256)  # what is trained stays as it was


def test_a_public_backbone_on_this_machine_is_taken_frozen_and_tuned_where_asked(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("KPRETRAIN_OFFLINE", "1")
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("KPRETRAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(own, "_LARGE", 1000)
    sizes = dict(num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16, max_sequence_length=20)
    lanes.shelve(tmp_path / "hub", "all_minilm_l6_v2_en", *lanes.bert(vocabulary_size=150, **sizes)[:2])
    news().to_csv(tmp_path / "news.csv", index=False)
    call = ["compare", str(tmp_path / "news.csv"), "--labels", "2", "--seeds", "1", "--updates", "2", "--out"]
    assert main([*call, str(tmp_path / "frozen")]) == 0
    said = capsys.readouterr().out
    assert "stand-in" not in said and "Left out: all that trains so large a network" in said
    found = Comparison.load(tmp_path / "frozen" / "comparison.json")
    assert found.against == {"frozen": ("TF-IDF", "frozen random")}
    command = json.loads((tmp_path / "frozen" / "comparison.json").read_text())["command"]
    assert "--encoder all_minilm_l6_v2_en" in command and "rows of 20 tokens" in said
    assert main([*call, str(tmp_path / "tuned"), "--tune"]) == 0
    found = Comparison.load(tmp_path / "tuned" / "comparison.json")
    assert list(found.against) == ["frozen", "fine-tuned", "contrastive"]
    assert " --tune " in json.loads((tmp_path / "tuned" / "comparison.json").read_text())["command"]


def test_mistakes_are_one_line_and_exit_code_two(tmp_path, capsys):
    one = photos(tmp_path / "one", classes=1)
    few = photos(tmp_path / "few", each=10)
    tiny, odd = preset(tmp_path / "tiny"), preset(tmp_path / "odd", image_shape=(24, 24, 3))
    news().assign(reply=news()["story"]).to_csv(tmp_path / "two.csv", index=False)
    mistakes = {
        (str(tmp_path / "gone.csv"),): "no such file",
        (str(one),): "1 of 1 classes have 3 or more usable rows",
        (str(few), "--text", "story"): "a folder of images has no --text; leave that out",
        (str(few), "--group", "writer"): "a folder of images has no --group",
        (str(few), "--encoding", "latin-1"): "a folder of images has no --encoding",
        (str(few), "--encoder", odd): "reads images of 24x24 pixels",
        (str(few), "--encoder", "nothing"): "No preset 'nothing' on this machine",
        (str(few), "--encoder", tiny, "--labels", "50"): "and 50 labels are wanted",
        (str(tmp_path / "two.csv"),): "Which column holds the texts?",
        (str(tmp_path / "two.csv"), "--text", "nowhere"): "no column 'nowhere'",
    }
    for words, message in mistakes.items():
        assert main(["compare", *words, "--out", str(tmp_path / "out"), "--minutes", "0"]) == 2
        error = capsys.readouterr().err
        assert message in error and len(error.splitlines()) == 1, words
    assert not (tmp_path / "out").exists()


def test_five_hundred_classes_keep_to_few_rows():
    dataset, lines = own._trimmed(rows_of([8] * 500))
    assert len(dataset.class_names) == 500 and own.label_sizes(dataset)[0] == [1, 2] and lines == []


def test_what_cannot_be_written_is_refused_before_anything_is_read(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(data, "from_folder", lambda *_, **__: pytest.fail("it was read"))
    folder, file = photos(tmp_path / "photos", each=4), tmp_path / "report.txt"
    file.write_text("a file")
    nowhere = ["/proc/report"] if Path("/proc/self").exists() else []
    for out in (str(file), str(file / "below" / "it"), *nowhere):
        assert main(["compare", str(folder), "--out", out]) == 2
        assert f"--out {out} cannot be written" in capsys.readouterr().err
    monkeypatch.setenv("KPRETRAIN_CACHE", str(file / "cache"))
    assert main(["compare", str(folder), "--out", str(tmp_path / "out")]) == 2
    assert f"the cache folder {file / 'cache'} cannot be written" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("labels", ["5,x", "5,,10", "0", "5,5", "-3", "2.5"])
def test_nonsense_in_labels_is_refused_with_the_form(labels, capsys):
    with pytest.raises(SystemExit):
        main(["compare", "nowhere.csv", f"--labels={labels}"])
    assert "such as 5,10,50" in capsys.readouterr().err


def test_groups_stay_together_and_are_not_taken_for_labels(tmp_path, capsys):
    table = news().rename(columns={"category": "kind"})
    table["writer"] = [f"writer{k // 16}" for k in range(len(table))]
    table.loc[0, "story"] += " caf\N{LATIN SMALL LETTER E WITH ACUTE}"
    table.to_csv(tmp_path / "news.csv", index=False, encoding="latin-1")
    dataset, _ = own.read(tmp_path / "news.csv", group="writer", encoding="latin-1")
    assert "labels from 'kind'" in capsys.readouterr().out
    writer = table.set_index("story")["writer"]
    assert set(writer[dataset.train.x]).isdisjoint(writer[dataset.test.x])
    assert own.columns(table.rename(columns={"writer": "label"}), group="label")[1] == "kind"


# ---------------------------------------------------------------- stopped and gone on


def test_ctrl_c_is_heeded_where_python_drops_it(monkeypatch):
    class Last:
        def __del__(self):  # TensorFlow's functions have one, and what is raised within is printed and dropped
            signal.raise_signal(signal.SIGINT)

    def slow(*_, **__):
        Last()
        for _ in range(100):
            time.sleep(0.05)
        pytest.fail("Ctrl-C was lost")

    monkeypatch.setattr(own, "run", slow)
    assert main(["compare", "photos"]) == 130


def test_a_comparison_that_was_stopped_goes_on_and_ends_alike(tmp_path, monkeypatch):
    """SIGINT and SIGKILL at several moments: no finished fit is run again, and the scores are those of one run."""
    photos(tmp_path / "photos", classes=2, each=12)
    call = ["compare", "photos", "--encoder", preset(tmp_path / "tiny"), "--labels", "1,2", "--updates", "2"]
    call += ["--seeds", "3", "--out"]

    def start():
        return subprocess.Popen(
            [sys.executable, "-m", "kpretrain", *call, "stopped"],
            cwd=tmp_path,
            env={**os.environ, "KPRETRAIN_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def cells():
        return {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.json")}

    each = 5 * 2  # arms x sizes: a draw
    for number, how, code in ((3, signal.SIGKILL, -signal.SIGKILL), (each + 2, signal.SIGINT, 130)):
        before, process = cells(), start()
        while process.poll() is None and len(cells()) < number:
            time.sleep(0.02)
        process.send_signal(how)
        said = process.communicate(timeout=600)[0]
        assert process.returncode == code, said
        kept = cells()
        assert before.items() <= kept.items() and number <= len(kept) < 3 * each
    assert "1 whole draw is kept; the same command goes on." in said
    assert (tmp_path / "stopped" / "index.html").is_file()  # from the whole draws
    process = start()
    said = process.communicate(timeout=600)[0]
    assert process.returncode == 0, said
    assert kept.items() <= cells().items() and len(cells()) == 3 * each
    monkeypatch.setenv("KPRETRAIN_CACHE", str(tmp_path / "another"))
    monkeypatch.chdir(tmp_path)
    assert main([*call, "once"]) == 0
    gone_on, once = (Comparison.load(tmp_path / name / "comparison.json").table() for name in ("stopped", "once"))
    columns = ["arm", "labels", "seed", "score"]
    pd.testing.assert_frame_equal(gone_on[columns], once[columns])
