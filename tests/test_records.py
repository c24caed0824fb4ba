"""Stored records: each seed is run, and their scores are pooled."""

import json
from pathlib import Path

import nbformat
import pytest
from test_run import write_notebook

import kpretrain
from kpretrain.paths import ROOT
from kpretrain.tools import records, run
from kpretrain.tools.report import Result


def test_record_runs_each_seed_without_a_limit_and_stores_nothing_if_one_fails(tmp_path, monkeypatch):
    write_notebook(tmp_path / "notebooks", "99_demo.ipynb", "1 + 1")
    (tmp_path / "data" / "results").mkdir(parents=True)
    monkeypatch.setattr(records, "ROOT", tmp_path)
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(records.results, "FOLDER", tmp_path / "data" / "results")
    calls = []

    def executed(**options):
        """In place of executed notebooks: what one of them leaves."""
        seed = int(options["variables"]["KPRETRAIN_SEED"])
        assert json.loads(options["variables"]["KPRETRAIN_ONLY"]) == {"slow": [10]}
        calls.append((seed, options["profile"], options["only"], options["timeout"]))
        facts = {"name": "99_demo", "title": "", "unit": "%", "settings": {}, "profile": "full", "python": "3.11"}
        facts |= {"keras": "3", "backend": "tensorflow", "machine": "2 cores", "data": {}, "date": "2026-01-01"}
        facts |= {"seed": seed, "seconds": 1.0, "scores": [{"arm": "a", "score": 9.0 + seed, "seed": seed}]}
        file = Path(options["variables"]["KPRETRAIN_RESULTS"]) / f"99_demo-seed{seed}.json"
        file.write_text(json.dumps(facts | {"peak_memory_gb": 1.0}))
        return [Result(Path("99_demo.ipynb"), status="failed" if seed == 7 else "passed")]

    monkeypatch.setattr(records, "run", executed)
    monkeypatch.setitem(records.ONLY, "99", {"slow": [10]})
    assert records.record("99", [0, 7, 2]) == 1 and not list(tmp_path.glob("data/results/*"))
    calls.clear()
    assert records.record("99", [0, 2]) == 0
    assert calls == [(0, "full", "99", 0), (2, "full", "99", 0)]  # a cell may train for longer than the limit of run
    stored = json.loads((tmp_path / "data" / "results" / "99_demo.json").read_text())
    assert stored["command"] == "python -m kpretrain record 99 --seeds 0,2"
    assert [row["score"] for row in stored["scores"]] == [9.0, 11.0]


def test_a_record_runs_slow_arms_at_sizes_that_it_has():
    """`kp.compare` would refuse other sizes after hours of pretraining, and pass over a name that is no arm."""
    for number, arms in records.ONLY.items():
        (path,) = kpretrain.results.FOLDER.glob(f"{number}_*.json")
        assert arms.keys() <= set(kpretrain.Comparison.load(path).arms)
        assert all(set(sizes) <= set(records.SETTINGS[number]["labels_per_class"]) for sizes in arms.values())


@pytest.mark.parametrize("number", sorted(records.SETTINGS))
def test_a_record_changes_only_settings_that_its_notebook_has(number, monkeypatch):
    """Otherwise `python -m kpretrain record NN`, which stands under the stored record, would end in an error."""
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    (source,) = [cell for cell in cells if "settings = kp.profile(" in cell]
    monkeypatch.setenv("KPRETRAIN_PROFILE", "full")
    monkeypatch.setenv("KPRETRAIN_SETTINGS", json.dumps(records.SETTINGS[number]))
    exec(source, space := {"kp": kpretrain})
    assert space["settings"].as_dict().items() >= records.SETTINGS[number].items()
