"""Numbers in words, as the tables and sentences of a comparison use them."""

FEW_TEST_ROWS = 30


def count(number, what):
    """Return "1 row", "2 rows"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def labels(number):
    """Return the head of a column: "1 label", "5 labels"."""
    return f"{number} label{'' if number == 1 else 's'}"


def per_class(*sizes):
    """Return "5, 10 and 50 labels per class"."""
    return f"{listed(sizes)} label{'' if sizes == (1,) else 's'} per class"


def listed(parts):
    """Return "a, b and c"."""
    *first, last = map(str, parts)
    return f"{', '.join(first)} and {last}" if first else last


def points(value, decimals):
    """Return signed points: "+12", "-0.4"; never "-0"."""
    text = f"{value:+.{decimals}f}"
    return "+" + text[1:] if float(text) == 0 else text


def span(low, high, decimals):
    """Return the ends of an interval: "9 to 15"."""
    return f"{low:.{decimals}f} to {high:.{decimals}f}".replace("-0 ", "0 ")


def round_time(seconds):
    """Return "12 s" or "3 min"."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def few_test_rows(rows):
    """Return a warning on a small test part."""
    return f"Beware: the test part has {count(rows, 'row')}, each of them {100 / rows:.1f} points; add rows."
