"""Files that outlive a process: written whole or not at all, and the folder where what can be built again is kept."""

import contextlib
import os
import uuid
from pathlib import Path

import pandas as pd
import platformdirs


def offline():
    """Tell whether `KPRETRAIN_OFFLINE` forbids the network.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with patch.dict("os.environ", KPRETRAIN_OFFLINE="1"):
    ...     offline()
    True
    """
    return os.environ.get("KPRETRAIN_OFFLINE", "") not in ("", "0")


def cache_folder():
    """Return the folder for cached files, `$KPRETRAIN_CACHE` or the user's cache folder; it may not exist yet.

    Returns
    -------
    pathlib.Path

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with patch.dict("os.environ", KPRETRAIN_CACHE="a_folder"):
    ...     cache_folder().name
    'a_folder'
    """
    return Path(os.environ.get("KPRETRAIN_CACHE") or platformdirs.user_cache_dir("kpretrain", appauthor=False))


@contextlib.contextmanager
def replacing(path):
    """Give a temporary name beside `path`, moved into place only if the block succeeds.

    Two processes may do this at once: each writes its own file, and the last move wins whole.

    Parameters
    ----------
    path : pathlib.Path
        Its folder must exist.

    Yields
    ------
    pathlib.Path
        Where to write.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder) / "scores.txt") as temporary:
    ...         _ = temporary.write_text("0.93")
    ...     [path.name for path in Path(folder).iterdir()]
    ['scores.txt']
    """
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write(path, text):
    """Write a text file, and its folder, in one step, and return its path: a reader sees the old or the new one.

    Examples
    --------
    >>> write(Path("pages", "page.html"), "<p>whole</p>").read_text()
    '<p>whole</p>'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf8")
    return path


def cached(path, build, read, write):
    """Read what a cache holds, or build it, keep it there and read it.

    A file that cannot be read, and a cache that cannot be written, are told in a line; what was asked for comes anyway.

    Parameters
    ----------
    path : pathlib.Path
    build : callable
        Takes nothing and returns what is kept.
    read, write : callable
        `read(path)` and `write(built, path)`.

    Examples
    --------
    >>> from pathlib import Path
    >>> path = Path("cache", "text.txt")
    >>> cached(path, lambda: "built", Path.read_text, lambda built, path: path.write_text(built))
    'built'
    >>> cached(path, lambda: "not built again", Path.read_text, Path.write_text)
    'built'
    """
    try:
        return read(path)
    except (FileNotFoundError, NotADirectoryError):
        pass  # the first time
    except (OSError, ValueError, EOFError) as error:  # pyarrow's ArrowInvalid is a ValueError
        print(f"{path}: the cached file cannot be read ({type(error).__name__}); building it again.")
    built = build()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            write(built, temporary)
        return read(path)
    except OSError as error:
        with contextlib.suppress(OSError, ValueError, EOFError):
            return read(path)  # another process was quicker: Windows replaces no file that somebody has mapped
        print(
            f"{path.parent}: the cache cannot be written ({error.strerror}), so this will be built again next time. "
            "Set KPRETRAIN_CACHE to a folder that can."
        )
        return built


def cached_table(file_name, build):
    """Read a table from the cache folder, or build it and keep it there.

    A cached file that cannot be read, and a cache that cannot be written, are told in a line; the table comes anyway.

    Parameters
    ----------
    file_name : str
        It ends in `.parquet`, and should hold a key of everything that the table depends on.
    build : callable
        Takes nothing and returns the pandas.DataFrame.

    Returns
    -------
    pandas.DataFrame

    Examples
    --------
    >>> import tempfile
    >>> from unittest.mock import patch
    >>> with tempfile.TemporaryDirectory() as folder, patch.dict("os.environ", KPRETRAIN_CACHE=folder):
    ...     built = cached_table("squares.parquet", lambda: pd.DataFrame({"square": [1, 4, 9]}))
    ...     again = cached_table("squares.parquet", build=None)
    >>> again["square"].tolist()
    [1, 4, 9]
    """
    return cached(cache_folder() / file_name, build, pd.read_parquet, pd.DataFrame.to_parquet)
