"""Bad input: one line that says what to do next and exit code 2, or on without it and a word on what was left out."""

import os
import re
import signal
import struct
import subprocess
import sys
import zlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from nightly.random_inputs import outcome
from PIL import Image
from test_own import news, photos

from kpretrain import backbones, data, presets, session
from kpretrain.paths import ROOT
from kpretrain.tools import own
from kpretrain.tools.cli import main

LIMIT = 10  # seconds for reading any of these, and for refusing it
ACCENT = " caf\N{LATIN SMALL LETTER E WITH ACUTE}"
CASES = {}


class Read(BaseException):
    """The data is read, and what follows is not tested here."""


def case(says, *words, code=2):
    """Make a case of a function that writes the bad input and returns its path."""

    def add(make):
        CASES[make.__name__] = (make, says, words, code)
        return make

    return add


def goes_on(says, *words):
    return case(says, *words, code=0)


def table(path, rows=None, **options):
    (news(80) if rows is None else rows).to_csv(path, index=False, **options)
    return path


def pictures(folder, **options):
    return photos(folder / "p", **{"classes": 2, "each": 10} | options)


@pytest.fixture
def call(monkeypatch, capfd):
    """Run a command as far as the data is read, within the limit; return its code, its output and its errors."""

    def stop(*_):
        raise Read

    def late(*_):
        pytest.fail(f"it took longer than {LIMIT} s")

    def run(*words):
        before = signal.signal(signal.SIGALRM, late)
        signal.alarm(LIMIT)
        try:
            code = main([*map(str, words)])
        except Read:
            code = 0
        except SystemExit as mistake:  # argparse's
            code = mistake.code
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
        return code, *capfd.readouterr()

    monkeypatch.setattr(session, "setup", stop)
    return run


# ---------------------------------------------------------------- paths and options


@case(r"e: no class folders\. Put the images of each class into a subfolder")
def empty_folder(folder):
    (folder / "e").mkdir()
    return folder / "e"


@case(r"no class folders\. Put")
def a_folder_with_one_file(folder):
    Image.new("L", (20, 20)).save(folder / "a.png")
    return folder


@case(r"gone\.csv: no such file or folder\. Name one that is there")
def gone(folder):
    return folder / "gone.csv"


@case(r"pipe\.csv: no such file")
def pipe(folder):
    os.mkfifo(folder / "pipe.csv")
    return folder / "pipe.csv"


@case(r"round: no such file")
def a_link_to_itself(folder):
    (folder / "round").symlink_to(folder / "round")
    return folder / "round"


@case(r"news: the name of a table ends in one of \.csv")
def without_ending(folder):
    return table(folder / "news")


@case("--labels.* must be different whole numbers from 1, such as 5,10,50", "--labels", "9" * 5000)
def nonsense_labels(folder):
    return folder / "never read.csv"


@case("--minutes.*'ten' must be a number", "--minutes", "ten")
def nonsense_minutes(folder):
    return folder / "never read.csv"


@case("--seeds.*'x' must be a whole number", "--seeds", "x")
def nonsense_seeds(folder):
    return folder / "never read.csv"


@case("unknown encoding: klingon.*Name an encoding that Python knows, for instance utf-8", "--encoding", "klingon")
def nonsense_encoding(folder):
    return table(folder / "a.csv")


@case("no column 'nobody'; it has number, story, category", "--group", "nobody")
def nonsense_group(folder):
    return table(folder / "a.csv")


@case("--out /dev/null/it cannot be written .*Name another folder", "--out", "/dev/null/it")
def out_is_below_a_file(folder):
    return folder / "never read.csv"


# ---------------------------------------------------------------- tables


@case(r"a\.csv: cannot be read as CSV \(No columns.*Mend it")
def empty_file(folder):
    (folder / "a.csv").touch()
    return folder / "a.csv"


@case(r"a\.jsonl: the table has no rows\. Add some")
def empty_jsonl(folder):
    (folder / "a.jsonl").touch()
    return folder / "a.jsonl"


@case(r"a\.csv: the table has no rows\. Add some")
def a_header_alone(folder):
    return table(folder / "a.csv", news(0))


@case("1 of 1 classes have 3 or more usable rows; two are needed. Add rows or classes")
def one_class(folder):
    return table(folder / "a.csv", news(80).assign(category="sport"))


@case(r"a\.csv: Which column holds the labels\? none is called so.*--label")
def one_column(folder):
    return table(folder / "a.csv", news(80)[["story"]])


@case("0 of 80 classes have 3 or more usable rows.*take other labels")
def labels_all_different(folder):
    return table(folder / "a.csv", news(80).assign(category=[f"kind {k}" for k in range(80)]))


@case(r"no row can be used; left out 80 \(missing label\)\. Add rows")
def labels_all_missing(folder):
    return table(folder / "a.csv", news(80).assign(category=None))


@goes_on(r"left out 30 \(missing label\)")
def labels_missing(folder):
    rows = news(80)
    rows.loc[:29, "category"] = None
    return table(folder / "a.csv", rows)


@case("0 of 3 classes have 3 or more usable rows.*Add rows")
def three_rows(folder):
    return table(folder / "a.csv", news(3))


@case(r"1 group\(s\) can't fill 3 parts: add rows unlike these, or use finer groups\.")
def all_texts_alike(folder):
    return table(folder / "a.csv", news(80).assign(story="the same again"))


@goes_on("48 train, 16 validation, 16 test rows")
def a_megabyte_in_a_cell(folder):
    rows = news(80)
    rows.loc[3, "story"] = " ".join(f"word{k}" for k in range(100_000))
    return table(folder / "a.csv", rows)


@case("Name its encoding, for instance encoding='latin-1', or --encoding latin-1")
def latin_1(folder):
    return table(folder / "a.csv", news(80).assign(story=news(80)["story"] + ACCENT), encoding="latin-1")


@goes_on("48 train", "--encoding", "latin-1")
def latin_1_as_said(folder):
    return latin_1(folder)


@case("Name its encoding, for instance encoding='utf-16', or --encoding utf-16")
def utf_16(folder):
    return table(folder / "a.csv", encoding="utf-16")


@goes_on("48 train", "--encoding", "utf-16")
def utf_16_as_said(folder):
    return utf_16(folder)


@case("(?i:utf-16).*Name its encoding, for instance encoding='utf-8'", "--encoding", "utf-16")
def another_encoding_than_said(folder):
    return table(folder / "a.csv")


@goes_on("from the column 'story'.*48 train")
def byte_order_mark(folder):
    return table(folder / "a.csv", news(80)[["story", "category"]], encoding="utf-8-sig")


@goes_on("from the column 'story'.*48 train")
def byte_order_mark_in_jsonl(folder):
    (folder / "a.jsonl").write_text(news(80).to_json(orient="records", lines=True), encoding="utf-8-sig")
    return folder / "a.jsonl"


@goes_on("a.csv: the header has no ',', so its columns are those between ';'.*48 train")
def semicolons(folder):
    return table(folder / "a.csv", news(80).assign(story=news(80)["story"] + ", and so on"), sep=";")


@goes_on(r"a.csv: the header has no ',', so its columns are those between '\\t'.*48 train")
def tabs(folder):
    return table(folder / "a.csv", news(80).assign(story=news(80)["story"] + ", and so on"), sep="\t")


@goes_on(r"a.tsv: the header has no '\\t', so its columns are those between ','.*48 train")
def commas(folder):
    return table(folder / "a.tsv")


@case("more fields than the header. Quote the texts")
def more_fields(folder):
    (folder / "a.csv").write_text("text,label\n" + "well, fine,good\n" * 40)
    return folder / "a.csv"


@case(r"Expected 3 fields in line 21, saw 5\)\. Mend it there")
def more_fields_once(folder):
    lines = news(80).to_csv(index=False).splitlines()
    lines[20] += ",a,b"
    (folder / "a.csv").write_text("\n".join(lines))
    return folder / "a.csv"


@goes_on("16,000 train, 2,000 validation, 2,000 test")
def two_hundred_thousand_rows(folder):
    mixed = (np.arange(200_000, dtype=np.uint64) + 1) * np.uint64(2654435761 * 40503)
    rows = "".join(f"{number:x} {number % 9973},{'abc'[k % 3]}\n" for k, number in enumerate(mixed.tolist()))
    (folder / "a.csv").write_text(f"text,label\n{rows}")
    return folder / "a.csv"


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([0, 1, 2, 0], ["0", "1", "2"]),
        ([True, False], ["False", "True"]),
        (["2026-01-01", "2026-01-02"], ["2026-01-01", "2026-01-02"]),
        ([float("nan"), 1, 2, float("inf")], ["1.0", "2.0", "inf"]),
    ],
)
def test_labels_of_any_kind_go_on(tmp_path, call, labels, names):
    table(tmp_path / "a.csv", news(80).assign(category=(labels * 80)[:80]))
    code, said, _ = call("compare", tmp_path / "a.csv")
    assert code == 0 and f"rows in {len(names)} classes" in said
    assert data.from_table(tmp_path / "a.csv", "story", "category").class_names == names


@case(r"'text(\.1)?' and 'text(\.1)?' hold texts of like length; name it with --text")
def a_column_twice(folder):
    rows = news(80)
    return table(
        folder / "a.csv",
        pd.concat([rows["story"], rows["story"], rows["category"]], axis=1).set_axis(["text", "text", "label"], axis=1),
    )


@case(r"cannot be read as PARQUET \(.*Mend it there, or save the table anew\.")
def a_column_twice_in_parquet(folder):
    rows = news(80)
    columns = [pa.array(rows[name]) for name in ("story", "category", "category")]
    pq.write_table(pa.table(columns, names=["text", "label", "label"]), folder / "a.parquet")
    return folder / "a.parquet"


@goes_on("labels from 'category'.*48 train")
def lists_in_parquet(folder):
    news(80).assign(tags=[["a", "b"]] * 80, more=[{"a": 1}] * 80).to_parquet(folder / "a.parquet")
    return folder / "a.parquet"


@case(r"cannot be read as JSONL \(.*line 41 .*Mend it there")
def jsonl_with_a_broken_line(folder):
    lines = news(80).to_json(orient="records", lines=True).splitlines()
    lines[40] = lines[40][:20]
    (folder / "a.jsonl").write_text("\n".join(lines))
    return folder / "a.jsonl"


@case(r"its lines are not all objects, such as \{")
def jsonl_of_one_list(folder):
    (folder / "a.jsonl").write_text(news(80).to_json(orient="records"))
    return folder / "a.jsonl"


@case("cannot be read as CSV.*Name its encoding")
def no_text(folder):
    (folder / "a.csv").write_bytes(np.random.default_rng(0).bytes(5000))
    return folder / "a.csv"


# ---------------------------------------------------------------- folders


@case(r"p: no row can be used; left out 20 \(not a readable image\)\. Add rows or classes")
def all_pictures_broken(folder):
    for path in pictures(folder).rglob("*.png"):
        path.write_bytes(b"no image")
    return folder / "p"


@case(r"p: no row can be used; left out 20 \(not a readable image\)")
def pictures_of_no_bytes(folder):
    for path in pictures(folder).rglob("*.png"):
        path.write_bytes(b"")
    return folder / "p"


@goes_on(r"left out 2 \(not a readable image\)")
def some_pictures_broken(folder):
    file = pictures(folder) / "kind0" / "0.png"
    file.with_name("half.png").write_bytes(file.read_bytes()[:80])
    file.with_name("none.png").touch()
    return folder / "p"


@case("p: 1 of 1 classes have 3 or more usable rows; two are needed. Add rows or classes")
def folders_in_a_folder(folder):
    photos(folder / "p" / "a" / "b", classes=3, each=5)
    return folder / "p"


@case(r"wasps: no \.bmp, .*Add some, or remove the folder")
def an_empty_class_folder(folder):
    (pictures(folder) / "wasps").mkdir()
    return folder / "p"


@goes_on("12 train, 4 validation, 4 test rows in 2 classes, from the folder p$")
def hidden_files(folder):
    folder = pictures(folder)
    (folder / "__MACOSX" / "kind0").mkdir(parents=True)
    for name in (
        ".DS_Store",
        "Thumbs.db",
        "kind0/.DS_Store",
        "kind1/Thumbs.db",
        "kind1/._0.png",
        "__MACOSX/kind0/0.png",
    ):
        (folder / name).write_bytes(b"no image")
    return folder


@goes_on(r"rows in 2 classes.*left out 3 \(not a file\)")
def links_in_circles_and_pipes(folder):
    folder = pictures(folder)
    (folder / "up").symlink_to(folder)
    (folder / "kind0" / "up").symlink_to(folder)
    (folder / "kind0" / "self.png").symlink_to(folder / "kind0" / "self.png")
    (folder / "kind0" / "gone.png").symlink_to(folder / "nowhere.png")
    os.mkfifo(folder / "kind1" / "pipe.png")
    return folder


@goes_on("12 train, 4 validation, 4 test rows in 2 classes")
def names_with_spaces_and_accents(folder):
    folder = pictures(folder).rename(folder / f"my{ACCENT} \N{SNOWMAN} 'q'")
    (folder / "kind0").rename(folder / f"a{ACCENT}")
    return folder


@case(r"\\udcff\.png': this name is not in UTF-8\. Rename it\.")
def a_name_that_is_no_text(folder):
    path = os.fsencode(pictures(folder) / "kind0")
    try:
        os.rename(path + b"/0.png", path + b"/\xff.png")
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    return folder / "p"


def blank(width, height):
    """The bytes of a PNG of one bit a pixel, which are few for very many pixels."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width // 8 + 1) * height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@goes_on(r"left out 2 \(more than 89,478,485 pixels\)")
def huge_pictures(folder):
    folder = pictures(folder)
    (folder / "kind0" / "huge.png").write_bytes(blank(10_000, 9_000))
    (folder / "kind0" / "bomb.png").write_bytes(blank(20_000, 10_000))
    return folder


@goes_on("rows in 2 classes, from the folder p")
def pictures_of_every_mode(folder):
    folder, random = pictures(folder), np.random.default_rng(0)
    for kind in "P.png P.gif RGBA.png LA.png 1.png CMYK.jpg CMYK.tif LAB.tif YCbCr.jpg".split():
        mode, ending = kind.split(".")
        picture = Image.fromarray(random.integers(0, 256, (20, 24, 3), "uint8")).convert(mode)
        options = {"save_all": True, "append_images": [picture.rotate(90)]} if ending == "gif" else {}
        picture.save(folder / "kind0" / kind, **options)
    Image.fromarray(random.integers(0, 2**16, (20, 24), "uint16")).save(folder / "kind1" / "16.png")
    numbers = random.random((20, 24), "float32")
    numbers[:2] = [[np.nan], [np.inf]]
    Image.fromarray(numbers).save(folder / "kind1" / "numbers.tif")
    assert data.read_images([*folder.rglob("*.*")], (32, 32)).std((1, 2, 3)).min() > 5
    return folder


@case(r"no row can be used; left out 20 \(duplicate of a test row\)")
def train_is_test(folder):
    photos(folder / "p" / "train", classes=2, each=10)
    photos(folder / "p" / "test", classes=2, each=10)
    return folder / "p"


@case(r"no rows are left for the test part; left out 20 \(class that train does not have\)")
def other_classes_in_test(folder):
    photos(folder / "p" / "train", classes=2, each=10)
    tested = photos(folder / "p" / "test", classes=2, each=10, seed=1)
    for k in range(2):
        (tested / f"kind{k}").rename(tested / f"other{k}")
    return folder / "p"


# ---------------------------------------------------------------- all of them


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("error")
def test_bad_input(name, tmp_path, call):
    make, says, words, code = CASES[name]
    path = make(tmp_path)
    ended, said, error = call("compare", path, *words)
    assert ended == code, said + error
    lines = (error if code else said).strip().splitlines()
    assert "Traceback" not in said + error
    assert re.search(says, " ".join(lines)), (says, lines)
    assert not error if code == 0 else error.startswith(("kpretrain: ", "usage: ")) and len(lines[-1]) < 1000
    assert not error.startswith("kpretrain: ") or (len(lines) == 1 and lines[0].endswith("."))


def test_many_rows_are_drawn_from_and_a_line_says_so(tmp_path):
    table(tmp_path / "a.csv", pd.concat([news(80)] * 260))
    dataset, lines = own.read(tmp_path / "a.csv")
    assert lines[0] == "Left out: 800 of 20,800 rows, at random, for speed." and len(dataset.train.y) < 20_000


def test_an_unknown_encoder_lists_those_at_hand(monkeypatch):
    monkeypatch.setattr(backbones, "kept", lambda kind: [f"public_{kind}"])
    with pytest.raises(presets.PresetError, match=r"bert_docstrings.*public_images, public_texts\. Name one of them"):
        backbones.images("klingon")
    monkeypatch.setattr(backbones, "_look_for", lambda name: (name, ""))  # as with a network
    with pytest.raises(presets.PresetError, match=r"Is the network up.* At hand are: bert_docstr.*, public_texts\.$"):
        backbones.images("klingon")


def test_out_that_cannot_be_written_is_refused_before_the_work(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["compare", "never read.csv", "--out", str(tmp_path / "file")]) == 2
    assert re.search("--out .*file cannot be written .*Name another folder", capsys.readouterr().err)
    assert main(["ship", "never read.keras", "--out", str(tmp_path / "file")]) == 2
    assert "file cannot be written" in capsys.readouterr().err


def test_what_cannot_be_read_is_said_by_choose_alike(tmp_path, call):
    code, _, error = call("choose", utf_16(tmp_path))
    assert code == 2 and "--encoding utf-16" in error


@pytest.mark.parametrize("seed", range(60))
def test_random_input_is_read_whole_or_refused_in_a_sentence(seed, tmp_path):
    outcome(tmp_path, seed)


# ---------------------------------------------------------------- Ctrl-C, twice


def test_a_second_ctrl_c_ends_at_once(tmp_path):
    """The first is heeded and what follows takes long; the second ends it, without a traceback."""
    script = """
import sys, time, types
from kpretrain.tools import cli
def slow(**_):
    try:
        print("ready", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        print("writing", flush=True)
        try:
            time.sleep(60)
        finally:
            time.sleep(60)
sys.modules["kpretrain.tools.own"] = types.SimpleNamespace(run=slow)
sys.exit(cli.main(["compare", "photos"]))
"""
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    running = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)}, **pipes)
    for word in ("ready", "writing"):
        assert running.stdout.readline().strip() == word
        running.send_signal(signal.SIGINT)
    said, error = running.communicate(timeout=20)
    assert running.returncode in (-signal.SIGINT, 130) and said + error == ""
