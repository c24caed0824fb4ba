"""Tables of texts: no near duplicate or group crosses, and no row is lost in silence."""

import numpy as np
import pandas as pd
import pytest
from rows import PARTS, all_rows, sizes

from kpretrain import data

WORDS = (
    "amber basil cedar dune ember fjord grove heron inlet jetty kelp lagoon moss nectar orchid pebble quartz".split()
)


def reviews(n=40, classes=("bad", "good")):
    """Texts of which no two are alike."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.permutation(WORDS)) for _ in range(n)]
    return pd.DataFrame({"text": texts, "label": [classes[k % len(classes)] for k in range(n)]})


WRITERS = {
    "csv": lambda table, path: table.to_csv(path, index=False),
    "tsv": lambda table, path: table.to_csv(path, index=False, sep="\t"),
    "jsonl": lambda table, path: table.to_json(path, orient="records", lines=True),
    "parquet": lambda table, path: table.to_parquet(path),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_from_table_reads_every_kind(tmp_path, capsys, kind):
    table = reviews()
    table.loc[3, "text"] = 'caf\u00e9, "quoted",\nand a\ttab'
    WRITERS[kind](table, tmp_path / f"reviews.{kind}")
    dataset = data.from_table(tmp_path / f"reviews.{kind}")
    assert sizes(dataset) == (32, 4, 4) and dataset.class_names == ["bad", "good"]
    assert sorted(all_rows(dataset)) == sorted(table["text"])
    label = dict(zip(table["text"], table["label"], strict=True))
    assert all(label[x] == dataset.class_names[y] for x, y in zip(*dataset.train, strict=True))
    assert f"the table reviews.{kind}" in capsys.readouterr().out


def test_from_table_reads_a_frame_and_leaves_it_alone():
    table = reviews().set_index(pd.Index(["same"] * 40))
    table.loc[:, "part"] = "mine"
    table.iloc[4, 1] = None
    before = table.copy(deep=True)
    dataset = data.from_table(table)
    pd.testing.assert_frame_equal(table, before)
    assert sum(sizes(dataset)) == 39 and dataset.removed["part"].tolist() == ["mine"]
    other = data.from_table(table.reset_index(drop=True))
    assert all(np.array_equal(getattr(dataset, part).x, getattr(other, part).x) for part in PARTS)


@pytest.mark.parametrize("column", ["part", "reason", "path", "cluster"])
def test_columns_may_have_any_name(column):
    table = reviews().rename(columns={"label": column})
    assert data.from_table(table, label=column).class_names == ["bad", "good"]
    table = reviews().rename(columns={"text": column})
    assert sorted(all_rows(data.from_table(table, text=column))) == sorted(table[column])


def test_bad_tables_are_named(tmp_path):
    def fails(name, body, message, **options):
        (tmp_path / name).write_bytes(body)
        with pytest.raises(data.DataError, match=message) as error:
            data.from_table(tmp_path / name, **options)
        assert name in str(error.value)

    whole = b"text,label\n" + b"".join(b"%s,%s\n" % (w.encode(), b"ab"[k % 2 : k % 2 + 1]) for k, w in enumerate(WORDS))
    fails("a.csv", whole, "no column 'review'; it has text, label", text="review")
    fails("a.csv", whole, "no column 'user'", group="user")
    fails("zero.csv", b"", "cannot be read as CSV")
    fails("zero.tsv", b"", "cannot be read as TSV")
    fails("zero.jsonl", b"", "no rows")
    fails("zero.parquet", b"", "cannot be read as PARQUET")
    fails("head.csv", b"text,label\n", "no rows")
    fails("broken.jsonl", b'{"text": "a", "label', "cannot be read as JSONL")
    fails("half.parquet", b"PAR1" + bytes(50), "cannot be read as PARQUET")
    fails("ragged.csv", b'text,label\na,b\n"open,c\n', "cannot be read as CSV")
    fails("commas.csv", b"text,label\n" + b"well, that was fine,good\n" * 9, "cannot be read as CSV|more fields than")
    fails("comma.csv", b"text,label\n" + b"well, fine,good\n" * 9, "more fields than the header")
    fails("table.xlsx", b"PK", r"the name of a table ends in one of \.csv")
    fails(
        "one.csv", b"text,label\n" + b"".join(b"%s,a\n" % w.encode() for w in WORDS), "1 of 1 classes.*two are needed"
    )
    fails("few.csv", b"text,label\nx,a\ny,b\n", "0 of 2 classes have 3 or more")
    fails("same.csv", b"text,label\n" + b"same,a\nsame,b\n" * 9, r"group\(s\) can't fill 3 parts")
    with pytest.raises(data.DataError, match=r"gone\.csv: no such file"):
        data.from_table(tmp_path / "gone.csv")
    with pytest.raises(data.DataError, match="table: no column 'text'"):
        data.from_table(pd.DataFrame())


def test_latin_1_is_told_and_read_when_named(tmp_path):
    table = reviews()
    table["text"] += " caf\u00e9"
    for kind in ("csv", "tsv", "jsonl"):
        file = tmp_path / f"old.{kind}"
        WRITERS[kind](table, file)
        body = file.read_text(encoding="utf8").replace("\\u00e9", "\u00e9")
        file.write_text(body, encoding="latin-1")
        message = rf"old\.{kind}: cannot be read as .*'utf-8'.*0xe9.*encoding='latin-1', or --encoding latin-1"
        with pytest.raises(data.DataError, match=message):
            data.from_table(file)
        assert data.read_table(str(file), "latin-1").equals(table)
        assert sorted(all_rows(data.from_table(file, encoding="latin-1"))) == sorted(table["text"])


def test_rows_left_out_are_listed_with_the_reason(capsys):
    table = reviews(60)
    table["user"] = [f"u{k}" for k in range(60)]
    table.loc[0, "label"], table.loc[1, "label"] = None, "  "
    table.loc[2, "text"], table.loc[3, "text"] = None, " \n"
    table.loc[[4, 5], "label"] = "rare"
    table.loc[[6, 7, 8], "user"] = [None, np.nan, ""]
    dataset = data.from_table(table, group="user")
    assert dataset.removed["reason"].value_counts().to_dict() == {
        "missing label": 2,
        "empty text": 2,
        "class with fewer than 3 rows": 2,
        "missing group": 3,
    }
    assert sorted(dataset.removed["user"].dropna()) == sorted(table["user"].iloc[[0, 1, 2, 3, 4, 5, 8]])
    assert sum(sizes(dataset)) + len(dataset.removed) == 60
    out = capsys.readouterr().out
    assert "left out" in out and "2 (missing label)" in out and "3 (missing group)" in out


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([0.0, 1.0, np.nan], ["0", "1"]),
        ([0.5, 1.0, 0.5], ["0.5", "1.0"]),
        ([True, False, True], ["False", "True"]),
        ([True, False, None], ["False", "True"]),
        ([3, 7, 3], ["3", "7"]),
        (pd.Categorical(["x", "y", None]), ["x", "y"]),
        (pd.array([1, 2, None], dtype="Int64"), ["1", "2"]),
    ],
)
def test_labels_of_every_type(labels, names):
    table = reviews(60)
    table["label"] = (
        pd.Series(labels).iloc[[0, 1, 2] * 20].to_numpy() if isinstance(labels, list) else labels.take([0, 1, 2] * 20)
    )
    dataset = data.from_table(table)
    assert dataset.class_names == names
    assert sum(sizes(dataset)) + len(dataset.removed) == 60


@pytest.mark.parametrize("seed", range(5))
def test_duplicates_and_groups_never_cross(seed):
    table = reviews(60)
    copies = pd.concat([table.head(6).assign(text=table["text"].head(6) + end) for end in ("", ".", " !")])
    table = pd.concat([table, copies], ignore_index=True)
    table["user"] = np.arange(len(table)) // 4
    dataset = data.from_table(table, group="user", seed=seed)
    user = dict(zip(table["text"], table["user"], strict=True))
    users = [{user[text] for text in getattr(dataset, part).x} for part in PARTS]
    roots = [{text.rstrip(" .!") for text in getattr(dataset, part).x} for part in PARTS]
    for kinds in (users, roots):
        assert not kinds[0] & kinds[1] and not kinds[0] & kinds[2] and not kinds[1] & kinds[2]
    assert sum(sizes(dataset)) + len(dataset.removed) == len(table)


def test_a_class_that_only_test_could_get_is_left_out():
    table = pd.concat([reviews(40), pd.DataFrame({"text": ["the same words again"] * 3, "label": "odd"})])
    for seed in range(5):
        with pytest.warns(UserWarning, match="too few groups"):
            dataset = data.from_table(table, seed=seed)
        assert sum(sizes(dataset)) + len(dataset.removed) == 43
        assert set(dataset.test.y) <= set(dataset.train.y)
