"""What a comparison says: intervals that hold, verdicts that can speak, figures, and records that can be pooled."""

import importlib.util
import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import scipy.stats
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from test_comparison import ARMS, blobs

from kpretrain import results
from kpretrain.comparison import Comparison, compare
from kpretrain.comparison.arms import Arm
from kpretrain.comparison.figure import colours
from kpretrain.comparison.statistics import estimate, holm, smallest_difference
from kpretrain.data import Dataset, Part

_BENCHMARK = Path(__file__).parent / "benchmarks" / "bench_intervals.py"
_spec = importlib.util.spec_from_file_location("bench_intervals", _BENCHMARK)
bench = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(bench)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return compare(ARMS, blobs(), [1, 5, 20], 4, folder=tmp_path_factory.mktemp("cells"), progress=False)


def from_rows(rows, test_rows=1000, against=None, **columns):
    table = pd.DataFrame(rows, columns=["arm", "labels", "seed", "score"]).assign(**columns)
    return Comparison(table, against or {"arm": ["scratch"]}, test_rows)


def curves(arm, scratch, sizes, draws=4, spread=0.1):
    """Rows of two arms with parallel noise (draws,) on their curves (sizes,)."""
    noise = np.random.default_rng(0).normal(0, spread, (draws, 2))
    pairs = [("arm", arm, 0), ("scratch", scratch, 1)]
    rows = [
        (name, n, k, mean + noise[k, i])
        for name, means, i in pairs
        for n, mean in zip(sizes, means, strict=False)
        for k in range(draws)
    ]
    return from_rows(rows)


# ---------------------------------------------------------------- intervals


def test_the_interval_is_the_formula_of_two_crossed_random_effects():
    random = np.random.default_rng(0)
    gaps = random.normal(2, 5, (4, 60)) + random.normal(0, 3, (4, 1)) + random.normal(0, 4, 60)
    found = estimate(gaps[:, None], [[1]], np.zeros(4), 0)
    of_row, of_draw = gaps.mean(axis=0), gaps.mean(axis=1)
    rest = gaps - of_row - of_draw[:, None] + gaps.mean()
    rows, draws, residual = of_row.var(ddof=1) / 60, of_draw.var(ddof=1) / 4, (rest**2).sum() / (59 * 3) / (60 * 4)
    variance = max(rows + draws - residual, rows, draws)
    freedom = variance**2 / (rows**2 / 59 + draws**2 / 3 + residual**2 / (59 * 3))
    half = scipy.stats.t.isf(0.025, freedom) * np.sqrt(variance)
    assert found.mean[0] == pytest.approx(gaps.mean()) and found.freedom[0] == pytest.approx(freedom)
    assert (found.low[0], found.high[0]) == pytest.approx((gaps.mean() - half, gaps.mean() + half))
    assert found.p[0] == pytest.approx(2 * scipy.stats.t.sf(abs(gaps.mean()) / np.sqrt(variance), freedom))


def test_weights_are_sums_of_columns():
    values = np.random.default_rng(0).normal(size=(6, 3, 40))
    weights = np.array([[1, 0.5], [-1, 0.5], [0, -1]])
    found = estimate(values, weights, np.repeat([0, 1], 3), 0)
    for k in range(2):
        alone = estimate(np.einsum("scr,c->sr", values, weights[:, k])[:, None], [[1]], np.repeat([0, 1], 3), 0)
        assert [part[k] for part in found] == pytest.approx([part[0] for part in alone])


def test_draws_are_compared_within_their_pretraining_run():
    """What lies between the runs' encoders is no noise of the draws: the encoders are taken as they are."""
    random = np.random.default_rng(0)
    gaps = random.normal(0, 1, (6, 1)) * np.ones((1, 200)) + random.normal(0, 5, (6, 200))
    runs = np.repeat([0, 1], 3)
    near = estimate(gaps[:, None], [[1]], runs, 0)
    far = estimate((gaps + 50 * runs[:, None])[:, None], [[1]], runs, 0)
    assert far.error[0] == pytest.approx(near.error[0]) and far.mean[0] == pytest.approx(near.mean[0] + 25)


@pytest.mark.parametrize("rows", [60, 1000])
@pytest.mark.parametrize("spreads", [(0.5, 0.5), (1.5, 0.1)])
def test_intervals_hold_for_new_draws_and_new_test_rows(rows, spreads):
    """400 simulations of a right interval give 91 to 98.5 % (three standard errors each way)."""
    row, draw = spreads
    ours, draws_alone, _ = bench.coverage(400, rows=rows, draws=10, row_spread=row, draw_spread=draw)
    assert 0.91 <= ours <= 0.985
    if rows == 60 and row > draw:
        assert draws_alone < 0.85  # what was printed before


def test_intervals_hold_for_a_new_pretraining():
    *_, new = bench.coverage(400, rows=1000, runs=3, draws=4, run_spread=0.3)
    assert 0.91 <= new <= 0.99


def test_equal_arms_are_seldom_told_apart():
    assert bench.false_claims(200, arms=4, sizes=(5, 10), rows=150) <= 0.09  # 5 % and two standard errors


def test_without_single_hits_it_is_t_over_the_draws():
    """Records of earlier versions: within the runs, and for the arms without pretraining over all draws."""
    random = np.random.default_rng(1)
    rows = [(arm, 5, k, 50 + random.normal()) for arm in ("arm", "scratch") for k in range(6)]
    seconds = [60.0] * 6 + [0.0] * 6
    found = from_rows(rows, run=["a"] * 3 + ["b"] * 3 + ["a"] * 3 + ["b"] * 3, pretraining_seconds=seconds)
    assert not found.over_rows
    wide = found.table().pivot(index="seed", columns="arm", values="score")
    alone = found.scores().set_index("arm").loc["scratch"]
    expected = results.interval(wide["scratch"])
    assert (alone["mean"], alone["low"], alone["high"]) == pytest.approx(expected, abs=1e-3)
    gap = (wide["arm"] - wide["scratch"]).to_numpy().reshape(2, 3)
    error = np.sqrt(gap.var(axis=1, ddof=1).mean() / 6)
    half = scipy.stats.t.isf(0.025, 4) * error
    row = found.differences().iloc[0]
    assert (row.low, row.high) == pytest.approx((gap.mean() - half, gap.mean() + half), abs=1e-3)
    assert "the same test rows, since the record does not hold single hits" in found.verdict()


def test_stored_records_of_earlier_versions_are_read_and_say_what_they_can_give():
    found = Comparison.load(results.load("11_sentence_vectors"))
    assert "does not hold single hits" in found.verdict()
    tfidf = found.scores().set_index(["arm", "labels"]).loc[("TF-IDF", 10)]
    assert tfidf["mean"] == pytest.approx(26.0, abs=0.1) and tfidf["high"] - tfidf["low"] < 5  # was 9.4 to 42.6
    assert (found.contrasts()["p_holm"] < 0.05).sum() > 5  # was 0 of 39


def test_holm_by_hand():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.02, np.nan, 0.5])), [0.06, np.nan, 1])
    assert len(holm(np.array([]))) == 0


@pytest.mark.parametrize(("freedom", "alpha"), [(2, 0.05), (4, 0.05 / 9), (29, 0.01)])
def test_smallest_difference_is_found_in_four_of_five(freedom, alpha):
    random, size = np.random.default_rng(0), 400_000
    shift = smallest_difference(1.0, freedom, alpha)
    t = (random.normal(size=size) + shift) / np.sqrt(random.chisquare(freedom, size) / freedom)
    assert np.mean(abs(t) > scipy.stats.t.isf(alpha / 2, freedom)) == pytest.approx(0.8, abs=0.004)


def test_no_interval_reaches_beyond_what_can_be():
    """Two draws that disagree: t with one degree of freedom would reach to hundreds of points."""
    rows = [("arm", 5, 0, 90.0), ("arm", 5, 1, 30.0), ("scratch", 5, 0, 50.0), ("scratch", 5, 1, 60.0)]
    found = from_rows(rows)
    assert found.differences().loc[0, ["low", "high"]].tolist() == [-100, 100]
    assert found.scores()[["low", "high"]].iloc[0].tolist() == [0, 100]


def test_equal_scores_prove_nothing():
    rows = [(arm, 5, k, score) for arm, score in (("arm", 99.1), ("scratch", 99.0)) for k in range(3)]
    row = from_rows(rows).contrasts().iloc[0]
    half = scipy.stats.t.isf(0.025, 2) * np.sqrt((100 / 1000) ** 2 / 6)
    assert (row["low"], row["high"]) == pytest.approx((0.1 - half, 0.1 + half), abs=1e-3) and row["p"] > 0.05


# ---------------------------------------------------------------- the verdict


def test_a_verdict_is_one_sentence_a_contrast_best_first():
    found = bench.comparison(np.random.default_rng(0), arms=4, draws=8, rows=2000, gains=[-0.6, 0.02, 0.6, 0.0])
    first, second, third, scope = found.verdict().splitlines()
    assert re.fullmatch(
        r"Arm 2 helps: \+\d+ points over arm 3 on average \(\d+ to \d+\), alike at few and many labels "
        r"\(\+\d+ at 5, \+\d+ at 50\)\.",
        first,
    ), first
    assert second.startswith("Arm 1 and arm 3 cannot be told apart: ")
    assert third.startswith("Arm 0 hurts: -") and " points against arm 3 on average (-" in third
    assert scope == (
        "Points are percent of 2,000 test rows, from 8 draws of labels. In brackets: the 95 % interval for new draws "
        "of labels and new test rows."
    )


def test_the_test_of_a_contrast_is_that_of_its_mean_over_the_sizes(small):
    row = small.contrasts().iloc[0]
    hits = {
        (arm, n): np.stack([np.unpackbits(np.frombuffer(h, "uint8"), count=450) for h in cells["hits"]])
        for (arm, n), cells in small.table().assign(hits=small.hits()).groupby(["arm", "labels"])
    }
    gap = np.mean([100.0 * hits["linear", n] - 100.0 * hits["forest", n] for n in (1, 5, 20)], axis=0)
    expected = estimate(gap[:, None], [[1]], np.zeros(4), (100 / 450) ** 2 / 6)
    assert (row.points, row.low, row.high, row.p) == pytest.approx([part[0] for part in expected[:4]], rel=1e-4)
    assert row.sizes == (1, 5, 20) and len(small.contrasts()) == 2 and len(small.differences()) == 6


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ((18, 5), "most with few labels (+18 at 1, +5 at 100)"),
        ((5, 18), "most with many labels (+5 at 1, +18 at 100)"),
        ((9, 9), "alike at few and many labels (+9.0 at 1, +9.0 at 100)"),
        ((9, -8), "ahead with few labels, behind with many (+9.0 at 1, -8.0 at 100)"),
        ((-9, 8), "behind with few labels, ahead with many (-9.0 at 1, +8.0 at 100)"),
    ],
)
def test_a_verdict_says_where_the_gain_lies(points, said):
    assert said in curves([50 + gain for gain in points], (50, 50), (1, 100)).verdict()


def test_one_draw_has_no_interval():
    found = from_rows([("arm", 5, 0, 95.0), ("scratch", 5, 0, 90.0)])
    row = found.contrasts().iloc[0]
    assert row["points"] == 5 and np.isnan([row["low"], row["high"], row["p"], row["p_holm"], row["smallest"]]).all()
    assert "Arm against scratch: +5.0 points at 5 labels per class, without an interval, so nothing is claimed." in (
        found.verdict()
    )
    assert found.summary().loc["arm", "5 labels"] == "95.0 (no interval)"
    found.plot()
    plt.close()


def test_what_only_the_correction_takes_away_cannot_be_told():
    rng = np.random.default_rng(0)
    names = [f"arm {k}" for k in range(20)]
    rows = [("scratch", 5, seed, 80.0) for seed in range(5)]
    rows += [(arm, 5, seed, 80 + rng.normal()) for arm in names for seed in range(5)]
    rows += [("better", 5, seed, 81 + d) for seed, d in enumerate([-0.5, -0.3, 0, 0.3, 0.5])]
    found = from_rows(rows, 100_000, dict.fromkeys([*names, "better"], ("scratch",)))
    row = found.contrasts().set_index("arm").loc["better"]
    assert row.p < 0.05 < row.p_holm
    assert "Better and scratch cannot be told apart: +1.0 points" in found.verdict()
    assert "not clear of zero once all contrasts are counted" in found.verdict()


def test_pretraining_runs_are_listed_and_from_three_on_estimated():
    random = np.random.default_rng(0)

    def several(runs):
        rows = [
            (arm, n, seed, 70 + 5 * (arm == "arm") * (1 + seed // 4) + random.normal())
            for arm in ("arm", "scratch")
            for n in (5, 50)
            for seed in range(4 * runs)
        ]
        names = [f"run {seed // 4}" for *_, seed, _ in rows]
        return from_rows(rows, run=names, pretraining_seconds=[60.0 * (row[0] == "arm") for row in rows])

    two, three = several(2), several(3)
    assert two.new_pretraining()[["low", "high"]].isna().all().all()
    assert len(two.new_pretraining().each[0]) == 2
    row = three.new_pretraining().iloc[0]
    gap = three.table().pivot(index=["run", "seed"], columns=["arm", "labels"], values="score")
    gap = (gap["arm"] - gap["scratch"]).mean(axis=1).groupby("run").mean()
    assert (row.points, row.runs, len(row.each)) == (pytest.approx(gap.mean()), 3, 3)
    low, high = results.interval(gap)[1:]
    assert (row.low, row.high) == pytest.approx((low, high), abs=0.05)
    assert "3 pretrained encoders as they are" in three.verdict()


def test_a_draw_in_two_runs_is_refused():
    rows = [(arm, 5, k, 90.0 + k) for arm in ("arm", "scratch") for k in (0, 1, 1, 2)]
    with pytest.raises(ValueError, match=r"The seed 1 stands in several pretraining runs; give each run"):
        from_rows(rows, run=["a", "a", "b", "b"] * 2)


def test_unbalanced_test_rows_are_told(tmp_path):
    data = blobs()
    left = np.flatnonzero((data.test.y == 0) | (np.arange(len(data.test.y)) < 90))
    test = Part(data.test.x[left], data.test.y[left])
    odd = Dataset("odd", data.train, data.validation, test, data.class_names, "")
    arms = {"bayes": Arm(GaussianNB(), "always"), "always": DummyClassifier(strategy="constant", constant=0)}
    found = compare(arms, odd, [5], 3, folder=tmp_path, progress=False)
    share = 100 * np.mean(test.y == 0)
    assert f"Always answering 'kind 0' has {share:.1f} %; summary() has the balanced accuracy." in found.verdict()
    summary = found.summary()
    assert summary.loc["always 'kind 0'", "5 labels"] == f"{share:.1f}"
    assert (
        summary.loc["always", "balanced, 5 labels"] == "33.3"
        and summary.loc["always", "5 labels"][:4] == f"{share:.1f}"
    )
    assert "balanced" not in compare(arms, data, [5], 3, folder=tmp_path, progress=False).summary().to_string()


# ---------------------------------------------------------------- labels saved


def test_labels_saved_finds_the_crossing():
    sizes = (1, 10, 100)
    saved = curves((75, 85, 95), (50, 70, 90), sizes).labels_saved("arm")
    # scratch gains 20 points for each factor of ten: 75 % at 10 ** 1.25, 85 % at 10 ** 1.75
    assert saved["labels"].tolist() == [1, 10, 100] and saved["needed"].tolist()[2] == "more than 100"
    assert saved["needed"][0] == pytest.approx(10**1.25, rel=0.05) and saved["needed"][1] == pytest.approx(56, rel=0.05)
    assert saved["low"][0] < saved["needed"][0] < saved["high"][0] and saved["saved"][0] == saved["needed"][0] - 1
    assert saved["saved"][2] == "more than 0" and saved["low"][2] == "more than 100"


def test_labels_saved_is_the_inverted_test():
    """At the ends of the interval, the paired t test of the arm against the interpolated rival has p = 0.05."""
    found = curves((75, 85, 95), (50, 70, 90), (1, 10, 100), spread=1.0)
    row = found.labels_saved("arm").iloc[0]
    wide = found.table().pivot(index="seed", columns=["arm", "labels"], values="score")
    for end in (row["low"], row["high"]):
        part = np.log10(end) - 1
        rival = wide["scratch", 10] * (1 - part) + wide["scratch", 100] * part
        assert scipy.stats.ttest_rel(wide["arm", 1], rival).pvalue == pytest.approx(0.05, abs=0.01)


def test_labels_saved_is_censored_or_unknown_where_it_must_be():
    below = curves((40,), (50, 70), (1, 10))
    below = below.labels_saved("arm")
    assert below.iloc[0].tolist() == [1, "fewer than 1", "fewer than 1", "fewer than 1", "fewer than 0"]
    noisy = curves((60,), (59, 61), (1, 10), spread=8).labels_saved("arm")
    assert noisy.iloc[0].tolist() == [1, *["cannot be estimated"] * 4]
    assert (curves((75,), (70,), (5,)).labels_saved("arm").iloc[0, 1:] == "cannot be estimated").all()
    single = curves((60,), (50, 70), (1, 10), draws=1).labels_saved("arm").iloc[0]
    assert single["needed"] == pytest.approx(10**0.5, rel=0.1) and single["low"] == "cannot be estimated"
    with pytest.raises(ValueError, match="no arm 'nobody'"):
        curves((75,), (70,), (5,)).labels_saved("nobody")


# ---------------------------------------------------------------- tables and figures


def test_summary_holds_mean_and_interval(small):
    table = small.summary()
    assert table.index.tolist() == list(ARMS)
    assert table.columns.tolist() == ["1 label", "5 labels", "20 labels", "seconds a fit", "pretraining seconds"]
    row = small.scores().set_index(["arm", "labels"]).loc[("linear", 5)]
    assert row["mean"] == pytest.approx(small.table().query("arm == 'linear' and labels == 5")["score"].mean())
    assert table.loc["linear", "5 labels"] == f"{row['mean']:.1f} ({row.low:.1f} to {row.high:.1f})"
    lines = small.markdown_table().splitlines()
    assert len(lines) == 5 and lines[0].startswith("| arm | 1 label |")


def _spans(axis):
    """Lowest and highest end of all interval bars."""
    ends = [segment for bars in axis.collections for segment in bars.get_segments()]
    return min(end[:, 1].min() for end in ends), max(end[:, 1].max() for end in ends)


def test_the_axis_holds_every_interval_and_lines_bear_their_names(small):
    axis = small.plot()
    assert {text.get_text() for text in axis.texts} == set(ARMS) and axis.get_legend() is None
    low, high = _spans(axis)
    assert axis.get_ylim()[0] <= low and high <= axis.get_ylim()[1]
    assert small.plot(axis) is axis
    plt.close()


def test_one_size_is_drawn_as_dots_with_the_arms_names(tmp_path):
    axis = compare(ARMS, blobs(), [5], 3, folder=tmp_path, progress=False).plot()
    assert [label.get_text() for label in axis.get_yticklabels()] == list(ARMS)
    plt.close()


def test_at_most_five_lines_unless_asked():
    found = Comparison.load(results.load("05_contrastive"))
    axis = found.plot()
    assert len(axis.texts) == 5 and axis.get_title(loc="right") == "5 of 8 arms"
    drawn = {text.get_text() for text in axis.texts}
    assert {"pixels", "scratch", "frozen random"} <= drawn
    axis = found.plot(arms=found.arms)
    assert len(axis.texts) == 8
    with pytest.raises(ValueError, match="no arm 'nobody'"):
        found.plot(arms=["nobody"])
    plt.close("all")


def test_arms_that_ran_at_three_of_seven_sizes_are_drawn():
    found = Comparison.load(results.load("08_causal_language_model"))
    scores = found.scores()
    assert set(scores.loc[scores["arm"] == "scratch", "labels"]) < set(scores["labels"])
    assert {text.get_text() for text in found.plot().texts} == set(found.arms)
    plt.close("all")


def test_a_colour_means_the_same_arm_everywhere():
    few = colours(["pixels", "scratch", "frozen", "fine-tuned"], {"frozen", "fine-tuned"})
    many = colours(
        ["TF-IDF", "scratch", "frozen random", "frozen (BERT)", "fine-tuned (BERT)"],
        {"frozen (BERT)", "fine-tuned (BERT)"},
    )
    assert few["scratch"] == many["scratch"] and few["pixels"] == many["TF-IDF"]
    assert few["frozen"] == many["frozen (BERT)"] and few["fine-tuned"] == many["fine-tuned (BERT)"]
    assert len(set(many.values())) == 5


# ---------------------------------------------------------------- records


def test_save_and_load(small, tmp_path):
    record = small.save(tmp_path / "new" / "04_demo.json", title="A demo", command="python demo.py")
    again = Comparison.load(tmp_path / "new" / "04_demo.json")
    pd.testing.assert_frame_equal(again.table(), small.table())
    assert again.hits() == small.hits() and again.over_rows
    assert again.verdict() == small.verdict() and again.markdown_table() == small.markdown_table()
    assert record["kind"] == "comparison" and record["name"] == "04_demo" and len(record["scores"]) == 36
    assert record["settings"]["arms"]["linear"]["estimator"]["class"] == "Pipeline" and record["seeds"] == [0, 1, 2, 3]
    assert "data: made here. Made again by `python demo.py`." in results.caption(record)
    assert Comparison.load(record).save(tmp_path / "04_demo.json", title="A demo", command="python demo.py") == record
    wrong = json.dumps(record | {"hits": record["hits"][:-8]})
    for text in ("{", "[]", '{"kind": "other"}', '{"kind": "comparison"}', wrong):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ValueError, match=r"bad\.json: not a readable record"):
            Comparison.load(tmp_path / "bad.json")


def test_hits_take_little_room(tmp_path):
    """6 draws of 40 cells of 10,000 rows: less than the 1.3 kB that a cell's bits alone would take."""
    found = bench.comparison(np.random.default_rng(0), arms=8, sizes=(1, 5, 10, 50, 100), draws=6, rows=10_000, base=4)
    assert len(found.record(name="x")["hits"]) < 240 * 1300


def test_thirty_students_make_thirty_draws(tmp_path):
    arms = {"bayes": Arm(GaussianNB(), against="linear"), "linear": LogisticRegression()}
    parts = [compare(arms, blobs(), [1, 5], [k], folder=tmp_path, progress=False) for k in range(6)]
    paths = [tmp_path / f"student{k}.json" for k in range(6)]
    for part, path in zip(parts, paths, strict=True):
        part.save(path)
    merged = Comparison.load(paths[0]).merge(*map(Comparison.load, paths[1:]))
    whole = compare(arms, blobs(), [1, 5], 6, folder=tmp_path, progress=False)
    pd.testing.assert_frame_equal(merged.differences(), whole.differences())
    assert (merged.differences()["draws"] == 6).all() and merged.verdict() == whole.verdict()
    loaded = [Comparison.load(path) for path in (*paths[:3], paths[2])]
    with pytest.raises(
        ValueError, match=r"^The records cannot be pooled: the seed 2 stands in student2\.json and in stu"
    ):
        loaded[0].merge(*loaded[1:])


def test_a_class_with_mixed_pythons_can_merge(tmp_path):
    arms = {"bayes": Arm(GaussianNB(), against="linear"), "linear": LogisticRegression()}
    first, second = (compare(arms, blobs(), [1], [k], folder=tmp_path, progress=False) for k in (0, 1))
    second.facts["python"] = "3.13.1"
    assert "3.13.1" in first.merge(second).facts["python"]


def test_merge_names_file_and_setting_in_one_line(tmp_path):
    def run(arms, dataset=None, sizes=(5, 8), seed=1):
        found = compare(arms, dataset or blobs(), sizes, [seed], folder=tmp_path, progress=False)
        found.save(tmp_path / f"{'ab'[seed]}.json")
        return Comparison.load(tmp_path / f"{'ab'[seed]}.json")

    scaled = {"knn": Arm(make_pipeline(KNeighborsClassifier(5)), against="bayes"), "bayes": GaussianNB()}
    first = run(scaled, seed=0)
    other = scaled | {"knn": Arm(make_pipeline(KNeighborsClassifier(3)), against="bayes")}
    for changed, message in (
        (lambda: run(other), "arm 'knn': n_neighbors is 5 in a.json and 3 in b.json."),
        (lambda: run(scaled, sizes=(5, 7)), "labels_per_class is 8 in a.json and 7 in b.json."),
        (lambda: run(scaled, blobs(seed=1)), "rows is '"),
        (
            lambda: run(scaled | {"knn": scaled["knn"].estimator}),
            "what 'knn' is compared with is ('bayes',) in a.json and None in b",
        ),
        (lambda: run(scaled | {"svm": LogisticRegression()}), "arm 'svm' is None in a.json and {"),
    ):
        with pytest.raises(ValueError, match=r"^The records cannot be pooled: ") as caught:
            first.merge(changed())
        assert message in str(caught.value) and len(str(caught.value)) < 250, str(caught.value)


def test_records_with_a_search_inside_can_be_pooled(tmp_path):
    """scikit-learn's searches hold a NaN among their settings, and NaN is not equal to itself."""
    arms = {
        "knn": Arm(GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [1, 2]}, cv=2), "bayes"),
        "bayes": GaussianNB(),
    }
    first, second = (compare(arms, blobs(), [5], [k], folder=tmp_path, progress=False) for k in (0, 1))
    assert np.isnan(first.facts["settings"]["arms"]["knn"]["estimator"]["error_score"])
    assert sorted(first.merge(second).table()["seed"].unique()) == [0, 1]


def test_encoders_of_different_runs_need_different_names(tmp_path):
    keras = pytest.importorskip("keras")

    from kpretrain.transfer import Features

    def run(seed, **settings):
        keras.utils.set_random_seed(seed)
        encoder = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])
        frozen = make_pipeline(Features(encoder), LogisticRegression())
        arms = {"frozen": Arm(frozen, "linear", 3.0), "linear": LogisticRegression()}
        draws = range(3 * seed, 3 * seed + 3)
        return compare(arms, blobs(), [5], draws, folder=tmp_path, progress=False, **settings)

    with pytest.raises(ValueError, match=r"in the run '', frozen differ"):
        run(0).merge(run(1))
    merged = run(0, run="first").merge(run(1, run="second"), run(2, run="third"))
    assert merged.differences()["runs"].tolist() == [3]
    assert sorted(merged.table()["run"].unique()) == ["first", "second", "third"]
    assert merged.summary().loc["frozen", "pretraining seconds"] == "3"


class Neighbourly(GaussianNB):
    """An arm that holds a graph over learned features, which is another one in each pretraining run."""

    def __init__(self, graph=None):
        super().__init__()
        self.graph = graph


def test_graphs_of_different_runs_can_be_pooled(tmp_path):
    def run(number, rows=6):
        graph = scipy.sparse.eye_array(rows) * (number + 1.0)
        arms = {"graph": Arm(Neighbourly(graph), "linear", 3.0), "linear": LogisticRegression()}
        draws = range(3 * number, 3 * number + 3)
        return compare(arms, blobs(), [5], draws, folder=tmp_path, progress=False, run=str(number))

    assert run(0).merge(run(1)).differences()["runs"].tolist() == [2]
    with pytest.raises(ValueError, match=r"arm 'graph': graph is '\w+ \(6, 6\)' in comparison 1 and "):
        run(0).merge(run(1, rows=7))
