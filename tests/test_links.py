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
        cells = [
            v4.new_markdown_cell(f"# Title\n{badge}({colab}/{target}.ipynb)", id="a", metadata={"tags": ["header"]}),
            v4.new_code_cell(f'REPOSITORY = "{old}"\n!git clone {old}', id="b", metadata={"tags": ["setup"]}),
            v4.new_markdown_cell(f"[the first one]({colab}/00_a.ipynb), https://github.com/other/work", id="c"),
        ]
        (tmp_path / "notebooks").mkdir(exist_ok=True)
        nbformat.write(v4.new_notebook(cells=cells), tmp_path / "notebooks" / f"{name}.ipynb")
    readme = f"{badge}({colab}/01_copied.ipynb)\n`git clone {old}.git && cd kpretrain`\ngit clone --depth 1 {old}\n"
    (tmp_path / "README.md").write_text(readme)
    return tmp_path


def test_links_are_found_and_mended(clone, monkeypatch, capsys):
    monkeypatch.setattr(links, "ROOT", clone)
    monkeypatch.setattr(translations, "ROOT", clone)
    files = ["notebooks/00_a.ipynb", "notebooks/01_copied.ipynb", "README.md"]
    before = (clone / "README.md").read_text()
    assert links.update() == files
    assert main(["links"]) == 1
    assert "notebooks/01_copied.ipynb" in (told := capsys.readouterr().out)
    assert "links --write" in told
    assert (clone / "README.md").read_text() == before
    assert main(["links", "--write"]) == 0
    assert links.update() == []
    assert main(["links"]) == 0
    texts = {name: (clone / name).read_text() for name in files}
    assert not any("OWNER" in text for text in texts.values())
    assert texts["README.md"] == before.replace("OWNER", "jane")
    copied = nbformat.read(clone / files[1], as_version=4)
    assert "/jane/kpretrain/blob/main/notebooks/01_copied.ipynb)" in copied.cells[0].source
    assert copied.cells[1].source.startswith('REPOSITORY = "https://github.com/jane/kpretrain"\n')
    assert "/jane/kpretrain/blob/main/notebooks/00_a.ipynb" in copied.cells[2].source
    assert "https://github.com/other/work" in copied.cells[2].source


@pytest.mark.parametrize("text", ["", '[project.urls]\nRepository = "https://example.org/x"', None])
def test_links_need_an_address(tmp_path, text):
    if text is not None:
        (tmp_path / "pyproject.toml").write_text(text)
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
