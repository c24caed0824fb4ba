"""The docstrings corpus: English prose, with real dirt and a real label, that lies on every reader's disk."""

import ast
import gc
import hashlib
import warnings
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from .. import clean
from ..files import cached_table
from .dataset import remember

# The import names that make up the corpus, and the library each counts as. keras_core is Keras 3
# before its release: the same library, and a rich source of near duplicates.
_PLAIN = "numpy scipy pandas sklearn matplotlib tensorflow keras keras_core keras_hub keras_cv".split()
LIBRARIES = {name: name.replace("_", "-") for name in _PLAIN} | {"sklearn": "scikit-learn", "keras_core": "keras"}
_READER_VERSION = 1  # raise it when the reader's output changes: it is part of the cache key


def docstrings():
    """Return the docstrings of the installed scientific packages as a raw table.

    The files are parsed with `ast`; nothing is imported. The table is cached in `cache_folder()`,
    keyed by the packages' versions.

    Returns
    -------
    pandas.DataFrame
        A row for each documented or public module, class and function, in a fixed order: `library`, `module`, `name`,
        `kind` (module, class or function), `text` (missing where there is no docstring) and `cluster` (int: rows of one
        number are exact or near duplicates, -1 where the text is missing).

    Examples
    --------
    All libraries take 20 s, the first time; one small package stands for them here.

    >>> import tempfile
    >>> from unittest.mock import patch
    >>> small = patch.dict(LIBRARIES, {"platformdirs": "platformdirs"}, clear=True)
    >>> with small, tempfile.TemporaryDirectory() as folder, patch.dict("os.environ", KPRETRAIN_CACHE=folder):
    ...     table = docstrings()
    >>> table.loc[table["name"] == "user_cache_dir", ["module", "kind"]].drop_duplicates().values.tolist()
    [['platformdirs', 'function']]
    """
    specs = {name: find_spec(name) for name in LIBRARIES}  # which imports nothing
    packages = {name: Path(spec.submodule_search_locations[0]) for name, spec in specs.items() if spec}
    key = _corpus_key(packages)
    remember("docstrings", f"{len({LIBRARIES[name] for name in packages})} installed libraries (versions {key})")
    return cached_table(f"docstrings-{key}.parquet", lambda: _read_docstrings(packages))


def _corpus_key(packages):
    owners = packages_distributions()
    versions = sorted(f"{name}=={version(owners[name][0]) if name in owners else 'unknown'}" for name in packages)
    return hashlib.sha256("\n".join([str(_READER_VERSION), *versions]).encode()).hexdigest()[:16]


def _read_docstrings(packages):
    from joblib import Parallel, delayed

    files = [
        (LIBRARIES[name], path.relative_to(folder.parent).as_posix(), path)
        for name, folder in packages.items()
        for path in sorted(folder.rglob("*.py"), key=lambda path: path.parts)  # Windows would disregard capital letters
        if "tests" not in path.parts
    ]
    parsed = Parallel(n_jobs=-1, batch_size=200)(delayed(_parse_file)(*file) for file in files)
    columns = ["library", "module", "name", "kind", "text"]
    table = pd.DataFrame([row for rows in parsed for row in rows], columns=columns)
    present = table["text"].notna()
    table["cluster"] = -1
    table.loc[present, "cluster"] = clean.duplicates(table.loc[present, "text"].tolist())
    return table


def _parse_file(library, relative, path):
    """The rows of a file but for their cluster; none of a template or a file for another version of Python."""
    gc.disable()  # a tree is a million objects that all stay: looking for rubbish among them takes half the time
    try:
        with warnings.catch_warnings(action="ignore"):  # invalid escapes in other people's strings
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return []
    finally:
        gc.enable()
    module = relative.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return [(library, module, *row) for row in _documented(tree, "")]


def _documented(node, prefix):
    """Yield (name, kind, docstring or None) of a module, its classes and functions; private ones if documented."""
    if isinstance(node, ast.Module):
        yield "", "module", _docstring(node)
    for child in getattr(node, "body", []):
        is_class = isinstance(child, ast.ClassDef)
        if is_class or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            name, text = prefix + child.name, _docstring(child)
            if text or not child.name.startswith("_"):
                yield name, "class" if is_class else "function", text
            if is_class:
                yield from _documented(child, name + ".")


def _docstring(node):
    text = ast.get_docstring(node)
    return text and text.encode("utf8", "replace").decode("utf8")  # a lone surrogate can't be stored
