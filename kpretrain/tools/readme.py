"""What is rendered from the stored records: the README's picture and short table, and the long tables elsewhere."""

import sys
from pathlib import Path

import pandas as pd

from .. import results, words
from ..comparison import Comparison
from ..paths import ROOT, clone
from . import hero

PICTURE = results.FOLDER / "hero.png"
TABLES = "data/results/README.md"
READMES = {"en": "README.md", "zh": "README.zh-CN.md"}
_MARKS = ("<!-- {}: rendered by `python -m kpretrain results --write` -->", "<!-- end of {} -->")
_COLUMNS = {
    "en": "notebook, pretrained, its hardest rival, labels per class, gain in points (95 %), so it, "
    "minutes to pretrain, minutes to compare",
    "zh": "笔记本, 预训练的做法, 最强的对手, 每类标签数, 多出的百分点（95 %）, 结论, 预训练分钟数, 比较分钟数",
}
_WORDS = {"en": ("helps", "hurts", "cannot be told", "to"), "zh": ("有帮助", "有害", "无法判断", "至")}
# Record, its pretrained arm, the hardest of the rivals that were fixed for it, and both in words.
ROWS = pd.read_csv(Path(__file__).with_suffix(".csv"), index_col="record")


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
        rows = words.as_markdown(results.table(record).reset_index())
        parts = [f"**{record['title']}** ({path.stem})", rows, results.caption(record)]
        if len(record.get("runs", ())) >= 3 and len(new := Comparison.load(record).new_pretraining()):
            parts += ["Mean gain over the numbers of labels, with the interval for a new pretraining:", _new(new)]
        blocks.append("\n\n".join(parts))
    return "\n\n".join(blocks)


def _new(gains):
    cells = [
        (row.arm, row.against, _points(row), ", ".join(f"{one:+.1f}" for one in row.each)) for row in gains.itertuples()
    ]
    return words.as_markdown(pd.DataFrame(cells, columns=["arm", "against", "points (95 %)", "each run"]))


def _points(row, to="to"):
    return f"{words.points(row.points, 1)} ({words.points(row.low, 1)} {to} {words.points(row.high, 1)})"


def compared(folder=results.FOLDER):
    """Return a contrast of each record in `ROWS`.

    Returns
    -------
    list of tuple
        The record's name, the contrast (a row of `Comparison.contrasts`), seconds of pretraining and of the comparison.

    Examples
    --------
    >>> name, contrast, *seconds = compared()[0]
    >>> name, contrast.against
    ('04_autoencoders', 'scratch, longer')
    """
    rows = []
    for name, arm, rival in ROWS[["arm", "rival"]].itertuples():
        comparison = Comparison.load(record := results.load(name, folder))
        contrasts, cells = comparison.contrasts().set_index(["arm", "against"], drop=False), comparison.table()
        seconds = cells.loc[cells["arm"] == arm, "pretraining_seconds"].mean(), sum(record["seconds"])
        rows.append((name, contrasts.loc[(arm, rival)], *seconds))
    return rows


def short_table(rows, language="en"):
    """Return what `compared` found as a Markdown table.

    Examples
    --------
    >>> print(short_table(compared()))
    | notebook | pretrained | its hardest rival | ...
    """
    helps, hurts, unknown, to = _WORDS[language]
    cells = [
        [
            f"[{name[:2]}](notebooks/{name}.ipynb)",
            *ROWS.loc[name, [f"arm_{language}", f"rival_{language}"]],
            " – ".join(str(size) for size in dict.fromkeys([row.sizes[0], row.sizes[-1]])),
            _points(row, to),
            unknown if not row.p_holm < 0.05 else helps if row.points > 0 else hurts,
            _minutes(pretraining) if pretraining else "–",
            _minutes(seconds),
        ]
        for name, row, pretraining, seconds in rows
    ]
    return words.as_markdown(pd.DataFrame(cells, columns=_COLUMNS[language].split(", ")))


def _minutes(seconds):
    return f"{seconds / 60:.0f}" if seconds >= 30 else "< 1"


def render(text, name, block):
    """Return text with the part between the two marks of that name replaced.

    Examples
    --------
    >>> render("A text without the two marks.", "picture", "")
    Traceback (most recent call last):
    ValueError: The text must hold the lines ...
    """
    first, last = (mark.format(name) for mark in _MARKS)
    start, end = text.find(first), text.find(last)
    if start < 0 or end < start:
        raise ValueError(f"The text must hold the lines {first!r} and {last!r}, in this order.")
    return f"{text[:start]}{first}\n\n{block}\n\n{text[end:]}"


def pages(folder=results.FOLDER):
    """Return the files that hold something rendered, as they should be: {path in the repository: text}.

    Examples
    --------
    >>> list(pages())
    ['data/results/README.md', 'README.md', 'README.zh-CN.md']
    """
    rendered = {TABLES: render((ROOT / TABLES).read_text(encoding="utf8"), "tables", markdown(folder))}
    halves, rows = hero.panels(folder), compared(folder)
    for language, name in READMES.items():
        text = render((ROOT / name).read_text(encoding="utf8"), "picture", hero.caption(halves, language))
        rendered[name] = render(text, "results", short_table(rows, language))
    return rendered


def main(write=False):
    """Print the stored results; with `write`, render them and the picture into the pages. Returns the exit code.

    Examples
    --------
    >>> main()
    **...** (...)
    ...
    0
    """
    if write:
        clone("results --write")
    print(markdown() or "No stored results yet.")
    if write:
        written = pages()
        for name, text in written.items():
            (ROOT / name).write_text(text, encoding="utf8")
        PICTURE.write_bytes(hero.draw(hero.panels()))
        print(f"\nWritten into {words.listed(written)}; drawn anew: {PICTURE.name}.", file=sys.stderr)
    return 0
