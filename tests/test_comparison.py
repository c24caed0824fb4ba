"""compare: the same draws for all, nothing run twice, the same scores bit for bit, and statistics that hold."""

import importlib.util
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import scipy.stats
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kpretrain import results
from kpretrain.arms import Arm
from kpretrain.comparison import Comparison, ComparisonError, _holm, compare, label_sizes, smallest_difference
from kpretrain.data import Dataset, Part

_BENCHMARK = Path(__file__).parent / "benchmarks" / "bench_intervals.py"
_spec = importlib.util.spec_from_file_location("bench_intervals", _BENCHMARK)
bench = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(bench)


def blobs(rows=40, test=150, classes=3, seed=0):
    random = np.random.default_rng(seed)
    y = np.arange(classes * (rows + test)) % classes
    x = random.normal(size=(len(y), 6)) + np.eye(6)[y] * 2
    first, rest = slice(None, classes * rows), slice(classes * rows, None)
    names = [f"kind {k}" for k in range(classes)]
    return Dataset("blobs", Part(x[first], y[first]), Part(x[:0], y[:0]), Part(x[rest], y[rest]), names, "made here")


ARMS = {
    "linear": Arm(make_pipeline(StandardScaler(), LogisticRegression()), against=("forest", "neighbour")),
    "forest": RandomForestClassifier(3),
    "neighbour": Arm(KNeighborsClassifier(1), pretraining_seconds=7),
}


class Spy(ClassifierMixin, BaseEstimator):
    """Keeps what it was given."""

    seen = []  # noqa: RUF012

    def __init__(self, random_state=None, fault=None, key=""):
        self.random_state, self.fault, self.key = random_state, fault, key

    def fit(self, x, y):
        if self.fault == len(y):
            raise RuntimeError("the loss is NaN")
        Spy.seen.append((self.key, self.random_state, x, y))
        self.classes_ = np.unique(y)
        return self

    def predict(self, x):
        return np.zeros((len(x), 1) if self.fault == "shape" else len(x), int)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return compare(ARMS, blobs(), [1, 5, 20], 4, folder=tmp_path_factory.mktemp("cells"), progress=False)


def scores(comparison):
    return comparison.table()[["arm", "labels", "seed", "score"]]


# ---------------------------------------------------------------- what every arm is given


def test_draws_are_nested_balanced_and_the_same_for_all_arms(tmp_path):
    dataset = blobs()
    Spy.seen.clear()
    compare({"one": Spy(key="one"), "two": Spy(key="two")}, dataset, [2, 5], [3, 8], folder=tmp_path, progress=False)
    found = {(key, len(y) // 3, round(x.sum(), 6)): (x, y, state) for key, state, x, y in Spy.seen}
    assert len(found) == 8 and len({state for *_, state in found.values()}) == 8
    draws = {key[1:]: rows for key, rows in found.items() if key[0] == "one"}
    for (n, total), (x, y, _) in draws.items():
        np.testing.assert_array_equal(y, np.tile([0, 1, 2], n))  # classes in turn: never sorted by class
        np.testing.assert_array_equal(found["two", n, total][0], x)
        assert len(np.unique(x, axis=0)) == 3 * n and all((dataset.train.x == row).all(1).any() for row in x)
    for n, total in draws:
        if n == 2:
            assert sum((x[:6] == draws[n, total][0]).all() for (m, _), (x, _, _) in draws.items() if m == 5) == 1


def test_scores_agree_with_fitting_by_hand(tmp_path):
    dataset = blobs()
    Spy.seen.clear()
    arms = {"spy": Spy(), "bayes": GaussianNB()}
    table = compare(arms, dataset, [5], 3, folder=tmp_path, progress=False).table()
    by_hand = [100 * GaussianNB().fit(x, y).score(*dataset.test) for *_, x, y in Spy.seen]
    assert table[table["arm"] == "bayes"]["score"].tolist() == by_hand


def test_table_holds_every_cell_once(small):
    table = small.table()
    assert len(table) == 3 * 3 * 4 and not table.duplicated(["arm", "labels", "seed", "run"]).any()
    assert table["arm"].unique().tolist() == list(ARMS) and table["score"].between(0, 100).all()
    assert table["pretraining_seconds"].tolist() == [0] * 24 + [7] * 12 and table["peak_memory_gb"].isna().all()


def test_only_keeps_an_arm_to_its_sizes(tmp_path):
    found = compare(ARMS, blobs(), [1, 5], 2, only={"forest": [5]}, folder=tmp_path, progress=False)
    assert found.table().groupby("arm")["labels"].unique().map(list).to_dict()["forest"] == [5]
    assert found.differences()[["against", "labels"]].to_numpy().tolist() == [
        ["forest", 5],
        ["neighbour", 1],
        ["neighbour", 5],
    ]
    assert found.summary().loc["forest", "1 label"] == ""


# ---------------------------------------------------------------- stopping, resuming, and several processes


def test_finished_cells_are_found_and_a_damaged_one_is_run_again(tmp_path, capsys):
    arms, arguments = {"spy": Spy(), "bayes": GaussianNB()}, {"folder": tmp_path, "seeds": 2}
    first = compare(arms, blobs(), [1, 5], **arguments, progress=False)
    assert capsys.readouterr() == ("", "")
    Spy.seen.clear()
    files = sorted(tmp_path.iterdir())
    assert len(files) == 8
    again = compare(arms | {"new": DummyClassifier()}, blobs(), [1, 5, 6], **arguments)
    assert [len(y) for *_, y in Spy.seen] == [18, 18]
    out = capsys.readouterr().out
    assert "18 cells, 8 of them found finished" in out and "cells." in out
    pd.testing.assert_frame_equal(scores(first), scores(again).merge(scores(first)[["arm", "labels", "seed"]]))
    for number, text in enumerate(['{"arm": "spy", "la', "", "[1]", '{"arm": "spy"}']):
        files[number].write_text(text)
    repaired = compare(arms, blobs(), [1, 5], **arguments, progress=False)
    assert capsys.readouterr().out.count("a damaged file of a finished cell") == 4
    pd.testing.assert_frame_equal(scores(first), scores(repaired))


def test_other_rows_parameters_or_names_are_other_cells(tmp_path):
    def fits(arms, dataset):
        Spy.seen.clear()
        compare(arms, dataset, [2], 1, folder=tmp_path, progress=False)
        return len(Spy.seen)

    assert fits({"a": Spy()}, blobs()) == 1 and fits({"a": Spy()}, blobs()) == 0
    assert fits({"a": Spy()}, blobs(seed=1)) == 1
    assert fits({"a": Spy(key="other")}, blobs()) == 1
    assert fits({"b": Spy()}, blobs()) == 1


_SLOW = """
import sys, time
from pathlib import Path
import numpy as np
from kpretrain.comparison import compare
from kpretrain.data import Dataset, Part

class Logged:
    def fit(self, x, y):
        with open(sys.argv[2], "a") as log:
            log.write(f"{type(self).__name__} {len(y)} {self.random_state}\\n")
        time.sleep(0.1)
        return super().fit(x, y)

MODELS
random = np.random.default_rng(0)
y = np.arange(600) % 3
x = (random.normal(size=(600, 4)) + np.eye(4)[y]).astype("float32")
dataset = Dataset("d", Part(x[:300], y[:300]), None, Part(x[300:], y[300:]), ["a", "b", "c"], "made")
table = compare(arms, dataset, [1, 5, 20], 5, folder=sys.argv[1], progress=False).table()
table[["arm", "labels", "seed", "score"]].to_json(sys.argv[2] + ".json", double_precision=15)
"""
_FORESTS = """
from sklearn.ensemble import RandomForestClassifier

class Slow(Logged, RandomForestClassifier): ...

arms = {"slow": Slow(3), "slower": Slow(5)}
"""
_NETWORKS = """
import keras
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from kpretrain.transfer import Features, FineTune

class Tuned(Logged, FineTune): ...
class Head(Logged, LogisticRegression): ...

keras.utils.set_random_seed(0)
encoder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(8)])
arms = {"fine-tuned": Tuned(encoder, updates=3, batch_size=8), "frozen": make_pipeline(Features(encoder), Head())}
"""


@pytest.mark.parametrize("models", [_FORESTS, _NETWORKS], ids=["forests", "networks"])
def test_kill_9_in_the_middle_repeats_no_finished_cell(tmp_path, models):
    script, log = tmp_path / "slow.py", tmp_path / "log"
    script.write_text(_SLOW.replace("MODELS", models))

    def start(folder, log):
        return subprocess.Popen([sys.executable, script, tmp_path / folder, log], stderr=subprocess.PIPE, text=True)

    undisturbed, process = start("whole", tmp_path / "other"), start("killed", log)
    deadline = time.time() + 120
    while not log.is_file() or len(log.read_text().splitlines()) < 8:
        assert process.poll() is None and time.time() < deadline, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = log.read_text().splitlines()
    finished = [json.loads(path.read_text()) for path in (tmp_path / "killed").glob("*.json")]
    assert 5 <= len(finished) < 30 and len(finished) >= len(before) - 1
    assert start("killed", log).wait(120) == 0 and undisturbed.wait(120) == 0
    undisturbed.stderr.close()
    after = log.read_text().splitlines()[len(before) :]
    assert len(after) == 30 - len(finished)
    assert len(set(before) & set(after)) == len(before) - len(finished)  # the one that the kill cut off
    assert (tmp_path / "log.json").read_bytes() == (tmp_path / "other.json").read_bytes()


def test_results_do_not_depend_on_n_jobs(small, tmp_path):
    found = compare(ARMS, blobs(), [1, 5, 20], 4, folder=tmp_path, progress=False, n_jobs=2)
    pd.testing.assert_frame_equal(scores(found), scores(small))


def test_a_backend_without_generators_runs_in_batches(small, tmp_path):
    with joblib.parallel_config(backend="multiprocessing", n_jobs=2):  # Ray's backend is derived from this one
        found = compare({"forest": ARMS["forest"]}, blobs(), [1, 5], 4, folder=tmp_path, progress=False)
    expected = scores(small).query("arm == 'forest' and labels < 20").reset_index(drop=True)
    pd.testing.assert_frame_equal(scores(found), expected)


def test_a_dask_cluster_gives_the_same(small, tmp_path):
    distributed = pytest.importorskip("dask.distributed")
    settings = {"processes": True, "n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster):
        with joblib.parallel_config(backend="dask"):
            found = compare(ARMS, blobs(), [1, 5, 20], 4, folder=tmp_path, progress=False)
    pd.testing.assert_frame_equal(scores(found), scores(small))
    assert len(list(tmp_path.iterdir())) == 36


def test_peak_memory_is_measured_in_a_fresh_process(tmp_path):
    ballast = np.ones(60_000_000)  # 0.5 GB here must not be counted there
    found = compare({"bayes": GaussianNB()}, blobs(), [2], 2, folder=tmp_path, progress=False, memory=True)
    assert ballast.sum() and 0.05 < found.table()["peak_memory_gb"].min() <= found.table()["peak_memory_gb"].max() < 3
    assert found.table()["peak_memory_gb"].nunique() == 1 and "peak memory, GB" in found.summary()


# ---------------------------------------------------------------- bad input, and results that need a word


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": {}}, "no arms"),
        ({"arms": {"a": 3}}, "scikit-learn classifier or pipeline, not 3"),
        ({"arms": {"a": GaussianNB}}, "scikit-learn classifier"),
        ({"arms": {"a": Arm(GaussianNB(), against="b")}}, r"'a' is to be compared with \['b'\]; the other arms"),
        ({"arms": {"a": Arm(GaussianNB(), against="a")}}, r"compared with \['a'\]"),
        ({"only": {"b": [1]}}, r"only names \['b'\]; the arms are \['a'\]"),
        ({"only": {"a": [7]}}, r"only\['a'\] holds \[7\]"),
        ({"labels_per_class": []}, "labels_per_class must be whole numbers from 1"),
        ({"labels_per_class": [0, 5]}, "from 1"),
        ({"labels_per_class": [5, 5]}, r"repeats \[5\]"),
        ({"labels_per_class": [2.5]}, "whole numbers"),
        ({"labels_per_class": [1, 41]}, "the class 'kind 0' has 40 training rows, and 41 labels are wanted"),
        ({"seeds": [1, 1]}, r"seeds repeats \[1\]"),
        ({"seeds": 0}, "seeds must be"),
        ({"seeds": [-1]}, "from 0"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(changes, message, tmp_path):
    arguments = {"arms": {"a": GaussianNB()}, "dataset": blobs(), "labels_per_class": [1], "folder": tmp_path} | changes
    with pytest.raises(ValueError, match=message):
        compare(**arguments)
    assert list(tmp_path.iterdir()) == []


def test_bad_parts_are_refused(tmp_path):
    data = blobs()

    def run(train=data.train, test=data.test):
        changed = Dataset("blobs", train, data.validation, test, data.class_names, "")
        compare({"a": GaussianNB()}, changed, [1], 1, folder=tmp_path)

    with pytest.raises(ValueError, match=r"the test part holds 0 class\(es\)"):
        run(test=Part(data.test.x[:0], data.test.y[:0]))
    with pytest.raises(ValueError, match=r"the test part holds 1 class\(es\)"):
        run(test=Part(data.test.x[:20], np.ones(20, int)))
    left = data.train.y != 1
    with pytest.raises(ValueError, match="class 'kind 1' has 0 training rows"):
        run(train=Part(data.train.x[left], data.train.y[left]))


def test_an_arm_that_fails_is_named_and_finished_cells_stay(tmp_path):
    arms = {"good": GaussianNB(), "bad": Spy(fault=15)}
    with pytest.raises(
        ComparisonError, match="'bad' failed at 5 labels per class, seed 0: RuntimeError: the loss is NaN"
    ):
        compare(arms, blobs(), [1, 5], 2, folder=tmp_path, progress=False)
    assert len(list(tmp_path.iterdir())) == 3
    with pytest.raises(ComparisonError, match=r"array \(450, 1\) for 450 test rows"):
        compare({"bad": Spy(fault="shape")}, blobs(), [1], 1, folder=tmp_path, progress=False)
    with pytest.raises(ComparisonError, match="'bad' failed at 5"):
        compare(arms, blobs(), [1, 5], 2, folder=tmp_path, progress=False, n_jobs=2)


def test_a_constant_arm_is_told(tmp_path):
    arms = {"bayes": Arm(GaussianNB(), against="constant"), "constant": DummyClassifier()}
    found = compare(arms, blobs(), [1, 5], 3, folder=tmp_path, progress=False)
    assert "Beware: constant gave the same class for every test row in 3 of 3 cells at 1 label per class." in (
        found.verdict()
    )


def test_the_plan_is_printed_first(tmp_path, capsys):
    compare(ARMS, blobs(), [1, 5, 20], 4, folder=tmp_path)
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("3 arms (linear; forest; neighbour), 1, 5 and 20 labels per class, 4 draws: 36 cells.\n")
    expected = smallest_difference(np.hypot(2, 30 * np.sqrt(2 / 450)) / 2, 3, 0.05 / 6)
    assert "80 % power, 6 comparisons" in out and f"{expected:.1f} if the differences also vary by 2 points" in out
    assert re.search(r"^About \d+ s for 33 cells\.$", out, flags=re.M)
    compare(ARMS, blobs(), [1], 1, folder=tmp_path)
    assert "One draw gives no interval" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("classes", "rows", "sizes"),
    [
        (3, 1, [1]),
        (3, 2, [1, 2]),
        (3, 7, [1, 2, 5]),
        (3, 40, [5, 10, 20]),
        (4, 900, [5, 50, 200]),
        (10, 900, [5, 20, 100]),
        (500, 30, [1, 2]),
        (3000, 4, [1]),
    ],
)
def test_sizes_are_chosen_from_the_data(classes, rows, sizes):
    y = np.repeat(np.arange(classes), rows + 3)[: classes * (rows + 3) - 3]  # the last class has the fewest rows
    dataset = Dataset("d", Part(np.zeros((len(y), 1)), y), None, None, [f"kind {k}" for k in range(classes)], "")
    found, why = label_sizes(dataset)
    assert found == sizes and f"'kind {classes - 1}', has {rows} training row" in why
    assert ("1,000 rows in all" in why) == (rows * classes > 1000 and classes <= 1000)


def test_without_sizes_compare_chooses_and_says_them(tmp_path, capsys):
    found = compare({"bayes": GaussianNB()}, blobs(), seeds=1, folder=tmp_path)
    assert found.table()["labels"].tolist() == [5, 10, 20]
    assert capsys.readouterr().out.startswith(
        "Chosen from the data: 5, 10 and 20 labels per class. "
        "The smallest of 3 classes, 'kind 0', has 40 training rows."
    )


def test_few_test_rows_are_told(tmp_path, capsys):
    arms = {"bayes": Arm(GaussianNB(), "constant"), "constant": DummyClassifier()}
    words = "Beware: the test part has 12 rows, each of them 8.3 points; add rows."
    assert words in compare(arms, blobs(test=4), [5], 2, folder=tmp_path).verdict()
    assert words in capsys.readouterr().out
    assert (
        "Beware: the test part" not in compare(arms, blobs(test=10), [5], 2, folder=tmp_path, progress=False).verdict()
    )


# ---------------------------------------------------------------- statistics


def test_differences_agree_with_scipy(small):
    table, found = small.table(), small.differences()
    assert found["labels"].tolist() == [1, 5, 20] * 2 and (found["draws"] == 4).all() and (found["runs"] == 1).all()
    for row in found.itertuples():
        one, other = (
            table[(table["arm"] == a) & (table["labels"] == row.labels)]["score"].to_numpy() for a in row[1:3]
        )
        if np.var(one - other) < 0.02:
            continue
        expected = scipy.stats.ttest_rel(one, other)
        interval = expected.confidence_interval()
        assert (row.points, row.low, row.high, row.p) == pytest.approx(
            ((one - other).mean(), interval.low, interval.high, expected.pvalue)
        )


def test_holm_by_hand():
    np.testing.assert_allclose(_holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(_holm(np.array([0.02, np.nan, 0.5])), [0.06, np.nan, 1])
    assert len(_holm(np.array([]))) == 0


@pytest.mark.parametrize(("freedom", "alpha"), [(2, 0.05), (4, 0.05 / 9), (29, 0.01)])
def test_smallest_difference_is_found_in_four_of_five(freedom, alpha):
    random, size = np.random.default_rng(0), 400_000
    shift = smallest_difference(1.0, freedom, alpha)
    t = (random.normal(size=size) + shift) / np.sqrt(random.chisquare(freedom, size) / freedom)
    assert np.mean(abs(t) > scipy.stats.t.isf(alpha / 2, freedom)) == pytest.approx(0.8, abs=0.004)


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


def test_equal_scores_prove_nothing():
    rows = [(arm, 5, k, score) for arm, score in (("arm", 99.1), ("scratch", 99.0)) for k in range(3)]
    row = from_rows(rows).differences().iloc[0]
    half = scipy.stats.t.isf(0.025, 2) * np.sqrt((100 / 1000) ** 2 / 6 / 3)
    assert (row["low"], row["high"]) == pytest.approx((0.1 - half, 0.1 + half)) and row["p"] > 0.05


def test_one_draw_has_no_interval():
    found = from_rows([("arm", 5, 0, 95.0), ("scratch", 5, 0, 90.0)])
    row = found.differences().iloc[0]
    assert row["points"] == 5 and np.isnan([row["low"], row["high"], row["p"], row["p_holm"]]).all()
    assert "arm against scratch: no interval, so nothing is claimed at 5 labels per class" in found.verdict()
    assert found.summary().loc["arm", "5 labels"] == "95.0 (no interval)"
    found.plot()


@pytest.mark.parametrize("shared", [False, True])
def test_runs_are_the_level(shared):
    random = np.random.default_rng(1)
    found = bench.simulate(random, bench.CASES["98.5 and 97"], runs=3, draws=4, run_spread=0.5, shared=shared)
    row, table = found.differences().iloc[0], found.table()
    wide = table.pivot(index=["run", "seed"], columns="arm", values="score")
    gap = wide["pretrained"] - wide["scratch"]
    expected = results.interval(gap.groupby("run").mean())
    assert row["runs"] == 3 and row["draws"] == (4 if shared else 12) and row["points"] == pytest.approx(expected[0])
    if not shared:
        assert (row["low"], row["high"]) == pytest.approx(expected[1:])
    assert row["low"] <= expected[1] and "3 pretraining runs" in found.verdict()


def test_partly_shared_draws_are_refused():
    rows = [(arm, 5, k, 90.0 + k) for arm in ("arm", "scratch") for k in (0, 1, 1, 2)]
    with pytest.raises(ValueError, match=r"the same draws .* or none in common"):
        from_rows(rows, run=["a", "a", "b", "b"] * 2)


@pytest.mark.parametrize("test_rows", [1_000, 10_000])
@pytest.mark.parametrize("case", ["98.5 and 97", "98.5 and 97, wider", "equal"])
def test_intervals_hold_the_known_difference(case, test_rows):
    """200 simulations of a right interval give 180 to 198 hits (more than 3 standard errors each way)."""
    assert 0.90 <= bench.coverage(bench.CASES[case], 200, test_rows=test_rows) <= 0.99


@pytest.mark.parametrize("shared", [False, True])
def test_intervals_hold_for_new_runs(shared):
    settings = {"runs": 3, "draws": 2, "shared": shared, "run_spread": 0.5}
    assert bench.coverage(bench.CASES["98.5 and 97"], 200, **settings) >= 0.90


def test_equal_arms_are_seldom_told_apart():
    assert bench.false_claims(200, arms=4, sizes=(5, 10, 50)) <= 0.05


def test_a_difference_that_is_there_is_found_and_its_sign():
    verdict = bench.simulate(
        np.random.default_rng(0), {"good": (99, 0.1), "bad": (90, 0.5), "scratch": (97, 0.2)}, sizes=(5, 10)
    ).verdict()
    assert "undecided is what is clear of zero only without it" in verdict
    assert "good against scratch: it helps at 5 and 10 labels per class (+2" in verdict
    assert "bad against scratch: it hurts at 5 and 10 labels per class (-" in verdict
    assert "conditional on this test set and on the one encoder" in verdict and "could have been seen" in verdict


@pytest.mark.parametrize(
    ("spread", "draws", "said"),
    [
        (1.0, 3, r"A difference of [\d.]+ to [\d.]+ points could have been seen \(80 % power\)\."),
        (40.0, 3, r"A difference of \d\d\.\d points could have been seen, at some of these sizes \(80 % power\)\."),
        (40.0, 2, r"These draws are too few, or too far apart, for any difference to be told\."),
    ],
)
def test_no_verdict_speaks_of_a_difference_above_100_points(spread, draws, said):
    arms = {"good": (60, spread), "scratch": (55, 0.1)}
    verdict = bench.simulate(np.random.default_rng(0), arms, sizes=(5, 50), draws=draws).verdict()
    assert re.search(said + "$", verdict.splitlines()[0])


def test_differences_are_fast():
    comparison = bench.simulate(
        np.random.default_rng(0), {f"arm {k}": (97.0, 0.8) for k in range(6)}, sizes=(1, 5, 10, 50)
    )
    seconds = []
    for _ in range(7):
        started = time.perf_counter()
        comparison.differences()
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.02


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


# ---------------------------------------------------------------- records


def test_save_and_load(small, tmp_path):
    record = small.save(tmp_path / "new" / "04_demo.json", title="A demo", command="python demo.py")
    again = Comparison.load(tmp_path / "new" / "04_demo.json")
    pd.testing.assert_frame_equal(again.table(), small.table())
    assert again.verdict() == small.verdict() and again.markdown_table() == small.markdown_table()
    assert record["kind"] == "comparison" and record["name"] == "04_demo" and len(record["scores"]) == 36
    assert record["settings"]["arms"]["linear"]["estimator"]["class"] == "Pipeline" and record["seeds"] == [0, 1, 2, 3]
    assert "data: made here. Made again by `python demo.py`." in results.caption(record)
    assert Comparison.load(record).save(tmp_path / "04_demo.json", title="A demo", command="python demo.py") == record
    for text in ("{", "[]", '{"kind": "other"}', '{"kind": "comparison"}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ValueError, match=r"bad\.json: not a readable record"):
            Comparison.load(tmp_path / "bad.json")


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
    with pytest.raises(ValueError, match="stands twice"):
        merged.merge(parts[2])


def test_merge_names_what_differs(tmp_path):
    def run(arms, dataset=None, sizes=(1, 5), **settings):
        return compare(arms, dataset or blobs(), sizes, [0], folder=tmp_path, progress=False, **settings)

    arms = {"knn": Arm(KNeighborsClassifier(1), against="bayes"), "bayes": GaussianNB()}
    first = run(arms)
    with pytest.raises(ValueError, match="differ in: settings, arms, knn, estimator, n_neighbors"):
        first.merge(run(arms | {"knn": Arm(KNeighborsClassifier(2), against="bayes")}))
    with pytest.raises(ValueError, match="differ in: settings, labels_per_class"):
        first.merge(run(arms, sizes=(1, 4)))
    with pytest.raises(ValueError, match="differ in: settings, rows"):
        first.merge(run(arms, blobs(seed=1)))
    with pytest.raises(ValueError, match="differ in: against, knn"):
        first.merge(run(arms | {"knn": KNeighborsClassifier(1)}))
    with pytest.raises(ValueError, match="differ in: settings, arms, svm"):
        first.merge(run(arms | {"svm": LogisticRegression()}))
    other = compare(arms, blobs(), (1, 5), [1], folder=tmp_path, progress=False)
    other.facts["versions"]["keras"] = "2.0"
    with pytest.raises(ValueError, match="differ in: versions, keras"):
        first.merge(other)


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
        return compare(arms, blobs(), [5], 3, folder=tmp_path, progress=False, **settings)

    with pytest.raises(ValueError, match=r"in the run '', \['frozen'\] differ"):
        run(0).merge(run(1))
    merged = run(0, run="first").merge(run(1, run="second"), run(2, run="third"))
    assert merged.differences()["runs"].tolist() == [3] and sorted(merged.table()["run"].unique()) == [
        "first",
        "second",
        "third",
    ]
    assert "3 s to frozen" in merged.verdict()


class Neighbourly(GaussianNB):
    """An arm that holds a graph over learned features, which is another one in each pretraining run."""

    def __init__(self, graph=None):
        super().__init__()
        self.graph = graph


def test_graphs_of_different_runs_can_be_pooled(tmp_path):
    def run(number, rows=6):
        graph = scipy.sparse.eye_array(rows) * (number + 1.0)
        arms = {"graph": Arm(Neighbourly(graph), "linear", 3.0), "linear": LogisticRegression()}
        return compare(arms, blobs(), [5], 3, folder=tmp_path, progress=False, run=str(number))

    assert run(0).merge(run(1)).differences()["runs"].tolist() == [2]
    with pytest.raises(ValueError, match="differ in: settings, arms, graph, estimator, graph"):
        run(0).merge(run(1, rows=7))


def test_summary_and_plot(small):
    table = small.summary()
    assert table.index.tolist() == list(ARMS)
    assert table.columns.tolist() == ["1 label", "5 labels", "20 labels", "seconds a fit", "pretraining seconds"]
    one = small.table().query("arm == 'linear' and labels == 5")["score"]
    mean, low, high = results.interval(one)
    assert table.loc["linear", "5 labels"] == f"{mean:.1f} ({low:.1f} to {min(high, 100):.1f})"
    lines = small.markdown_table().splitlines()
    assert len(lines) == 5 and lines[0].startswith("| arm | 1 label |")
    axis = small.plot()
    assert [text.get_text() for text in axis.get_legend().get_texts()] == list(ARMS)
    assert small.plot(axis) is axis
    axis.figure.clear()


def test_what_only_the_correction_takes_away_is_undecided():
    rng = np.random.default_rng(0)
    names = [f"arm {k}" for k in range(20)]
    rows = [{"arm": "scratch", "labels": 5, "seed": seed, "score": 80.0} for seed in range(5)]
    rows += [{"arm": a, "labels": 5, "seed": s, "score": 80 + rng.normal()} for a in names for s in range(5)]
    rows += [
        {"arm": "better", "labels": 5, "seed": s, "score": 81 + d} for s, d in enumerate([-0.5, -0.3, 0, 0.3, 0.5])
    ]
    found = Comparison(pd.DataFrame(rows), dict.fromkeys([*names, "better"], ("scratch",)), 100_000)
    row = found.differences().set_index("arm").loc["better"]
    assert row.p < 0.05 < row.p_holm
    assert "better against scratch: undecided at 5 labels per class (+1.0 points at 5" in found.verdict()
