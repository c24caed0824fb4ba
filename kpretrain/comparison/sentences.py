"""The sentences of a comparison: its verdict, and what stands behind it."""

import numpy as np

from .. import words


def verdict(comparison):
    """Say in one sentence a contrast what was found, best first, and what the intervals hold for.

    Examples
    --------
    >>> from kpretrain.comparison import Comparison
    >>> import pandas as pd
    >>> table = pd.DataFrame({"arm": ["tuned"] * 4 + ["scratch"] * 4, "labels": 5, "seed": [0, 1, 2, 3] * 2})
    >>> table["score"] = [80.0, 81, 82, 83, 70, 71, 70, 71]
    >>> found = Comparison(table, {"tuned": ["scratch"]}, test_rows=200)
    >>> print(verdict(found).splitlines()[0])
    Tuned helps on these test rows: +11.0 points over scratch at 5 labels per class (9.2 to 12.8).
    """
    table = comparison.contrasts()
    if table.empty:
        return "No verdict: no arm names another that it is compared with."
    described = comparison.differences()
    findings = [(*_finding(comparison, row), row) for row in table.itertuples()]
    findings.sort(key=lambda finding: (finding[0], -finding[2].points))
    lines = []
    for _, text, row in findings:
        at = described[(described["arm"] == row.arm) & (described["against"] == row.against)]
        lines.append(text + _trend(at) + ".")
    return "\n".join([*lines, _scope(comparison), *_warnings(comparison)])


def _finding(comparison, row):
    """(0 helps, 1 cannot be told, 2 hurts or 3 no interval; the sentence without its end) of a contrast."""
    where = "on average" if len(row.sizes) > 1 else f"at {words.per_class(*row.sizes)}"
    if np.isnan(row.p):
        what = f"{words.points(row.points, 1)} points {where}, without an interval, so nothing is claimed"
        return 3, f"{_capital(row.arm)} against {row.against}: {what}"
    places = 0 if row.p_holm < 0.05 and row.high - row.low >= 4 else 1  # as many decimals as the interval bears
    size, interval = words.points(row.points, places), words.span(row.low, row.high, places)
    here = "" if comparison.over_rows else " on these test rows"
    if row.p_holm < 0.05:
        rank, does, rival = (0, "helps", "over") if row.points > 0 else (2, "hurts", "against")
        return rank, f"{_capital(row.arm)} {does}{here}: {size} points {rival} {row.against} {where} ({interval})"
    many = "; not clear of zero once all contrasts are counted" if row.p < 0.05 else ""
    both = f"{_capital(row.arm)} and {row.against}"
    return 1, f"{both} cannot be told apart: {size} points {where} ({interval}{many})"


def _scope(comparison):
    """What the points are percent of, and what the intervals in brackets hold for."""
    table = comparison.table()
    draws, runs = words.count(table["seed"].nunique(), "draw"), table["run"].nunique()
    rows = "new test rows" if comparison.over_rows else "the same test rows, since the record does not hold single hits"
    encoders = f", with the {runs} pretrained encoders as they are" if runs > 1 and comparison.pretrained else ""
    return (
        f"Points are percent of {comparison.test_rows:,} test rows, from {draws} of labels. In brackets: the 95 % "
        f"interval for new draws of labels and {rows}{encoders}."
    )


def _warnings(comparison):
    """Lines on few test rows, unbalanced classes, and arms that always give one answer."""
    lines = [words.few_test_rows(comparison.test_rows)] if comparison.test_rows < words.FEW_TEST_ROWS else []
    if biggest := comparison.majority():
        lines.append(
            f"Beware: the test part is unbalanced, the draws are not. Always answering {biggest[0]!r} has "
            f"{biggest[1]:.1f} %; summary() has the balanced accuracy."
        )
    for (arm, n), constant in comparison.table().groupby(["arm", "labels"], sort=False)["constant"]:
        if constant.any():
            where = f"{constant.sum()} of {len(constant)} cells at {words.per_class(n)}"
            lines.append(f"Beware: {arm} gave the same class for every test row in {where}.")
    return lines


def _capital(name):
    """The name of an arm at the head of a sentence."""
    return name[:1].upper() + name[1:]


def _trend(rows):
    """How a difference moves from the smallest to the largest size: ", most with few labels (+18 at 10, +5 at 200)"."""
    if len(rows) < 2:
        return ""
    first, last = rows.iloc[0], rows.iloc[-1]
    places = 0 if max(abs(first.points), abs(last.points)) >= 10 else 1
    ends = ", ".join(f"{words.points(row.points, places)} at {row.labels}" for row in (first, last))
    few, many = abs(first.points), abs(last.points)
    if first.points * last.points < 0 and min(few, many) >= 1:
        shape = (
            "ahead with few labels, behind with many" if first.points > 0 else "behind with few labels, ahead with many"
        )
    elif abs(few - many) < max(1, 0.25 * max(few, many)):
        shape = "alike at few and many labels"
    else:
        shape = "most with few labels" if few > many else "most with many labels"
    return f", {shape} ({ends})"
