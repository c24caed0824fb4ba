"""The answer: one plain sentence for whatever the contrasts show."""

import numpy as np
import pandas as pd
import pytest

from kpretrain import data
from kpretrain.comparison import Comparison
from kpretrain.tools import answer

RIVALS = [("frozen", "pixels"), ("frozen", "scratch"), ("fine-tuned", "pixels"), ("fine-tuned", "scratch")]
SECONDS = {"pixels": (0.01, 0), "scratch": (20, 0), "frozen": (0.4, 4140), "fine-tuned": (30, 4140)}


def decided(points, clear, half=3.0, means=None, labels=(5, 20), draws=5, pairs=RIVALS):
    """`decide`, from the points of each contrast and whether they are clear after Holm's correction."""
    rows = [
        (arm, rival, gap, gap - half, gap + half, np.nan if draws < 5 else 0.01 if sure else 0.4, draws)
        for (arm, rival), gap, sure in zip(pairs, points, clear, strict=True)
    ]
    table = pd.DataFrame(rows, columns=["arm", "against", "points", "low", "high", "p_holm", "draws"])
    table.loc[table["p_holm"].isna(), ["low", "high"]] = np.nan
    means = means or {"pixels": 70 - points[0], "scratch": 70 - points[1], "frozen": 70, "fine-tuned": 60}
    return answer.decide(table, means, SECONDS, labels, "images")


@pytest.mark.parametrize(
    ("call", "answer", "words"),
    [
        (
            {"points": [12.3, 20, 2, 10], "clear": [1, 1, 0, 1]},
            "yes",
            [
                "Yes: on these images pretraining helps. Take frozen: +12.3 points over the best model without",
                "(pixels), on average over 5 and 20 labels per class (9.3 to 15.3); a fit takes 0.4 s, the pretraining",
                "took 69 min, once.",
            ],
        ),
        ({"points": [12.3, 20, 2, 10], "clear": [1, 1, 0, 1], "labels": (5,)}, "yes", ["(pixels), at 5 labels per"]),
        (  # two winners within 2 points of each other: the cheaper one
            {
                "points": [9, 9, 10, 10],
                "clear": [1] * 4,
                "means": {"pixels": 60, "scratch": 60, "frozen": 69, "fine-tuned": 70},
            },
            "yes",
            ["Take frozen: +9.0"],
        ),
        (  # clear against scratch alone
            {"points": [0.8, 20, -9, 10], "clear": [0, 1, 1, 1]},
            "partly",
            [
                "frozen helps against scratch (+20.0",
                "but not clearly against pixels (+0.8",
                "Take pixels, the cheaper of the two: a fit",
            ],
        ),
        (
            {"points": [-5, 20, -9, 10], "clear": [1, 1, 1, 1]},
            "partly",
            ["frozen helps against scratch", "but pixels is better still (-5.0 points, -8.0", "Take pixels: a fit"],
        ),
        (  # clear against pixels alone: the cheaper of those that remain
            {"points": [20, 1, 10, -9], "clear": [1, 0, 1, 1], "half": 0.5},
            "partly",
            ["helps against pixels", "but scratch is as good (+1.0", "Take frozen, the cheaper of the two"],
        ),
        (  # it hurts
            {"points": [-12, 1, -22, -9], "clear": [1, 0, 1, 1]},
            "no",
            ["No: on average", "pixels is better than frozen (-12.0", "and better than fine-tuned", "Take pixels: a"],
        ),
        (  # as good as one, better than the other
            {"points": [0.2, 8, -9, 10], "clear": [0, 0, 1, 0], "half": 1},
            "no",
            ["pixels is within 2 points as good as frozen (+0.2", "Take pixels, the cheaper of the two: a fit"],
        ),
        (
            {"points": [0.2, 0.3, 0.1, 0.2], "clear": [0] * 4, "half": 1.2},
            "tie",
            ["No, a tie:", "Take pixels, the cheapest"],
        ),
        (  # the rounding to test rows leaves wide intervals
            {"points": [0, 0, 0, 0], "clear": [0] * 4, "half": 9, "means": dict.fromkeys(SECONDS, 100.0)},
            "tie",
            ["all arms are right on every test row", "Take pixels, the cheapest"],
        ),
        (
            {"points": [0.8, 9, -9, 1], "clear": [0] * 4},
            "cannot be told",
            [
                "the best pretrained arm (frozen) and pixels differ by +0.8 points (-2.2 to 3.8) on average",
                "over 5 draws; more draws (the same command again) or more test rows would tell.",
            ],
        ),
        (
            {"points": [4, 9, -9, 1], "clear": [0] * 4},
            "cannot be told",
            ["(1.0 to 7.0)", "over 5 draws, which is not clear after correction for 4 comparisons;"],
        ),
        (
            {"points": [12, 20, 2, 10], "clear": [1] * 4, "draws": 3},
            "cannot be told",
            ["cannot be told yet: 3 draws of labels", "5 are needed. So far frozen and pixels differ by +12.0"],
        ),
        ({"points": [12, 20, 2, 10], "clear": [1] * 4, "draws": 1}, "cannot be told", ["1 draw of labels are too few"]),
    ],
)
def test_one_plain_answer(call, answer, words):
    found, sentence = decided(**call)
    assert found == answer, sentence
    assert all(word in sentence for word in words), sentence
    assert "nan" not in sentence and " p " not in sentence and sentence.count("Take") + sentence.count("take ") == 1


def scores(arms, test_rows=100, draws=5):
    """A comparison in which each arm has a mean score and varies a little from draw to draw."""
    random, names = np.random.default_rng(0), ["arm", "labels", "seed", "score", "fit_seconds", "predict_seconds"]
    rows = [
        (arm, n, seed, min(100.0, round(mean + n / 10 + random.normal(0, 1))), SECONDS[arm][0], 0.1)
        for arm, mean in arms.items()
        for n in (5, 20)
        for seed in range(draws)
    ]
    table = pd.DataFrame(rows, columns=names)
    return Comparison(table, {"frozen": ("pixels", "scratch"), "fine-tuned": ("pixels", "scratch")}, test_rows)


def test_the_answer_follows_from_the_scores_and_names_a_blind_guess():
    equal = data.Dataset("photos", *[data.Part(np.zeros(4), np.array([0, 0, 1, 1]))] * 3, ["bee", "ant"], "here")
    good = scores({"pixels": 40, "scratch": 50, "frozen": 80, "fine-tuned": 70})
    assert answer.sentence(good, equal, "images").startswith("Yes: on these images pretraining helps. Take frozen: +")
    bad = scores({"pixels": 80, "scratch": 50, "frozen": 40, "fine-tuned": 30})
    assert answer.sentence(bad, equal, "images").startswith("No: ")
    same = scores(dict.fromkeys(["pixels", "scratch", "frozen", "fine-tuned"], 110), test_rows=12)
    assert answer.sentence(same, equal, "images").startswith("No, a tie: all arms are right")
    assert answer._best(same).count("pixels and scratch and frozen and fine-tuned") == 2  # no winner among equals
    few = scores({"pixels": 40, "scratch": 50, "frozen": 80, "fine-tuned": 70}, draws=3)
    assert answer.sentence(few, equal, "images").startswith("It cannot be told yet: 3 draws")
    uneven = data.Part(np.zeros(10), np.array([1] * 8 + [0] * 2))
    found = answer.sentence(good, data.Dataset("photos", *[uneven] * 3, ["bee", "ant"], "here"), "images")
    assert found.endswith("Always answering 'ant' gives 80.0 %.")
    assert "Always" not in answer.sentence(good, equal, "images")
