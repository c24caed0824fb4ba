"""The answer of a comparison on your own data, and the page behind it."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..words import as_markdown, duration, per_class
from . import page

_INTERVAL_DRAWS = 5  # from which on there is a yes or no
_EVEN = 2  # points: two arms whose whole interval lies within are called equally good


def decide(contrasts, means, seconds, labels, what="rows"):
    """Say whether pretraining helps, which arm to take, and what it costs.

    The contrasts are fixed before a score is seen. "yes" needs a pretrained arm that is better than every rival, each
    clearly after Holm's correction: to compare with the best rival alone would be a look too many. "tie" and "no" need
    a rival that no pretrained arm is better than: each is clearly worse, or the whole interval is within 2 points.
    Of arms that are equally good, the one with the quickest fit is recommended.

    Parameters
    ----------
    contrasts : pandas.DataFrame
        A row for each pretrained arm and each rival without pretraining, means over the sizes: arm, against, points,
        low, high, p_holm, draws. The numbers are NaN where there is no interval.
    means : dict of str to float
        The mean score of each arm in percent, over the sizes.
    seconds : dict of str to (float, float)
        What a fit and the pretraining of each arm took.
    labels : sequence of int
        Labels per class.
    what : str
        The rows in a word: "images", "texts".

    Returns
    -------
    answer : {"yes", "partly", "no", "tie", "cannot be told"}
    sentence : str
    """
    rows = {(row.arm, row.against): row for row in contrasts.itertuples()}
    state = {pair: _state(row) for pair, row in rows.items()}
    arms, rivals = (list(contrasts[column].unique()) for column in ("arm", "against"))
    best, rival = max(arms, key=means.get), max(rivals, key=means.get)
    where = f"on average over {per_class(*labels)}" if len(labels) > 1 else f"at {per_class(*labels)}"

    def gap(arm, against):
        row = rows[arm, against]
        return f"{row.points:+.1f} points, {row.low:.1f} to {row.high:.1f}"

    def take(*tied):
        arm = min(tied, key=lambda arm: seconds[arm][0])
        cheap = ("", ", the cheaper of the two", ", the cheapest")[min(len(tied), 3) - 1]
        return f"{arm}{cheap}: {_cost(*seconds[arm])}"

    def near(names):  # those that are as good as the best of them
        return [name for name in names if means[name] >= max(map(means.get, names)) - _EVEN]

    if min(means[arm] for arm in arms + rivals) == 100:
        return "tie", f"No, a tie: all arms are right on every test row, {where}. Take {take(*arms, *rivals)}."
    if "unknown" in state.values():
        points, draws = rows[best, rival].points, contrasts["draws"].min()
        return "cannot be told", (
            f"It cannot be told yet: {draws} draw{'' if draws == 1 else 's'} of labels are too few for an answer, "
            f"{_INTERVAL_DRAWS} are needed. So far {best} and {rival} differ by {points:+.1f} points {where}. "
            f"The same command again adds draws; until then take {take(best, rival)}."
        )
    if winners := [arm for arm in arms if all(state[arm, other] == "better" for other in rivals)]:
        arm = min(near(winners), key=lambda arm: seconds[arm][0])
        row = rows[arm, rival]
        return "yes", (
            f"Yes: on these {what} pretraining helps. Take {arm}: {row.points:+.1f} points over the best model without "
            f"pretraining ({rival}), {where} ({row.low:.1f} to {row.high:.1f}); {_cost(*seconds[arm])}."
        )
    if helped := [arm for arm in arms if any(state[arm, other] == "better" for other in rivals)]:
        arm = max(helped, key=means.get)
        beaten = [other for other in rivals if state[arm, other] == "better"]
        hard = min(set(rivals) - set(beaten), key=lambda other: rows[arm, other].points)
        but = {"worse": f"{hard} is better still", "even": f"{hard} is as good", "open": f"not clearly against {hard}"}
        chosen = [hard] if state[arm, hard] == "worse" else [arm, hard]
        against = " and ".join(f"{other} ({gap(arm, other)})" for other in beaten)
        return "partly", (
            f"Partly: {where}, {arm} helps against {against}, but {but[state[arm, hard]]} ({gap(arm, hard)}). "
            f"Take {take(*chosen)}."
        )
    if enough := [other for other in rivals if all(state[arm, other] in ("worse", "even") for arm in arms)]:
        other = min(near(enough), key=lambda arm: seconds[arm][0])
        words = {"worse": "better than", "even": f"within {_EVEN} points as good as"}
        comparisons = " and ".join(f"{words[state[arm, other]]} {arm} ({gap(arm, other)})" for arm in arms)
        tied = [other, *(arm for arm in arms if state[arm, other] == "even")]
        tie = len(tied) > len(arms)
        answer, start = ("tie", "No, a tie") if tie else ("no", "No")
        return answer, f"{start}: {where}, {other} is {comparisons}. Take {take(*tied)}."
    row = rows[best, rival]
    apart = row.low > 0 or row.high < 0
    alone = f", which is not clear after correction for {len(rows)} comparisons" if apart else ""
    return "cannot be told", (
        f"It cannot be told: the best pretrained arm ({best}) and {rival} differ by {row.points:+.1f} points "
        f"({row.low:.1f} to {row.high:.1f}) {where} over {row.draws} draws{alone}; "
        f"more draws (the same command again) or more test rows would tell. Until then take {take(best, rival)}."
    )


def _state(row):
    """What one contrast shows: better, worse, even, open, or unknown where there is no interval."""
    if np.isnan(row.p_holm):
        return "unknown"
    if row.p_holm < 0.05:
        return "better" if row.points > 0 else "worse"
    return "even" if -_EVEN <= row.low and row.high <= _EVEN else "open"


def _cost(fit, pretraining):
    once = f", the pretraining took {duration(pretraining)}, once" if pretraining else ""
    return f"a fit takes {duration(fit)}{once}"


def _contrast_rows(comparison):
    """The fixed contrasts, means over the sizes; no interval of fewer than five draws."""
    table = comparison.contrasts()
    table = table[["arm", "against", "points", "low", "high", "p", "p_holm", "draws"]].astype({"draws": int})
    numbers = ["low", "high", "p", "p_holm"]
    return table.assign(**{name: table[name].where(table["draws"] >= _INTERVAL_DRAWS) for name in numbers})


def sentence(comparison, dataset, kind):
    """Return the answer for the head of the page, and what a blind guess would reach where the classes are unequal."""
    table = comparison.table()
    groups = table.groupby("arm")
    seconds = zip(groups["fit_seconds"].median(), groups["pretraining_seconds"].mean(), strict=True)
    seconds, labels = dict(zip(groups.groups, seconds, strict=True)), sorted(table["labels"].unique().tolist())
    _, answer = decide(_contrast_rows(comparison), groups["score"].mean().to_dict(), seconds, labels, kind)
    shares = np.bincount(dataset.test.y) / len(dataset.test.y)
    if shares.max() >= 1.5 / len(dataset.class_names):
        answer += f" Always answering {dataset.class_names[shares.argmax()]!r} gives {100 * shares.max():.1f} %."
    return answer


# ---------------------------------------------------------------- the page


def verdict(comparison):
    """Return the verdict, where there are draws enough for one."""
    draws = comparison.table()["seed"].nunique()
    if draws < _INTERVAL_DRAWS:
        return f"No verdict from {draws} draws: {_INTERVAL_DRAWS} are needed. The same command adds more."
    return comparison.verdict()


def costs(comparison):
    """Return the seconds of each arm: pretraining, a fit, and all its fits and predictions here."""
    table = comparison.table()
    groups = table.assign(all=table["fit_seconds"] + table["predict_seconds"]).groupby("arm", sort=False)
    columns = {
        "pretraining, s": groups["pretraining_seconds"].mean().map("{:,.0f}".format),
        "a fit, s (median)": groups["fit_seconds"].median().map("{:.1f}".format),
        "all fits and predictions here, s": groups["all"].sum().map("{:,.1f}".format),
    }
    return pd.DataFrame(columns).reset_index()


def _best(comparison):
    """The highest mean at each size, and every arm that has it."""
    means = comparison.table().groupby(["labels", "arm"], sort=False)["score"].mean()
    bests = []
    for n in sorted(means.index.unique("labels")):
        best = " and ".join(means[n].index[means[n] == means[n].max()])
        bests.append(f"{best} at {per_class(n)} ({means[n].max():.1f} %)")
    return f"Highest mean: {'; '.join(bests)}."


def _shown(table):
    """A table of contrasts in words: points with a sign, no number where there is none."""
    forms = dict.fromkeys(("points", "low", "high"), "{:+.1f}") | dict.fromkeys(("p", "p_holm"), "{:.4f}")
    cells = {
        name: [form.format(value) if value == value else "–" for value in table[name]]
        for name, form in forms.items()
        if name in table
    }
    return as_markdown(table.assign(**cells).rename(columns={"labels": "labels per class", "p_holm": "p, Holm"}))


def report(comparison, dataset, answer, notes, command, seconds):
    """Return the report as one self-contained HTML page (str), which begins with the answer."""
    facts, table = comparison.facts, comparison.table()
    labels, draws = sorted(table["labels"].unique().tolist()), table["seed"].nunique()
    wide, narrow = (Figure(figsize=size, layout="constrained") for size in ((7.4, 4), (3.7, 4.2)))
    for figure in (wide, narrow):
        comparison.plot(figure.subplots())
    alt = f"Accuracy on the test rows against labels per class, a curve for each arm. {_best(comparison)}"
    drawn = page.picture(wide, alt, narrow)
    arms = [name for name in comparison.against if "scratch" in comparison.against[name]]
    saved = [comparison.labels_saved(arm).assign(arm=arm)[["arm", "labels", "needed", "low", "high"]] for arm in arms]
    several = len(labels) > 1
    saved_labels = as_markdown(pd.concat(saved)) if several and saved else ""
    differences = comparison.differences()[["arm", "against", "labels", "points", "low", "high"]]
    done = [
        *notes,
        "The number of draws follows from the time, not from the scores. Going on until a yes appears would "
        "find one too easily; --seeds with --minutes 0 fixes the number beforehand.",
    ]
    settings = [
        f"- {per_class(*labels)}, {draws} draws.",
        *(f"- {name}: {note}." for name, note in facts["notes"].items()),
        f"- Versions: {', '.join(f'{name} {version}' for name, version in facts['versions'].items())}.",
        "- Every single score and all settings: comparison.json, beside this page.",
        f"\nMade again by:\n\n`{command}`",
    ]
    sections = {
        "Verdict": "\n".join(f"- {line}" for line in verdict(comparison).splitlines()),
        "Scores: percent correct and 95 % interval": comparison.markdown_table(),
        "Differences in points, with 95 % intervals": _shown(_contrast_rows(comparison)),
        "Differences at each number of labels": _shown(differences) if several else "",
        "Labels per class that scratch needs for the same score": saved_labels,
        "What it cost": as_markdown(costs(comparison)),
        "What was chosen and left out": "\n".join(f"- {line}" for line in done),
        "Settings": "\n".join(settings),
    }
    cards = [
        {"id": f"part-{number}", "title": title, "markdown": text, "heading": ""}
        for number, (title, text) in enumerate(sections.items())
        if text
    ]
    cards[0]["figures"] = [drawn]
    head = [
        ("Data", dataset.source),
        ("Classes", f"{len(dataset.class_names):,}"),
        ("Rows", f"{len(dataset.train.y):,} for training, {len(dataset.test.y):,} for the test"),
        ("Draws", str(draws)),
        ("Date", facts["date"]),
        ("Time", duration(seconds)),
        ("Machine", facts["machine"]),
    ]
    return page.render_page(f"Does pretraining help on {dataset.name}?", head, cards, answer)
