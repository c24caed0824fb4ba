"""What the notebooks found: the outputs of their cells, the closing table, the index page and the HTML copies."""

import base64
import datetime
import html
import io
import os
import re
import shutil
from collections import Counter
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from urllib.parse import quote, unquote

from nbconvert import HTMLExporter
from nbconvert.filters import strip_ansi
from PIL import Image

from ..files import write
from ..results import STORED
from ..session import run_facts, version
from ..words import duration
from .page import render_notebook, render_page


@dataclass
class Result:
    """One notebook, and what became of it.

    Attributes
    ----------
    path, name, title : pathlib.Path, str, str
        The file, its stem and its first heading.
    notebook : nbformat.NotebookNode or None
        What is executed; None if the file cannot be read.
    expected : float
        Seconds that it usually takes.
    status : str
        "passed", "failed", "stopped" (by Ctrl-C) or "not run".
    seconds : float
        Wall time, start of the kernel included.
    cells : int
        How many code cells the notebook has.
    cell : int or None
        The last code cell that was begun, counted from 1 as Jupyter's `[n]` does.
    source, error, traceback : str
        That cell's source, why it failed in one line, and the whole traceback without colours.
    figures : list of dict
        Every PNG output: `source` (a data URI), `alt`, `caption`, `width`, `height`.
    key_result, stored_record : str
        Markdown of what the cells tagged "key-result" show of this run, and of what `kp.results.beside` shows of an
        earlier one.
    executed : pathlib.Path or None
        The executed copy; an HTML page of the same name lies beside it.
    html : str
        The HTML page, with its links as they stand in the notebook.

    Examples
    --------
    >>> Result(Path("03_cnn_mnist.ipynb"), status="failed", cells=20, cell=4, error="ValueError: no rows").reason()
    '03_cnn_mnist: failed in cell 4 of 20: ValueError: no rows'
    """

    path: Path
    title: str = ""
    notebook: dict | None = field(default=None, repr=False)
    expected: float = 0.0
    status: str = "not run"
    seconds: float = 0.0
    cells: int = 0
    cell: int | None = None
    source: str = ""
    error: str = ""
    traceback: str = ""
    figures: list = field(default_factory=list)
    key_result: str = ""
    stored_record: str = ""
    executed: Path | None = None
    html: str = field(default="", repr=False)

    @property
    def name(self):
        """The file's stem."""
        return self.path.stem

    def reason(self):
        """Return one line that names the notebook, the cell and why it did not pass."""
        where = f" in cell {self.cell} of {self.cells}" if self.cell else ""
        return f"{self.name}: {self.status}{where}: {self.error}"


# The notebook's content


def code_cells(notebook):
    """Return the code cells that hold code.

    Examples
    --------
    >>> import nbformat
    >>> cells = [nbformat.v4.new_markdown_cell("# A title"), nbformat.v4.new_code_cell("1 + 1")]
    >>> [cell.source for cell in code_cells(nbformat.v4.new_notebook(cells=cells))]
    ['1 + 1']
    """
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def first_heading(cell):
    """Return the first heading of a markdown cell as plain text, or None.

    Examples
    --------
    >>> import nbformat
    >>> first_heading(nbformat.v4.new_markdown_cell("# The *first* `heading`"))
    'The first heading'
    """
    if cell.cell_type != "markdown":
        return None
    match = re.search(r"^#+\s+(.+)$", cell.source, flags=re.MULTILINE)
    return re.sub(r"[*`]", "", match.group(1)).strip() if match else None


def clear(notebook):
    """Take out the outputs of earlier runs, so that a cell that is not reached shows none, and all that is volatile."""
    notebook.metadata.pop("widgets", None)
    for number, cell in enumerate(notebook.cells):
        if notebook.nbformat_minor >= 5:
            cell.setdefault("id", f"cell-{number}")
        for volatile in ("execution", "kpretrain", "ExecuteTime"):
            cell.metadata.pop(volatile, None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None


def read_outputs(result):
    """Put what an executed notebook shows into its result."""
    notebook = result.notebook
    for output in _outputs(notebook.cells):  # the view of a widget shows nothing without the widget's state
        output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    result.figures = _figures(notebook, result.title)
    tagged = [cell for cell in notebook.cells if "key-result" in cell.metadata.get("tags", [])]
    result.key_result = _as_markdown(output for output in _outputs(tagged) if not _is_stored(output))
    result.stored_record = _as_markdown(filter(_is_stored, _outputs(notebook.cells)))
    result.html = _as_html(notebook, result.title)


def _outputs(cells):
    return [output for cell in cells for output in cell.get("outputs", [])]


def _figures(notebook, title):
    """Return every PNG output as a dict for the page; the alternative text names the section it stands in."""
    figures, heading = [], title
    for cell in notebook.cells:
        heading = first_heading(cell) or heading
        for output in _outputs([cell]):
            content = re.sub(r"\s", "", output.get("data", {}).get("image/png", ""))
            try:
                width, height = Image.open(io.BytesIO(base64.b64decode(content))).size
            except (OSError, ValueError):  # no PNG
                continue
            alt = output.get("metadata", {}).get("image/png", {}).get("alt")
            figure = {"source": f"data:image/png;base64,{content}", "width": width, "height": height}
            figure |= {"alt": alt or f"Figure {len(figures) + 1} of {title}: {heading}"}
            figures.append(figure | {"caption": alt or heading})
    return figures


def _is_stored(output):
    """Whether an output shows a stored record, and not what this run found."""
    return STORED in output.get("metadata", {})


def _as_markdown(outputs):
    """Return outputs as one markdown text; plain text stands in where there is no markdown."""
    parts = []
    for output in outputs:
        data = output.get("data", {})
        if "text/markdown" in data:
            parts.append(data["text/markdown"].strip())
        elif "image/png" in data or data.get("text/html", "").startswith("<details>"):
            continue  # figures have their own place, and what is folded away is not the result
        elif text := data.get("text/plain") or output.get("text"):
            # What has HTML is a table of pandas: its columns must stay in line.
            kind = "table" if "text/html" in data else ""
            text = strip_ansi(text).rstrip().lstrip("\n")
            parts.append(f"```{kind}\n{text}\n```")
    return "\n\n".join(parts)


def first_line(text):
    """Return the first line that is not blank.

    Examples
    --------
    >>> first_line("\\n  the first  \\nthe second")
    'the first'
    """
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


# The closing table


def closing_table(results):
    """Return the closing table as text, and one line for each notebook that did not pass."""
    room = max(shutil.get_terminal_size((120, 20)).columns, 60)
    wide = max(len(result.name) for result in results)

    def line(name, status, time, figures, key):
        return f"{name:<{wide}}  {status:<8}  {time:<10}  {figures:>7}  {key}"[:room].rstrip()

    lines = ["", line("notebook", "status", "time", "figures", "key result of this run"), "-" * room]
    for result in results:
        key = re.sub(r"[*`]", "", first_line(re.sub(r"```(table)?", "", result.key_result)))
        lines.append(line(result.name, result.status, _time(result), len(result.figures), key))
    for result in results:
        if result.status in ("failed", "stopped"):
            lines += ["", result.reason()]
            lines += [f"    {code}" for code in result.source.splitlines()[:3]]
    return "\n".join(lines)


def _time(result):
    return "" if result.status == "not run" else duration(result.seconds)


# The page


@cache
def _exporter():
    # The highlighted code is escaped already; to parse it once more takes most of the time.
    return HTMLExporter(template_name="basic", filters={"clean_html": lambda code: code})


def _as_html(notebook, title):
    """Return a notebook as a page that loads nothing from the network; its formulas stay as they were written."""
    body = _exporter().from_notebook_node(notebook)[0]
    body = re.sub(r"<script\b.*?</script>", "", body, flags=re.DOTALL | re.IGNORECASE)
    # A badge lies on a server.
    body = re.sub(r'<img\b[^>]*\balt="([^"]*)"[^>]*\bsrc="https?:[^>]*>', r"\1", body)
    return render_notebook(title, body)


def _write_copies(results, out):
    """Write the HTML copies, whose links lead to the copies that there are, or else to the notebooks' folder."""
    fresh = {result.executed.name for result in results if result.html}

    def lead(match, folder):
        name, mark, place = html.unescape(match[2]).partition("#")
        name, target = unquote(name), folder / unquote(name)
        copy = f"{target.stem}.html"
        if target.suffix == ".ipynb" and target.parent == folder and (name in fresh or (out / copy).is_file()):
            address = quote(copy)
        elif target.exists():
            # Two drives of Windows have no relative path between them.
            same = target.drive == out.drive
            address = quote(Path(os.path.relpath(target, out)).as_posix()) if same else target.as_uri()
        else:
            return match[0]
        return f'{match[1]}="{html.escape(address + mark + place)}"'

    for result in results:
        if result.html:
            relative = r'\b(href|src)="(?![a-zA-Z][\w+.-]*:|[#/])([^"]+)"'
            text = re.sub(relative, partial(lead, folder=result.path.parent), result.html)
            write(result.executed.with_suffix(".html"), text)


def write_index(results, out, profile, seconds):
    """Write the HTML copies and `index.html`, and return its path."""
    _write_copies(results, out)
    ran = run_facts()
    counts = Counter(result.status for result in results)
    facts = [
        ("Notebooks", ", ".join(f"{count} {status}" for status, count in counts.items())),
        ("Total time", duration(seconds)),
        ("Profile", profile),
        ("Date", datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")),
        ("Versions", f"Python {ran['python']}, Keras {ran['keras']}, TensorFlow {version('tensorflow')}"),
        ("Machine", ran["machine"]),
    ]
    page = render_page("kpretrain: the course, executed", facts, [_card(result) for result in results])
    return write(out / "index.html", page)


def _card(result):
    error, links = None, []
    if result.executed is not None:
        name = result.executed.name
        links = [("The executed notebook", f"{result.name}.html"), (f"as {name}", name)]
    if result.status in ("failed", "stopped"):
        source = result.source.splitlines()
        shown = "\n".join(source[:6] + (["..."] if len(source) > 6 else []))
        where = f"Cell {result.cell} of {result.cells}" if result.cell else "Before the first cell"
        error = {"summary": f"{where}: {result.error}", "source": shown, "traceback": result.traceback}
    return {
        "id": result.name,
        "title": result.title,
        "status": result.status,
        "note": _time(result),
        "links": links,
        "heading": "Key result of this run",
        "markdown": result.key_result,
        "stored": result.stored_record,
        "figures": result.figures,
        "error": error,
    }
