"""The README's part that is rendered from the stored records: its tables and its picture."""

import base64
import json
import sys
from pathlib import Path

from .. import results
from ..paths import ROOT
from ..words import as_markdown

MARKS = ("<!-- results: rendered by `python -m kpretrain results --write` -->", "<!-- end of results -->")


def markdown(folder=results.FOLDER):
    """Render all stored records as one Markdown text, in order of name.

    Examples
    --------
    >>> print(markdown())
    **...** (...)
    | arm | ...
    Stored record: ...
    """
    blocks = []
    for path in sorted(Path(folder).glob("*.json")):
        record = results.load(path.stem, folder)
        rows = results.table(record).reset_index()
        blocks.append("\n\n".join([f"**{record['title']}** ({path.stem})", as_markdown(rows), results.caption(record)]))
    return "\n\n".join(blocks)


def render_readme(text, folder=results.FOLDER):
    """Return README text with the part between its two result marks rendered anew.

    Examples
    --------
    >>> render_readme("A text without the two marks.")
    Traceback (most recent call last):
    ValueError: README.md must hold the lines ...
    """
    start, end = (text.find(mark) for mark in MARKS)
    if start < 0 or end < start:
        raise ValueError(f"README.md must hold the lines {MARKS[0]!r} and {MARKS[1]!r}, in this order.")
    return text[: start + len(MARKS[0])] + "\n\n" + markdown(folder) + "\n\n" + text[end:]


def picture(notebook):
    """Return the PNG (bytes) of a committed notebook's cell with the tag "picture".

    Examples
    --------
    >>> picture(ROOT / "notebooks" / "00_start_here.ipynb")[1:4]
    b'PNG'
    """
    cells = json.loads(Path(notebook).read_text(encoding="utf8"))["cells"]
    tagged = next(cell for cell in cells if "picture" in cell["metadata"].get("tags", []))
    return base64.b64decode(next(o["data"]["image/png"] for o in tagged["outputs"] if "image/png" in o.get("data", {})))


def main(write=False):
    """Print the stored results; with `write`, render them and the picture for README.md. Returns the exit code.

    Examples
    --------
    >>> main()
    **...** (...)
    ...
    0
    """
    print(markdown() or "No stored results yet.")
    readme = ROOT / "README.md"
    if write:
        readme.write_text(render_readme(readme.read_text(encoding="utf8")), encoding="utf8")
        name = "00_start_here"
        (results.FOLDER / f"{name}.png").write_bytes(picture(ROOT / "notebooks" / f"{name}.ipynb"))
        print(f"\nWritten into {readme.name}.", file=sys.stderr)
    return 0
