"""Drawings: what stands in them, their alternative texts, and what is refused."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from kpretrain import draw


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def texts(axis):
    return [text.get_text() for text in axis.texts]


def test_a_diagram_has_its_boxes_and_arrows_that_end_at_them():
    boxes = {"x": (0, 0, "image"), "f": (1, 0, "encoder", "trained"), "g": (1, 1, "copy", "frozen")}
    axis = draw.diagram(boxes, [("x", "f", "28 x 28"), ("f", "g")], alt="An image goes into an encoder.")
    assert texts(axis) == ["image", "encoder", "copy", "28 x 28"]
    axis.figure.canvas.draw()
    boxes_drawn, arrows = axis.patches[:3], axis.patches[3:]
    assert len(arrows) == 2
    to_data = axis.transData.inverted()
    for arrow, (start, end) in zip(arrows, ((0, 1), (1, 2)), strict=True):
        path = to_data.transform(arrow.get_transform().transform(arrow.get_path().vertices))
        for patch, tip in ((boxes_drawn[start], path[0]), (boxes_drawn[end], path[2])):
            box = patch.get_bbox()
            distance = np.maximum(np.abs(tip - [box.x0 + box.width / 2, box.y0 + box.height / 2]) - [0.38, 0.3], 0)
            assert distance.max() < 0.06, "the arrow does not end at the box's edge"


def test_a_network_has_a_circle_for_each_neuron_and_a_line_for_each_weight():
    axis = draw.network([3, 4, 2], names=["in", "hidden", "out"], alt="A small network.")
    assert len(axis.patches) == 9 and len(axis.lines) == 3 * 4 + 4 * 2 and texts(axis) == ["in", "hidden", "out"]
    boxes = [patch.get_window_extent() for patch in axis.patches]
    assert all(abs(box.width - box.height) < 1 for box in boxes), "circles are round"
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k]), "and apart"


def test_arrays_show_their_numbers_and_marks():
    axis = draw.arrays(
        [np.eye(2), "·", [[0.25], [-1]], "=", [[0.25], [-1]]], marks=[(4, 1, 0, 1, 1)], titles=["A", "", "b"],
        decimals=2, alt="A product.",
    )  # fmt: skip
    assert [text for text in texts(axis) if text not in ("A", "", "b")] == [
        "1.00", "0.00", "0.00", "1.00", "·", "0.25", "−1.00", "=", "0.25", "−1.00",
    ]  # fmt: skip
    assert sum(not patch.get_fill() for patch in axis.patches) == 1


def test_a_notebook_gets_the_alternative_text_and_the_figure_once(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.get_ipython", lambda: "a kernel")
    monkeypatch.setattr("IPython.display.display", lambda figure, metadata: shown.append((figure, metadata)))
    axis = draw.network([1, 1], alt="Two neurons.")
    assert shown == [(axis.figure, {"image/png": {"alt": "Two neurons."}})] and not plt.get_fignums()
