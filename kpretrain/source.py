"""The identity of code: the same in every process, and another one after a change that could matter.

Standard library only. `kpretrain.fingerprint` puts it together with the values that code reads.
"""

import ast
import dis
import functools
import hashlib
import importlib.metadata
import linecache
import marshal
import os
import re
import sys
import types
import warnings
from pathlib import Path

_LEFT_OUT = ("ctx", "kind", "type_comment")  # fields of the syntax tree that change nothing
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_INLINED = re.compile(r"<(list|set|dict)comp>\.(<locals>\.)?")  # no function of its own from Python 3.12 on
_STANDARD = Path(os.__file__).parent
_distributions = functools.cache(importlib.metadata.packages_distributions)


# ---------------------------------------------------------------- whose code it is


def origin(module):
    """Tell whose code a module's is.

    Parameters
    ----------
    module : str
        Its full name. It need not be imported.

    Returns
    -------
    str or None
        "python" for the standard library, distribution and version for what is installed ("keras 3.15.1"). None for
        what is ours, which may change under the same version: notebooks, scripts, files beside them, and kpretrain.

    Examples
    --------
    >>> origin("json.decoder"), origin("__main__"), origin("kpretrain.data")
    ('python', None, None)
    >>> origin("sklearn.svm").split()[0]
    'scikit-learn'
    """
    top = (module or "__main__").partition(".")[0]
    return _origin(top, getattr(sys.modules.get(top), "__file__", None))


@functools.cache
def _origin(top, file):
    if top in ("__main__", "kpretrain"):  # kpretrain is installed too, mostly in a way that lets it be edited
        return None
    parents = Path(file).parents if file else ()
    installed = any(folder.name in ("site-packages", "dist-packages") for folder in parents)
    if top in sys.stdlib_module_names and (not file or (_STANDARD in parents and not installed)):
        return "python"
    if file and not installed:  # also what is installed as a link to a folder that is being edited
        return None
    names = sorted(set(_distributions().get(top, ())))
    found = [f"{name} {re.match(r'([0-9]+[.]?){1,3}|.*', importlib.metadata.version(name))[0]}" for name in names]
    return ", ".join(found) or (top if installed else None)


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


def is_ours(value):
    """Tell whether the code of a function, a class, a module or an object's class may change under the same version.

    Examples
    --------
    >>> is_ours(lambda: 1), is_ours(print)
    (True, False)
    """
    return origin(home(value)) is None


def place(value):
    """Return (module, name) where something installed can be imported from, or None.

    That tells functions that are compiled, and instances such as `scipy.stats.norm`.

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
        if found := [key for key, item in list(vars(space).items()) if item is value and not key.startswith("_")]:
            return module, min(found)
    return None


# ---------------------------------------------------------------- what it does


def identity(function):
    """Return a sha256 (hex) of a function's code, the same for the same source in Python 3.11 to 3.13.

    It is taken from the syntax tree, without docstrings, so that comments and the place in a file do not count. The
    source must be what runs: it is compiled and compared. Where it is not (the file was edited since) or there is none,
    the bytecode and the version of Python stand in, which are the same in every process of this Python.

    Parameters
    ----------
    function : types.FunctionType

    Examples
    --------
    >>> def made(text):
    ...     exec(text, space := {})
    ...     return space["f"]
    >>> identity(made("def f(): return 1")) == identity(made("def f():  # a remark\\n    return 1"))
    True
    >>> identity(made("def f(): return 1")) == identity(made("def f(): return 2"))
    False
    """
    return _identity(function.__code__, function.__globals__.get("__loader__"))


@functools.lru_cache(4096)
def _identity(code, loader):
    bare = _bare(code)
    for check in (None, linecache.checkcache):
        if check:  # the lines were read before the module was loaded anew
            check(code.co_filename)
        lines = linecache.getlines(code.co_filename, {"__name__": code.co_filename, "__loader__": loader})
        if node := _parsed("".join(lines)).get(bare):
            return _sha("source", _INLINED.sub("", code.co_qualname), _dump(node))
    return _sha("bytecode", repr(sys.version_info[:2]), bare.hex())


def _sha(*parts):
    return hashlib.sha256(repr(parts).encode("utf8", "surrogatepass")).hexdigest()


def _dump(node):
    """A syntax tree as text, without positions and empty fields, which differ between versions, and docstrings."""
    if isinstance(node, list):
        return f"[{','.join(map(_dump, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if name not in _LEFT_OUT}
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and ast.get_docstring(node, False):
        fields["body"] = node.body[1:]
    if isinstance(node, ast.JoinedStr):  # Python 3.12.1 ends a format with an empty string
        fields["values"] = [part for part in node.values if getattr(part, "value", None) != ""]
    told = [f"{name}={_dump(value)}" for name, value in fields.items() if value is not None and value != []]
    return f"{type(node).__name__}({','.join(told)})"


@functools.lru_cache(64)
def _parsed(text):
    """The functions in a file's text: what `_bare` makes of their code -> node of the syntax tree.

    Which code is a node's is told by a second compilation, where each function has a number of its own for a line.
    """
    nodes, found = {}, {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they were shown when the file was imported
            tree = ast.parse(text)
            plain = _compiled(tree)
            for number, node in enumerate(ast.walk(tree), 1):
                if isinstance(node, _FUNCTIONS):
                    for head in (node, *getattr(node, "decorator_list", ())):
                        head.lineno, head.end_lineno = number, number + 1
                    nodes[getattr(node, "name", "<lambda>"), number] = node
            pairs = [(plain, _compiled(tree))]
    except (SyntaxError, ValueError):  # no Python
        return {}
    for code, numbered in pairs:  # which grows
        if node := nodes.get((numbered.co_name, numbered.co_firstlineno)):
            found.setdefault(_bare(code), node)
        if len(_inner(code)) == len(_inner(numbered)):  # fewer, where equal lambdas on one line are kept once
            pairs += zip(_inner(code), _inner(numbered), strict=True)
    return found


def _compiled(tree):
    return compile(tree, "", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


def _inner(code):
    return [each for each in code.co_consts if isinstance(each, types.CodeType)]


def _bare(code):
    """All of a code object that decides what it does, and nothing of where it stands, as bytes."""
    return marshal.dumps(_placeless(code), 2)  # version 2 leaves out which parts are shared


def _placeless(code):
    consts = tuple(_placeless(each) if isinstance(each, types.CodeType) else each for each in code.co_consts)
    flags = code.co_flags & 0xFFFF  # without those of __future__
    return code.replace(co_filename="", co_firstlineno=1, co_linetable=b"", co_consts=consts, co_flags=flags)


# ---------------------------------------------------------------- what it reads


def read_by(function):
    """Tell what a function of ours reads from outside, inner functions included: name -> value.

    By a global name or an import of its own; of a module of ours, whatever has a name that the function knows
    (`kp.models.Jitter` is the class). Left out are built-in names, what installed modules hold, and `is_memory`.

    Examples
    --------
    >>> space = {"__name__": "__main__", "SCALE": 2, "OTHER": 3}
    >>> exec("def f(x): return x * SCALE", space)
    >>> read_by(space["f"])
    {'SCALE': 2}
    """
    space, found, seen = function.__globals__, {}, set()
    reads, imports, names = names_in(function.__code__)
    todo = [("", space.get("__name__"), {name: space[name] for name in reads if name in space})]
    for level, module, wanted in imports:
        if level or origin(module) is None:
            try:
                todo.append(("", "", {module: __import__(module, space, None, wanted, level)}))
            except ImportError:  # the function has its own way without it, or fails as well
                continue
    for path, where, held in todo:  # which grows
        for name, value in held.items():
            if not (isinstance(value, types.ModuleType) and is_ours(value)):
                if not is_memory(where, name, value):
                    found[path + name] = value
            elif value not in seen:
                seen.add(value)
                inner = {each: getattr(value, each) for each in names if hasattr(value, each)}
                todo.append((f"{path}{name}.", value.__name__, inner))
    return found


def is_memory(module, name, value):
    """Tell whether a module's variable is what kpretrain remembers while a process lives.

    Its constants have names in upper case. In other modules of ours everything counts.

    Examples
    --------
    >>> is_memory("kpretrain.data", "_kept", {}), is_memory("kpretrain.data", "_SIZES", {}), is_memory("mine", "a", {})
    (True, False, False)
    """
    fixed = isinstance(value, types.FunctionType | types.ModuleType | type | str | int | float | tuple | None)
    ours = (module or "").startswith("kpretrain.")
    return ours and name.islower() and not fixed and not hasattr(value, "__wrapped__")


@functools.lru_cache(4096)
def names_in(code):
    """Tell which names from outside a function's code reads, inner functions included.

    Returns
    -------
    reads : list of str
        Global names, but for `__name__` and its like.
    imports : list of (int, str, tuple of str)
        Imports inside the function: level, module, names.
    names : list of str
        All names of globals and attributes.

    Examples
    --------
    >>> names_in((lambda x: kp.models.Jitter(x.size)).__code__)
    (['kp'], [], ['Jitter', 'kp', 'models', 'size'])
    """
    reads, imports, names, codes = set(), set(), set(), [code]
    for each in codes:  # which grows
        codes += _inner(each)
        steps = [step for step in dis.get_instructions(each) if step.opname != "EXTENDED_ARG"]
        names.update(each.co_names)
        reads.update(step.argval for step in steps if step.opname in _GLOBAL and not step.argval.startswith("__"))
        for level, wanted, step in zip(steps, steps[1:], steps[2:], strict=False):
            if step.opname == "IMPORT_NAME":
                imports.add((level.argval, step.argval, wanted.argval or ()))
    return sorted(reads), sorted(imports), sorted(names)
