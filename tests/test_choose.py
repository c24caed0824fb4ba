"""`python -m kpretrain choose`: a table, advice that says how sure it is, and what to run next; errors on one line."""

import numpy as np
import pandas as pd
import pytest
from test_own import news, photos

from kpretrain import data, ranking
from kpretrain.tools import choose
from kpretrain.tools.cli import main


def table(**right):
    """A ranking of backbones with so many hits of 100 rows each, the first rows being the easy ones."""
    hits = {name: [k < n for k in range(100)] for name, n in right.items()}
    found = pd.DataFrame({"parameters": [1000 * len(name) for name in right]}, index=[*right])
    found.attrs["hits"] = hits
    return found


def test_a_clear_lead_is_told_and_an_unclear_one_is_not():
    assert choose.advice(table(large=90, net=60)).startswith("Take large: by the probe it is ahead of all others")
    unclear = choose.advice(table(large=90, net=89, pixels=40))
    assert "large is first by the probe, but cannot be told apart from net with" in unclear
    assert "+1.0 points" in unclear and unclear.endswith("Of these net is the smallest.")
    assert choose.advice(table(alone=5)) == "alone is the only one."


def test_few_rows_are_even_over_the_classes_and_always_the_same():
    part = data.Part(np.arange(1000), np.repeat([0, 1, 2], [900, 97, 3]))
    x, y = choose._few(part, 60)
    assert np.bincount(y).tolist() == [20, 20, 3] and len(set(x)) == 43
    np.testing.assert_array_equal(part.y[x], y)
    np.testing.assert_array_equal(choose._few(part, 60)[0], x)
    assert np.bincount(choose._few(part, 1)[1]).tolist() == [2, 2, 2]  # fewer cannot be cross-validated


def test_a_folder_is_ranked(tmp_path, capsys):
    folder = photos(tmp_path / "my photos", classes=2, each=12)
    assert main(["choose", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "3 backbones on 14 labelled rows" in out and "resnet_cifar10, random weights" in out
    assert "for new rows" in out and "LogME" in out
    assert out.splitlines()[-1].endswith(f"python -m kpretrain compare '{folder}' --encoder resnet_cifar10")


def test_a_table_is_ranked_and_its_test_rows_stay_unseen(tmp_path, capsys, monkeypatch):
    news(80).to_csv(tmp_path / "news.csv", index=False)
    seen, real = [], ranking.rank

    def watched(candidates, x, y):
        seen.extend(x)
        return real({"TF-IDF": candidates["TF-IDF"], "bert_docstrings": candidates["bert_docstrings"]}, x, y)

    monkeypatch.setattr(ranking, "rank", watched)
    assert main(["choose", str(tmp_path / "news.csv"), "--label", "category", "--rows", "24"]) == 0
    out = capsys.readouterr().out
    dataset, _ = choose.own.read(tmp_path / "news.csv", label="category")
    assert len(seen) == 24 and set(seen) <= set(dataset.train.x) and not set(seen) & set(dataset.test.x)
    assert out.splitlines()[-1].endswith("news.csv --label category --encoder bert_docstrings")


@pytest.mark.parametrize("words", [["gone.csv"], [".", "--text", "story"]])
def test_what_cannot_be_read_is_said_on_one_line(words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["choose", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("kpretrain: ") and len(error.splitlines()) == 1


def test_ctrl_c_stops_it(tmp_path, capsys, monkeypatch):
    news(80).to_csv(tmp_path / "news.csv", index=False)
    monkeypatch.setattr(ranking, "rank", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert main(["choose", str(tmp_path / "news.csv")]) == 130
    assert "Traceback" not in capsys.readouterr().err
