"""The public address: found where it is derived, and mended."""

import nbformat
import pytest
from nbformat import v4

from kpretrain.tools import links, translations
from kpretrain.tools.cli import main


@pytest.fixture
def clone(tmp_path):
    """Make a small repository whose address has changed since its notebooks were written."""
    (tmp_path / "pyproject.toml").write_text('[project.urls]\nRepository = "https://github.com/jane/kpretrain"\n')
    old = "https://github.com/OWNER/kpretrain"
    badge = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    colab = "https://colab.research.google.com/github/OWNER/kpretrain/blob/main/notebooks"
    for name, target in (("00_a", "00_a"), ("01_copied", "00_a")):
        ran = [v4.new_output("stream", text=f"git clone {old}")]
        cells = [
            v4.new_markdown_cell(f"# Title\n{badge}({colab}/{target}.ipynb)", id="a", metadata={"tags": ["header"]}),
            v4.new_code_cell(f'REPOSITORY = "{old}"', id="b", metadata={"tags": ["setup"]}, outputs=ran),
        ]
        (tmp_path / "notebooks").mkdir(exist_ok=True)
        nbformat.write(v4.new_notebook(cells=cells), tmp_path / "notebooks" / f"{name}.ipynb")
    return tmp_path


def test_links_are_found_and_mended(clone, monkeypatch, capsys):
    monkeypatch.setattr(links, "ROOT", clone)
    monkeypatch.setattr(translations, "ROOT", clone)
    files = ["notebooks/00_a.ipynb", "notebooks/01_copied.ipynb"]
    before = (clone / files[1]).read_text()
    assert links.update() == files
    assert main(["links"]) == 1
    assert "notebooks/01_copied.ipynb" in (told := capsys.readouterr().out)
    assert "links --write" in told
    assert (clone / files[1]).read_text() == before
    assert main(["links", "--write"]) == 0
    assert links.update() == []
    assert main(["links"]) == 0
    copied = nbformat.read(clone / files[1], as_version=4)
    assert "/jane/kpretrain/blob/main/notebooks/01_copied.ipynb)" in copied.cells[0].source
    source = 'SOURCE = os.environ.get("KPRETRAIN_SOURCE", "https://github.com/jane/kpretrain/archive/HEAD.zip")'
    assert source in copied.cells[1].source and "settled" not in copied.cells[1].source
    assert "OWNER" in copied.cells[1].outputs[0].text  # an output tells what ran
    assert (clone / files[1]).read_text().count("OWNER") == 1


def test_without_an_address_badges_and_cells_say_so_and_one_brings_them_back(clone):
    project, notebook = clone / "pyproject.toml", clone / "notebooks" / "00_a.ipynb"
    links.update(write=True, root=clone)
    settled, address = notebook.read_bytes(), project.read_text()
    project.write_text(address.replace("jane", "OWNER"))
    assert "notebooks/00_a.ipynb" in links.update(write=True, root=clone)
    header, setup = nbformat.read(notebook, as_version=4).cells
    assert header.source == "# Title\n*Open in Colab: the public address of the course is not settled yet.*"
    assert "not settled yet" in setup.source and "https://" not in setup.source
    assert links.update(root=clone) == []
    project.write_text(address)
    links.update(write=True, root=clone)
    assert notebook.read_bytes() == settled


def test_links_need_an_address(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project.urls]\nRepository = "https://example.org/x"')
    with pytest.raises(ValueError, match=r"pyproject\.toml"):
        links.update(root=tmp_path)


def test_a_changed_section_is_named_and_times_are_copied(tmp_path, monkeypatch, capsys):
    english = "# Title\n\nHello.\n\n## Part\n\n| [00_a](00_a.ipynb) | learn | 5 s | 1 min |\n"
    stamps = [f'<!-- translates "{heading}" {found} -->' for heading, found in translations.sections(english).items()]
    row = "| [00_a](00_a.ipynb) | 学习 | 4 s | 2 min |"
    (tmp_path / "README.md").write_text(english, encoding="utf8")
    chinese = tmp_path / "README.zh-CN.md"
    chinese.write_text("\n".join([stamps[0], "# 标题", stamps[1], "## 部分", row]), encoding="utf8")
    monkeypatch.setattr(translations, "ROOT", tmp_path)
    monkeypatch.setattr(links, "update", lambda write: [])
    assert translations.update() == (["README.zh-CN.md"], [])  # a time is copied, and makes nothing stale
    assert main(["links"]) == 1 and main(["links", "--write"]) == 0 and main(["links"]) == 0
    assert chinese.read_text(encoding="utf8").endswith("| 学习 | 5 s | 1 min |")
    (tmp_path / "README.md").write_text(english.replace("learn", "understand"), encoding="utf8")
    capsys.readouterr()
    assert main(["links"]) == main(["links", "--write"]) == 1
    assert 'translates "Part"' in (told := capsys.readouterr().out) and '"Title"' not in told
    (tmp_path / "README.md").write_text(english.replace("## Part", "## Other"), encoding="utf8")
    assert [line.rsplit(": ", 1)[1][:8] for line in translations.update()[1]] == ["translat", "there is"]


def test_the_translations_are_those_of_the_english():
    assert translations.update() == ([], []), "python -m kpretrain links says what to do"


def test_every_term_of_the_glossary_is_translated():
    def terms(name, heading):
        text = (links.ROOT / "notebooks" / name).read_text(encoding="utf8").split(heading)[1]
        return [row.split(" | ")[0] for row in text.splitlines() if row.startswith("| ")]

    assert terms("README.zh-CN.md", "## 术语表") == terms("README.md", "## Glossary")
