"""The package: cheap to import, one list of requirements that holds what is imported, no circles."""

import ast
import graphlib
import importlib.metadata
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import kpretrain

ROOT = Path(kpretrain.__file__).resolve().parents[1]
PACKAGE = ROOT / "kpretrain"
PATHS = sorted(PACKAGE.rglob("*.py"))
FILES = {".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path for path in PATHS}
MODULES = [name for name in FILES if not name.startswith("__")]
LINES = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")]
REQUIRED = {re.sub(r"[-_.]+", "-", Requirement(line.split("#")[0]).name).lower() for line in LINES}

MEASURE = """
import sys, time
start = time.perf_counter()
import kpretrain
print(time.perf_counter() - start)
print(sorted({"numpy", "pandas", "keras", "tensorflow", "sklearn", "matplotlib"} & set(sys.modules)))
"""


def imports(path):
    """(modules of this package, other top-level names) that a file imports anywhere."""
    ours, others, folder = set(), set(), path.parent.relative_to(PACKAGE).parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*folder[: len(folder) + 1 - node.level], *(node.module.split(".") if node.module else [])]
            names = {".".join([*base, name.name]) for name in node.names}
            ours |= {name if name in FILES else ".".join(base) for name in names}
        elif isinstance(node, ast.ImportFrom):
            others.add(node.module.split(".")[0])
        elif isinstance(node, ast.Import):
            others |= {name.name.split(".")[0] for name in node.names}
    return ours, others


def test_import_is_cheap_and_brings_no_framework():
    runs = [subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True) for _ in range(5)]
    assert {run.stdout.splitlines()[1] for run in runs} == {"[]"}
    assert min(float(run.stdout.splitlines()[0]) for run in runs) < 0.3


def test_every_public_name_is_there():
    inside = {"files", "masks", "paths", "tools", "words"}
    assert set(kpretrain._MODULES) == {name for name in MODULES if "." not in name} - inside
    for name in kpretrain.__all__:
        assert getattr(kpretrain, name) is not None and name in dir(kpretrain)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        kpretrain.nothing  # noqa: B018
    assert kpretrain.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_modules_import_in_one_direction():
    graph = {name: imports(path)[0] & set(FILES) for name, path in FILES.items() if name != "__init__"}
    assert graph["check.bets"] == {"files"} and "clean" in graph["data.folders"]  # the reader of imports works
    parts = {name for name in FILES if name.startswith("check.")} - {"check.judge"}
    assert graph["check"] == parts and graph["check.judge"] == set()
    assert all(graph[name] == {"check.judge"} for name in parts - {"check.bets"})
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


def test_files_stay_short_and_their_private_names_at_home():
    for name, path in FILES.items():
        text = path.read_text(encoding="utf8")
        assert text.count("\n") <= 400, name
        taken = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
        assert not [each.name for node in taken for each in node.names if re.match(r"_(?!_)", each.name)], name


def test_requirements_hold_every_import():
    distributions = importlib.metadata.packages_distributions()
    for name, path in FILES.items():
        for other in imports(path)[1] - set(sys.stdlib_module_names) - {"kpretrain"}:
            names = {re.sub(r"[-_.]+", "-", found).lower() for found in distributions.get(other, [other])}
            names |= {"keras-nlp"} if "keras-hub" in names else set()  # the name under which it installs
            assert names & REQUIRED, f"kpretrain/{name}.py imports {other}, which requirements.txt does not name"


def test_requirements_are_one_list_with_reasons():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "dependencies" in project["project"]["dynamic"] and "dependencies" not in project["project"]
    assert project["tool"]["hatch"]["metadata"]["hooks"]["requirements_txt"] == {"files": ["requirements.txt"]}
    builds = project["build-system"]["requires"]
    assert set(builds) <= set(project["project"]["optional-dependencies"]["test"])
    assert all(one.startswith("hatch") for one in builds), "every installation from source downloads them"
    assert "-r requirements.txt" in (ROOT / "environment.yml").read_text()
    assert {"keras", "tensorflow", "keras-nlp", "keras-cv", "matplotlib", "jupyterlab"} <= REQUIRED
    for line in LINES:
        requirement, _, reason = line.partition("#")
        assert len(reason.split()) >= 2, f"{line}: say what needs it"
        assert str(Requirement(requirement).specifier).startswith(">="), f"{line}: a lower bound, and no other"
    python = project["project"]["requires-python"]
    assert f"python{python}" in (ROOT / "environment.yml").read_text().replace(" ", "")


@pytest.mark.parametrize("name", MODULES)
def test_public_functions_have_docstrings(name):
    module = importlib.import_module(f"kpretrain.{name}")
    assert module.__doc__
    for label, thing in vars(module).items():
        if not label.startswith("_") and getattr(thing, "__module__", None) == module.__name__:
            if inspect.isfunction(thing) or inspect.isclass(thing):
                assert thing.__doc__ and not thing.__doc__.startswith(f"{label}("), f"{name}.{label}"
