"""The README and what exists: commands, names, links and tables."""

import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from test_backbones import preset
from test_own import photos

import kpretrain
from kpretrain import presets
from kpretrain.tools import hero, links, readme

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf8")
PAGES = ["README.md", "README.zh-CN.md", "notebooks/README.md", "notebooks/README.zh-CN.md"]
PAGES += ["data/README.md", "data/results/README.md"]
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


@pytest.mark.parametrize("name", ["README.md", "notebooks/README.md"])
def test_every_kp_name_in_the_readmes_exists(name):
    for part, function in re.findall(r"\bkp\.(\w+)\.(\w+)", (ROOT / name).read_text(encoding="utf8")):
        assert hasattr(getattr(kpretrain, part), function), f"kp.{part}.{function}"


@pytest.mark.parametrize("name", PAGES)
def test_local_links_lead_somewhere(name):
    text = (ROOT / name).read_text(encoding="utf8")
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert ((ROOT / name).parent / target).exists(), target


def test_what_is_rendered_is_that_of_the_records():
    for name, text in readme.pages().items():
        assert (ROOT / name).read_text(encoding="utf8") == text, f"{name}: python -m kpretrain results --write"
    with Image.open(readme.PICTURE) as picture:
        assert picture.text["Source"] == hero.key(hero.panels()), "python -m kpretrain results --write draws it"
    assert readme.PICTURE.stat().st_size <= 150_000


def test_the_picture_can_be_drawn_and_says_what_it_shows():
    with Image.open(io.BytesIO(hero.draw(halves := hero.panels()))) as picture:
        assert picture.text["Source"] == hero.key(halves) and picture.width >= 1200
    other = halves[0]._replace(scores=halves[0].scores.assign(mean=50.0))
    assert hero.key([other, halves[1]]) != hero.key(halves)


def test_the_python_block_runs_as_printed(tmp_path, monkeypatch, capsys):
    """On 48 pictures, with a small network in the place of the course's ResNet; other tests train it."""
    preset(tmp_path / "resnet_cifar10")
    photos(tmp_path / "photos", classes=2, each=24)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(presets, "FOLDER", tmp_path / "none")
    monkeypatch.setenv("KPRETRAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kpretrain.FineTune, "fit", lambda self, x, y: self)
    monkeypatch.setattr(kpretrain.FineTune, "predict", lambda self, x: np.arange(len(x)) % 2)
    (block,) = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    space = {}
    exec(compile(block, "README.md", "exec"), space)
    assert list(space["arms"]) == ["pixels", "scratch", "frozen random", "frozen", "fine-tuned"]
    assert "frozen" in capsys.readouterr().out
    for call in re.findall(r"\.(\w+\([^)]*\))", block.rsplit("#", 1)[1]):  # what the last comment promises
        eval(f"comparison.{call}", space)


def test_no_notebook_takes_more_than_ten_minutes():
    times = re.findall(r"^\| \[\d\d_.* \| (\d+) s \| (\d+) min \|$", README, flags=re.M)
    assert len(times) == len(list((ROOT / "notebooks").glob("[0-9]*.ipynb")))
    assert all(int(fast) <= 600 and int(full) <= 10 for fast, full in times)
    assert "in at most ten minutes" in README


def test_the_licences_and_the_citation_are_named_and_agree():
    """The keys that the Citation File Format 1.2.0 requires, and the version of pyproject.toml."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation) and citation["cff-version"] == "1.2.0"
    assert str(citation["version"]) == kpretrain.__version__
    assert citation["license"] == "Apache-2.0"  # a list would offer the choice between them
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf8")
    texts = (ROOT / "LICENSE-TEXTS").read_text(encoding="utf8")
    assert "https://creativecommons.org/licenses/by/4.0/legalcode" in texts
    assert all(f"({name})" in README for name in ("LICENSE", "LICENSE-TEXTS", "CITATION.cff"))


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
