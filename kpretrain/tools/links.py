"""The public address: one place, pyproject.toml, and everything that is derived from it."""

import json
import re
import tomllib
from pathlib import Path

from ..paths import ROOT, clone
from . import translations

_COLAB = "https://colab.research.google.com/github/"
# Stands where the badge would lead nowhere, as long as pyproject.toml has a placeholder for the owner.
_UNSETTLED = "*Open in Colab: the public address of the course is not settled yet.*"
_BADGE = re.compile(rf"\[!\[Open in Colab\]\(\S*colab-badge\.svg\)\]\([^)\s]*\)|{re.escape(_UNSETTLED)}")

# The first cell of every notebook. What the course needs is left to `doctor --install`, which replaces less than pip.
_SETUP = """\
import importlib.util
import os
import sys
from pathlib import Path

SOURCE = os.environ.get(@SOURCE@


def found():  # a folder that only has the package's name has no origin
    return getattr(importlib.util.find_spec("kpretrain"), "origin", None)


sys.path[:0] = [str(up) for up in Path.cwd().parents[:2] if (up / "kpretrain/__init__.py").is_file()]  # in a copy of it
if SOURCE and not found() and "google.colab" in sys.modules:  # in Colab: fetch the course
    print(f"Fetching the course (40 MB, half a minute) from {SOURCE}")
    !GIT_TERMINAL_PROMPT=0 timeout 300 {sys.executable} -m pip install --no-deps --no-input --retries 0 --timeout 10 \\
        "{'' if SOURCE.endswith(('.whl', '.zip')) else 'git+'}{SOURCE.removeprefix('git+')}" >/dev/null 2>&1
if found() and "google.colab" in sys.modules:  # and the packages that it lacks
    !cd "{Path(found()).parents[1]}" && {sys.executable} -m kpretrain doctor --install
if not found():
    why = ImportError(f"The course is missing. To get it: pip install @WHAT@")
    why._render_traceback_ = lambda: [str(why)]  # the sentence is enough
    raise why
import kpretrain as kp

# For the full profile, which takes minutes instead of seconds, take the # off the next line.
# %env KPRETRAIN_PROFILE=full
SEED = kp.setup(seed=0)"""


def main(write=False):
    """Check, or mend, what follows from pyproject.toml and from the English texts; return the exit code."""
    clone("links")
    changed = update(write=write)
    times, stale = translations.update(write=write)
    for name in changed:
        print(f"{name}: {'mended' if write else 'another address than in pyproject.toml'}")
    for name in times:
        print(f"{name}: {'mended' if write else 'other times than in the English table'}")
    print(*stale, sep="\n", end="\n" * bool(stale))
    if not changed and not times and not stale:
        print("All links agree with pyproject.toml, and the translations with the English.")
    elif (changed or times) and not write:
        print("python -m kpretrain links --write mends the addresses and times.")
    return int(bool(stale or ((changed or times) and not write)))


def update(write=False, root=None):
    """Hold the Colab badges and set-up cells equal to pyproject.toml's Repository.

    As long as its owner is the placeholder OWNER, a line stands in for the badge, and the set-up cell fetches nothing
    but what `$KPRETRAIN_SOURCE` names.

    Parameters
    ----------
    write : bool, default=False
        Mend the files that disagree.
    root : path-like, default=None
        The repository; None is the one this package lies in.

    Returns
    -------
    changed : list of str
        The files, relative to `root`, that disagree, or disagreed before they were mended.

    Raises
    ------
    ValueError
        If the Repository is no GitHub address.

    Examples
    --------
    >>> update()  # none disagrees
    []
    """
    root = ROOT if root is None else Path(root).resolve()
    address = _repository(root / "pyproject.toml")
    notebooks = [path for path in sorted(root.glob("notebooks/**/*.ipynb")) if ".ipynb_checkpoints" not in path.parts]
    changed = []
    for path in notebooks:
        old = path.read_bytes().decode("utf-8")
        name = path.relative_to(root).as_posix()
        new = _in_notebook(old, address, name)
        if new != old:
            changed.append(name)
            if write:
                path.write_bytes(new.encode("utf-8"))
    return changed


def _in_notebook(text, address, name):
    notebook, changed = json.loads(text), False
    for cell in notebook["cells"]:
        old = "".join(cell["source"])
        if "setup" in cell["metadata"].get("tags", []):
            new = _setup(address)
        else:
            new = _BADGE.sub(_badge(address, name), old)
        if new != old:
            cell["source"], changed = new.splitlines(keepends=True), True
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n" if changed else text  # as Jupyter writes it


def _settled(address):
    return "/OWNER/" not in address


def _badge(address, name):
    if not _settled(address):
        return _UNSETTLED
    slug = address.removeprefix("https://github.com/")
    image = "https://colab.research.google.com/assets/colab-badge.svg"
    return f"[![Open in Colab]({image})]({_COLAB}{slug}/blob/main/{name})"


def _setup(address):
    source = f'"KPRETRAIN_SOURCE", "{address}/archive/HEAD.zip")  # or a wheel, or a git address'
    what = "{SOURCE}"
    if not _settled(address):
        source = '"KPRETRAIN_SOURCE")  # a wheel, a zip or a git address; a public one is not settled yet'
        what = "{SOURCE or 'a copy (no address is settled yet)'}"
    return _SETUP.replace("@SOURCE@", source).replace("@WHAT@", what)


def _repository(pyproject):
    address = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
    address = address.rstrip("/").removesuffix(".git")
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", address):
        raise ValueError(f"Repository in {pyproject} is {address!r}; Colab opens https://github.com/OWNER/NAME only.")
    return address
