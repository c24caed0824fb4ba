"""The identity of code: the same in every process, and another one after a change that could matter.

Standard library only. `kpretrain.fingerprint` puts it together with the values that code reads.
"""

import ast
import dis
import functools
import hashlib
import importlib.metadata
import importlib.util
import linecache
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
MISSING = object()  # in the place of a value that is not there


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
    if distributions := sorted(set(_distributions().get(top, ()))):
        return ", ".join(f"{name} {_short(importlib.metadata.version(name))}" for name in distributions)
    return top if installed else None


@functools.cache
def _distributions():
    return importlib.metadata.packages_distributions()


def _short(version):
    found = re.match(r"\d+(\.\d+){0,2}", version)
    return found.group() if found else version


# ---------------------------------------------------------------- what it does


def identity(function):
    """Return a sha256 (hex) of a function's code, the same for the same source in Python 3.11 to 3.13.

    It is taken from the syntax tree, without docstrings, so that comments and the place in a file do not count. The
    source must be what runs: it is compiled and compared. Where it is not (the file was edited since) or there is none,
    the bytecode and the version of Python stand in, which are the same in every process of this Python.

    Parameters
    ----------
    function : types.FunctionType
    """
    return _identity(function.__code__, function.__globals__.get("__loader__"))


@functools.lru_cache(4096)
def _identity(code, loader):
    for again in (False, True):
        if again:  # the lines were read before the module was loaded anew
            linecache.checkcache(code.co_filename)
        lines = linecache.getlines(code.co_filename, {"__name__": code.co_filename, "__loader__": loader})
        if (node := _node(code, "".join(lines))) is not None:
            return _sha("source", _INLINED.sub("", code.co_qualname), _dump(node))
    return _sha("bytecode", repr(sys.version_info[:2]), repr(_shape(code)))


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


def _node(code, text):
    """The node in a file's text that compiles to this very code, or None."""
    nodes, twins = _parsed(text)
    for twin in twins.get(code.co_qualname, ()):
        if _shape(twin) == _shape(code):
            found = nodes.get((twin.co_name, twin.co_firstlineno), [])
            return found[0] if len(found) == 1 else _lambda(twin, found)
    return None


@functools.lru_cache(64)
def _parsed(text):
    """((name, first line) -> nodes of functions, qualified name -> code objects) of a file."""
    nodes, twins = {}, {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they were shown when the file was imported
            tree = ast.parse(text)
            todo = [compile(tree, "", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)]
    except (SyntaxError, ValueError):  # no Python
        return nodes, twins
    for node in ast.walk(tree):
        if isinstance(node, _FUNCTIONS):
            first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
            nodes.setdefault((getattr(node, "name", "<lambda>"), first), []).append(node)
    while todo:
        inner = [each for each in todo.pop().co_consts if hasattr(each, "co_code")]
        todo += inner
        for each in inner:
            twins.setdefault(each.co_qualname, []).append(each)
    return nodes, twins


def _lambda(code, nodes):
    """Of several lambdas on a line, the innermost whose body holds the places of all instructions, or None."""
    spans = [place for place in code.co_positions() if None not in place and place[3]]

    def holds(body):
        start, end = (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)
        return all(start <= (first, left) and (last, right) <= end for first, last, left, right in spans)

    def alike(node):  # Python 3.12 tells no places where a lambda returns a constant
        alone = compile(ast.Expression(node), "", "eval", dont_inherit=True)
        return any(_shape(each) == _shape(code) for each in alone.co_consts if hasattr(each, "co_code"))

    found = [node for node in nodes if isinstance(node, ast.Lambda) and holds(node.body)]
    found = [node for node in found if alike(node)] or found
    return max(found, key=lambda node: (node.body.lineno, node.body.col_offset), default=None)


def _shape(code):
    """All of a code object that decides what it does, and nothing of where it stands."""
    consts = tuple(map(_const, code.co_consts))
    return code.co_code, code.co_exceptiontable, code.co_names, code.co_varnames, code.co_freevars, consts


def _const(value):
    if hasattr(value, "co_code"):
        return _shape(value)
    if isinstance(value, tuple):
        return tuple(map(_const, value))
    if isinstance(value, frozenset):
        return "frozenset", *sorted(map(repr, map(_const, value)))
    return type(value).__name__, repr(value)


# ---------------------------------------------------------------- what it reads


def read_by(function):
    """Tell what a function of ours reads from outside, inner functions included: name -> value.

    By a global name, with the attributes that are asked of modules of ours (`kp.models.Jitter` is the class), or by an
    import of its own. Left out are built-in names, what installed modules hold, and `is_memory`.
    """
    space, found = function.__globals__, {}
    own = space.get("__name__")
    if origin(own) is not None:
        return found
    chains, imports, names = names_in(function.__code__)
    for first, *rest in chains:
        module, name, value = own, first, space.get(first, MISSING)
        while rest and _is_ours(value):
            module, name, value = value.__name__, rest[0], getattr(value, rest.pop(0), MISSING)
        if value is not MISSING and not is_memory(module, name, value):
            found[f"{first} {name}"] = value
    for level, called, wanted in imports:
        if level:
            called = importlib.util.resolve_name("." * level + called, space.get("__package__"))
        if origin(called) is None:
            found |= _imported(called, wanted, names)
    return found


def _imported(module, wanted, names):
    """What an import inside a function brings; of a whole module, whatever has a name that the function knows."""
    try:
        module, found = importlib.import_module(module), {}
    except ImportError:
        return {}
    for name in wanted or ("",):
        value = getattr(module, name, MISSING) if name else module
        if _is_ours(value):
            inner = {each: getattr(value, each, MISSING) for each in sorted(names)}
            home = value.__name__
            found |= {f"{name} {each}": x for each, x in inner.items() if not is_memory(home, each, x)}
        elif not is_memory(module.__name__, name, value):
            found[name] = value
    return {name: value for name, value in found.items() if value is not MISSING}


def _is_ours(value):
    return isinstance(value, types.ModuleType) and origin(value.__name__) is None


def is_memory(module, name, value):
    """Tell whether a module's variable is what kpretrain remembers while a process lives.

    Its constants have names in upper case. In other modules of ours everything counts.
    """
    fixed = isinstance(value, types.FunctionType | types.ModuleType | type | str | int | float | tuple | None)
    return (
        (module or "").startswith("kpretrain.") and name.islower() and not fixed and not hasattr(value, "__wrapped__")
    )


def place(value):
    """Return (module, name, version) where something installed can be imported from, or None.

    That tells functions that are compiled, and instances such as `scipy.stats.norm`.
    """
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    for module in (getattr(value, "__module__", None), type(value).__module__, "scipy.special"):
        space = sys.modules.get(module) if isinstance(module, str) else None
        if space is None or (version := origin(module)) is None:
            continue
        if name and functools.reduce(lambda part, key: getattr(part, key, None), name.split("."), space) is value:
            return module, name, version
        if found := [key for key, item in list(vars(space).items()) if item is value and not key.startswith("_")]:
            return module, min(found), version
    return None


@functools.lru_cache(4096)
def names_in(code):
    """Tell which names from outside a function's code reads, inner functions included.

    Returns
    -------
    chains : tuple of tuple of str
        A global name and the attributes that are asked of it: ("kp", "models", "Jitter").
    imports : tuple of (int, str, tuple of str)
        Imports inside the function: level, module, names.
    names : frozenset of str
        All names of globals and attributes.
    """
    chains, imports, names = set(), set(), set(code.co_names)
    chain, before = (), [None, None]
    for step in dis.get_instructions(code):
        if step.opname == "EXTENDED_ARG":
            continue
        if chain and step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            chain += (step.argval,)
        else:
            chains.add(chain)
            chain = (step.argval,) if step.opname in _GLOBAL else ()
        if step.opname == "IMPORT_NAME":
            imports.add((before[0], step.argval, before[1] or ()))
        before = [before[1], step.argval]
    chains.add(chain)
    for inner in code.co_consts:
        if hasattr(inner, "co_code"):
            more = names_in(inner)
            chains, imports, names = chains.union(more[0]), imports.union(more[1]), names | more[2]
    chains = {chain for chain in chains if chain and not re.fullmatch("__.*__", chain[0])}  # __name__, __file__
    return tuple(sorted(chains)), tuple(sorted(imports)), frozenset(names)
