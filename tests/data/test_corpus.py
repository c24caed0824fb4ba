"""The docstrings corpus: read without an import, kept whole in the cache, split by module."""

import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rows import PARTS, sizes

from kpretrain import data
from kpretrain.data import corpus


@pytest.fixture(scope="module")
def installed():
    start = time.perf_counter()
    return data.docstrings(), time.perf_counter() - start


def test_the_docstrings_of_the_installed_packages(installed, record_property):
    table, seconds = installed
    record_property("seconds", round(seconds, 1))
    assert table.columns.tolist() == ["library", "module", "name", "kind", "text", "cluster"]
    assert {"numpy", "pandas", "scikit-learn", "keras", "keras-hub", "tensorflow"} <= set(table["library"])
    assert len(table) > 30_000 and 0 < table["text"].isna().sum() < len(table) / 2
    row = table[(table["module"] == "numpy") & (table["kind"] == "module")].iloc[0]
    assert "NumPy" in row["text"] and row["name"] == ""
    assert (table["cluster"] == -1).equals(table["text"].isna())
    assert not table["module"].str.contains(r"\.tests\.").any()


def test_docstrings_are_read_from_the_cache(installed, monkeypatch):
    monkeypatch.setattr(corpus, "_read_docstrings", None)
    pd.testing.assert_frame_equal(data.docstrings(), installed[0])


def test_docstrings_split_lets_no_near_duplicate_cross(installed, capsys):
    table = installed[0].dropna(subset=["text"])
    cluster = dict(zip(table["text"], table["cluster"], strict=True))
    dataset, other = data.load("docstrings"), data.load("docstrings", seed=5)
    assert "duplicate of a test row" in capsys.readouterr().out
    train, validation, test = ({cluster[text] for text in getattr(dataset, part).x} for part in PARTS)
    assert not train & test and not validation & test and not train & validation
    assert sum(sizes(dataset)) + len(dataset.removed) == len(table)
    share = np.array(sizes(dataset)) / len(table)
    assert (np.abs(share - [0.75, 0.1, 0.1]) < 0.1).all()
    assert all(np.array_equal(getattr(dataset, part).x, getattr(other, part).x) for part in PARTS)
    by_text = table.groupby("text")["library"].agg(set)
    module = (table["library"] + table["module"])[~table["text"].duplicated(keep=False)]
    module = dict(zip(table["text"][module.index], module, strict=True))
    train, validation, test = ({module.get(text) for text in getattr(dataset, part).x} - {None} for part in PARTS)
    assert len(test) > 100 and not train & test and not validation & test and not train & validation
    assert all(dataset.class_names[y] in by_text[x] for x, y in zip(*dataset.test, strict=True))


def test_a_new_module_moves_no_other():
    before = [f"numpy/numpy.module_{number}" for number in range(2000)]
    after = sorted([*before, *(f"numpy/numpy.new_{number}" for number in range(100))])
    old = dict(zip(before, data.stable_part(pd.Series(before)), strict=True))
    new = dict(zip(after, data.stable_part(pd.Series(after)), strict=True))
    assert all(new[key] == part for key, part in old.items())
    assert {part: round(list(old.values()).count(part) / 2000, 1) for part in PARTS} == dict(
        zip(PARTS, (0.8, 0.1, 0.1), strict=True)
    )
    assert old["numpy/numpy.module_0"] == "train" and old["numpy/numpy.module_3"] == "test"  # on every machine


def test_the_cache_key_holds_the_versions(monkeypatch):
    packages = {"numpy": None, "pandas": None}
    keys = {
        corpus._corpus_key(packages),
        corpus._corpus_key({"numpy": None}),
        corpus._corpus_key({"not_installed": None}),
    }
    version = corpus.version
    monkeypatch.setattr(corpus, "version", lambda name: "0" if name == "pandas" else version(name))
    keys.add(corpus._corpus_key(packages))
    assert len(keys) == 4


@pytest.fixture
def small_corpus(tmp_path, monkeypatch):
    """A corpus of two rows in a cache of its own; returns the list of its builds."""
    built = []

    def build(packages):
        built.append(packages)
        return pd.DataFrame({"library": ["numpy", "keras"], "text": ["one", None]})

    monkeypatch.setenv("KPRETRAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(corpus, "_read_docstrings", build)
    monkeypatch.setattr(corpus, "_corpus_key", lambda packages: "key")
    return built


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_a_truncated_cache_is_built_again(small_corpus, tmp_path, capsys, keep):
    first = data.docstrings()
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(file.read_bytes()[:keep])
    again = data.docstrings()
    out = capsys.readouterr().out
    assert str(file) in out and "building it again" in out and len(small_corpus) == 2
    pd.testing.assert_frame_equal(first, again)
    data.docstrings()
    assert len(small_corpus) == 2 and capsys.readouterr().out == ""
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [file.name]


def test_a_cache_that_cannot_be_written_is_told(small_corpus, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KPRETRAIN_CACHE", str(tmp_path / "file" / "cache"))
    assert len(data.docstrings()) == 2
    out = capsys.readouterr().out
    assert str(tmp_path / "file") in out and "cannot be written" in out and "Set KPRETRAIN_CACHE" in out


def test_a_full_disk_leaves_no_half_file(small_corpus, tmp_path, monkeypatch, capsys):
    def half(table, path):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", half)
    assert len(data.docstrings()) == 2
    assert "No space left on device" in capsys.readouterr().out
    assert list((tmp_path / "cache").iterdir()) == []


FAKE = """
import sys
from kpretrain import data
from kpretrain.data.corpus import LIBRARIES
LIBRARIES.clear()
LIBRARIES.update(fake_one="one", fake_two="two")
table = data.docstrings()
print(len(table), table["text"].notna().sum(), table["cluster"].nunique(), table["text"].isin(["Say ?."]).sum())
print(sorted({"fake_one", "fake_two", "keras", "tensorflow"} & set(sys.modules)))
"""


def test_two_processes_fill_the_cache_at_once_and_import_nothing(tmp_path):
    for name in ("fake_one", "fake_two"):
        (tmp_path / name / "tests").mkdir(parents=True)
        (tmp_path / name / "__init__.py").write_text(f'"""Package {name}."""\nopen({name!r} + "-imported", "w")\n')
        (tmp_path / name / "tests" / "test_it.py").write_text('"""Left out."""')
        (tmp_path / name / "broken.py").write_text("def (:\n")
        (tmp_path / name / "nul.py").write_bytes(b"\0")
        bodies = [f'def f{k}():\n    """Return the number {k} of the {name} package."""' for k in range(300)]
        (tmp_path / name / "many.py").write_text(
            "\n".join(["x = '\\d'", *bodies, "def bare(): ...", "def _bare(): ..."])
        )
        (tmp_path / name / "odd.py").write_text(
            'def f():\n    "Say \\ud800."\nclass C:\n    "A"\n    def m(self): "B"\n'
        )
    here = os.pathsep.join([str(tmp_path), str(Path(data.__file__).parents[2])])
    environment = os.environ | {"KPRETRAIN_CACHE": str(tmp_path / "cache"), "PYTHONPATH": here}
    command = [sys.executable, "-c", FAKE]
    run = {"env": environment, "cwd": tmp_path, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    both = [subprocess.Popen(command, **run) for _ in range(2)]
    outputs = [process.communicate(timeout=100) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    first, second = (out.splitlines() for out, _ in outputs)
    assert first == second
    # a package has one docstring of its own, 300 functions, the one without, and f, C, C.m with their empty module
    assert first[0].split()[:2] == [str(2 * (1 + 1 + 300 + 1 + 1 + 3)), str(2 * (1 + 300 + 3))]
    assert first[0].split()[3] == "2" and first[1] == "[]"
    assert not list(tmp_path.glob("*-imported"))
    (file,) = (tmp_path / "cache").iterdir()
    assert file.suffix == ".parquet" and len(pd.read_parquet(file)) == int(first[0].split()[0])


def test_warnings_about_other_peoples_code_stay_away(tmp_path, recwarn):
    (tmp_path / "old.py").write_text('"""A module."""\nx = "\\d"\n')
    warnings.simplefilter("always")
    rows = corpus._parse_file("one", "one/old.py", tmp_path / "old.py")
    assert rows == [("one", "one.old", "", "module", "A module.")]
    assert not recwarn.list
