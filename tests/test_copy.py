"""A working copy of the notebooks: its links hold, and what its reader changed is left alone."""

import re

import nbformat
import pytest

from kpretrain.paths import ROOT
from kpretrain.tools.cli import main


def test_all_notebooks_are_copied_and_the_links_among_them_hold(tmp_path, capsys):
    mine = tmp_path / "my course"
    assert main(["copy", str(mine)]) == 0
    assert f"files into {mine}. Next: jupyter lab" in capsys.readouterr().out
    names = {path.relative_to(ROOT / "notebooks") for path in (ROOT / "notebooks").rglob("[0-9a-zA-Z]*.*")}
    copied = {path.relative_to(mine) for path in mine.rglob("*") if path.is_file()}
    assert copied == {name for name in names if ".ipynb_checkpoints" not in name.parts}
    found = 0
    for path in mine.rglob("*.*"):
        text = path.read_text(encoding="utf8")
        if path.suffix == ".ipynb":
            text = "\n".join(cell.source for cell in nbformat.reads(text, 4).cells if cell.cell_type == "markdown")
        for target in re.findall(r"\]\((?!https?:|#|attachment:)([^)#\s]+)", text):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
            found += 1
    assert found > 50


def test_what_its_reader_changed_stays_and_is_named(tmp_path, capsys):
    main(["copy", str(tmp_path)])
    changed, gone = tmp_path / "00_start_here.ipynb", tmp_path / "solutions" / "02_mlp_mnist_solutions.ipynb"
    changed.write_text("my notes")
    gone.unlink()
    capsys.readouterr()
    assert main(["copy", str(tmp_path)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 2 and told[0].startswith(f"{changed} stays as it is") and told[1].startswith("Copied 1 files")
    assert changed.read_text() == "my notes" and gone.is_file()


def test_a_file_is_no_folder(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["copy", str(tmp_path / "file")]) == 2
    assert "File exists" in (told := capsys.readouterr().err) and told.count("\n") == 1


@pytest.mark.parametrize("name", ["solutions", "00_start_here.ipynb"])
def test_a_place_that_is_taken_is_an_error_of_one_line(tmp_path, capsys, name):
    """A file where a folder must be, and a folder where a file must be."""
    place = tmp_path / name
    place.write_text("") if name == "solutions" else place.mkdir()
    assert main(["copy", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
