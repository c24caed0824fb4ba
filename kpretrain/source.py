"""Code that may be known to a fingerprint: whose it is, what it does, and what it reads. Standard library only."""

import dis
import functools
import hashlib
import importlib.metadata
import inspect
import marshal
import os
import re
import sys
import textwrap
import tokenize
import types
from pathlib import Path

_STANDARD = Path(os.__file__).parent
_GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_distributions = functools.cache(importlib.metadata.packages_distributions)


def files_hash(package):
    """Return a sha256 (hex) of all Python files of a package, but for its folders `check` and `tools`.

    Examples
    --------
    >>> len(files_hash(Path(__file__).parent))
    64
    """
    files = [path for path in sorted(package.rglob("*.py")) if path.parent.name not in ("check", "tools")]
    texts = [(path.relative_to(package).as_posix(), path.read_text(encoding="utf8")) for path in files]
    return hashlib.sha256(repr(texts).encode("utf8")).hexdigest()


_COURSE = f"kpretrain {files_hash(Path(__file__).parent)}"  # when it was imported: what is edited later does not run


def origin(module):
    """Tell whose code a module's is.

    Parameters
    ----------
    module : str
        Its full name. It need not be imported.

    Returns
    -------
    str or None
        "python" for the standard library, distribution and version for what is installed ("keras 3.15.1"), and for
        kpretrain the hash of its files. None for what is yours, which may change under the same version: notebooks,
        scripts and files beside them.

    Examples
    --------
    >>> origin("json.decoder"), origin("__main__")
    ('python', None)
    >>> origin("sklearn.svm").split()[0], origin("kpretrain.data").split()[0]
    ('scikit-learn', 'kpretrain')
    """
    top = (module or "__main__").partition(".")[0]
    return _origin(top, getattr(sys.modules.get(top), "__file__", None))


@functools.cache
def _origin(top, file):
    if top == "__main__":
        return None
    if top == "kpretrain":  # mostly a folder that is being edited
        return _COURSE
    parents = Path(file).parents if file else ()
    installed = any(folder.name in ("site-packages", "dist-packages") for folder in parents)
    if top in sys.stdlib_module_names and (not file or (_STANDARD in parents and not installed)):
        return "python"
    if file and not installed:  # also what is installed as a link to a folder that is being edited
        return None
    names = sorted(set(_distributions().get(top, ())))
    labels = [f"{name} {re.match(r'([0-9]+[.]?){1,3}|.*', importlib.metadata.version(name))[0]}" for name in names]
    return ", ".join(labels) or (top if installed else None)


def home(value):
    """Return the name of the module that a function, a class, a module itself or an object's class is of.

    Examples
    --------
    >>> import json
    >>> home(json), home(json.loads), home(json.JSONDecoder), home(json.JSONDecoder())
    ('json', 'json', 'json.decoder', 'json.decoder')
    """
    if isinstance(value, types.ModuleType):
        return value.__name__
    if isinstance(value, types.FunctionType):
        return value.__globals__.get("__name__")
    return (value if isinstance(value, type) else type(value)).__module__


def is_own(value):
    """Tell whether the code of a function, a class, a module or an object's class is yours.

    Examples
    --------
    >>> is_own(print), is_own(origin)
    (False, False)
    """
    return origin(home(value)) is None


def place(value):
    """Return (module, name) where something installed can be imported from, which may be an instance; or None.

    Examples
    --------
    >>> import math
    >>> place(math.sqrt), place(str.upper), place(lambda: 1)
    (('math', 'sqrt'), ('builtins', 'str.upper'), None)
    """
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    for module in (getattr(value, "__module__", None), type(value).__module__, "scipy.special"):
        space = sys.modules.get(module) if isinstance(module, str) else None
        if space is None or origin(module) is None:
            continue
        if name and functools.reduce(lambda part, key: getattr(part, key, None), name.split("."), space) is value:
            return module, name
        if aliases := [key for key, item in list(vars(space).items()) if item is value and not key.startswith("_")]:
            return module, min(aliases)
    return None


def whole(code):
    """Return a function's code, and that of the functions within.

    Examples
    --------
    >>> [each.co_name for each in whole((lambda: lambda: 1).__code__)]
    ['<lambda>', '<lambda>']
    """
    codes = [code]
    for each in codes:  # which grows
        codes += [const for const in each.co_consts if isinstance(const, types.CodeType)]
    return codes


def what_it_does(code, text=False):
    """Return what tells a function's code from any other: its bytecode and the version of Python.

    Parameters
    ----------
    code : types.CodeType
    text : bool
        Its source in place of that, where there is one, which every Python reads alike.

    Examples
    --------
    >>> what_it_does(compile("1 + x", "one.py", "eval")) == what_it_does(compile("1 + x", "other.py", "eval"))
    True
    """
    if text:
        try:
            return textwrap.dedent(inspect.getsource(code))
        except (OSError, SyntaxError, tokenize.TokenError):  # none, or one that cannot be cut out
            pass
    return sys.version_info[:2], marshal.dumps(_placeless(code), 2)  # 2 leaves out which parts are shared


def _placeless(code):
    """All of it that decides what it does, and nothing of where it stands."""
    consts = tuple(_placeless(each) if isinstance(each, types.CodeType) else each for each in code.co_consts)
    return code.replace(co_filename="", co_firstlineno=1, co_linetable=b"", co_consts=consts)


def read_by(function):
    """Tell what a function of yours reads from outside, by a global name or an import of its own: name -> value.

    Of a module of yours, whatever has a name that the function knows.

    Examples
    --------
    >>> space = {"__name__": "__main__", "SCALE": 2, "OTHER": 3}
    >>> exec("def f(x): return x * SCALE", space)
    >>> read_by(space["f"])
    {'SCALE': 2}
    """
    space, values, seen = function.__globals__, {}, set()
    codes = whole(function.__code__)
    steps = [step for code in codes for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]
    reads = {step.argval for step in steps if step.opname in _GLOBAL}
    names = {name for code in codes for name in code.co_names}
    todo = [("", {name: space[name] for name in reads if name in space and not name.startswith("__")})]
    for level, wanted, step in zip(steps, steps[1:], steps[2:], strict=False):
        if step.opname == "IMPORT_NAME" and (level.argval or origin(step.argval) is None):
            try:
                module = __import__(step.argval, space, None, wanted.argval or (), level.argval)
            except ImportError:  # the function has its own way without it, or fails as well
                continue
            todo.append(("", {step.argval: module}))
    for path, held in todo:  # which grows
        for name, value in held.items():
            if not (isinstance(value, types.ModuleType) and is_own(value)):
                values[path + name] = value
            elif value not in seen:
                seen.add(value)
                todo.append((f"{path}{name}.", {each: getattr(value, each) for each in names if hasattr(value, each)}))
    return values
