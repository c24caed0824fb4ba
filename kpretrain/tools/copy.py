"""A working copy of the notebooks, which leaves alone what its reader has changed."""

from pathlib import Path

from ..files import replacing
from ..paths import ROOT


def copy(folder):
    """Copy the notebooks, their solutions and the map of the course into a folder, and say what was done.

    Parameters
    ----------
    folder : path-like
        It is made where it is missing. A file in it that differs from the course's is the reader's: it stays, and is
        named.

    Returns
    -------
    kept : list of str
        The files that stayed, relative to `folder`.

    Raises
    ------
    OSError
        If `folder` is a file.

    Examples
    --------
    >>> copy("mine")
    Copied ... files into mine. Next: jupyter lab mine
    []
    >>> _ = Path("mine/README.md").write_text("My notes.")
    >>> copy("mine")
    mine/README.md stays as it is: it is not the course's. For the course's, move it away and copy again.
    Copied 0 files into mine. Next: jupyter lab mine
    ['README.md']
    """
    folder, source = Path(folder), ROOT / "notebooks"
    copied, edited = 0, []
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        name = path.relative_to(source)
        if any(part.startswith(".") for part in name.parts):  # Jupyter's checkpoints
            continue
        target = folder / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target) as temporary:  # half a file would pass for one that the reader has changed
                temporary.write_bytes(path.read_bytes())  # and not its mode, which may be read-only
            copied += 1
        elif target.read_bytes() != path.read_bytes():
            print(f"{target} stays as it is: it is not the course's. For the course's, move it away and copy again.")
            edited.append(name.as_posix())
    print(f"Copied {copied} files into {folder}. Next: jupyter lab {folder}")
    return edited
