"""The examples in the docstrings run, and each public function that a reader meets has one."""

import doctest
import importlib
import inspect
import pkgutil

import matplotlib
import matplotlib.pyplot as plt
import pytest

import kpretrain

MODULES = ["kpretrain", *(found.name for found in pkgutil.walk_packages(kpretrain.__path__, "kpretrain."))]
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for the examples that write
    monkeypatch.setenv("KPRETRAIN_BETS", str(tmp_path / "bets.json"))
    for unset in ("PROFILE", "SEED", "RESULTS", "RECORD", "SETTINGS", "ONLY"):
        monkeypatch.delenv(f"KPRETRAIN_{unset}", raising=False)
    matplotlib.use("agg")
    runner, told = doctest.DocTestRunner(optionflags=FLAGS), []
    tests = doctest.DocTestFinder().find(importlib.import_module(name))
    failed = sum(runner.run(test, out=told.append).failed for test in tests)
    plt.close("all")
    assert not failed, "".join(told)


def public():
    """What `kp.part.name` reaches and kpretrain defines, but for the exercises: {part that defines it.name: it}."""
    found = {}
    for part in {*kpretrain._MODULES, "arms"} - {"check"}:
        for name, thing in vars(getattr(kpretrain, part)).items():
            own = inspect.isfunction(thing) or inspect.isclass(thing)
            if own and not name.startswith("_") and thing.__module__.startswith("kpretrain."):
                found[f"{thing.__module__.split('.')[1]}.{name}"] = thing
    return found


def test_every_public_name_has_an_example():
    assert [name for name, thing in public().items() if ">>>" not in (inspect.getdoc(thing) or "")] == []
