"""Results: intervals that hold, records that are pooled only where they may be, and tables that follow from them."""

import json

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from kpretrain import results, session
from kpretrain.comparison import Comparison
from kpretrain.tools import hero, readme
from kpretrain.tools.records import merge


def record(seed=0, **changes):
    scores = [
        {"arm": "scratch", "score": 90.0 + seed, "seed": seed, "seconds": 10.0},
        {"arm": "pretrained", "score": 95.0 + seed / 2, "seed": seed, "seconds": 21.0},
    ]
    facts = {"name": "99_demo", "title": "A demo", "unit": "accuracy, %", "settings": {"epochs": 3}, "scores": scores}
    facts |= {"profile": "full", "python": "3.11", "keras": "3.15", "backend": "tensorflow 2.21", "machine": "2 cores"}
    facts |= {"data": {"mnist": "a file"}, "date": f"2025-01-0{seed + 1}", "seed": seed, "seconds": 60.0 + seed}
    return facts | {"peak_memory_gb": 1.5 + seed} | changes


@pytest.fixture
def stored(tmp_path):
    merged = merge([record(0), record(1), record(2)], "python -m kpretrain record 99")
    (tmp_path / "99_demo.json").write_text(json.dumps(merged), encoding="utf8")
    return tmp_path


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_interval_agrees_with_scipy(confidence):
    values = np.random.default_rng(0).normal(3, 2, 7)
    expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(confidence)
    assert results.interval(values, confidence) == pytest.approx((values.mean(), expected.low, expected.high))


def test_interval_holds_as_often_as_it_says():
    rng = np.random.default_rng(1)
    inside = [low <= 0 <= high for _, low, high in (results.interval(rng.normal(size=3)) for _ in range(3000))]
    assert 0.935 < np.mean(inside) < 0.965


def test_interval_of_one_value_and_of_none():
    mean, low, high = results.interval([4])
    assert mean == 4 and np.isnan([low, high]).all()
    with pytest.raises(ValueError, match="at least one value"):
        results.interval([])


def test_merge_pools_the_scores():
    merged = merge([record(0), record(1), record(2, peak_memory_gb=None)], "the command")
    assert merged["seeds"] == [0, 1, 2] and merged["seconds"] == [60, 61, 62] and len(merged["scores"]) == 6
    assert merged["date"] == "2025-01-03" and merged["peak_memory_gb"] == 2.5 and merged["command"] == "the command"


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("settings", {"epochs": 4}),
        ("profile", "fast"),
        ("data", {"digits": "scikit-learn"}),
        ("keras", "3.14"),
        ("backend", "jax"),
        ("python", "3.13"),
        ("machine", "64 cores"),
        ("unit", "loss"),
        ("name", "98_other"),
    ],
)
def test_merge_refuses_what_differs(key, other):
    with pytest.raises(ValueError, match=f"99_demo: the records differ in '{key}'"):
        merge([record(0), record(1, **{key: other})], "")


def test_merge_refuses_the_same_run_twice():
    with pytest.raises(ValueError, match=r"99_demo: the seeds \[0, 1, 0\] repeat"):
        merge([record(0), record(1), record(0)], "")


def test_table(stored):
    table = results.table(results.load("99_demo", stored))
    assert table.index.tolist() == ["scratch", "pretrained"] and table.index.name == "arm"
    half = 4.302653 / np.sqrt(3)
    assert table.loc["scratch"].to_dict() == {
        "accuracy, %": "91.00",
        "95 % interval": f"{91 - half:.2f} to {91 + half:.2f}",
        "runs": 3,
        "seconds": "10.0",
    }
    single = record()
    del single["scores"][1]["seconds"]
    assert results.table(single)["95 % interval"].tolist() == ["one run"] * 2
    assert results.table(single)["seconds"].tolist() == ["10.0", ""]


def test_markdown_and_caption(stored):
    text = readme.markdown(stored)
    lines = text.splitlines()
    assert lines[0] == "**A demo** (99_demo)"
    assert lines[2:5] == [
        "| arm | accuracy, % | 95 % interval | runs | seconds |",
        "| --- | --- | --- | --- | --- |",
        "| scratch | 91.00 | 88.52 to 93.48 | 3 | 10.0 |",
    ]
    assert "3 run(s) of the notebook, 3 minutes in all on 2 cores, 2025-01-03" in lines[-1]
    assert "data: a file. Made again by `python -m kpretrain record 99`." in lines[-1]
    assert readme.markdown(stored / "none") == ""


def test_render_replaces_what_stands_between_the_marks():
    first, last = (f"<!-- {text} -->" for text in ("a: rendered by `python -m kpretrain results --write`", "end of a"))
    text = f"# Before\n\n{first}\nold 12.3\n{last}\n\nafter\n"
    rendered = readme.render(text, "a", "new")
    assert rendered == f"# Before\n\n{first}\n\nnew\n\n{last}\n\nafter\n"
    assert readme.render(rendered, "a", "new") == rendered
    for bad in ("no marks", first, last, f"{last}{first}"):
        with pytest.raises(ValueError, match="must hold the lines"):
            readme.render(bad, "a", "new")


def compared(**arms):
    """A record of a comparison on 1,000 test rows, of scores by arm and size, in four draws."""
    wobble = np.array([-0.3, -0.1, 0.1, 0.3])
    rows = [
        {"arm": arm, "labels": n, "seed": seed, "score": score + wobble[seed] * (1 + (arm in ("scratch", "longer")))}
        for arm, scores in arms.items()
        for n, score in scores.items()
        for seed in range(4)
    ]
    table = pd.DataFrame(rows)
    table["pretraining_seconds"] = 600.0 * table["arm"].isin(["frozen", "fine-tuned"])
    against = {arm: [r for r in ("scratch", "longer") if r in arms] for arm in ("frozen", "fine-tuned")}
    found = Comparison(table, {arm: rivals for arm, rivals in against.items() if arm in arms}, 1000)
    return found.record(name="98_pair", title="A pair") | {"seconds": [90.0, 60.0]}


@pytest.mark.parametrize(
    ("longer", "row"),
    [
        (85.0, "5 | +5.0 (+4.6 to +5.4) | helps | 10 | 2 |"),
        (95.0, "5 | -5.0 (-5.4 to -4.6) | hurts | 10 | 2 |"),
        (90.0, "5 | +0.0 (-0.4 to +0.4) | cannot be told | 10 | 2 |"),
    ],
)
def test_the_short_table_says_in_words_what_was_compared(stored, monkeypatch, longer, row):
    arms = {"scratch": {1: 60.0, 5: 80.0}, "longer": {5: longer}, "frozen": {1: 80.0, 5: 90.0}}
    (stored / "98_pair.json").write_text(json.dumps(compared(**arms)), encoding="utf8")
    row_of = dict(
        zip(readme.ROWS.columns, ["frozen", "longer", "a pretrained one", "one without", "甲", "乙"], strict=True)
    )
    monkeypatch.setattr(readme, "ROWS", pd.DataFrame(row_of, index=["98_pair"]))
    lines = readme.short_table(readme.compared(stored)).splitlines()
    assert lines[2:] == [f"| [98](notebooks/98_pair.ipynb) | a pretrained one | one without | {row}"]
    assert "| 甲 | 乙 |" in readme.short_table(readme.compared(stored), "zh")


def test_the_readme_shows_the_hardest_rival_of_every_stored_comparison():
    """Not the largest gain. In 15 a second rival asks the same pretrained teacher, and is no rival to pretraining."""
    found = {path.stem for path in results.FOLDER.glob("*.json") if results.load(path.stem).get("kind")}
    assert set(readme.ROWS.index) == found
    for name, arm, rival in readme.ROWS[["arm", "rival"]].itertuples():
        gains = Comparison.load(results.load(name)).contrasts().set_index(["arm", "against"])["points"].loc[arm]
        assert gains.drop("distilled, hard answers", errors="ignore").idxmin() == rival, name


def test_the_picture_refuses_records_that_do_not_bear_its_title(tmp_path):
    def write(gain, late, other):
        left = {"scratch": {1: 60.0, 100: 90.0}, "frozen": {1: 60.0 + gain, 100: 90.0 + late}}
        right = {"scratch": {1: 60.0, 100: 90.0}, "fine-tuned": {1: 60.0 + other, 100: 90.0 + other}}
        left["scratch, longer"] = right["scratch, longer"] = {100: 92.0}
        for name, scores, arm in (
            ("05_contrastive", left, ("frozen", "frozen (SimCLR)")),
            ("04_autoencoders", right, ("fine-tuned", "fine-tuned (denoising)")),
        ):
            text = json.dumps(compared(**scores)).replace(f'"{arm[0]}"', f'"{arm[1]}"')
            (tmp_path / f"{name}.json").write_text(text, encoding="utf8")
        return hero.panels(tmp_path)

    assert [panel.helps for panel in write(20, 1, 0)] == [True, False]
    caption = hero.caption(hero.panels(tmp_path))
    assert "SimCLR: +20.0 points at 1 label per class, +1.0 at 100." in caption
    assert "Against one that trains for longer it gains -1.0 points at 100 labels." in caption
    assert "gains -5.0 points on average (-5.4 to -4.6)" in hero.caption(write(20, 1, -5))
    for gains in ((0, 0, 0), (20, 15, 0), (20, 1, 5), (-20, -1, 0)):
        with pytest.raises(ValueError, match="do not bear the picture's title"):
            write(*gains)


def test_save_writes_only_where_it_is_asked_to(tmp_path, monkeypatch):
    monkeypatch.setenv("KPRETRAIN_PROFILE", "fast")
    monkeypatch.setattr(session, "_state", {"started": 0.0, "seed": 7})
    arguments = {"title": "t", "unit": "u", "settings": session.profile(fast={"epochs": 1}, full={"epochs": 2})}
    scores = [{"arm": "a", "score": np.float32(0.5), "seed": np.int64(7)}]
    monkeypatch.delenv("KPRETRAIN_RESULTS", raising=False)
    monkeypatch.chdir(tmp_path)
    made = results.save("99_demo", scores, **arguments)
    assert made["settings"] == {"epochs": 1} and made["seed"] == 7 and made["profile"] == "fast"
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("KPRETRAIN_RESULTS", str(tmp_path / "new" / "folder"))
    results.save("99_demo", scores, **arguments)
    (file,) = (tmp_path / "new" / "folder").iterdir()
    assert file.name == "99_demo-seed7.json"
    assert json.loads(file.read_text())["scores"] == [{"arm": "a", "score": 0.5, "seed": 7}]


def test_the_stored_records_and_the_readme_agree():
    for path in results.FOLDER.glob("*.json"):
        stored = results.load(path.stem)
        assert stored["name"] == path.stem
        assert len(stored["seconds"]) == (1 if stored.get("kind") == "comparison" else len(stored["seeds"]))
        assert results.table(stored).shape[0] and stored["profile"] == "full"


def small_comparison(seed):
    rows = [
        {"arm": arm, "labels": n, "seed": seed, "score": score + n + seed / 10, "run": f"pretraining {seed}"}
        for arm, score in (("scratch", 80.0), ("pretrained", 85.0))
        for n in (1, 5)
    ]
    facts = {"date": f"2026-01-0{seed + 1}", "profile": "full", "python": "3.11", "machine": "2 cores"}
    facts |= {"versions": {"keras": "3.15", "backend": "tensorflow 2.21"}, "data": {"mnist": "a file"}}
    return Comparison(pd.DataFrame(rows).assign(fit_seconds=30.0), {"pretrained": ["scratch"]}, 1000, facts)


def test_comparisons_are_saved_pooled_and_rendered(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(session, "_state", {"started": 0.0, "seed": 0})
    monkeypatch.delenv("KPRETRAIN_RESULTS", raising=False)
    monkeypatch.chdir(tmp_path)
    assert results.beside(mine := small_comparison(0), "99_demo", title="Demo", folder=tmp_path) is mine
    assert list(tmp_path.iterdir()) == []
    assert "No stored record yet: `python -m kpretrain record 99 --seeds 0,1,2`" in capsys.readouterr().out
    monkeypatch.setenv("KPRETRAIN_RESULTS", str(tmp_path / "runs"))
    records = []
    for seed in range(3):
        monkeypatch.setattr(session, "_state", {"started": 0.0, "seed": seed})
        results.beside(small_comparison(seed), "99_demo", title="Demo")
        records.append(json.loads((tmp_path / "runs" / f"99_demo-seed{seed}.json").read_text()))
    merged = merge(records, "the command")
    assert merged["seeds"] == [0, 1, 2] and merged["command"] == "the command" and merged["name"] == "99_demo"
    assert len(merged["runs"]) == 3 and len(merged["scores"]) == 12 and merged["title"] == "Demo"
    (tmp_path / "99_demo.json").write_text(json.dumps(merged), encoding="utf8")
    lines = readme.markdown(tmp_path).splitlines()
    assert lines[0] == "**Demo** (99_demo)" and lines[2].startswith("| arm | 1 label | 5 labels |")
    assert lines[5].startswith("| pretrained | 86.1 (85.9 to 86.3) | 90.1 (89.9 to 90.3) |")
    assert "95 % intervals for new draws of labels and the same test rows; 3 draws, 3 pretraining run(s)" in lines[-1]
    assert "the comparison alone, 6 minutes in all" in lines[-1]
    capsys.readouterr()
    assert results.beside(mine, "99_demo", title="Demo", folder=tmp_path) is mine  # a run that makes a record
    assert "Made again by" not in capsys.readouterr().out
    monkeypatch.delenv("KPRETRAIN_RESULTS")


@pytest.fixture
def shown(monkeypatch):
    """What a notebook would show: (output, metadata)."""
    outputs = []
    monkeypatch.setattr("IPython.display.display", lambda output, metadata=None: outputs.append((output, metadata)))
    return outputs


def stored_beside(comparison, folder, **facts):
    """Store a comparison of three seeds as a record, and show the one in hand beside it."""
    record = small_comparison(0).merge(small_comparison(1), small_comparison(2)).record(name="99_demo", command="do")
    (folder / "99_demo.json").write_text(json.dumps(record | facts), encoding="utf8")
    return results.beside(comparison, "99_demo", title="Demo", folder=folder)


def test_the_stored_record_stands_beside_what_was_found(tmp_path, monkeypatch, shown):
    monkeypatch.delenv("KPRETRAIN_RESULTS", raising=False)
    found = stored_beside(small_comparison(7), tmp_path)
    assert found.differences()["points"].round(6).tolist() == [5.0, 5.0] and len(found.scores()) == 4
    own, stored = shown[:3], shown[3:]
    assert (
        [type(output).__name__ for output, _ in own]
        == ["Markdown", "Figure", "HTML"]
        == [type(output).__name__ for output, _ in stored]
    )
    assert own[0][0].data.startswith("**This run**") and "Made again by `do`" in stored[0][0].data
    assert all(results.STORED in mark for _, mark in stored)
    assert not any(results.STORED in (mark or {}) for _, mark in own)
    assert own[1][1]["image/png"]["alt"].startswith("Accuracy of the arms") and "<details>" in own[2][0].data


def test_of_the_record_those_arms_are_shown_that_this_run_has_too(tmp_path, monkeypatch, shown):
    monkeypatch.delenv("KPRETRAIN_RESULTS", raising=False)
    rows = small_comparison(0).table()
    third = rows[rows["arm"] == "scratch"].assign(arm="broken rival", score=50.0)
    facts = small_comparison(0).facts
    table = pd.concat([rows, third]).assign(hits=[bytes([n]) * 125 for n in range(6)])
    table["score"] = [100 * bin(n).count("1") / 8 for n in range(6)]
    against = {"pretrained": ["broken rival", "scratch"], "broken rival": ["scratch"]}
    whole = Comparison(table, against, 1000, facts)
    (tmp_path / "99_demo.json").write_text(json.dumps(whole.record(name="99_demo", command="do")), encoding="utf8")
    found = results.beside(small_comparison(7), "99_demo", title="Demo", folder=tmp_path)
    assert found.arms == ["scratch", "pretrained"] and found.against == {"pretrained": ("scratch",)}
    assert found.over_rows and found.hits() == [bytes([n]) * 125 for n in range(4)]
    assert "broken" not in shown[3][0].data + shown[5][0].data and "broken" in str(whole.summary())


@pytest.mark.parametrize("other", ["data", "network"])
def test_a_record_of_other_data_or_another_network_is_not_shown(tmp_path, monkeypatch, shown, capsys, other):
    monkeypatch.delenv("KPRETRAIN_RESULTS", raising=False)
    mine = small_comparison(7)
    mine.facts["settings"] = {"arms": {"pretrained": {"estimator": {"steps": [["features", {"encoder": "Mine 1"}]]}}}}
    theirs = {"arms": {"pretrained": {"estimator": {"steps": [["features", {"encoder": "Theirs 2"}]]}}}}
    facts = {"data": {"digits": "a file"}} if other == "data" else {"settings": theirs}
    assert stored_beside(mine, tmp_path, **facts) is mine and len(shown) == 3
    words = "of digits, and this run of mnist" if other == "data" else "of another network behind the arm 'pretrained'"
    assert f"The stored record is {words}, so it is not shown here" in capsys.readouterr().out


def test_the_stored_records_are_of_the_networks_that_ship():
    """Or `beside` would take a record for one of another network and never show it."""
    from kpretrain import backbones, models
    from kpretrain.comparison.grid import _describe

    def encoders(name):
        return results._encoders(results.load(name)["settings"]["arms"])

    image = _describe(models.image_encoder())
    assert all(image in encoders(name) for name in ("04_autoencoders", "05_contrastive", "06_gan"))
    assert _describe(backbones.texts("bert_docstrings").encoder) in encoders("11_sentence_vectors")
    assert _describe(backbones.images("resnet_cifar10").encoder) in encoders("09_transfer_resnet")
