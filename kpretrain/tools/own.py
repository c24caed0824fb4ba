"""Your own data, one call: a folder of images or a table of texts in, draws while there is time, an answer out."""

import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from .. import data, files, session
from ..comparison import arms as standard
from ..comparison import compare, label_sizes
from ..words import duration, per_class, quoted
from . import answer
from .doctor import must_write

_LABEL_NAMES = {"label", "labels", "class", "target", "category", "stars", "sentiment", "rating", "topic"}
_MOST_CLASSES = 50  # of a column that is taken for the labels without being called so
_MOST_ROWS = 20_000  # of a table: near duplicates are sought among them, and no draw has more than 1,000 labels
_MOST_TEST_ROWS = 1000  # each cell of the grid predicts them all
_LEAST_ROWS = 5  # training rows of a class; fewer would keep the whole grid at very few labels
_SMALL = 500  # rows of data of which two in five are tested on, in place of one in five
_ENOUGH_TEST_ROWS, _COARSE = 200, 100  # test rows below which validation is tested on too, and a warning is due
_LEAST_DRAWS = 3  # that are always run
_PUBLIC = {"images": "resnet_18_imagenet", "texts": "all_minilm_l6_v2_en"}
_SHIPPED = {"images": "resnet_cifar10", "texts": "bert_docstrings"}
_BASELINE = {"images": "pixels", "texts": "TF-IDF"}
_LARGE = 5e6  # parameters of an encoder from which on a fit that trains it takes minutes on two cores


def run(
    path,
    *,
    text=None,
    label=None,
    group=None,
    encoding=None,
    encoder=None,
    out="comparison",
    seeds=20,
    labels=None,
    updates=100,
    minutes=10,
    tune=False,
):
    """Compare pretrained and other models on your own data, and write `index.html` and `comparison.json`.

    What is run follows from the data alone: every arm at every number of labels is a draw, and whole draws are added
    until the minutes are used up. Finished draws are kept; the same call again adds at least one more.

    What is frozen is used well: all layers side by side (`kp.transfer.all_layers`), under a head whose strength is
    chosen in the draw (`kp.arms.held_back`). The baseline has such a head, too.

    Parameters
    ----------
    path : path
        A folder with a subfolder of images for each class, or a CSV, TSV, JSONL or Parquet table.
    text, label : str, optional
        A table's columns; None guesses them and says which it took.
    group : str, optional
        A table's column whose values must not be in training and test at once, such as an author.
    encoding : str, optional
        Of a CSV, TSV or JSONL table; None is UTF-8.
    encoder : str or path, optional
        A backbone (`kp.backbones`). None is "resnet_18_imagenet" for images, "all_minilm_l6_v2_en" for texts; where
        these cannot be had, the small ones of this project stand in, and the answer says so first.
    out : path
        The folder of the report.
    seeds : int
        The most draws of labels.
    labels : sequence of int, optional
        Labels per class; None chooses them from the data.
    updates : int
        Of the arms that are trained.
    minutes : float
        A draw is not begun when less time is left than the last one took. Three are run whatever it takes. 0 is no
        limit: all `seeds` draws are run.
    tune : bool
        Train large encoders too, where a fit takes minutes: fine-tuned, from scratch and, for texts, contrastively.
        Without it they are compared frozen. Encoders of up to 5 million parameters are always trained, too.

    Returns
    -------
    Comparison

    Raises
    ------
    DataError
        If the data cannot be used, or a column cannot be guessed.
    OSError
        If a folder cannot be written.
    PresetError
        If the backbone cannot be loaded.
    ValueError
        If labels or seeds cannot be used; ComparisonError, if an arm fails.
    KeyboardInterrupt
        After Ctrl-C; the page of the whole draws is written before.
    """
    # scikit-learn takes a few rows of very many classes for a regression, and says so in each fit
    warnings.filterwarnings("ignore", "The number of unique classes is greater")
    started, path, out = time.perf_counter(), Path(path), Path(out)
    must_write("--out", out)
    must_write("$KPRETRAIN_CACHE, the cache folder", files.cache_folder())
    columns_named = {"text": text, "label": label, "group": group, "encoding": encoding}
    columns_named = {name: value for name, value in columns_named.items() if value}
    kind = "images" if path.is_dir() else "texts"
    dataset, notes = read(path, **columns_named)
    chosen, why = (sorted(labels), "") if labels else label_sizes(dataset, middle=False)
    session.setup()
    from .. import backbones, presets  # which bring Keras, so after the quiet start

    asked, beware = encoder or _PUBLIC[kind], ""
    if encoder is None and backbones.public(asked, instead=_SHIPPED[kind]) == str(presets.FOLDER / _SHIPPED[kind]):
        encoder = _SHIPPED[kind]
        command = f"python -m kpretrain compare {quoted(str(path))} --encoder {asked}"
        beware = f"This speaks of {encoder}, a small stand-in. Where the network is up, `{command}` asks real weights."
    encoder = encoder or asked
    arms, left_out = _arms(kind, dataset, encoder, updates, tune)
    notes = [line for line in (beware, *notes, why, *left_out) if line]
    _say(*notes)
    folder = files.cache_folder() / "compare"
    draws, stopped = _draws(arms, dataset, chosen, seeds, minutes, started, folder)
    if not draws:
        raise KeyboardInterrupt
    comparison = compare(arms, dataset, chosen, range(draws), folder=folder, progress=False)
    words = ["python -m kpretrain compare", quoted(str(path)), f"--encoder {quoted(str(encoder))}"]
    words += [f"--{name} {quoted(value)}" for name, value in columns_named.items()]
    words += ["--tune"] * tune
    words += [f"--labels {','.join(map(str, chosen))} --seeds {draws} --updates {updates} --minutes 0"]
    command = " ".join(words)
    comparison.save(out / "comparison.json", name=path.name, title=path.name, command=command)
    seconds, sentence = time.perf_counter() - started, answer.sentence(comparison, dataset, kind)
    sentence = f"{beware} {sentence}".strip()
    files.write(out / "index.html", answer.report(comparison, dataset, sentence, notes, command, seconds))
    costs = answer.costs(comparison).to_string(index=False)
    _say("", sentence, "", comparison.summary().to_string(), "", answer.verdict(comparison), "", costs)
    _say("", f"The page: {out / 'index.html'}, made in {duration(seconds)}.")
    if stopped:
        raise KeyboardInterrupt
    return comparison


def _say(*lines):
    print("\n".join(lines), flush=True)


# ---------------------------------------------------------------- what is compared


def read(path, text=None, label=None, group=None, encoding=None):
    """Return the dataset of a folder or a table, and lines on what was done; its parameters are those of `run`.

    Validation is tested on too where there are few test rows. Of a longer table, 20,000 rows are drawn.

    Raises
    ------
    DataError
        As `run`.
    """
    drawn = []
    if path.is_dir():
        named = {"text": text, "label": label, "group": group, "encoding": encoding}
        if named := [name for name, value in named.items() if value]:
            raise data.DataError(f"{path}: a folder of images has no --{', --'.join(named)}; leave that out.")
        dataset = data.from_folder(path, sizes=_sizes(sum(one.is_file() for one in path.rglob("*"))))
    else:
        table = data.read_table(path, encoding or "utf-8")
        try:
            text, label, how = columns(table, text, label, group)
        except data.DataError as error:
            raise data.DataError(f"{path}: {error}") from error
        print(f"{path.name}: texts from the column {text!r}, labels from {label!r}{how}.")
        if (rows := len(table)) > _MOST_ROWS:
            table = table.sample(_MOST_ROWS, random_state=0)
            drawn = [f"Left out: {rows - _MOST_ROWS:,} of {rows:,} rows, at random, for speed."]
        dataset = data.from_table(table, text, label, group=group, sizes=_sizes(len(table)), name=path.name)
    dataset, joined = _joined(dataset)
    dataset, left_out = _trimmed(dataset)
    if (rows := len(dataset.test.y)) < _COARSE:
        left_out.append(f"Beware: each of the {rows} test rows is {100 / rows:.1f} points. More rows would tell more.")
    return dataset, [*drawn, *joined, *left_out]


def _sizes(rows):
    """Shares of train, validation and test: few rows tell little, however they are trained on."""
    return (0.6, 0.2, 0.2) if rows < _SMALL else (0.8, 0.1, 0.1)


def _joined(dataset):
    """The dataset with validation in its test part, where that is small, and a line that says so."""
    test, more = dataset.test, dataset.validation
    if len(test.y) >= _ENOUGH_TEST_ROWS or not len(more.y):
        return dataset, []
    joined = data.Part(np.concatenate([test.x, more.x]), np.concatenate([test.y, more.y]))
    line = (
        f"The {len(more.y)} validation rows are tested on as well, since nothing here is chosen on them: "
        f"{len(joined.y)} test rows, each {100 / len(joined.y):.1f} points."
    )
    return replace(dataset, test=joined, validation=data.Part(more.x[:0], more.y[:0])), [line]


def columns(table, text=None, label=None, group=None):
    """Guess which column of a table holds the texts and which the labels.

    Texts: the column of strings with the longest ones. Labels: the column called label, class, target, category, stars
    or the like, or else the only one with few values: up to 50, and ten times as many rows.

    Parameters
    ----------
    table : pandas.DataFrame
    text, label : str, optional
        What is known already.
    group : str, optional
        A column that is neither.

    Returns
    -------
    text, label : str
    how : str
        " (guessed; ...)", or "" if nothing was.

    Raises
    ------
    DataError
        If none fits, or several do as well; the message lists the columns.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"review": ["a fine film", "a dull one"] * 20, "stars": [5, 1] * 20})
    >>> columns(table)
    ('review', 'stars', ' (guessed; --text and --label name others)')
    """
    table = table.drop(columns=group, errors="ignore") if group is not None else table
    values = {column: table[column].dropna() for column in table.columns}
    distinct = {column: column_values.astype(str).nunique() for column, column_values in values.items()}
    lengths = {
        column: column_values.str.len().mean()
        for column, column_values in values.items()
        if column != label and len(column_values) and column_values.map(lambda value: isinstance(value, str)).all()
    }
    listed = "; ".join(f"{str(column)[:40]!r} ({distinct[column]:,} values)" for column in table.columns[:20])
    listed += f"; and {len(table.columns) - 20:,} more" * (len(table.columns) > 20)
    guessed = " (guessed; --text and --label name others)" if text is None or label is None else ""
    if text is None:
        longest = sorted(lengths, key=lengths.get, reverse=True)
        if not longest or (len(longest) > 1 and lengths[longest[1]] > 0.8 * lengths[longest[0]]):
            several = (
                f"{longest[0]!r} and {longest[1]!r} hold texts of like length" if longest else "no column of texts"
            )
            raise data.DataError(f"Which column holds the texts? {several}; name it with --text. Columns: {listed}.")
        text = longest[0]
    if label is None:
        others = [column for column in table.columns if column != text]
        most = min(_MOST_CLASSES, len(table) / 10)
        fitting = [column for column in others if str(column).strip().lower() in _LABEL_NAMES]
        fitting = fitting or [column for column in others if 2 <= distinct[column] <= most]
        if len(fitting) != 1:
            several = f"{' and '.join(map(repr, fitting))} may" if fitting else "none is called so or has few values"
            raise data.DataError(f"Which column holds the labels? {several}; name it with --label. Columns: {listed}.")
        label = fitting[0]
    return text, label, guessed


def _trimmed(dataset):
    """The dataset without rare classes and surplus test rows, and lines on all that was left out."""
    counts = dataset.removed["reason"].value_counts()
    lines = [f"Left out while reading: {number:,} rows, {reason}." for reason, number in counts.items()]
    sizes = np.bincount(dataset.train.y, minlength=len(dataset.class_names))
    keep = sizes >= _LEAST_ROWS
    if not keep.all() and keep.sum() >= 2 and sizes[~keep].sum() < 0.1 * sizes.sum():
        number, names, parts, lost = np.cumsum(keep) - 1, np.array(dataset.class_names), {}, 0
        for name in ("train", "validation", "test"):
            x, y = getattr(dataset, name)
            parts[name] = data.Part(x[keep[y]], number[y[keep[y]]])
            lost += np.count_nonzero(~keep[y])
        rare = names[~keep]
        shown = ", ".join(rare[:10]) + (", ..." if len(rare) > 10 else "")
        lines.append(f"Left out: {lost:,} rows of classes with fewer than {_LEAST_ROWS} training rows ({shown}).")
        dataset = replace(dataset, class_names=names[keep].tolist(), **parts)
    if (rows := len(dataset.test.y)) > _MOST_TEST_ROWS:
        x, y = dataset.test
        chosen = np.argsort(y, kind="stable")[np.linspace(0, rows - 1, _MOST_TEST_ROWS).astype(int)]
        dataset = replace(dataset, test=data.Part(x[np.sort(chosen)], y[np.sort(chosen)]))
        lines.append(f"Left out: {rows - _MOST_TEST_ROWS:,} of {rows:,} test rows, evenly over the classes, for speed.")
    return dataset, lines


def _arms(kind, dataset, encoder, updates, tune):
    """The standard arms, and lines on those that are left out.

    Frozen and fine-tuned are compared with what people would use instead of them. How many updates "scratch, longer"
    gets would depend on the speed of this machine, so that a later run could not go on with its fits.
    """
    arms = getattr(standard, kind)(dataset, encoder, updates=updates, extra_updates=0)
    network, seconds, plain = arms["fine-tuned"].estimator, arms["frozen"].pretraining_seconds, _BASELINE[kind]
    large = network.encoder.count_params() > _LARGE
    if large and not tune:
        arms = {name: arms[name] for name in (plain, "frozen random", "frozen")}
        arms["frozen"] = replace(arms["frozen"], against=(plain, "frozen random"))
        line = "Left out: all that trains so large a network, which takes minutes a fit; --tune puts it in."
        return arms, [line]
    for name in ("frozen", "fine-tuned"):
        arms[name] = replace(arms[name], against=(plain, "scratch"))
    if large and kind == "texts":
        rivals = {"preprocess": network.preprocess, "against": (plain, "scratch")}
        arms["contrastive"] = standard.contrastive(network.encoder, pretraining_seconds=seconds, **rivals)
    line = f"Left out: the arm scratch trained for the {seconds:,.0f} s of the pretraining more, in each of its fits."
    return arms, [line] if seconds else []


# ---------------------------------------------------------------- whole draws, while there is time


def _draws(arms, dataset, labels, most, minutes, started, folder):
    """Run one draw after another while there is time; how many there are now, and whether Ctrl-C stopped it.

    Draws of an earlier run are found in the folder and take no time; at least one is added to them.
    """
    done, least, new = 0, min(_LEAST_DRAWS, most), 0
    until = f"until {minutes:g} minutes are used up, {least} at least" if minutes else "without a limit of time"
    _say(f"{per_class(*labels)}. Draws are added {until}, {most} at most. Ctrl-C stops; finished draws are kept.")
    end = started + 60 * minutes if minutes else np.inf

    def run(arms, labels):
        table = compare(arms, dataset, labels, [done], folder=folder, progress=False).table()
        return table[["fit_seconds", "predict_seconds"]].to_numpy().sum()

    try:
        # a fit of a first draw, and so not in vain: what is trained takes nearly all the time, else the features do
        one = {"scratch": arms["scratch"]} if "scratch" in arms else {"frozen": replace(arms["frozen"], against=())}
        took = run(one, labels[:1]) * len(labels) * (2 if "scratch" in arms else 1)
        _say(f"A draw takes about {duration(took)}.{_late(least, took, end)}")
        while done < most and (done < least or not new or time.perf_counter() + took <= end):
            cells = _files(folder)
            took, done = run(arms, labels), done + 1
            if _files(folder) == cells:
                continue
            from_before = f" ({done - 1} kept from before)" if done > 1 and not new else ""
            _say(f"Draw {done}: {duration(took)}{from_before}.")
            new += 1
    except KeyboardInterrupt:
        whole = f"{done} whole draw{' is' if done == 1 else 's are'} kept" if done else "No draw is whole yet"
        _say("", f"Stopped. {whole}; the same command goes on.")
        return done, True
    if done == most and not new:
        _say(f"All {done} draws are kept from before; a larger --seeds allows more.")
    return done, False


def _files(folder):
    return sum(1 for _ in folder.rglob("*.json"))


def _late(draws, took, end):
    """A line if so many draws lead beyond the end."""
    if time.perf_counter() + draws * took <= end:
        return ""
    clock = time.strftime("%H:%M", time.localtime(time.time() + draws * took))
    return (
        f" {draws} draws are longer than the minutes allow; they are done by about {clock} at the latest. "
        "Fewer --updates are quicker, and put what is trained at a disadvantage."
    )
