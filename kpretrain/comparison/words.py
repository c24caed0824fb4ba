"""Numbers in words, and tables as text, as a comparison shows them."""

FEW_TEST_ROWS = 30


def count(number, what):
    """Return "1 row", "2 rows".

    Examples
    --------
    >>> count(1, "row"), count(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def labels(number):
    """Return the head of a column: "1 label", "5 labels".

    Examples
    --------
    >>> labels(1), labels(5)
    ('1 label', '5 labels')
    """
    return f"{number} label{'' if number == 1 else 's'}"


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
    >>> points(12.3, 0), points(-0.04, 1)
    ('+12', '+0.0')
    """
    text = f"{value:+.{decimals}f}"
    return "+" + text[1:] if float(text) == 0 else text


def span(low, high, decimals):
    """Return the ends of an interval: "9 to 15".

    Examples
    --------
    >>> span(9.2, 12.8, 1)
    '9.2 to 12.8'
    """
    return f"{low:.{decimals}f} to {high:.{decimals}f}".replace("-0 ", "0 ")


def round_time(seconds):
    """Return "12 s" or "3 min".

    Examples
    --------
    >>> round_time(12), round_time(200)
    ('12 s', '3 min')
    """
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


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
    >>> print(as_markdown(pd.DataFrame({"arm": ["a|b"], "score": [1.5]})))
    | arm | score |
    | --- | --- |
    | a\\|b | 1.5 |
    """
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in [table.columns, *table.to_numpy()]]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    return "\n".join([lines[0], "|" + " --- |" * len(table.columns), *lines[1:]])
