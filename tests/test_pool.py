"""`python -m kpretrain pool`: what a class hands in becomes one page, whatever is wrong with single files."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kpretrain import check
from kpretrain.comparison import Comparison
from kpretrain.tools.cli import main


def draws(*seeds, c=1.0, python="3.11.7"):
    """What `kp.compare` gives for these seeds, with single hits and without a fit."""
    hits = {
        (arm, seed): np.random.default_rng([k, seed]).random(200) < share
        for seed in seeds
        for k, (arm, share) in enumerate({"bayes": 0.8, "linear": 0.7}.items())
    }
    rows = [(arm, 5, seed, 100 * right.mean(), np.packbits(right).tobytes()) for (arm, seed), right in hits.items()]
    facts = {
        "data": {"blobs": f"the cache of student {seeds}"},
        "settings": {"arms": {"linear": {"C": c}}},
        "python": python,
    }
    table = pd.DataFrame(rows, columns=["arm", "labels", "seed", "score", "hits"]).assign(fit_seconds=0.1)
    return Comparison(table, {"bayes": ["linear"]}, 200, facts)


def test_a_class_becomes_one_curve_and_a_calibration(tmp_path, capsys):
    folder, bets = tmp_path / "handed in", [(0, 5), (4, 6), (6, 9), (5, 5)]
    for seed, (low, high) in enumerate(bets):  # every student's files have the same names
        draws(seed, python=f"3.1{1 + seed % 3}.0").save(folder / f"student{seed}" / "mine.json")
        entries = {
            "points <b>gained</b> for $5 or $\\no$": {"low": low, "high": high, "measured": 5},
            "open": {"low": 0, "high": 1},
        }
        (folder / f"student{seed}" / "bets.json").write_text(json.dumps(entries))
    (folder / "student3" / "copy.json").write_text((folder / "student1" / "mine.json").read_text())
    (folder / "student3" / "cut.json").write_text((folder / "student2" / "mine.json").read_text()[:500])
    assert main(["pool", str(folder), "--out", str(folder / "page")]) == 0
    out = capsys.readouterr().out
    assert "blobs: bayes, linear: 4 draws of 4 records" in out
    assert "Bets: 8 bets of 4 readers, 4 of them settled" in out
    assert "- student3/cut.json: " in out
    # Files are taken in the order of their names, so it is the other one that is left out.
    assert (
        "- student3/copy.json: The records cannot be pooled: the seed 1 stands in student1/mine.json and in stu" in out
    )
    kept = json.loads((folder / "page" / "pool.json").read_text(encoding="utf8"))
    assert len(kept["left_out"]) == 2
    (record,) = kept["records"]
    pooled, whole = Comparison.load(record), draws(0, 1, 2, 3)
    pd.testing.assert_frame_equal(pooled.differences(), whole.differences())
    assert pooled.facts["python"] == "3.11.0; 3.12.0; 3.13.0"
    assert [row["inside"] for row in kept["bets"] if row["question"] != "open"] == ["yes", "yes", "no", "yes"]
    page = (folder / "page" / "index.html").read_text(encoding="utf8")
    assert "75 % of the settled bets held" in page and "Below that is 1 of 4 readers" in page
    assert "<b>gained" not in page and whole.verdict().splitlines()[0] in page
    assert main(["pool", str(folder), "--out", str(folder / "page")]) == 0  # the page beside them is not read
    assert capsys.readouterr().out == out


def test_another_setting_is_a_curve_of_its_own_and_the_page_says_which(tmp_path, capsys):
    for name, found in {"a": draws(0, c=2.0), "b": draws(1), "c": draws(2)}.items():
        found.save(tmp_path / f"{name}.json")
    files = [str(tmp_path / f"{name}.json") for name in "abc"]
    assert main(["pool", *files, "--out", str(tmp_path / "page")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[-1] for line in lines[:2]] == ["2 draws of 2 records", "1 draw of 1 record"]
    page = (tmp_path / "page" / "index.html").read_text(encoding="utf8")
    assert (
        "A curve of its own: The records cannot be pooled: arm 'linear': C is 1.0 in the first curve and 2.0 in this"
        in page
    )


@pytest.mark.parametrize("body", ["[1]", "3", "{}", '{"scores": 3}', '{"kind": "comparison", "scores": []}', "\xff"])
def test_a_folder_without_anything_to_pool_is_refused_in_one_line(tmp_path, capsys, body):
    (tmp_path / "odd.json").write_bytes(body.encode("latin1"))
    assert main(["pool", str(tmp_path), "--out", str(tmp_path / "page")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("kpretrain: There is no record and no file of bets in ") and error.count("\n") == 1
    assert "odd.json: " in error and not (tmp_path / "page").exists()


def test_a_path_that_does_not_exist_is_said_in_one_line(tmp_path, capsys):
    assert main(["pool", str(tmp_path / "gone")]) == 2
    assert "gone: there is no such file or folder." in capsys.readouterr().err


def test_the_recipe_for_a_class_works_as_it_is_printed(tmp_path, monkeypatch, capsys):
    course_map = Path(__file__).parents[1].joinpath("notebooks", "README.md").read_text(encoding="utf8")
    recipe = course_map.split("\n## In a class\n")[1].split("\n## ")[0]
    student, teacher = re.findall(r"```python\n(.*?)```", recipe, flags=re.S)
    (command,) = re.findall(r"```bash\npython -m kpretrain (.*?)\n```", recipe, flags=re.S)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KPRETRAIN_BETS")
    assert "seeds=[7]" in student and student.count("jane") == 1
    student = student.replace("updates=50", "updates=1").replace("[2, 10]", "[2]")  # nothing but shorter
    exec(student, {})
    exec(student.replace("seeds=[7]", "seeds=[8]").replace("jane", "joe"), {})
    check.bet("Points gained", 5, 20)
    check.settle("Points gained", 30)
    (tmp_path / "bets.json").rename("handed_in/jane-bets.json")
    capsys.readouterr()
    exec(teacher, {})
    verdict = capsys.readouterr().out
    assert "from 2 draws of labels" in verdict
    assert main(command.split()) == 0
    out = capsys.readouterr().out
    assert "2 draws of 2 records" in out and "Bets: 1 bet of 1 reader, 1 of them settled" in out and "Left" not in out
    page = (tmp_path / "class" / "index.html").read_text(encoding="utf8")
    assert "0 % of the settled bets held" in page and verdict.splitlines()[0] in page
