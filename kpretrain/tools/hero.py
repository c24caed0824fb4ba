"""The README's picture: where pretraining helps and where it does not, drawn from two stored records."""

import hashlib
import inspect
import io
from typing import NamedTuple

import pandas as pd

from .. import results, words
from ..comparison import Comparison
from ..comparison.figure import colours

TITLE = "With few labels, the right pretraining helps"
_RIVAL, _LONGER = "scratch", "scratch, longer"  # the second was run at one number of labels
# record, pretrained arm, its name to a passer-by
_PANELS = (
    ("05_contrastive", "frozen (SimCLR)", "SimCLR"),
    ("04_autoencoders", "fine-tuned (denoising)", "An autoencoder"),
)
_CAPTIONS = {
    "en": """\
![Two charts of accuracy against labels per class, each of a pretrained network beside the same one from scratch. \
SimCLR: {few} points at {first} label per class, {many} at {last}. Denoising autoencoder: {few_} at {first}, {many_} \
at {last}](data/results/hero.png)

*The same digits (MNIST), network, labels and {rows:,} test images on both sides. Left: SimCLR first learns from \
images without labels, for {minutes:.0f} minutes, and is then frozen; {first} label per class does the work of \
{needed} ({low} to {high}) for the network from scratch, which trains briefly. Against one that trains for longer it \
gains {longer} points at {at} labels. Right: a denoising autoencoder, fine-tuned, gains {mean} points on average \
({left} to {right}), and {longer_} at {at} labels against a network that trains for longer. Bars and brackets are 95 % \
intervals for new draws of labels.*""",
    "zh": """\
![两幅图，横轴是每类标签数，纵轴是准确率，各比较预训练过的网络与从零训练的同一网络。\
SimCLR：每类 {first} 个标签时相差 {few} 个百分点，{last} 个时 {many}。\
降噪自编码器：{first} 个时 {few_}，{last} 个时 {many_}](data/results/hero.png)

*左右两幅图用的是同样的手写数字（MNIST）、同样的网络、同样的标签和同样的 {rows:,} 张测试图像。\
左图：SimCLR 先用 {minutes:.0f} 分钟从没有标签的图像中学习，然后冻结，\
此后每类 {first} 个标签就抵得上短时间从零训练的 {needed} 个（{low} 至 {high}）；\
与训练得更久的网络相比，{at} 个标签时相差 {longer} 个百分点。\
右图：降噪自编码器微调之后，平均只相差 {mean} 个百分点（{left} 至 {right}）；\
与训练得更久的网络相比，{at} 个标签时相差 {longer_} 个百分点。\
括号与误差棒：重新抽取标签时的 95 % 置信区间。*""",
}


class Panel(NamedTuple):
    """One half of the picture: its name, both arms' scores, their differences, the contrasts, and what it cost."""

    name: str
    arm: str
    scores: pd.DataFrame
    points: pd.DataFrame
    contrast: object
    longer: object
    needed: object
    seconds: float
    rows: int

    @property
    def helps(self):
        """Whether the arm is ahead of scratch, all contrasts of its record counted."""
        return bool(self.contrast.p_holm < 0.05 and self.contrast.points > 0)


def panels(folder=results.FOLDER):
    """Read the two halves of the picture from the stored records.

    Raises
    ------
    ValueError
        If the records do not bear the title: the first arm must help, ever less with more labels, and the second not.

    Examples
    --------
    >>> [panel.helps for panel in panels()]
    [True, False]
    """
    halves = [_panel(*names, folder) for names in _PANELS]
    gains = halves[0].points["points"]
    if [panel.helps for panel in halves] != [True, False] or gains.iloc[-1] > gains.iloc[0] / 2:
        raise ValueError(
            f"The stored records do not bear the picture's title, {TITLE!r}: mend kpretrain/tools/hero.py."
        )
    return halves


def _panel(record, arm, name, folder):
    comparison = Comparison.load(stored := results.load(record, folder))
    longer = Comparison.load(stored | {"against": {arm: [_LONGER]}}).differences()
    cells, scores = comparison.table(), comparison.scores()
    differences, contrasts = comparison.differences(), comparison.contrasts()
    points, contrast = (
        table[(table["arm"] == arm) & (table["against"] == _RIVAL)] for table in (differences, contrasts)
    )
    return Panel(
        name,
        arm,
        scores[scores["arm"].isin([arm, _RIVAL])],
        points,
        next(contrast.itertuples()),
        next(longer.itertuples()),
        next(comparison.labels_saved(arm, _RIVAL).itertuples()),
        float(cells.loc[cells["arm"] == arm, "pretraining_seconds"].mean()),
        comparison.test_rows,
    )


def caption(halves, language="en"):
    """Return the picture with its alternative text and the sentences under it, as Markdown.

    Examples
    --------
    >>> print(caption(panels()))
    ![Two charts of accuracy ...](data/results/hero.png)
    <BLANKLINE>
    *The same digits (MNIST)...*
    """
    helps, fails = halves
    ends = [words.points(gain, 1) for panel in halves for gain in panel.points["points"].iloc[[0, -1]]]
    return _CAPTIONS[language].format(
        **dict(zip(("few", "many", "few_", "many_"), ends, strict=True)),
        first=helps.points["labels"].iloc[0],
        last=helps.points["labels"].iloc[-1],
        rows=helps.rows,
        minutes=helps.seconds / 60,
        at=helps.longer.labels,
        longer=words.points(helps.longer.points, 1),
        longer_=words.points(fails.longer.points, 1),
        needed=helps.needed.needed,
        low=helps.needed.low,
        high=helps.needed.high,
        mean=words.points(fails.contrast.points, 1),
        left=words.points(fails.contrast.low, 1),
        right=words.points(fails.contrast.high, 1),
    )


def key(halves):
    """Return a hash of what the picture shows and of the code that draws it: the PNG's "Source".

    Examples
    --------
    >>> len(key(panels()))
    64
    """
    shown = [panel.scores.round(2).to_csv() + panel.points.round(2).to_csv() for panel in halves]
    return hashlib.sha256("".join([TITLE, *shown, inspect.getsource(draw)]).encode()).hexdigest()


def draw(halves):
    """Return the picture as PNG (bytes), with its `key` as "Source".

    Examples
    --------
    >>> draw(panels())[1:4]
    b'PNG'
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.4), layout="constrained", facecolor="white")
    figure.suptitle(TITLE, fontsize=19, fontweight="bold")
    for axis, panel in zip(figure.subplots(1, 2, sharey=True), halves, strict=True):
        colour = colours(["fine-tuned", _RIVAL], {"fine-tuned"})
        for arm, shift in ((_RIVAL, 0.97), ("fine-tuned", 1.03)):
            rows = panel.scores[(panel.scores["arm"] == _RIVAL) == (arm == _RIVAL)]
            bars = [rows["mean"] - rows["low"], rows["high"] - rows["mean"]]
            style = {"color": colour[arm], "marker": "o", "markersize": 7, "linewidth": 3, "capsize": 3}
            axis.errorbar(rows["labels"] * shift, rows["mean"], bars, **style)
        sizes, means = panel.points["labels"].to_numpy(), panel.scores.groupby("labels")["mean"].mean()
        gains = [words.points(gain, 0 if abs(gain) >= 10 else 1) for gain in panel.points["points"].iloc[[0, -1]]]
        axis.text(0.75 * sizes[0], means[sizes[0]], gains[0], fontsize=17, fontweight="bold", ha="right", va="center")
        axis.text(sizes[-1], means[sizes[-1]] - 3, gains[1], fontsize=17, fontweight="bold", ha="center", va="top")
        axis.set_title(f"{panel.name} {'helps' if panel.helps else 'does not help'}", fontsize=16)
        axis.set_xscale("log")
        axis.set_xlim(0.2 * sizes[0], 1.8 * sizes[-1])
        axis.set_xticks(sizes, [str(size) for size in sizes])
        axis.minorticks_off()
        axis.tick_params(labelsize=14)
        axis.set_xlabel("labels per class", fontsize=15)
        axis.grid(axis="y", color="#e6e6e6")
        axis.spines[["top", "right"]].set_visible(False)
    left = figure.axes[0]
    left.set_ylabel("test images right, %", fontsize=15)
    for name, shade, place in zip(
        ("pretrained", "from scratch"), colour.values(), ((0.03, 0.9), (0.47, 0.5)), strict=True
    ):
        left.text(*place, name, color=shade, fontsize=16, fontweight="bold", transform=left.transAxes)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150, metadata={"Source": key(halves)})
    return file.getvalue()
