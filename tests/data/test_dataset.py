"""A dataset names the parts that do not belong together, and can be thinned."""

import numpy as np
import pytest
from rows import PARTS, sizes

from kpretrain import data


def test_every_nth_row_of_each_part_keeps_its_label():
    rows = data.Part(np.arange(10)[:, None], np.arange(10) % 3)
    whole = data.Dataset("some", rows, rows, data.Part(rows.x[:4], rows.y[:4]), ["a", "b", "c"], "here")
    thin = whole.every(3)
    assert sizes(thin) == (4, 4, 2) and sizes(whole.every(1)) == sizes(whole) == (10, 10, 4)
    assert thin.train.x[:, 0].tolist() == [0, 3, 6, 9] and thin.train.y.tolist() == [0, 0, 0, 0]
    assert thin.name == "some" and thin.class_names == ["a", "b", "c"]


def test_rows_without_labels_are_refused_by_name():
    parts = {part: data.Part(np.zeros(3), np.array([0] if part == "test" else [0, 1, 1])) for part in PARTS}
    with pytest.raises(data.DataError, match="own: test has 3 rows in x and 1 in y"):
        data.Dataset("own", **parts, class_names=["ant", "bee", "wasp"], source="here")
