"""Your own data: columns guessed or refused, nothing lost in silence, a plan that keeps to the time, one whole page."""

import html
import json
import re

import keras
import keras_hub
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_backbones import preset

from kpretrain import backbones, data, own, text
from kpretrain.__main__ import main
from kpretrain.comparison import Comparison

WORDS = {"sport": ["goal", "match", "team"], "money": ["bank", "market", "price"]}
WORDS |= {"science": ["cell", "light", "star"], "travel": ["beach", "train", "hotel"]}


def news(rows=160, seed=0):
    """A table of four classes, each with words of its own among common ones."""
    random, common = np.random.default_rng(seed), ["the", "of", "a", "new", "and"]
    labels = [list(WORDS)[k % 4] for k in range(rows)]
    texts = [" ".join([*random.choice(WORDS[label] + common, 9), f"item{k}"]) for k, label in enumerate(labels)]
    return pd.DataFrame({"number": np.arange(rows), "story": texts, "category": labels})


def photos(folder, classes=3, each=30, side=14):
    """Grey PNGs, each class brighter in another part."""
    random = np.random.default_rng(0)
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
    _, lines = own._trimmed(own._read_table(tmp_path / "news.csv", None, None))
    assert lines == [
        "Left out while reading: 2 rows, missing label.",
        "Left out while reading: 1 rows, class with fewer than 3 rows.",
    ]


# ---------------------------------------------------------------- time


def test_a_plan_is_cut_until_it_fits_and_never_below_three_draws():
    wanted = own.Plan((5, 20, 100), 10, 300)

    def cost(plan):
        return len(plan.labels) * plan.seeds * (1 + plan.updates / 10)

    assert own._fit_into(wanted, cost, 1000) == (wanted, [])
    plan, lines = own._fit_into(wanted, cost, 500)
    assert plan == own.Plan((5, 20, 100), 10, 150) and "would take about 16 min: cut to" in lines[0]
    assert own._fit_into(wanted, cost, 100)[0] == own.Plan((5, 100), 5, 75)
    plan, lines = own._fit_into(wanted, cost, 1)
    assert plan == own.Plan((5,), 3, 30) and "Even so it takes longer" in lines[1]
    assert own._fit_into(own.Plan((5,), 1, 30), cost, 1)[0].seeds == 1  # asked for, not cut


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
    monkeypatch.setattr(backbones, "texts", lambda name: read)


def test_a_folder_of_small_grey_pictures(tmp_path, capsys, small_backbones):
    folder, out = photos(tmp_path / "photos"), tmp_path / "report"
    (folder / "kind0" / "broken.png").write_bytes(b"no image")
    Image.new("RGBA", (30, 9), "red").save(folder / "kind1" / "wide.png")
    call = ["compare", str(folder), "--out", str(out), "--seeds", "3"]
    assert main([*call, "--labels", "2,5", "--updates", "10"]) == 0
    said, page = capsys.readouterr().out, (out / "index.html").read_text(encoding="utf8")
    found = Comparison.load(out / "comparison.json")
    assert "To come: 2 and 5 labels per class, 3 draws, 10 updates; about" in said
    assert said.count("1 rows, not a readable image") == 1 and "1 rows, not a readable image" in page
    for line in found.verdict().splitlines():
        assert line in said and line in html.unescape(page)
    for arm, rows in found.summary().iterrows():
        assert all(cell in page for cell in (arm, *rows))
    best = found.table().groupby(["labels", "arm"])["score"].mean().groupby("labels").max()
    assert all(f"({score:.1f} %)" in page for score in best)
    assert "Beware: the test part has 9 rows" in said
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
    monkeypatch.setenv("KPRETRAIN_CACHE", str(tmp_path / "another cache"))
    assert main([*call, "--minutes", "0", "--out", "again"]) == 0
    again = Comparison.load("again/comparison.json")
    assert first.table()["score"].tolist() == again.table()["score"].tolist()


def test_mistakes_are_one_line_and_exit_code_two(tmp_path, capsys):
    one = photos(tmp_path / "one", classes=1)
    few = photos(tmp_path / "few", each=10)
    tiny, odd = preset(tmp_path / "tiny"), preset(tmp_path / "odd", image_shape=(24, 24, 3))
    news().assign(reply=news()["story"]).to_csv(tmp_path / "two.csv", index=False)
    mistakes = {
        (str(tmp_path / "gone.csv"),): "no such file",
        (str(one),): "1 of 1 classes have 3 or more usable rows",
        (str(few), "--text", "story"): "a folder of images has no columns",
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
