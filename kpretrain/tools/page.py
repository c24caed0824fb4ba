"""One self-contained HTML page of facts and cards, from the template page.html."""

import base64
import io
from pathlib import Path

import jinja2
import mistune
from pygments.formatters import HtmlFormatter


class _SafeRenderer(mistune.HTMLRenderer):
    """Markdown to HTML that loads nothing: raw HTML is escaped, links and images leave their text."""

    def link(self, text, url, title=None):
        return text

    def image(self, text, url, title=None):
        return text

    def heading(self, text, level, **attributes):
        return f"<p><strong>{text}</strong></p>\n"


_COLOURS = HtmlFormatter().get_style_defs(".highlight")  # of the code in a notebook
_markdown = mistune.create_markdown(renderer=_SafeRenderer(escape=True), plugins=["table", "strikethrough"])


def picture(figure, alt, narrow=None):
    """Return a matplotlib figure as a dict for a card's `figures`.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    alt : str
        The alternative text.
    narrow : matplotlib.figure.Figure, default=None
        The same, drawn for a phone, where the writing in a wide figure is too small to read.

    Returns
    -------
    dict
        `source` (a data URI with a PNG of twice the size shown), `alt`, `width`, `height` (pixels shown), and `narrow`
        (the first, third and fourth of these, or None).

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> made = picture(Figure(figsize=(4, 3)), "an empty figure")
    >>> made["width"], made["height"], made["source"][:22]
    (400, 300, 'data:image/png;base64,')
    """
    return _drawn(figure) | {"alt": alt, "narrow": narrow and _drawn(narrow)}


def _drawn(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=200)
    width, height = (round(100 * inches) for inches in figure.get_size_inches())
    source = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    return {"source": source, "width": width, "height": height}


def render_page(title, facts, cards, intro=""):
    """Return one self-contained HTML page: no script, no external resource.

    Parameters
    ----------
    title : str
        The page's title and first heading.
    facts : list of (str, str)
        Names and values for the head of the page, such as `("Profile", "fast")`.
    cards : list of dict
        One per section: `id`, `title`, and any of `status` ("passed", "failed", "stopped", "not run"), `note` (a short
        text beside the status, such as the time), `links` (texts and relative addresses), `markdown` (with the heading
        `heading`, "Key result" where that is missing), `stored` (Markdown of a stored record), `figures` (as `picture`
        makes them, with a `caption` where it is not the alternative text), and `error` (a dict of `summary`, `source`,
        `traceback`).
    intro : str, default=""
        A sentence under the heading.

    Returns
    -------
    page : str
        All text in it is escaped.

    Examples
    --------
    >>> page = render_page("A title", [("Rows", "500")], [{"id": "one", "title": "A card", "markdown": "**bold**"}])
    >>> "<h1>A title</h1>" in page, "<strong>bold</strong>" in page
    (True, True)
    """
    return _template("page.html").render(title=title, facts=facts, cards=cards, intro=intro)


def render_notebook(title, body):
    """Return the HTML page of an executed notebook, which loads nothing: `body` is what nbconvert made of the cells.

    Examples
    --------
    >>> "<title>A title</title>" in render_notebook("A title", "<p>cells</p>")
    True
    """
    return _template("notebook.html").render(title=title, body=body, colours=_COLOURS)


def _template(name):
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["markdown"] = lambda text: jinja2.filters.Markup(_markdown(text))
    return environment.get_template(name)
