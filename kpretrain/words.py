"""Numbers, durations and tables in words, as sentences, reports and progress lines use them."""

import os
import shlex
import subprocess

FEW_TEST_ROWS = 30


def count(number, what):
    """Return "1 row", "2 rows".

    Examples
    --------
    >>> count(1, "row"), count(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def quoted(word):
    """Return a word of a command as this system's shell takes it.

    Examples
    --------
    >>> quoted("reviews.csv")
    'reviews.csv'
    """
    return subprocess.list2cmdline([word]) if os.name == "nt" else shlex.quote(word)


def per_class(*sizes):
    """Return "5, 10 and 50 labels per class".

    Examples
    --------
    >>> per_class(5, 10, 50)
    '5, 10 and 50 labels per class'
    """
    return f"{listed(sizes)} label{'' if sizes == (1,) else 's'} per class"


def listed(parts):
    """Return "a, b and c".

    Examples
    --------
    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    *first, last = map(str, parts)
    return f"{', '.join(first)} and {last}" if first else last


def points(value, decimals):
    """Return signed points: "+12", "-0.4"; never "-0".

    Examples
    --------
    >>> points(12.34, 1), points(-0.001, 1)
    ('+12.3', '+0.0')
    """
    text = f"{value:+.{decimals}f}"
    return "+" + text[1:] if float(text) == 0 else text


def span(low, high, decimals):
    """Return the ends of an interval: "9 to 15".

    Examples
    --------
    >>> span(-0.04, 15.21, 1)
    '-0.0 to 15.2'
    """
    return f"{low:.{decimals}f} to {high:.{decimals}f}".replace("-0 ", "0 ")


def duration(seconds):
    """Return seconds as text that is easy to read, with tenths below ten.

    Examples
    --------
    >>> [duration(seconds) for seconds in (0.02, 8.44, 59.7, 185, 4000, 9000)]
    ['less than 0.1 s', '8.4 s', '60 s', '3 min', '67 min', '2 h 30 min']
    """
    if seconds < 9.95:
        return f"{seconds:.2g} s" if seconds >= 0.1 else "less than 0.1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def few_test_rows(rows):
    """Return a warning on a small test part.

    Examples
    --------
    >>> few_test_rows(20)
    'Beware: the test part has 20 rows, each of them 5.0 points; add rows.'
    """
    return f"Beware: the test part has {count(rows, 'row')}, each of them {100 / rows:.1f} points; add rows."


def as_markdown(table):
    """Return a pandas table, without its index, as a Markdown table.

    Examples
    --------
    >>> import pandas as pd
    >>> print(as_markdown(pd.DataFrame({"arm": ["scratch"], "mean": [81.5]})))
    | arm | mean |
    | --- | --- |
    | scratch | 81.5 |
    """
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in [table.columns, *table.to_numpy()]]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    return "\n".join([lines[0], "|" + " --- |" * len(table.columns), *lines[1:]])
