"""Translations: which section has changed since it was translated, and the notebooks' times from the English table."""

import hashlib
import re

from ..paths import ROOT

_STAMP = re.compile(r'^<!-- translates "(.+)" (\w{12}) -->$', flags=re.M)
_RENDERED = re.compile(r"<!-- (\w+): rendered by .*?<!-- end of \1 -->", flags=re.S)
_TIMES = re.compile(r"^(\| \[(\d\d_\w+)\].*\|) (\d+ s \| \d+ min) \|$", flags=re.M)
_LANGUAGES = re.compile(r"^English · .*\n", flags=re.M)


def sections(text):
    """Return the hash of each section by its heading: of what is written, without times and what is rendered.

    Examples
    --------
    >>> list(sections("# Title\\n\\nA text.\\n\\n## Part\\n\\nMore."))
    ['Title', 'Part']
    """
    text = _TIMES.sub(r"\1", _RENDERED.sub("", _LANGUAGES.sub("", text)))
    text = re.sub(r"^```.*?^```$", lambda block: block.group().replace("\n#", "\n #"), text, flags=re.S | re.M)
    parts = re.split(r"^##? (.+)$", text, flags=re.M)[1:]
    bodies = zip(parts[::2], parts[1::2], strict=True)
    return {heading: hashlib.sha256(body.strip().encode()).hexdigest()[:12] for heading, body in bodies}


def update(write=False, root=None):
    """Copy the times of the notebooks into the translations, and find the sections that are stale.

    Parameters
    ----------
    write : bool, default=False
        Mend the times; what is stale a person must translate.
    root : path, default=None
        The repository; None is the one this package lies in.

    Returns
    -------
    changed, stale : list of str
        The files whose times differ, or differed; a line for each section to translate, with its new stamp.

    Examples
    --------
    >>> update()  # all is translated
    ([], [])
    """
    root, changed, stale = root or ROOT, [], []
    for path in [*root.glob("*.zh-CN.md"), *root.glob("notebooks/*.zh-CN.md")]:
        name, old = path.relative_to(root).as_posix(), path.read_text(encoding="utf8")
        english = path.with_name(path.name.replace(".zh-CN", "")).read_text(encoding="utf8")
        times = {stem: time for _, stem, time in _TIMES.findall(english)}
        new = _TIMES.sub(lambda row, times=times: f"{row[1]} {times.get(row[2], row[3])} |", old)
        if new != old:
            changed.append(name)
            if write:
                path.write_text(new, encoding="utf8")
        now, then = sections(english), dict(_STAMP.findall(old))
        stale += [
            f'{name}: translate the section again, then write <!-- translates "{heading}" {stamp} -->'
            for heading, stamp in now.items()
            if then.get(heading) != stamp
        ]
        stale += [f"{name}: there is no section {heading!r} any more" for heading in then.keys() - now.keys()]
    return changed, stale
