"""Where the course lies: the folder with data/ and notebooks/."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_BROUGHT = _PACKAGE / "course"  # into which pyproject.toml puts them in a wheel
ROOT = _BROUGHT if _BROUGHT.is_dir() else _PACKAGE.parent


def clone(command):
    """Return `ROOT` for a command that is about the repository itself.

    Raises
    ------
    ValueError
        If kpretrain is installed without its repository.

    Examples
    --------
    >>> clone("links") == ROOT
    True
    """
    if ROOT == _BROUGHT:
        raise ValueError(f"{command} needs a clone of the repository: run it there. This kpretrain lies in {_PACKAGE}.")
    return ROOT
