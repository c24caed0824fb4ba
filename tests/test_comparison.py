"""compare: the same draws for all, nothing run twice, the same scores bit for bit."""

import json
import re
import signal
import subprocess
import sys
import time

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kpretrain.comparison import ComparisonError, compare, label_sizes
from kpretrain.comparison.arms import Arm
from kpretrain.data import Dataset, Part


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


SEEN = []  # what Spy was given; it is reached so that it is no part of what Spy does


class Spy(ClassifierMixin, BaseEstimator):
    """Keeps what it was given."""

    def __init__(self, random_state=None, fault=None, key=""):
        self.random_state, self.fault, self.key = random_state, fault, key

    def fit(self, x, y):
        if self.fault == len(y):
            raise RuntimeError("the loss is NaN")
        sys.modules[__name__].SEEN.append((self.key, self.random_state, x, y))
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
    SEEN.clear()
    compare({"one": Spy(key="one"), "two": Spy(key="two")}, dataset, [2, 5], [3, 8], folder=tmp_path, progress=False)
    found = {(key, len(y) // 3, round(x.sum(), 6)): (x, y, state) for key, state, x, y in SEEN}
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
    SEEN.clear()
    arms = {"spy": Spy(), "bayes": GaussianNB()}
    table = compare(arms, dataset, [5], 3, folder=tmp_path, progress=False).table()
    by_hand = [100 * GaussianNB().fit(x, y).score(*dataset.test) for *_, x, y in SEEN]
    assert table[table["arm"] == "bayes"]["score"].tolist() == by_hand


def test_table_holds_every_cell_once(small):
    table = small.table()
    assert len(table) == 3 * 3 * 4 and not table.duplicated(["arm", "labels", "seed", "run"]).any()
    assert table["arm"].unique().tolist() == list(ARMS) and table["score"].between(0, 100).all()
    assert table["pretraining_seconds"].tolist() == [0] * 24 + [7] * 12


def test_only_keeps_an_arm_to_its_sizes(tmp_path):
    found = compare(ARMS, blobs(), [1, 5], 2, only={"forest": [5]}, folder=tmp_path, progress=False)
    assert found.table().groupby("arm")["labels"].unique().map(list).to_dict()["forest"] == [5]
    assert found.differences()[["against", "labels"]].to_numpy().tolist() == [
        ["forest", 5],
        ["neighbour", 1],
        ["neighbour", 5],
    ]
    assert found.summary().loc["forest", "1 label"] == ""


def test_an_arm_without_sizes_runs_in_a_record_alone(tmp_path, monkeypatch):
    arguments = {"only": {"forest": []}, "folder": tmp_path, "progress": False}
    alone = compare(ARMS, blobs(), [1, 5], 2, **arguments)
    assert "forest" not in alone.arms and set(alone.differences()["against"]) == {"neighbour"}
    monkeypatch.setenv("KPRETRAIN_ONLY", '{"forest": [5], "neighbour": [1], "of another call": [7]}')
    found = compare(ARMS, blobs(), [1, 5], 2, **arguments).table().groupby("arm")["labels"].unique().map(list)
    assert found["forest"] == [5] and found["neighbour"] == [1]
    monkeypatch.setenv("KPRETRAIN_ONLY", "{}")
    with pytest.raises(ValueError, match="There are no arms"):
        compare(ARMS, blobs(), [1, 5], 2, only={arm: [] for arm in ARMS}, folder=tmp_path, progress=False)


# ---------------------------------------------------------------- stopping, resuming, and several processes


def test_finished_cells_are_found_and_a_damaged_one_is_run_again(tmp_path, capsys):
    arms, arguments = {"spy": Spy(), "bayes": GaussianNB()}, {"folder": tmp_path, "seeds": 2}
    first = compare(arms, blobs(), [1, 5], **arguments, progress=False)
    assert capsys.readouterr() == ("", "")
    SEEN.clear()
    files = sorted(tmp_path.iterdir())
    assert len(files) == 8
    again = compare(arms | {"new": DummyClassifier()}, blobs(), [1, 5, 6], **arguments)
    assert [len(y) for *_, y in SEEN] == [18, 18]
    out = capsys.readouterr().out
    assert "18 cells, 8 of them found finished" in out and "cells." in out
    pd.testing.assert_frame_equal(scores(first), scores(again).merge(scores(first)[["arm", "labels", "seed"]]))
    for number, text in enumerate(['{"arm": "spy", "la', ""]):
        files[number].write_text(text)
    repaired = compare(arms, blobs(), [1, 5], **arguments, progress=False)
    assert capsys.readouterr().out.count("a damaged file of a finished cell") == 2
    pd.testing.assert_frame_equal(scores(first), scores(repaired))


def test_other_rows_parameters_or_names_are_other_cells(tmp_path):
    def fits(arms, dataset):
        SEEN.clear()
        compare(arms, dataset, [2], 1, folder=tmp_path, progress=False)
        return len(SEEN)

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


def test_a_dask_cluster_gives_the_same(small, tmp_path):
    distributed = pytest.importorskip("dask.distributed")
    settings = {"processes": True, "n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster):
        with joblib.parallel_config(backend="dask"):
            found = compare(ARMS, blobs(), [1, 5, 20], 4, folder=tmp_path, progress=False)
    pd.testing.assert_frame_equal(scores(found), scores(small))
    assert len(list(tmp_path.iterdir())) == 36


def test_a_worker_process_does_without_keras():
    code = "import sys, kpretrain.comparison.grid; print('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


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
        ({"labels_per_class": [2.5]}, "whole numbers"),
        ({"labels_per_class": [1, 41]}, "the class 'kind 0' has 40 training rows, and 41 labels are wanted"),
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
    with pytest.raises(ValueError, match="the test part holds kind 1, which no training row is of"):
        run(train=Part(data.train.x[left], data.train.y[left]))
    named = np.array(["a", "b", "c"])  # labels need not be numbers
    with pytest.raises(ValueError, match="the test part holds b, which no training row is of"):
        run(Part(data.train.x[left], named[data.train.y[left]]), Part(data.test.x, named[data.test.y]))
    with pytest.raises(ValueError, match="class 'kind 1' has 0 training rows"):
        tested = data.test.y != 1
        run(Part(data.train.x[left], data.train.y[left]), Part(data.test.x[tested], data.test.y[tested]))


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
    assert re.search(
        r"^With 4 draws and 450 test rows, differences of about \d+ points and more can be told \(2 con", out, re.M
    )
    assert re.search(r"^About [\d.]+ s for 33 cells\.$", out, flags=re.M)
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


# ---------------------------------------------------------------- what is kept


def test_an_arm_that_nothing_lasting_describes_runs_and_is_not_kept(tmp_path, capsys):
    class Holds(GaussianNB):
        def __init__(self, what=None):
            super().__init__()
            self.what = what

        def __sklearn_clone__(self):
            return Holds(self.what)

    arms = {"own": Arm(Holds(object()), "bayes"), "bayes": GaussianNB()}
    first = compare(arms, blobs(), [1, 5], 2, folder=tmp_path)
    out = capsys.readouterr().out
    assert out.count("The scores of 'own' are not kept, so it runs each time: ") == 1 and len(out.splitlines()[0]) < 300
    assert len(list(tmp_path.iterdir())) == 4  # the other arm's
    again = compare(arms, blobs(), [1, 5], 2, folder=tmp_path)
    assert "8 cells, 4 of them found finished" in capsys.readouterr().out
    pd.testing.assert_frame_equal(scores(first), scores(again))
    first.save(tmp_path / "own.json")  # and it can be stored


def test_each_cell_tells_which_test_rows_it_got_right(small, tmp_path):
    dataset = blobs()
    found = compare(ARMS, dataset, [1, 5, 20], 4, folder=tmp_path, progress=False)
    for row, hits in zip(found.table().itertuples(), found.hits(), strict=True):
        right = np.unpackbits(np.frombuffer(hits, "uint8"), count=len(dataset.test.y)).astype(bool)
        assert row.score == pytest.approx(100 * right.mean())
        recalls = [right[dataset.test.y == k].mean() for k in range(3)]
        assert row.balanced == pytest.approx(100 * np.mean(recalls))
    assert found.over_rows and found.facts["test_classes"] == {"kind 0": 150, "kind 1": 150, "kind 2": 150}
