"""What a class has handed in, as one page: the curves of all its draws, and how often its bets held."""

import json
import textwrap
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ..check.bets import bets_table, read_bets
from ..comparison import Comparison
from ..files import write
from ..words import as_markdown, count, listed
from . import page

# What records of one experiment share: settings hold a key of the rows, wherever they lie. Others become a curve of
# their own; `merge` may still refuse, and says why.
_SAME = ("against", "test_rows", "settings", "versions")
_COMMAND = "python -m kpretrain pool"


def pool(paths, out="class"):
    """Pool records and bets, print what was found, and write `index.html` and `pool.json`.

    Parameters
    ----------
    paths : sequence of path
        JSON files, and folders whose JSON files are all taken: records, as `Comparison.save` writes
        them, and files of bets. Records of one experiment become one curve. What cannot be used or does not fit,
        such as a second record with the same seed, is named and left out.
    out : path
        The folder for the page. What it holds already is not read.

    Returns
    -------
    dict
        What `pool.json` holds: `records` (pooled ones, which `Comparison.load` takes), `bets` (rows of reader,
        question, low, high, measured, inside) and `left_out` (file -> reason).

    Raises
    ------
    FileNotFoundError
        If a path does not exist.
    ValueError
        If nothing can be used.
    """
    out, groups, bets, left = Path(out), {}, [], {}
    for name, path in _files([Path(path) for path in paths], out.resolve()):
        try:
            key, content = _read(path)
        except Exception as error:  # whatever is wrong with one file, the others count
            left[name] = " ".join(str(error).split())
            continue
        if key:
            groups.setdefault(key, {})[name] = content
        else:
            bets.append(content.assign(reader=name))
    if not groups and not bets:
        why = "; ".join(f"{name}: {reason}" for name, reason in left.items())
        raise ValueError(f"There is no record and no file of bets in {listed(paths)}. {why}")
    pooled = sorted((_pool(group, left) for group in groups.values()), key=lambda pair: -pair[1])
    cards, bets = _curves(pooled), pd.concat(bets) if bets else pd.DataFrame()
    if not bets.empty:
        cards.append(_bets_card(bets))
    if left:
        lines = "\n".join(f"- {name}: {why}" for name, why in left.items())
        cards.append({"title": "Left out", "note": count(len(left), "file"), "markdown": lines})
    records = [content.record(name="class", command=_COMMAND) for content, _ in pooled]
    summary = {"records": records, "bets": json.loads(bets.to_json(orient="records")), "left_out": left}
    cards = [card | {"id": f"part-{number}", "heading": ""} for number, card in enumerate(cards)]
    write(out / "index.html", page.render_page("What the class found", [], cards))
    write(out / "pool.json", json.dumps(summary, indent=1) + "\n")
    print(*(f"{card['title']}: {card['note']}" for card in cards), sep="\n")
    print(*(f"- {name}: {why}" for name, why in left.items()), f"The page: {out / 'index.html'}", sep="\n")
    return summary


def _files(paths, out):
    """Yield (name, path) of each JSON file: the name is the path from the folder that was given."""
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{path}: there is no such file or folder.")
        for file in sorted(path.rglob("*.json")) if path.is_dir() else [path]:
            name = file.relative_to(path) if path.is_dir() else file
            if out not in file.resolve().parents and not any(part.startswith(".") for part in name.parts[:-1]):
                yield name.as_posix(), file


def _read(path):
    """What a file holds: (what it must share with others, a Comparison), or (None, a table of bets)."""
    content = json.loads(path.read_text(encoding="utf8"))
    if not isinstance(content, dict) or "scores" not in content:
        if (bets := bets_table(read_bets(path))).empty:
            raise ValueError("it is empty.")
        return None, bets.reset_index()
    return json.dumps([content.get(key) for key in _SAME], sort_keys=True), Comparison.load(path)


def _pool(group, left):
    """Pool comparisons (by name) one by one: (the pooled one, how many are in it)."""
    taken, merged = [], None
    for name, record in group.items():
        try:
            merged = Comparison.merge(*taken, record)
            taken.append(record)
        except ValueError as error:
            left[name] = str(error)
    return merged, len(taken)


def _curves(pooled):
    """A card for each experiment. One that differs in its settings only from an earlier one says in which."""
    cards, first = [], {}
    for record, files in pooled:
        data, draws = ", ".join(record.facts.get("data", ["data"])), record.table()["seed"].nunique()
        lines = record.verdict().splitlines()
        if data in first:
            record.facts["file"] = "this curve"
            try:
                first[data].merge(record)
            except ValueError as error:
                lines.append(f"A curve of its own: {error}")
        first.setdefault(data, record).facts["file"] = "the first curve"
        figure = Figure(figsize=(7.4, 4), layout="constrained")
        record.plot(figure.subplots())
        title = textwrap.shorten(f"{data}: {', '.join(record.arms)}", 80, placeholder=" …")
        card = {"title": title, "note": f"{count(draws, 'draw')} of {count(files, 'record')}"}
        card["markdown"] = "\n".join([*(f"- {line}" for line in lines), "", record.markdown_table()])
        alt = "Accuracy on the test rows against labels per class, a curve for each arm, from all draws of the class."
        cards.append(card | {"figures": [page.picture(figure, alt)]})
    return cards


def _bets_card(bets):
    """How often bets held: of all readers, of each question, of each reader."""
    settled = bets[bets["inside"] != "open"].assign(held=lambda rows: 100.0 * (rows["inside"] == "yes"))
    readers, held = settled.groupby("reader")["held"].mean(), settled["held"]
    note = f"{count(len(bets), 'bet')} of {count(bets['reader'].nunique(), 'reader')}, {len(settled):,} of them settled"
    card = {"title": "Bets", "note": note, "markdown": "No bet is settled yet."}
    if settled.empty:
        return card
    questions = settled.groupby("question", sort=False).agg(
        {"held": ["size", "mean"], "low": "median", "high": "median", "measured": "median"}
    )
    questions.columns = ["bets", "held, %", "low (median)", "high (median)", "measured (median)"]
    figure = Figure(figsize=(7.4, 1.2 + 0.3 * len(questions)), layout="constrained")
    axis = figure.subplots()
    axis.barh(range(len(questions)), questions["held, %"], color="#0072b2")
    names = [textwrap.shorten(str(name), 60, placeholder=" …").replace("$", r"\$") for name in questions.index]
    axis.set_yticks(range(len(questions)), names)
    axis.axvline(80, color="#4d4d4d", linestyle="--")
    axis.set(xlim=(0, 100), xlabel="bets that held, %; the dashed line is 80 %")
    axis.invert_yaxis()
    by_reader = settled.groupby("reader")["held"].agg(bets="size", **{"held, %": "mean"}).reset_index()
    said = (
        f"{held.mean():.0f} % of the settled bets held. Each was an interval in which its reader was 80 % sure, so "
        f"four in five should. Below that {'is' if (below := (readers < 80).sum()) == 1 else 'are'} "
        f"{below} of {count(len(readers), 'reader')}."
    )
    tables = [as_markdown(table.map(_short)) for table in (questions.reset_index(), by_reader)]
    alt = "The share of bets that held, a bar for each question, beside the 80 % that well-placed bets reach."
    return card | {"markdown": "\n\n".join([said, *tables]), "figures": [page.picture(figure, alt)]}


def _short(cell):
    return f"{cell:.4g}" if isinstance(cell, float) else " ".join(str(cell).split())
