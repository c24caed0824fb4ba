"""The figure of a comparison: accuracy against labels per class, with intervals; one colour for each kind of arm."""

import numpy as np

_BASELINES, _CONTROLS = ("#0072b2", "#56b4e9", "#004c7a"), ("#4d4d4d", "#8c8c8c", "#b8b8b8")
_PRETRAINED = (
    "#d55e00",
    "#e69f00",
    "#cc79a7",
    "#8f3f00",
    "#a08a00",
    "#99446d",
)  # warm, and told apart when colour-blind
_FIRST = {
    "fine-tuned": _PRETRAINED[0],
    "frozen": _PRETRAINED[1],
    "scratch": _CONTROLS[0],
    "frozen random": _CONTROLS[2],
}
_CONTROL_NAMES = ("scratch", "frozen random")
_MARKERS = "osD^vP"
_MOST = 5  # lines that an eye can follow
_POINTS = 3  # that make a curve, where there are so many


def colours(arms, compared):
    """Return a colour for each arm, the same one throughout the course: pretrained warm, controls grey, baselines blue.

    Parameters
    ----------
    arms : sequence of str
    compared : set of str
        Those whose gain is asked for: the pretrained ones.

    Returns
    -------
    dict of str to str

    Examples
    --------
    >>> colours(["pixels", "scratch", "fine-tuned"], {"fine-tuned"})
    {'pixels': '#0072b2', 'scratch': '#4d4d4d', 'fine-tuned': '#d55e00'}
    """
    palette = {}
    for arm in arms:
        family = {"compared": _PRETRAINED, "baseline": _BASELINES}.get(_kind(arm, compared), _CONTROLS)
        usual = next((_FIRST[name] for name in ("frozen random", *_FIRST) if arm.startswith(name)), family[0])
        left = [colour for colour in (usual, *family) if colour in family and colour not in palette.values()]
        palette[arm] = left[0] if left else family[len(palette) % len(family)]
    return palette


def draw(comparison, axis=None, arms=None):
    """Draw what `Comparison.plot` promises, and return the axis."""
    import matplotlib.pyplot as plt

    scores = comparison.scores()
    chosen = list(arms) if arms else _chosen(comparison, scores)
    colour = colours(comparison.arms, comparison.against)
    scores = scores[scores["arm"].isin(chosen)]
    sizes = sorted(scores["labels"].unique())
    if axis is None:
        height = 0.9 + 0.42 * len(chosen) if len(sizes) == 1 else 4.2
        _, axis = plt.subplots(figsize=(7.4, height), layout="constrained")
    if len(sizes) == 1:
        _dots(axis, scores.set_index("arm").loc[chosen], colour, sizes[0])
        what = axis.set_xlabel
    else:
        _lines(axis, scores, chosen, colour, sizes)
        what = axis.set_ylabel
    what(f"right, % of {comparison.test_rows:,} test rows")
    axis.spines[["top", "right"]].set_visible(False)
    if len(chosen) < len(comparison.arms) and not arms:
        axis.set_title(f"{len(chosen)} of {len(comparison.arms)} arms", fontsize=9, loc="right", color="#4d4d4d")
    return axis


def _chosen(comparison, scores):
    """At most five arms: the best baseline and the best control of each kind, and the best of those compared."""
    means = scores.pivot(index="arm", columns="labels", values="mean").loc[comparison.arms]
    curves = means.dropna(thresh=min(_POINTS, means.shape[1]))
    ranked = sorted(curves.index, key=lambda arm: (-curves.loc[arm].count(), -curves.loc[arm].mean()))  # longest first
    kinds = {arm: _kind(arm, comparison.against) for arm in ranked}
    rivals = [next((arm for arm in ranked if kinds[arm] == kind), None) for kind in ("baseline", *_CONTROL_NAMES)]
    rivals = [arm for arm in rivals if arm]
    rest = sorted((arm for arm in ranked if arm not in rivals), key=lambda arm: kinds[arm] != "compared")
    chosen = [*rivals, *rest[: _MOST - len(rivals)]]
    return [arm for arm in comparison.arms if arm in chosen]


def _kind(arm, compared):
    """Whether an arm is a control (which), one of those compared, or a baseline."""
    control = next((name for name in _CONTROL_NAMES if arm.startswith(name)), None)
    return control or ("compared" if arm in compared else "baseline")


def _bars(row):
    """The two lengths of an interval's bar, (2, 1); none where there is no interval."""
    lengths = np.array([[row.mean - row.low], [row.high - row.mean]])
    return None if np.isnan(lengths).any() else np.maximum(lengths, 0)


def _dots(axis, scores, colour, size):
    """One size: an arm a line, its name at the left."""
    for place, row in enumerate(scores.itertuples()):
        axis.errorbar(row.mean, place, xerr=_bars(row), fmt="o", color=colour[row.Index], capsize=3, markersize=7)
        axis.annotate(f"{row.mean:.1f}", (row.mean, place), (0, 7), textcoords="offset points", ha="center", fontsize=9)
    axis.set_yticks(range(len(scores)), scores.index, fontsize=10)
    axis.set_ylim(len(scores) - 0.4, -0.7)
    axis.grid(axis="x", color="#e6e6e6")
    axis.set_axisbelow(True)
    axis.set_title(f"{size} label{'' if size == 1 else 's'} per class", fontsize=10, loc="left")


def _lines(axis, scores, chosen, colour, sizes):
    """Several sizes: a curve for each arm, dodged so that the bars stand beside one another, its name at its end."""
    step = 0.02 * np.log(sizes[-1] / sizes[0])
    ends = []
    for number, arm in enumerate(chosen):
        rows, beside = scores[scores["arm"] == arm], np.exp(step * (number - (len(chosen) - 1) / 2))
        style = {"color": colour[arm], "marker": _MARKERS[number % len(_MARKERS)], "markersize": 6}
        axis.plot(rows["labels"] * beside, rows["mean"], linewidth=2, **style)
        for row in rows.itertuples():
            axis.errorbar(row.labels * beside, row.mean, yerr=_bars(row), color=colour[arm], linewidth=1.2, capsize=2)
        ends.append((float(rows["mean"].iloc[-1]), float(rows["labels"].iloc[-1] * beside), arm))
    axis.set_xscale("log")
    axis.set_xticks(sizes, [str(size) for size in sizes])
    axis.minorticks_off()
    axis.set_xlabel("labels per class")
    known = scores[["mean", "low", "high"]].to_numpy(float)
    low, high = np.nanmin(known), np.nanmax(known)
    room = 0.04 * (high - low) or 1
    axis.set_ylim(max(low - room, 0), min(high + room, 101))
    axis.grid(axis="y", color="#e6e6e6")
    _names(axis, ends, colour)


def _names(axis, ends, colour):
    """Write each arm's name beside the end of its line, moved apart where they would overlap."""
    low, high = axis.get_ylim()
    least = 0.055 * (high - low)
    ends.sort()
    places = []
    for height, _, _ in ends:
        places.append(max(height, places[-1] + least) if places else height)
    over = places[-1] - max(high - 0.02 * (high - low), ends[-1][0])
    if over > 0:  # push down again what the last pushes drove out of the axis
        for k in reversed(range(len(places))):
            limit = places[k + 1] - least if k + 1 < len(places) else places[k] - over
            places[k] = min(places[k], limit)
    for place, (height, size, arm) in zip(places, ends, strict=True):
        axis.annotate(
            arm,
            (size, height),
            (1.03, (place - low) / (high - low)),
            xycoords="data",
            textcoords="axes fraction",
            color=colour[arm],
            fontsize=10,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour[arm], "linewidth": 0.6, "shrinkA": 0, "shrinkB": 6},
        )
