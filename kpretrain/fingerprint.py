"""A name for anything that an arm may hold: the same in every process, and another one after a change."""

import dataclasses
import enum
import functools
import hashlib
import json
import numbers
import os
import re
import tempfile
import types
from pathlib import Path, PurePath

import keras
import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator

from . import source

_EXACT = (bool, int, float, complex, str, bytes, type(None))
_PLAIN = (*_EXACT, bytearray, numbers.Number, np.generic, np.dtype, range, slice, type(...))
_CODE = (types.FunctionType, type)
# What dataclasses and named tuples write themselves, from fields that count on their own.
_WRITTEN = re.compile(r"(__create_fn__|recursive_repr|namedtuple)\b")


def fingerprint(value, versions=True):
    """Return a sha256 (hex) that is the same in every process, for all that an arm of a comparison may hold.

    Values: Keras models and layers (configuration without automatic names, weights, vocabularies, and the code of every
    layer within), arrays, sparse arrays and tables, scikit-learn estimators (class and parameters), dataclasses,
    containers, plain values, and whatever has a `__repr__` without an address.

    Code: a function counts with its source, defaults and closure, a class with its base classes, methods and
    attributes, and both with all that they read by a global name or an import of their own: constants, and the
    functions and classes that they call, and what those read. That holds for code of notebooks, scripts, kpretrain, and
    modules that are neither installed nor the standard library's. Those count by name, and what is installed
    with its version too (`1.2.3` of it). Source is compared as a syntax tree: comments, docstrings, blank lines, the
    file that it stands in and the version of Python (3.11 to 3.13) make no difference. Where the source is not what
    runs, or there is none, the bytecode and the version of Python stand in. Not seen is what code looks up by a name
    that it puts together, and what kpretrain's own modules keep in lower-case variables for the life of a process.

    Parameters
    ----------
    value : anything
    versions : bool
        False leaves the versions of what is installed out: for records of several machines that are to be pooled.

    Raises
    ------
    TypeError
        If something in it has no stable description.
    """
    return _Walk(versions).whole(value).hex()


def rows_fingerprint(rows):
    """Return a sha256 (hex) of rows, the same in every process.

    Parameters
    ----------
    rows : array-like of n rows
        Numbers, of any shape: their kind, shape and bytes count. Texts. Paths of files that exist: the files' contents
        count, and not their names. Other objects count as `fingerprint` takes them.

    Raises
    ------
    TypeError
        If an object among them has no stable description.
    """
    if not isinstance(rows, list | tuple) or not len(rows) or not isinstance(rows[0], str | PurePath):
        rows = np.asarray(rows)  # but for lists of strings, which would all become as long as the longest
        if rows.dtype.kind in "biufc":
            return _hash("numbers", rows.dtype.kind, repr(rows.shape), _body(rows)).hex()
        if not rows.ndim:
            return fingerprint(rows.item())
        rows = rows.tolist() if rows.ndim == 1 else list(rows)
    return _hash("rows", *map(_row, rows)).hex()


def _row(row):
    if not isinstance(row, str | PurePath):
        return bytes.fromhex(fingerprint(row))
    if os.path.isfile(row):
        return hashlib.sha256(Path(row).read_bytes()).digest()
    return _hash("text", str(row))


def _body(array):
    return memoryview(np.ascontiguousarray(array).reshape(-1).view("uint8")) if array.size else b""


def _hash(kind, *parts):
    digest = hashlib.sha256(kind.encode())
    for part in parts:
        part = part.encode("utf8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def _name(value):
    return f"{value.__module__}.{value.__qualname__}"


class _Walk:
    """One call of `fingerprint`: describes a value, then what its code reads, then what that reads."""

    def __init__(self, versions):
        self.versions = versions
        self.known = {}  # id -> function or class of ours; held, so that no other object gets the id
        self.read = {}  # id -> function, and what it reads
        self.todo = []
        self.open = set()  # ids of what is being described, for circles
        self.done = {}  # id -> description of code, where it does not depend on what is around it

    def whole(self, value):
        parts, lines = self.describe(value), set()
        while self.todo:
            function = self.todo.pop()
            name = source.identity(function)
            lines |= {
                _hash("reads", name, called, self.describe(found)) for called, found in self.reads(function).items()
            }
        return _hash("whole", parts, *sorted(lines))

    def describe(self, value):
        """sha256 of one value, without what its code reads."""
        each, kind = self.describe, type(value)
        if kind in _EXACT:
            return _hash("plain", kind.__name__, repr(value))
        if isinstance(value, _PLAIN) and not isinstance(value, enum.Enum):
            return _hash("plain", _name(kind), repr(value))
        if isinstance(value, PurePath):
            return _hash("path", str(value))
        if isinstance(value, dict):
            return _hash("dict", *sorted(each(key) + each(item) for key, item in value.items()))
        if isinstance(value, set | frozenset):
            return _hash("set", *sorted(map(each, value)))
        if isinstance(value, list | tuple):
            named = "list" if isinstance(value, list) else "tuple"
            if all(type(item) in _EXACT for item in value):  # a corpus, say
                return _hash(f"plain {named}", repr([*value]))
            return _hash(named, *map(each, value))
        if isinstance(value, np.ndarray):
            if value.dtype == object:
                return _hash("objects", repr(value.shape), each(value.ravel().tolist()))
            return _hash("array", str(value.dtype), repr(value.shape), _body(value))
        if id(value) in self.open:
            return _hash("circle", getattr(value, "__qualname__", kind.__qualname__))
        alone = self.open.isdisjoint(self.known)  # inside of other code, a circle may be cut at another place
        if alone and isinstance(value, _CODE) and id(value) in self.done:
            return self.done[id(value)]
        self.open.add(id(value))
        try:
            found = self._object(value, kind)
        finally:
            self.open.remove(id(value))
        if alone and id(value) in self.known:
            self.done[id(value)] = found
        return found

    def _object(self, value, kind):
        each = self.describe
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.MethodType):
            return _hash("method", each(value.__func__), each(value.__self__))
        if isinstance(value, functools.partial | functools.partialmethod):
            return _hash("partial", each(value.func), each(value.args), each(value.keywords))
        if isinstance(value, property):
            return _hash("property", *map(each, (value.fget, value.fset, value.fdel)))
        if isinstance(value, functools.cached_property):
            return _hash("property", each(value.func))
        if isinstance(value, types.ModuleType):
            return self._module(value)
        if isinstance(value, types.CodeType):
            return _hash("code", source.identity(types.FunctionType(value, {})))
        if isinstance(value, keras.Layer):
            return _hash("keras", *map(each, (value.get_weights(), _assets(value), _Blueprint(value))))
        if isinstance(value, _Blueprint):
            return self._blueprint(value.layer)
        if isinstance(value, BaseEstimator) or hasattr(value, "get_params"):
            return _hash("estimator", each(kind), each(value.get_params(deep=False)))
        if scipy.sparse.issparse(value):  # its repr tells how many numbers there are, not which
            coordinates = value.tocoo()
            return _hash("sparse", repr(value.shape), each(coordinates.coords), each(coordinates.data))
        if dataclasses.is_dataclass(value):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return _hash("dataclass", each(kind), each(fields))
        if isinstance(value, types.SimpleNamespace):
            return _hash("namespace", each(kind), each(vars(value)))
        if isinstance(value, re.Pattern):  # its repr is cut short
            return _hash("pattern", each(value.pattern), each(value.flags))
        if hasattr(value, "to_numpy"):  # pandas
            return _hash("table", _name(kind), each(list(getattr(value, "columns", []))), each(value.to_numpy()))
        if keras.ops.is_tensor(value):
            return _hash("tensor", each(keras.ops.convert_to_numpy(value)))
        if hasattr(value, "get_config"):  # Keras's optimizers, losses, schedules
            return _hash("config", each(kind), _plain_json(value))
        if hasattr(value, "to_str"):  # Hugging Face tokenizers, whose repr leaves most of the vocabulary out
            return _hash("to_str", each(kind), value.to_str())
        if place := self.place(value):
            return _hash("import", *place)
        if hasattr(value, "__wrapped__"):  # functools.cache, staticmethod, classmethod
            return _hash("wrapped", each(kind), each(value.__wrapped__))
        if hasattr(kind, "__get__") and hasattr(value, "__dict__"):  # a descriptor in a class
            return _hash("descriptor", each(kind), each(vars(value)))
        told, version = repr(value), source.origin(kind.__module__)
        silent = kind.__repr__ is object.__repr__ or hasattr(value, "state_dict") or kind is np.ufunc
        silent |= version not in (None, "python") and told.startswith("<")  # a tf.data.Dataset, say
        if silent or re.search(r"\b0x[0-9a-f]{4,}", told):
            raise TypeError(
                f"{value!r} has no description that stays the same in another process. Give its class a __repr__ that "
                "tells all that matters, or use a function, a Keras layer or a scikit-learn estimator in its place."
            )
        return _hash("repr", each(kind), told)

    def _function(self, function):
        module = function.__globals__.get("__name__")
        name = function.__code__.co_qualname
        if (version := self.origin(module)) is not None:
            if place := self.place(function):
                return _hash("import", *place)
            name = _hash("installed", module, name, version)  # a decorator's inner function, say
        else:
            self._note(function)
            name = source.identity(function)
        cells = [_contents(cell) for cell in function.__closure__ or ()]
        own = {called: found for called, found in self.reads(function).items() if type(found) in _EXACT}
        own |= vars(function) if version is None else {}
        return _hash("function", name, self.describe([function.__defaults__, function.__kwdefaults__, cells, own]))

    def origin(self, module):
        found = source.origin(module)
        return found if found is None or self.versions else "installed"

    def place(self, value):
        found = source.place(value)
        return found if found is None or self.versions else found[:2]

    def reads(self, function):
        if id(function) not in self.read:
            self.read[id(function)] = function, source.read_by(function)
        return self.read[id(function)][1]

    def _note(self, code):
        if id(code) not in self.known:
            self.known[id(code)] = code
            if isinstance(code, types.FunctionType):
                self.todo.append(code)

    def _class(self, kind):
        if (version := self.origin(kind.__module__)) is not None:
            return _hash("class", _name(kind), version)
        self._note(kind)
        members = {name: item for name, item in vars(kind).items() if _counts(kind, name, item)}
        if dataclasses.is_dataclass(kind):
            told = ("name", "default", "default_factory", "init", "repr", "compare", "kw_only")
            fields = [[getattr(field, name) for name in told] for field in dataclasses.fields(kind)]
            members["fields"] = [[None if x is dataclasses.MISSING else x for x in field] for field in fields]
        return _hash("class", kind.__qualname__, self.describe([type(kind), *kind.__bases__]), self.describe(members))

    def _module(self, module):
        if (version := self.origin(module.__name__)) is not None:
            return _hash("module", module.__name__, version)
        found = {
            name: item
            for name, item in vars(module).items()
            if not (
                _dunder(name) or isinstance(item, types.ModuleType) or source.is_memory(module.__name__, name, item)
            )
        }
        return _hash("module", self.describe(found))

    def _blueprint(self, layer):
        parts = layer._flatten_layers()
        operations = [each for part in parts for each in getattr(part, "operations", ()) if each not in parts]
        carried = [[type(part), _carried(part)] for part in (*parts, *operations)]
        return _hash("blueprint", architecture(layer), self.describe(carried))


def _contents(cell):
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _dunder(name):
    return name.startswith("__") and name.endswith("__")


def _counts(kind, name, item):
    """Whether an attribute of a class was written for it: code, or a value under an ordinary name."""
    if isinstance(item, types.FunctionType):
        written = item.__code__.co_qualname
        return not (_WRITTEN.match(written) or (issubclass(kind, tuple) and written == "<lambda>"))
    if _dunder(name):
        return isinstance(item, property | classmethod | staticmethod)
    hidden = issubclass(kind, enum.Enum) and name.startswith("_")
    return not hidden and name != "_abc_impl"


# ---------------------------------------------------------------- Keras


class _Blueprint:
    """A layer without its weights."""

    def __init__(self, layer):
        self.layer = layer


def blueprint(layer):
    """Return a sha256 (hex) of a layer or model without its weights: configuration, and the code of all layers within.

    Raises
    ------
    TypeError
        If something in it has no stable description.
    """
    return fingerprint(_Blueprint(layer))


@functools.cache
def _internals():
    left_by_training = {"history", "optimizer", "stop_training", "stop_evaluating", "stop_predicting"}
    return {*vars(keras.Layer()), *vars(keras.Model()), "input_names", "output_names", *left_by_training}


def _carried(part):
    """What a layer holds outside configuration and weights: functions, and, where its code is ours, all else."""
    ours, asked = False, set()
    for kind in type(part).__mro__:
        if source.origin(kind.__module__) is None:
            functions = [getattr(item, "fget", item) for item in vars(kind).values()]
            codes = [function.__code__ for function in functions if hasattr(function, "__code__")]
            ours, asked = True, asked.union(*(source.names_in(code)[2] for code in codes))
    held = {
        name: _held(item, ours and (name in asked or not name.startswith("_")))  # Keras's own are private
        for name, item in vars(part).items()
        if name not in _internals()
    }
    return {name: item for name, item in held.items() if item is not source.MISSING}


def _held(value, asked):
    """The part of an attribute that counts: code of ours, and, where our code asks for it, everything else as well."""
    if isinstance(value, keras.Layer | keras.Variable | keras.KerasTensor | keras.random.SeedGenerator):
        return source.MISSING  # weights and layers count on their own
    if isinstance(value, list | tuple | dict):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        found = {key: _held(item, asked) for key, item in items}
        return {key: item for key, item in found.items() if item is not source.MISSING} or source.MISSING
    function = getattr(value, "__func__", value)
    home = getattr(function, "__globals__", {}).get("__name__", type(value).__module__)
    carries = isinstance(value, functools.partial) or source.origin(home) is None
    return value if asked or carries else source.MISSING


def architecture(layer):
    """Return a layer's configuration as JSON, without the numbers that Keras counts up in automatic names.

    Raises
    ------
    TypeError
        If a layer has none.
    """
    try:
        return _plain_json(layer.get_config())
    except NotImplementedError as error:
        raise TypeError(f"{layer.name!r} has no configuration: {error}") from error


def _plain_json(value):
    names = {}

    def collect(node):
        if isinstance(node, dict):
            if isinstance(node.get("name"), str):
                names.setdefault(node["name"], f"#{len(names)}")
            node = list(node.values())
        for child in node if isinstance(node, list | tuple) else ():
            collect(child)

    def rename(node):
        if isinstance(node, dict):
            if node.get("class_name") == "__lambda__":  # bytecode and a file's name; the function itself counts as code
                return "lambda"
            ours = "class_name" in node and source.origin(node.get("module")) is None  # it may move to another file
            left_out = ("compile_config", "module") if ours else ("compile_config",)
            return {key: rename(child) for key, child in node.items() if key not in left_out}
        if isinstance(node, list | tuple):
            return [rename(child) for child in node]
        return names.get(node, node) if isinstance(node, str) else node

    config = keras.saving.serialize_keras_object(value)
    collect(config)
    return json.dumps(rename(config), sort_keys=True)


def _assets(layer):
    """The vocabularies that tokenizers and look-up layers keep outside configuration and weights."""
    found = []
    for part in layer._flatten_layers():
        if hasattr(part, "save_assets"):
            with tempfile.TemporaryDirectory() as folder:
                part.save_assets(folder)
                found.append({path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())})
    return found
