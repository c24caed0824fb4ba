"""A thousand random tables and folders: each is read whole or refused in a sentence, and nothing else happens.

    PYTHONPATH=. python tests/nightly/random_inputs.py [1000] [first seed]

It is run by hand, and takes some minutes on two cores; tests/test_bad_input.py reads sixty of them.
"""

import contextlib
import io
import json
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from kpretrain import data
from kpretrain.clean.noise import fold_text
from kpretrain.tools import own

WORDS = "amber basil cedar dune ember fjord grove heron inlet jetty kelp lagoon moss nectar orchid".split()
WORDS += [
    "caf\N{LATIN SMALL LETTER E WITH ACUTE}",
    "\N{SNOWMAN}",
    "a,b",
    "c;d",
    "e\tf",
    '"',
    "'",
    "\n",
    "\\",
    "NaN",
    "",
    "\0",
]
NAMES = ["text", "label", "Class", "story", "stars ", "", "0", "reason", "path", "a;b", 'q"', "Unnamed: 0"]


def _text(random, most):
    return " ".join(random.choice(WORDS, random.integers(0, most)))


def _column(random, rows):
    """Values of one random kind, with gaps in some."""
    few = int(random.integers(1, 6))
    kinds = {
        "texts": lambda k: _text(random, 12),
        "long texts": lambda k: _text(random, 12) + f" {random.integers(10**9)}",
        "one text": lambda k: "the same in all rows",
        "names": lambda k: WORDS[random.integers(few)],
        "numbers": lambda k: int(random.integers(few)),
        "sizes": lambda k: float(random.normal()),
        "truths": lambda k: bool(random.integers(2)),
        "days": lambda k: pd.Timestamp("2026-01-01") + pd.Timedelta(days=int(random.integers(few))),
        "nothing": lambda k: None,
        "rows": lambda k: k,
        "lists": lambda k: WORDS[: random.integers(few)],
        "maps": lambda k: {WORDS[0]: int(random.integers(few))},
        "blanks": lambda k: " " * int(random.integers(3)),
        "bytes": lambda k: WORDS[random.integers(few)].encode(),
        "huge": lambda k: 10 ** int(random.integers(30)),
        "mixed": lambda k: [1, "1", None, 1.5, True][random.integers(5)],
    }
    make, gaps = kinds[random.choice([*kinds, *["long texts", "names"] * 4])], random.choice([0, 0, 0.2])
    return [None if random.random() < gaps else make(k) for k in range(rows)]


def _damage(random, path):
    """Cut a file, or change or add some of its bytes."""
    body = bytearray(path.read_bytes())
    how = random.integers(3)
    if how == 0:
        body = body[: random.integers(len(body) + 1)]
    elif how == 1:
        for place in random.integers(0, max(len(body), 1), 5 * bool(body)):
            body[place] = random.integers(256)
    else:
        body += random.bytes(20)
    path.write_bytes(body)


def make_table(folder, random):
    """Write a random table; return its path."""
    rows = int(random.choice([0, 1, 3, 12, 40, 40, 120]))
    names = random.choice(NAMES, random.integers(1, 6), replace=random.random() < 0.1).tolist()
    columns = [_column(random, rows) for _ in names]
    if random.random() < 0.6:  # mostly one that can be used
        names += ["review", "stars"]
        columns += [
            [f"{_text(random, 12)} {random.integers(10**9)}" for _ in range(rows)],
            ["abcde"[random.integers(4)] for _ in range(rows)] if random.random() < 0.7 else _column(random, rows),
        ]
    kind = random.choice(["csv", "tsv", "jsonl", "parquet"])
    path = folder / f"table.{kind}"
    encoding = str(random.choice(["utf-8"] * 9 + ["utf-8-sig", "latin-1", "utf-16"]))
    table = pd.DataFrame(dict(enumerate(columns)), dtype=object if random.random() < 0.5 else None).set_axis(
        names, axis=1
    )
    if kind in ("csv", "tsv"):
        usual = "," if kind == "csv" else "\t"
        separator, index = str(random.choice([usual] * 4 + [";", "\t", ",", "|"])), bool(random.random() < 0.2)
        text = table.to_csv(sep=separator, index=index, header=bool(random.random() < 0.9))
        path.write_bytes(text.encode(encoding, "replace"))
    elif kind == "jsonl":
        lines = [
            json.dumps(dict(zip(names, row, strict=True)), default=str, ensure_ascii=False)
            for row in zip(*columns, strict=True)
        ]
        path.write_bytes("\n".join(lines).encode(encoding, "replace"))
    else:
        try:
            table.to_parquet(path)
        except (ValueError, TypeError, OverflowError):  # pyarrow wants columns of one kind, and names that differ
            table.astype(str).set_axis([f"{name}{k}" for k, name in enumerate(names)], axis=1).to_parquet(path)
    if random.random() < 0.15:
        _damage(random, path)
    return path


def _picture(random, path):
    modes = "RGB RGB RGB L L RGBA LA P 1 CMYK I;16 F".split()
    mode, ending = (
        random.choice(modes),
        random.choice(["png", "png", "jpg", "gif", "tif", "webp", "bmp", "JPEG", "txt"]),
    )
    side = random.choice([1, *[9, 16, 30] * 9], 2)
    path = path.with_suffix(f".{ending}")
    pixels = random.integers(0, 256, (*side, 3), "uint8") // int(random.choice([1, 1, 1, 99, 255]))
    if mode in ("I;16", "F"):
        image = Image.fromarray(pixels[:, :, 0].astype("uint16" if mode == "I;16" else "float32"))
    else:
        image = Image.fromarray(pixels).convert(mode)
    try:
        image.save(path, format="png" if ending == "txt" else None)
    except (OSError, ValueError, KeyError):  # this ending has no such mode
        image.convert("L").save(path, format="png")
    if random.random() < 0.1:
        _damage(random, path)


def make_folder(folder, random):
    """Write a random folder of pictures; return its path."""
    root = folder / "photos"
    root.mkdir()
    layouts = [[""]] * 4 + [["train", "val"], ["train", "test"], ["train", "val", "test"], ["Train", "valid"], ["test"]]
    most = int(random.choice([1, 4, 8, 12]))
    names = ["ants", "bees", "wasps", "\N{SNOWMAN} b", "train", ".hidden", "__MACOSX"]
    for part in layouts[random.integers(len(layouts))]:
        for name in random.choice(names, random.choice([0, 1, 2, 3, 3, 4, 5]), replace=False):
            inside = root / part / name / str(random.choice(["", "", "", "deep/er"]))
            inside.mkdir(parents=True, exist_ok=True)
            for k in range(random.integers(most // 2, most + 1)):
                _picture(random, inside / f"{k}.png")
    found = sorted(path for path in root.rglob("*") if path.is_file())
    for k, path in enumerate(random.permutation(found)[: random.integers(0, 4)] if found else []):
        with contextlib.suppress(FileExistsError):
            how, other = random.integers(3), Path(random.choice(found))
            if how == 0:
                other.with_name(f"copy{k}{path.suffix}").write_bytes(path.read_bytes())
            else:
                (other.parent / f"link{k}.png").symlink_to(path if how == 1 else root)
    return root


def check(dataset):
    """What holds for each dataset that is read."""
    parts = [getattr(dataset, name) for name in ("train", "validation", "test")]
    assert all(len(x) == len(y) for x, y in parts), "lengths"
    assert set(parts[0].y) == set(range(len(dataset.class_names))) and len(dataset.class_names) >= 2, "classes in train"
    assert len(parts[2].y), "no test rows"
    assert all(set(y) <= set(parts[0].y) for _, y in parts[1:]), "a class that train lacks"
    rows = [{fold_text(x) for x in part.x} for part in parts]
    assert not (rows[0] & rows[1] or rows[0] & rows[2] or rows[1] & rows[2]), "a row in two parts"


def outcome(folder, seed):
    """Read one random input, and say what came of it.

    Returns
    -------
    str
        "dataset", or the message of a DataError in short.

    Raises
    ------
    AssertionError
        If a dataset or a message is not as it must be; any error but DataError goes through.
    """
    random = np.random.default_rng(seed)
    path = (make_folder if seed % 2 else make_table)(Path(folder), random)
    options = {}
    if path.is_file() and random.random() < 0.4:
        options = {name: str(random.choice(NAMES)) for name in ("text", "label", "group") if random.random() < 0.6}
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.filterwarnings("error")
            warnings.filterwarnings("ignore", "too few groups for every part")
            dataset, lines = own.read(path, **options)
            if path.is_dir():
                data.read_images([*dataset.train.x, *dataset.test.x], (16, 16))
    except data.DataError as error:
        message = str(error)
        assert message.endswith(".") and path.name in message, f"no sentence that names the path: {message}"
        assert len(message) < 3000, f"too long: {message}"
        return " ".join(message.split(path.name, 1)[1].split())[:30]
    check(dataset)
    assert all(line.endswith((".", ")")) for line in lines), lines
    return "dataset"


def main(number=1000, first=0):
    """Read them all, and print what came of them; exit code 1 if one did anything else."""
    counts, bad = Counter(), 0
    for seed in range(first, first + number):
        with tempfile.TemporaryDirectory() as folder:
            try:
                counts[outcome(folder, seed)] += 1
            except Exception:
                bad += 1
                print(f"seed {seed}:\n{traceback.format_exc()}", flush=True)
    for what, times in counts.most_common():
        print(f"{times:5} {what}")
    print(f"{number} inputs, {bad} with another outcome than a dataset or a sentence")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
