"""In a browser: a reader in notebook 00; the pages that the commands write, on a desk and on a phone."""

import io
import json

import nbformat
import numpy as np
import pytest
from PIL import Image

from kpretrain import data, results
from kpretrain.comparison import Comparison
from kpretrain.tools import answer, report

pytest.importorskip("playwright.sync_api", reason='no playwright: pip install -e ".[test]"')
import lab

SIZES = {"desk": (1200, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def chromium():
    if lab.CHROMIUM is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on this machine")
    with lab.chromium() as browser:
        yield browser


# ---------------------------------------------------------------- JupyterLab


def test_a_reader_goes_through_the_first_notebook(chromium, tmp_path):
    file = "00_start_here.ipynb"
    bets, page = tmp_path / "bets.json", chromium.new_page(viewport={"width": 1400, "height": 900})
    with lab.jupyter(tmp_path, KPRETRAIN_BETS=str(bets), KPRETRAIN_PROFILE="fast") as address:
        notebook = lab.Notebook(page, address, file)
        opened = nbformat.reads(json.dumps(notebook.saved()), as_version=nbformat.NO_CONVERT)
        stored = nbformat.read(lab.ROOT / "notebooks" / file, as_version=nbformat.NO_CONVERT)
        opened.metadata.language_info = stored.metadata.language_info  # the kernel tells its own version of Python
        assert opened == stored  # nothing was converted or mended
        assert notebook.complaints() == []

        notebook.run_all()
        assert notebook.complaints() == []
        cells = notebook.cells()
        assert "profile fast" in lab.printed(cells[0]) and "profile fast" in lab.printed(cells[-1])
        assert page.locator("mjx-container").count() >= 10

        assert "Bet placed" in notebook.edit("kp.check.bet(question, 0, 10)", "kp.check.bet(question, -90, 90)")
        assert [bet["low"] for bet in json.loads(bets.read_text()).values()] == [-90]
        assert "you bet -90 to 90" in (said := notebook.edit("kp.check.settle(", "kp.check.settle("))
        assert "Inside your bet." in said

        dots, wrong = "    ...\n\n\nkp.check.paired_gain(", "    return kp.results.interval(pretrained - scratch)\n\n\n"
        assert "Not yet: the scores are shares" in notebook.edit(dots, wrong + "kp.check.paired_gain(")
        right = "    return kp.results.interval(100 * (pretrained - scratch))\n\n\n"
        assert notebook.edit(wrong, right).strip() == "Right."

        notebook.follow("map of the course", "README.md")
        assert page.locator(".jp-MarkdownViewer h1").inner_text() == "The course"
        notebook.follow("02_mlp_mnist", "02_mlp_mnist.ipynb")
        assert page.locator(".jp-Notebook:visible h1").first.inner_text().startswith("02 · ")
        notebook.follow("map of the course", "README.md")
        notebook.follow("00_start_here", file)
        notebook.follow("01 Clean and split", "01_clean_and_split.ipynb")
    page.close()


# ---------------------------------------------------------------- the pages


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The folder with the course's page, of notebooks as they are committed, and with a report of `compare`."""
    out = tmp_path_factory.mktemp("pages")
    made = []
    for path in sorted((lab.ROOT / "notebooks").glob("*.ipynb")):
        if path.name[:2] in ("00", "09", "11"):
            notebook = nbformat.read(path, as_version=4)
            made.append(report.Result(path, path.stem, notebook, executed=out / path.name, status="passed"))
            report.read_outputs(made[-1])
    long = "a_name_without_a_break_" * 9
    made[1].status, made[1].error, made[1].traceback, made[1].source = "failed", f"NameError: {long}", long, long
    report.write_index(made, out, "full", 1234.0)
    name, arms = "09_transfer_resnet", ("pixels", "scratch", "frozen (ResNet)", "fine-tuned (ResNet)")
    stored = Comparison.load(results.load(name))
    table = stored.table().query("arm in @arms")
    found = Comparison(table, dict.fromkeys(arms[2:], arms[:2]), stored.test_rows, stored.facts)
    parts = [data.Part(np.arange(rows) % 2, np.arange(rows) % 2) for rows in (244, 0, stored.test_rows)]
    photos = data.Dataset("photos", *parts, ["ants", "bees"], f"/home/somebody/{long}")
    said = answer.sentence(found, photos, "images")
    page = answer.report(found, photos, said, ["A note."], f"python -m kpretrain compare {long}", 1234.0)
    (out / "report.html").write_text(page, encoding="utf8")
    return out


@pytest.fixture(params=[(1200, 900), (390, 844), (360, 780)], ids=["desk", "phone", "small phone"])
def page(request, chromium):
    width, height = request.param
    page = chromium.new_page(viewport={"width": width, "height": height})
    yield page
    page.close()


def open_page(page, path):
    """Open a page and have it load all its pictures, lazy or not."""
    page.goto(path.as_uri())
    page.evaluate(
        "Promise.all([...document.images].map((image) => { image.loading = 'eager'; return image.decode(); }))"
    )


@pytest.mark.parametrize("name", ["index", "report", "00_start_here", "11_sentence_vectors"])
def test_no_page_scrolls_sideways_and_pictures_are_whole(page, pages, name):
    open_page(page, pages / f"{name}.html")
    width, scrolls, out = page.evaluate("""() => {
        const right = (node) => node.getBoundingClientRect().right;
        const outside = [...document.querySelectorAll("body *")].filter((node) => !node.closest("table, pre, code")
            && right(node) > innerWidth);
        return [innerWidth, document.scrollingElement.scrollWidth, outside.map((node) => node.outerHTML.slice(0, 200))];
    }""")
    assert scrolls <= width and out == []
    pictures = page.evaluate("[...document.images].map((image) => [image.naturalWidth, image.clientWidth])")
    assert pictures and all(natural > 0 and shown > 100 for natural, shown in pictures)


def test_the_answer_comes_first_and_the_legend_can_be_read(page, pages):
    open_page(page, pages / "report.html")
    answer_at, facts_at, height = page.evaluate(
        "[...['.intro', '.facts'].map((it) => document.querySelector(it).getBoundingClientRect().bottom), innerHeight]"
    )
    assert page.locator(".intro").inner_text().startswith(("Yes", "No", "Partly", "It cannot be told"))
    assert answer_at < facts_at and answer_at < height
    points, natural, shown = page.evaluate(
        "(() => { const it = document.querySelector('figure img'); return [10, it.naturalWidth, it.clientWidth]; })()"
    )
    assert points * 200 / 72 * shown / natural >= 11  # px of the legend's letters, drawn with 200 dots an inch


def test_a_wide_table_shows_that_there_is_more(page, pages):
    """A shadow lies on the side on which there is more, and goes when that is reached."""
    open_page(page, pages / "report.html")
    tables = page.locator(".result table")
    wide = [k for k in range(tables.count()) if tables.nth(k).evaluate("it => it.scrollWidth > it.clientWidth")]
    assert bool(wide) == (page.viewport_size["width"] < 500)

    def edge(table):  # how bright the pixels at the right edge are, above the writing of the first row
        with Image.open(io.BytesIO(table.screenshot())) as shot:
            return np.asarray(shot.convert("L"))[2:5, -2].mean()

    for table in map(tables.nth, wide):
        assert edge(table) < 230
        table.evaluate("it => { it.scrollLeft = it.scrollWidth; }")
        assert edge(table) > 250
        first = table.locator("td").first
        assert first.bounding_box()["x"] == pytest.approx(table.bounding_box()["x"], abs=1)  # whose row it is, is seen


def test_a_picture_grows_where_it_is_tapped_on_a_phone(page, pages):
    open_page(page, pages / "index.html")
    picture = page.locator("figure.wide img").first
    before = picture.evaluate("it => it.clientWidth")
    picture.click()
    after = picture.evaluate("it => it.clientWidth")
    phone = page.viewport_size["width"] < 500
    assert after > 2 * before if phone else after == before
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    page.locator("h1").click()
    assert picture.evaluate("it => it.clientWidth") == before
