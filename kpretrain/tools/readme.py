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
_LONGER = {"en": "the same network from scratch, trained for longer", "zh": "训练得更久的从零训练的同一网络"}
_SCRATCH = {"en": "the same network from scratch", "zh": "从零训练的同一网络"}
_COUNTS = {"en": "counted words (TF-IDF)", "zh": "词频（TF-IDF）"}
# Record -> its pretrained arm, the hardest of the rivals that were fixed for it, and both in words.
ROWS = {
    "04_autoencoders": (
        "fine-tuned (denoising)",
        "scratch, longer",
        {"en": "digits: a denoising autoencoder, fine-tuned", "zh": "手写数字：微调的降噪自编码器"},
        _LONGER,
    ),
    "05_contrastive": (
        "spread (SimCLR)",
        "spread over pixels",
        {
            "en": "digits: labels spread to images that SimCLR finds alike",
            "zh": "手写数字：把标签传给 SimCLR 认为相似的图像",
        },
        {"en": "labels spread to images with like pixels", "zh": "把标签传给像素相似的图像"},
    ),
    "06_gan": (
        "fine-tuned (GAN)",
        "scratch, longer",
        {"en": "digits: a GAN's discriminator, fine-tuned", "zh": "手写数字：微调的 GAN 判别器"},
        _LONGER,
    ),
    "08_causal_language_model": (
        "fine-tuned (GPT)",
        "TF-IDF",
        {"en": "lines of docstrings: a small GPT, fine-tuned", "zh": "文档字符串的首行：微调的小 GPT"},
        _COUNTS,
    ),
    "09_transfer_resnet": (
        "frozen, all stages (ResNet)",
        "scratch",
        {"en": "ants and bees: a ResNet from CIFAR-10, frozen", "zh": "蚂蚁与蜜蜂：冻结的、来自 CIFAR-10 的 ResNet"},
        _SCRATCH,
    ),
    "10_transfer_bert": (
        "frozen, all layers (BERT)",
        "TF-IDF",
        {"en": "film reviews: MiniLM, frozen, all its layers", "zh": "影评：冻结的 MiniLM，用上所有层"},
        _COUNTS,
    ),
    "11_sentence_vectors": (
        "unit length beside TF-IDF (BERT)",
        "frozen (LSA)",
        {
            "en": "lines of docstrings: a small BERT, frozen, beside TF-IDF",
            "zh": "文档字符串的首行：冻结的小 BERT，加上 TF-IDF",
        },
        {"en": "LSA, made from the same texts", "zh": "用同样的文本做出的 LSA"},
    ),
    "14_speech_and_multitask": (
        "fine-tuned (SimCLR)",
        "scratch",
        {"en": "spoken digits, new speakers: SimCLR, fine-tuned", "zh": "陌生人读的数字：微调的 SimCLR"},
        _SCRATCH,
    ),
    "15_shrink_and_ship": (
        "distilled",
        "student alone",
        {"en": "digits: a small network, taught by a pretrained one", "zh": "手写数字：由预训练网络教出的小网络"},
        {"en": "the small network alone", "zh": "单独训练的小网络"},
    ),
}


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
        if len(record.get("runs", ())) >= 3:
            parts += ["Mean gain over the numbers of labels, with the interval for a new pretraining:", _new(record)]
        blocks.append("\n\n".join(parts))
    return "\n\n".join(blocks)


def _new(record):
    """The gains of pretrained arms as a Markdown table, with their intervals for a new pretraining run."""
    rows = Comparison.load(record).new_pretraining().itertuples()
    cells = [(row.arm, row.against, _points(row), ", ".join(f"{one:+.1f}" for one in row.each)) for row in rows]
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
    for name, (arm, rival, *_) in ROWS.items():
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
            *(said[language] for said in ROWS[name][2:]),
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
