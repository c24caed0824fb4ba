"""The README and what exists: commands, names, links and tables."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import kpretrain
from kpretrain.tools import links, readme

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf8")
BLOCKS = re.findall(r"```bash\n(.*?)```", README, flags=re.S)


def test_the_two_commands_set_up_everything_themselves():
    main, tests = [" ".join(block.replace("\\\n", " ").split()) for block in BLOCKS[:2]]
    for command in (main, tests):
        assert command.startswith("python3 -m venv .venv && .venv/bin/python -m pip install")
    assert main.endswith(".venv/bin/python -m kpretrain run --jobs 2")
    assert tests.endswith(".venv/bin/python -m pytest -n 2 --dist worksteal")
    extra = re.search(r'"\.\[(\w+)\]"', tests).group(1)
    assert f"{extra} = [" in (ROOT / "pyproject.toml").read_text(encoding="utf8")


def test_ci_runs_the_readmes_own_test_command():
    """`.ci/run` takes the command out of the README; here its extraction is run and compared."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf8")
    extraction = re.search(r"^command=\$\((.*)\)$", script, flags=re.M).group(1)
    command = subprocess.run(["bash", "-c", extraction], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert " ".join(command.split()) == " ".join(BLOCKS[1].split())
    assert 'bash -c "$command"' in script


@pytest.mark.parametrize("call", sorted(set(re.findall(r"python -m kpretrain (\w+[^`\n|&]*)", README))))
def test_every_kpretrain_command_in_the_readme_exists(call):
    words = [word for word in call.split("#")[0].split() if not word.startswith(("$", "<"))]
    done = subprocess.run(
        [sys.executable, "-m", "kpretrain", words[0], "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, call
    for option in words[1:]:
        if option.startswith("--"):
            assert option in done.stdout, call


def test_every_kp_name_in_the_readme_exists():
    for module, name in re.findall(r"\bkp\.(\w+)\.(\w+)\(", README):
        assert hasattr(getattr(kpretrain, module), name), f"kp.{module}.{name}"


def test_local_links_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", README):
        assert (ROOT / target).exists(), target


def test_the_result_tables_are_those_of_the_records():
    assert readme.render_readme(README) == README, "python -m kpretrain results --write renders them"


def test_the_picture_is_that_of_the_committed_notebook():
    stored = ROOT / "data" / "results" / "00_start_here.png"
    assert stored.read_bytes() == readme.picture(ROOT / "notebooks" / "00_start_here.ipynb")


def test_badges_and_set_up_cells_use_the_address_of_pyproject():
    assert links.update() == [], "python -m kpretrain links --write mends it"


def test_every_notebook_stands_in_the_tables():
    course_map = (ROOT / "notebooks" / "README.md").read_text(encoding="utf8")
    for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
        assert path.name in README and path.name in course_map


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]], ids=["lint", "format"])
def test_ruff(arguments):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *arguments, "."], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
