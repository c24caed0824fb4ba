"""Plain text out of marked-up text, and what is no text at all taken out of a table."""

import html
import re
import unicodedata
from collections import Counter
from typing import NamedTuple

import pandas as pd

# ---------------------------------------------------------------- normalise

_TAGS = (
    "a|abbr|b|blockquote|body|br|center|cite|code|dd|del|details|div|dl|dt|em|font|h[1-6]|head|hr|html|i|img|ins|kbd|"
    "li|mark|ol|p|pre|q|s|samp|small|span|strike|strong|sub|summary|sup|table|tbody|td|tfoot|th|thead|tr|tt|u|ul|var"
)
# Order matters: what holds other markup comes before what it holds. Only known HTML tags go, so that
# "a < b" and "<lambda>" stay. Underscores around a single word stay, since __init__ is a name.
_MARKUP = [
    (re.compile(pattern, flags), replacement)
    for pattern, replacement, flags in [
        # control and zero-width characters that are not white space; lone surrogates, which no file can hold
        ("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
         "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]", "", 0),
        (r"<!--(?:(?!<!--).)*?-->|<(script|style)\b[^<>]*>(?:(?!<\1\b).)*?</\1\s*>", " ", re.S | re.I),
        (rf"</?(?:{_TAGS})(?:\s[^<>]*)?/?>", " ", re.I),
        (r"^[ \t]*([=\-~^\"'#*+_`])\1{2,}[ \t]*$", "", re.M),  # the line under a heading
        (r"^[ \t]*\.\. ([\w-]+)::", r"\1:", re.M),  # .. note::
        (r"^[ \t]*#{1,6}[ \t]+", "", re.M),  # Markdown heading
        (r":[A-Za-z][\w.+:-]*:`([^`<]+?)\s*<[^`>]*>`", r"\1", 0),  # :ref:`title <target>`
        (r":[A-Za-z][\w.+:-]*:`~(?:[^`]*\.)?([^`.]+)`", r"\1", 0),  # :func:`~package.name`
        (r":[A-Za-z][\w.+:-]*:`!?([^`]+)`", r"\1", 0),  # :func:`name`
        (r"`([^`<]+?)\s*<[^`>]*>`__?", r"\1", 0),  # `title <address>`_
        (r"(`+)([^`]+)\1_{0,2}", r"\2", 0),  # ``code``, `name`, `target`_
        (r"!?\[([^\[\]]*)\]\([^()\s]*(?:\s+\"[^\"]*\")?\)", r"\1", 0),  # [text](address), ![text](address)
        (r"(?<![\w*])(\*{1,3})(?=[^\s*])([^*\n]+?)(?<=\S)\1(?![\w*])", r"\2", 0),  # *stress*, **stress**
        (r"(?<!\w)(_{1,2})(?=[^\s_])([^_\n]* [^_\n]*?)(?<=\S)\1(?!\w)", r"\2", 0),  # _two words_
    ]
]  # fmt: skip


def normalise_text(text):
    """Plain text: NFC, without control characters and markup, white space collapsed.

    HTML tags and entities, reST roles and code marks, Markdown links, headings and emphasis go; the words in them
    stay. Entities are resolved until none is left, and ``normalise_text(normalise_text(x)) == normalise_text(x)``.

    Parameters
    ----------
    text : str, Series or sequence of str
        Missing values (None, NaN) stay missing.

    Returns
    -------
    str, Series (the same index and name) or list, as `text`.

    Raises
    ------
    TypeError
        For a value that is neither a string nor missing.

    Examples
    --------
    >>> normalise_text("The  <b>mean</b> of :class:`Series` &amp; **all**")
    'The mean of Series & all'
    >>> normalise_text(["two\\n lines", None])
    ['two lines', None]
    """
    if isinstance(text, str):
        before = None
        while text != before:  # taking out one layer can uncover another ("&amp;lt;b>")
            before, text = text, unicodedata.normalize("NFC", html.unescape(text))
            for pattern, replacement in _MARKUP:
                text = pattern.sub(replacement, text)
            text = " ".join(text.split())
        return text
    if isinstance(text, bytes | dict) or not hasattr(text, "__iter__"):
        raise TypeError(f"text must be a string, a Series or a sequence of strings, not {type(text).__name__}")
    values = [value if is_missing(value) else normalise_text(value) for value in text]
    if not isinstance(text, pd.Series):
        return values
    return pd.Series(values, index=text.index, name=text.name, dtype=text.dtype)


def _string(value):
    if not isinstance(value, str):
        raise TypeError(f"a text is a {type(value).__name__} ({value!r:.40}): turn the column into strings first")
    return value


def is_missing(value):
    """Tell whether a value stands for nothing: None, NaN, NaT or NA.

    Examples
    --------
    >>> is_missing(float("nan")), is_missing("")
    (True, False)
    """
    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def fold_text(text):
    """What texts that differ in case, white space or the form of their accents have in common.

    Examples
    --------
    >>> fold_text("One\\n  TEXT") == fold_text("one text")
    True
    """
    text = " ".join(text.casefold().split())
    # Composed and separate accents are one text; a lone surrogate can't be hashed as UTF-8.
    return text if text.isascii() else unicodedata.normalize("NFC", text).encode("utf-8", "replace").decode("utf-8")


# ---------------------------------------------------------------- noise


class Cleaned(NamedTuple):
    """What a cleaning step kept, and what it took out: `removed` has a further column, `reason`.

    Examples
    --------
    >>> kept, removed = remove_noise(pd.DataFrame({"text": ["A whole short sentence.", "x = 1"]}))
    >>> len(kept), removed["reason"].tolist()
    (1, ['not language'])
    """

    kept: pd.DataFrame
    removed: pd.DataFrame

    def report(self):
        """Rows by reason, the most frequent first, then `kept`: DataFrame with the columns rows and percent.

        Examples
        --------
        >>> cleaned = remove_noise(pd.DataFrame({"text": ["A whole short sentence.", "x = 1", None]}))
        >>> cleaned.report()["rows"].to_dict()
        {'not language': 1, 'missing': 1, 'kept': 1}
        """
        rows = self.removed["reason"].value_counts()
        rows["kept"] = len(self.kept)
        return pd.DataFrame({"rows": rows, "percent": (100 * rows / max(1, rows.sum())).round(1)}).rename_axis("reason")

    def __repr__(self):
        rows = self.report()["rows"]
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in rows.drop("kept").items())
        return f"removed {len(self.removed):,} of {rows.sum():,} rows" + (f": {reasons}" if reasons else "")


def take_out(table, reasons, **columns):
    """Part the rows that have a reason to go from those that have none.

    Parameters
    ----------
    table : DataFrame of n rows
    reasons : list of length n
        A string, or None for a row that stays.
    columns : sequences of length n
        Further columns for the rows that go.

    Returns
    -------
    Cleaned

    Examples
    --------
    >>> take_out(pd.DataFrame({"text": ["a", "b", "c"]}), [None, "short", "short"])
    removed 2 of 3 rows: 2 short
    """
    gone = pd.notna(pd.Series(reasons, index=table.index, dtype=object)).to_numpy()
    return Cleaned(table[~gone].copy(), table.assign(reason=reasons, **columns)[gone])


_BOILERPLATE = re.compile(
    r"\W*(?:(?:TODO|FIXME|XXX|TBD|HACK)\b|(?i:auto-?(?:matically )?generated|machine[- ]generated|lorem ipsum)\b)"
    r"|.*\b(?i:this (?:file|module|class|function|method|code|docstring|wrapper) (?:is|was|has been) "
    r"(?:auto-?|automatically |machine[- ])generated|do not edit)\b",
    re.S,
)
_UNSPACED = re.compile("[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")  # Thai, Lao, Khmer, kana, Han
_PLAIN_WORD = re.compile(r"[.(\[\"'`*_“‘«¿¡-]*[^\W\d_]+(?:['’/-][^\W\d_]+)*[.,;:?\x21)\]\"'`*_”’»…-]*")


def _is_language(text, min_words):
    if not text.isascii():  # combining marks are no letters to `re`, and some scripts write no spaces
        text = "".join(character for character in text if unicodedata.category(character)[0] != "M")
        text = _UNSPACED.sub(r" \g<0> ", text)
    tokens = text.split()
    plain = sum(1 for token in tokens if _PLAIN_WORD.fullmatch(token))
    letters = [character.isalpha() for token in tokens for character in token]
    return plain >= min_words and plain >= 0.4 * len(tokens) and sum(letters) >= 0.5 * len(letters)


def remove_noise(table, text="text", *, min_words=3, boilerplate=20):
    """Take out the rows whose text is missing, empty, boilerplate or no language.

    A row gets the first reason that holds:

    - ``missing``: None or NaN;
    - ``empty``: nothing but white space and control characters;
    - ``boilerplate``: it opens with TODO, FIXME, XXX, TBD, HACK, "auto-generated" or "lorem ipsum", says "this module
      was automatically generated" or "do not edit", or follows a template: at least `boilerplate` *different* texts
      of the table are equal to it once digits are masked (and case and white space ignored). Plain exact copies
      are one text, so they stay here, for `drop_duplicates`;
    - ``not language``: fewer than `min_words` plain words (letters with hyphens, apostrophes and outer punctuation),
      or under 40 % of the tokens between white space are plain words (code), or under half of the characters are
      letters (tables, drawings). In scripts without spaces each character is a word. These are rules of thumb: look
      at ``.removed``.

    Parameters
    ----------
    table : DataFrame
    text : str
        The name of the text column.
    min_words, boilerplate : int

    Returns
    -------
    Cleaned

    Raises
    ------
    KeyError, TypeError
        For a column that is not there, or a text that is no string.

    Examples
    --------
    >>> table = pd.DataFrame({"text": ["Return the mean of all values.", "TODO: write this", "x[1] = 2", None]})
    >>> cleaned = remove_noise(table)
    >>> cleaned
    removed 3 of 4 rows: 1 boilerplate, 1 not language, 1 missing
    >>> cleaned.removed["reason"].tolist()
    ['boilerplate', 'not language', 'missing']
    """
    values = table[text].tolist()
    keys = ["" if is_missing(value) else fold_text(_string(value)) for value in values]
    forms = [re.sub(r"\d+", "0", key) for key in keys]
    different = Counter(dict(zip(keys, forms, strict=True)).values())  # texts that have this form

    def reason(value, form):
        if is_missing(value):
            return "missing"
        if not _MARKUP[0][0].sub("", value).strip():
            return "empty"
        if different[form] >= boilerplate or _BOILERPLATE.match(value):
            return "boilerplate"
        return None if _is_language(value, min_words) else "not language"

    return take_out(table, [reason(*row) for row in zip(values, forms, strict=True)])
