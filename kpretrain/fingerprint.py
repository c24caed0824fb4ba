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

from . import source

_BYTES = (bytes, bytearray, memoryview)
_PLAIN = (str, *_BYTES, numbers.Number, type(None), type(...), range, slice, np.generic, np.dtype)
_CODE = (types.FunctionType, type, types.ModuleType)


def fingerprint(value, versions=True):
    """Return a sha256 (hex) that is the same in every process, for all that an arm of a comparison may hold.

    Values: Keras models and layers (configuration without automatic names, weights, vocabularies, and the code of every
    layer within), arrays, sparse arrays and tables, scikit-learn estimators (class and parameters), dataclasses,
    containers, plain values, and whatever has a `__repr__` without an address.

    Code of yours, of a notebook, a script or a module beside them: a function counts with its bytecode, defaults and
    closure, a class with its base classes, methods and attributes, and both with all that they read by a global name or
    an import of their own: constants, and the functions and classes that they call, and what those read. Comments and
    the place in a file make no difference. What is installed counts by its name and version (`1.2.3` of it), and
    kpretrain by its name and the text of its files. Not seen is what code looks up by a name that it puts together.

    Parameters
    ----------
    value : anything
    versions : bool
        False is for records of several machines that are to be pooled: it leaves out versions, those of Python and of
        kpretrain among them, and takes the source of your functions for their bytecode.

    Raises
    ------
    TypeError
        If something in it has no stable description.

    Examples
    --------
    >>> fingerprint([1, {"a": "b"}]) == fingerprint([1, {"a": "b"}]) != fingerprint([1, {"a": "c"}])
    True
    >>> fingerprint(object())  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    TypeError: <object object at 0x...> has no description that stays the same in another process. Give its class ...
    """
    walk = _Walk(versions)
    parts = [walk.describe(value)]
    parts += [walk.describe(walk.content(code)) for code in walk.met]  # which grows
    return _hash("whole", *parts).hex()


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

    Examples
    --------
    >>> rows_fingerprint(["a", "bc"]) == rows_fingerprint(("a", "bc")) != rows_fingerprint(["ab", "c"])
    True
    """
    if not isinstance(rows, list | tuple) or not len(rows) or not isinstance(rows[0], str | PurePath):
        rows = np.asarray(rows)  # but for lists of strings, which would all become as long as the longest
        if rows.dtype.kind in "biufc":
            return _hash("numbers", rows.dtype.kind, repr(rows.shape), _body(rows)).hex()
        if not rows.ndim:
            return fingerprint(rows.item(), versions=False)
        rows = rows.tolist() if rows.ndim == 1 else list(rows)
    return _hash("rows", *map(_row, rows)).hex()


def _row(row):
    if not isinstance(row, str | PurePath):
        return bytes.fromhex(fingerprint(row, versions=False))
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


class _Walk:
    """One call of `fingerprint`: it describes a value, and numbers all code of ours that it meets on the way."""

    def __init__(self, versions):
        self.versions = versions
        self.numbers = {}  # id of a function, class or module of ours -> its place in `met`
        self.met = []  # which also keeps them, so that no other object gets the id

    def describe(self, value):
        """sha256 of a value; code of ours stands in it as a number."""
        each, kind = self.describe, type(value)
        if isinstance(value, _PLAIN) and not isinstance(value, enum.Enum):
            literal = value if isinstance(value, _BYTES) else repr(value)
            return _hash("plain", f"{kind.__module__}.{kind.__qualname__}", literal)
        if isinstance(value, _CODE):
            return self.code(value)
        if isinstance(value, dict):
            parts = [part for key in sorted(value, key=each) for part in (each(key), each(value[key]))]
        elif isinstance(value, set | frozenset):
            parts = sorted(map(each, sorted(value, key=lambda item: getattr(item, "__qualname__", ""))))
        elif isinstance(value, list | tuple):
            parts = map(each, value)
        else:
            applies = (what for rule, what in _COUNTS.items() if _is(value, rule))
            if (counts := next(applies, None)) is None and (importable := source.place(value)):
                return self.installed(*importable)
            parts = [each((counts or _else)(value))]
        return _hash("value", each(kind), *parts)

    def code(self, value):
        if not source.is_own(value):
            named = source.home(value), getattr(value, "__qualname__", "")
            if importable := source.place(value) if isinstance(value, types.FunctionType) else named:
                return self.installed(*importable)
        if id(value) not in self.numbers:
            self.numbers[id(value)] = len(self.met)
            self.met.append(value)
        return _hash("code", str(self.numbers[id(value)]))

    def installed(self, module, name):
        return _hash("installed", f"{module}.{name}", str(source.origin(module)) if self.versions else "")

    def content(self, code):
        """What counts of code of yours, and of the inner function of an installed decorator."""
        if isinstance(code, types.ModuleType):
            return {name: item for name, item in vars(code).items() if not _dunder(name)}
        if isinstance(code, type):
            members = {name: item for name, item in vars(code).items() if _written(code, name, item)}
            if dataclasses.is_dataclass(code):
                aspects = ("name", "default", "default_factory", "init", "compare", "kw_only")
                members["fields"] = [[getattr(field, each) for each in aspects] for field in dataclasses.fields(code)]
            return [code.__qualname__, type(code), code.__bases__, members]
        cells = zip(code.__code__.co_freevars, code.__closure__ or (), strict=True)
        filled = {name: cell.cell_contents for name, cell in cells if not repr(cell).endswith(": empty>")}
        outside = [code.__defaults__, code.__kwdefaults__, filled]
        if not source.is_own(code):
            return [self.installed(source.home(code), code.__code__.co_qualname), *outside]
        return [source.what_it_does(code.__code__, text=not self.versions), vars(code), source.read_by(code), *outside]


# ---------------------------------------------------------------- what of a value counts


_COUNTS = {  # by a type, or by an attribute
    keras.Layer: lambda layer: [layer.get_weights(), _assets(layer), *structure(layer)],
    np.ndarray: lambda x: (str(x.dtype), x.shape, x.ravel().tolist() if x.dtype == object else _body(x)),
    PurePath: str,
    re.Pattern: lambda pattern: (pattern.pattern, pattern.flags),  # its repr is cut short
    types.SimpleNamespace: vars,
    "get_params": lambda estimator: estimator.get_params(deep=False),
    "tocoo": lambda sparse: (sparse.shape, sparse.tocoo().coords, sparse.tocoo().data),
    "__dataclass_fields__": lambda x: {field.name: getattr(x, field.name) for field in dataclasses.fields(x)},
    "to_numpy": lambda table: (list(getattr(table, "columns", [])), table.to_numpy()),  # pandas
    "get_config": lambda x: _plain_json(x),  # Keras's optimizers, losses, schedules
    "to_str": lambda tokenizer: tokenizer.to_str(),  # Hugging Face, whose repr leaves most of the vocabulary out
}
_INNER = ("__wrapped__", "__func__", "__self__", "fget", "fset", "fdel", "func", "args", "keywords")
_ASIDE = ("lock", "cache_parameters")  # of functools
_MAKERS = re.compile(r"(collections|dataclasses|enum|reprlib|typing|namedtuple_\w+)$")


def _is(value, rule):
    return isinstance(value, rule) if isinstance(rule, type) else hasattr(value, rule)


def _else(value):
    """What counts of a tensor, of a descriptor or decorated function, and of what its repr tells whole."""
    kind, text = type(value), repr(value)
    if keras.ops.is_tensor(value):
        return keras.ops.convert_to_numpy(value)
    if hasattr(kind, "__get__") or hasattr(value, "__wrapped__") or isinstance(value, functools.partial):
        own = {name: item for name, item in getattr(value, "__dict__", {}).items() if not _dunder(name)}
        own |= {name: getattr(value, name) for name in _INNER if hasattr(value, name)}
        if own := {name: item for name, item in own.items() if name not in _ASIDE}:
            return own
    silent = kind.__repr__ is object.__repr__ or hasattr(value, "state_dict")
    silent |= source.origin(kind.__module__) not in (None, "python") and text.startswith("<")  # a tf.data.Dataset, say
    if silent or re.search(r"\b0x[0-9a-f]{4,}", text):
        raise TypeError(
            f"{text} has no description that stays the same in another process. Give its class a __repr__ that "
            "tells all that matters, or use a function, a Keras layer or a scikit-learn estimator in its place."
        )
    return text


def _dunder(name):
    return name.startswith("__") and name.endswith("__")


def _written(kind, name, item):
    """Whether an attribute of a class was written for it: not what dataclasses, named tuples and enums add."""
    function = getattr(item, "__func__", item)
    if isinstance(function, types.FunctionType):
        made = _MAKERS.match(source.home(function) or "") or function.__code__.co_qualname.startswith("__create_fn__")
        return not made
    if _dunder(name):
        return hasattr(type(item), "__get__") and not isinstance(item, types.GetSetDescriptorType)
    return name != "_abc_impl" and not (issubclass(kind, enum.Enum) and name.startswith("_"))


# ---------------------------------------------------------------- Keras


def structure(layer):
    """Return what counts of a layer or model without its weights: configuration, and the code of all layers within.

    Examples
    --------
    >>> import keras
    >>> one, same, other = (structure(keras.layers.Dense(units)) for units in (3, 3, 4))
    >>> fingerprint(one) == fingerprint(same) != fingerprint(other)
    True
    """
    parts = layer._flatten_layers()
    parts = [*parts, *(operation for part in parts for operation in getattr(part, "operations", ()))]
    return [architecture(layer), [(type(part), _carried(part)) for part in parts]]


@functools.cache
def _internals():
    nothing = keras.Input((1,), name="nothing")
    models = keras.Model(), keras.Model(nothing, nothing, name="nothing"), keras.Sequential([nothing], name="nothing")
    left_by_training = {"history", "optimizer", "stop_training", "stop_evaluating", "stop_predicting"}
    return {"input_names", "output_names"}.union(left_by_training, vars(keras.Layer()), *map(vars, models))


def _carried(part):
    """What a layer holds outside configuration and weights: code, and, where its class is yours, what that asks for."""
    members = [item for kind in type(part).__mro__ if source.is_own(kind) for item in vars(kind).values()]
    codes = [getattr(getattr(item, "fget", item), "__code__", None) for item in members]
    asked = {name for code in codes if code for each in source.whole(code) for name in each.co_names}
    return {
        name: _without_layers(item)
        for name, item in vars(part).items()
        if name not in _internals()
        and (_holds_code(item) or (members and (name in asked or not name.startswith("_"))))  # Keras's are private
    }


_APART = (keras.Layer, keras.Variable, keras.KerasTensor, keras.random.SeedGenerator)  # weights and layers of their own


def _holds_code(value):
    if isinstance(value, dict | list | tuple):
        return any(map(_holds_code, value.values() if isinstance(value, dict) else value))
    code = isinstance(value, functools.partial) or source.is_own(getattr(value, "__func__", value))
    return code and not isinstance(value, _APART)


def _without_layers(value):
    if isinstance(value, dict):
        return {name: _without_layers(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return list(map(_without_layers, value))
    return None if isinstance(value, _APART) else value


def architecture(layer):
    """Return a layer's configuration as JSON, without the numbers that Keras counts up in automatic names.

    Raises
    ------
    TypeError
        If a layer has none.

    Examples
    --------
    >>> import keras
    >>> architecture(keras.layers.Dense(3)) == architecture(keras.layers.Dense(3))
    True
    """
    try:
        return _plain_json(layer.get_config())
    except NotImplementedError as error:
        raise TypeError(f"{layer.name!r} has no configuration: {error}") from error


def _plain_json(value):
    def plain(node):
        if node.get("class_name") == "__lambda__":  # bytecode and a file's name; the function itself counts as code
            return None
        module = node.get("module") or "__main__"
        may_move = module.startswith("kpretrain.") or source.origin(module) is None
        ours = "class_name" in node and may_move
        return {key: item for key, item in node.items() if key != "compile_config" and not (ours and key == "module")}

    whole = json.dumps(keras.saving.serialize_keras_object(value))
    names = {name: f'"#{number}"' for number, name in enumerate(dict.fromkeys(re.findall(r'"name": ("[^"]*")', whole)))}
    text = json.dumps(json.loads(whole, object_hook=plain), sort_keys=True)
    return re.sub(r'"(\\.|[^"\\])*":?', lambda match: names.get(match[0], match[0]), text)  # with a colon it is a key


def _assets(layer):
    """The vocabularies that tokenizers and look-up layers keep outside configuration and weights."""
    assets = []
    for part in layer._flatten_layers():
        if hasattr(part, "save_assets"):
            with tempfile.TemporaryDirectory() as folder:
                part.save_assets(folder)
                assets.append([(path.name, path.read_bytes()) for path in sorted(Path(folder).iterdir())])
    return assets
