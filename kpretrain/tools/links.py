"""The public address: one place, pyproject.toml, and everything that is derived from it."""

import re
import tomllib
from pathlib import Path

from ..paths import ROOT

_COLAB = "https://colab.research.google.com/github/"
# The badge opens the notebook it stands in; a plain Colab link may open another one.
_BADGE = re.compile(
    r"(colab-badge\.svg\)\]\()https://colab\.research\.google\.com/github/[^)\s]*/blob/[^/)\s]+/([^)\s]+)"
)
_COLAB_LINK = re.compile(r"https://colab\.research\.google\.com/github/[^/\s]+/[^/\s]+/blob/")
# In a notebook's JSON the quotes of the line REPOSITORY = "..." are escaped.
_SETUP = re.compile(r"""(\bREPOSITORY\s*=\s*\\?["'])https?://[^"'\\\s]+""")
_CLONE = re.compile(
    r"""(\bgit clone (?:-\S+ (?:\d+ )?)*)https://github\.com/[^/\s"'`\\]+/[^/\s"'`\\;&]+?(?=(?:\.git)?[\s"'`\\;&]|\.git$|$)"""
)


def update(write=False, root=None):
    """Hold the Colab badges, set-up cells and clone commands equal to pyproject.toml's Repository.

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
        If pyproject.toml is missing or its Repository is no GitHub address.

    Examples
    --------
    >>> update()  # none disagrees
    []
    """
    root = ROOT if root is None else Path(root).resolve()
    address = _repository(root / "pyproject.toml")
    slug = address.removeprefix("https://github.com/")
    notebooks = [path for path in sorted(root.glob("notebooks/**/*.ipynb")) if ".ipynb_checkpoints" not in path.parts]
    changed = []
    for path in [*notebooks, *root.glob("README.md")]:
        old = path.read_bytes().decode("utf-8")
        name = path.relative_to(root).as_posix()
        new = _COLAB_LINK.sub(f"{_COLAB}{slug}/blob/", old)
        if path.suffix == ".ipynb":
            new = _BADGE.sub(rf"\g<1>{_COLAB}{slug}/blob/main/{name}", new)
            new = _SETUP.sub(rf"\g<1>{address}", new)
        new = _CLONE.sub(rf"\g<1>{address}", new)
        if new != old:
            changed.append(name)
            if write:
                path.write_bytes(new.encode("utf-8"))
    return changed


def _repository(pyproject):
    try:
        address = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
    except FileNotFoundError:
        raise ValueError(f"{pyproject} is not there. Run the command in a clone of the repository.") from None
    except KeyError:
        raise ValueError(f"{pyproject} has no Repository under [project.urls]; add it.") from None
    address = address.rstrip("/").removesuffix(".git")
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", address):
        raise ValueError(f"Repository in {pyproject} is {address!r}; Colab opens https://github.com/OWNER/NAME only.")
    return address
