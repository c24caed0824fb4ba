"""Bets are kept and settled."""

import importlib
import json
import math

import numpy as np
import pytest

from kpretrain import check

MODULE = importlib.import_module("kpretrain.check.bets")  # `check.bets` is the function


@pytest.fixture(autouse=True)
def bets_file(tmp_path, monkeypatch):
    """A working folder and a process of its own for each test."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv("KPRETRAIN_BETS", raising=False)
    another_process(monkeypatch)
    return tmp_path / "work" / "bets.json"


def another_process(monkeypatch):
    monkeypatch.setattr(MODULE, "_bets_in_memory", {})


def test_a_bet_is_placed_and_settled_in_another_process(monkeypatch, capsys):
    check.bet("points gained", -1, 4.5)
    assert capsys.readouterr().out.endswith("Bet placed. points gained: -1 to 4.5.\n")
    another_process(monkeypatch)
    assert check.settle("points gained", np.float32(4.25), low=3, high=5.5) is True
    line = "you bet -1 to 4.5, measured 4.2 (95 % interval 3.0 to 5.5). Inside your bet."
    assert line in capsys.readouterr().out
    assert check.settle("points gained", 4.6) is False
    assert capsys.readouterr().out.endswith("measured 4.6. Outside your bet.\n")


def test_the_reader_is_told_once_which_file_to_hand_in(monkeypatch, bets_file, capsys):
    check.bet("q", 0, 1)
    assert capsys.readouterr().out.startswith(f"Your bets are kept in {bets_file}. The file is yours")
    check.bet("r", 0, 1)
    another_process(monkeypatch)
    check.settle("q", 1)
    assert "kept in" not in capsys.readouterr().out
    assert json.loads(bets_file.read_text()).keys() == {"q", "r"}
    assert list(bets_file.parent.iterdir()) == [bets_file]


def test_a_file_of_ones_own(tmp_path, monkeypatch, bets_file, capsys):
    monkeypatch.setenv("KPRETRAIN_BETS", str(tmp_path / "mine" / "jane.json"))
    check.bet("q", 0, 1)
    assert json.loads((tmp_path / "mine" / "jane.json").read_text()) == {"q": {"low": 0.0, "high": 1.0}}
    assert not bets_file.exists() and "kept in" not in capsys.readouterr().out  # whoever named it knows


def test_a_bet_placed_anew_elsewhere_is_not_undone(monkeypatch):
    check.bet("q", 0, 1)
    mine = MODULE._bets_in_memory
    another_process(monkeypatch)
    check.bet("q", 5, 6)
    monkeypatch.setattr(MODULE, "_bets_in_memory", mine)
    check.bet("another", 0, 1)
    assert check.bets().loc["q", "low"] == 5


def test_the_table_of_bets(monkeypatch):
    assert check.bets().empty and check.bets().columns.tolist() == ["low", "high", "measured", "inside"]
    for question, measured in [("inside", 1), ("edge", 2), ("outside", 2.1), ("open", None)]:
        check.bet(question, 0, 2)
        if measured is not None:
            check.settle(question, measured)
    another_process(monkeypatch)
    table = check.bets()
    assert table["inside"].to_dict() == {"inside": "yes", "edge": "yes", "outside": "no", "open": "open"}
    assert table.index.name == "question" and (table["high"] == 2).all()
    check.bet("outside", 5, 6)  # placed anew: open again
    assert check.bets().loc["outside", "inside"] == "open"


@pytest.mark.parametrize(("low", "high"), [(2, 1), (math.nan, 1), (0, math.nan), (-math.inf, 1), (0, math.inf)])
def test_a_bet_needs_two_finite_numbers(low, high, bets_file):
    with pytest.raises(ValueError, match="two finite numbers, the lower first"):
        check.bet("q", low, high)
    assert not bets_file.exists()


def test_settling_needs_a_bet_and_a_finite_number():
    with pytest.raises(KeyError, match=r"No bet on 'q'.*kp\.check\.bet first"):
        check.settle("q", 1)
    check.bet("q", 0, 1)
    for measured in (math.nan, math.inf):
        with pytest.raises(ValueError, match=r"q: the measured value is (nan|inf)"):
            check.settle("q", measured)
    assert check.bets().loc["q", "inside"] == "open"


@pytest.mark.parametrize(
    "body",
    [b"", b'{"q": {"low"', b"\xff\xfe", b"[1, 2]", b'{"q": 3}', b'{"q": {"low": 1}}', b'{"q": {"low": [], "high": 1}}'],
)
def test_a_damaged_file_is_told_and_replaced(bets_file, capsys, body):
    bets_file.write_bytes(body)
    check.bet("new", 0, 1)
    assert f"{bets_file}: not a readable list of bets" in capsys.readouterr().out
    assert json.loads(bets_file.read_text()) == {"new": {"low": 0.0, "high": 1.0}}
    assert check.settle("new", 0.5) and capsys.readouterr().out.count("not a readable") == 0


def test_where_nothing_can_be_written_a_bet_is_kept_for_the_run(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()  # no folder, so that even root cannot write into it
    monkeypatch.setenv("KPRETRAIN_BETS", str(tmp_path / "file" / "bets.json"))
    check.bet("q", 0, 1)
    assert "kept for this run only (File exists); $KPRETRAIN_BETS names another file" in capsys.readouterr().out
    assert check.settle("q", 1) and check.bets().loc["q", "inside"] == "yes"
    (tmp_path / "file").unlink()  # once it can be written, all of them go there
    check.bet("r", 0, 1)
    another_process(monkeypatch)
    assert check.bets().index.tolist() == ["q", "r"]
