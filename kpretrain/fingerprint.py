"""A name for anything that an arm may hold: the same in every process, and another one after a change."""

import dataclasses
import dis
import functools
import hashlib
import json
import numbers
import re
import sys
import tempfile
import types
from pathlib import Path, PurePath

import keras
import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator


def fingerprint(value):
    """Return a sha256 (hex) that is the same in every process, for all that an arm of a comparison may hold.

    Keras models and layers (class, configuration without automatic names, weights, vocabularies), arrays, sparse arrays
    and tables, scikit-learn estimators (class and parameters), functions (code, defaults, closure, and, for those
    written in a notebook or script, the globals they read), dataclasses, containers, and plain values. A class from a
    notebook counts with the code of its methods, another class by its name, and so does a module that is imported.

    Raises
    ------
    TypeError
        If something in it has no stable description.
    """
    return _describe(value, ()).hex()


def _hash(kind, *parts):
    digest = hashlib.sha256(kind.encode())
    for part in parts:
        part = part.encode("utf8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def _name(value):
    return f"{value.__module__}.{value.__qualname__}"


def _describe(value, seen):
    """sha256 of one value; `seen` holds the functions around it, which may call one another in a circle."""
    each = functools.partial(_describe, seen=seen)
    kind = type(value)
    if value is None or isinstance(
        value, str | bytes | bytearray | numbers.Number | np.generic | np.dtype | range | slice
    ):
        return _hash("plain", _name(kind), repr(value))
    if isinstance(value, PurePath):
        return _hash("path", str(value))
    if isinstance(value, dict):
        return _hash("dict", *sorted(each(key) + each(item) for key, item in value.items()))
    if isinstance(value, set | frozenset):
        return _hash("set", *sorted(map(each, value)))
    if isinstance(value, list | tuple):
        return _hash("list" if isinstance(value, list) else "tuple", *map(each, value))
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return _hash("objects", repr(value.shape), *map(each, value.ravel()))
        body = memoryview(np.ascontiguousarray(value).reshape(-1).view("uint8")) if value.size else b""
        return _hash("array", str(value.dtype), repr(value.shape), body)
    if isinstance(value, keras.Layer):
        parts = (architecture(value), each(value.get_weights()), each(_assets(value)), each(_methods(kind)))
        return _hash("keras", _name(kind), *parts)
    if isinstance(value, type):
        return _hash("class", _name(value))
    if isinstance(value, types.ModuleType):
        return _hash("module", value.__name__)
    if isinstance(value, types.CodeType):
        return _describe_code(value, seen)
    if isinstance(value, types.FunctionType):
        return _describe_function(value, seen)
    if isinstance(value, types.MethodType):
        return _hash("method", each(value.__func__), each(value.__self__))
    if isinstance(value, functools.partial):
        return _hash("partial", each(value.func), each(value.args), each(value.keywords))
    if isinstance(value, BaseEstimator) or hasattr(value, "get_params"):
        return _hash("estimator", _name(kind), each(value.get_params(deep=False)), each(_methods(kind)))
    if scipy.sparse.issparse(value):  # its repr tells how many numbers there are, not which
        coordinates = value.tocoo()
        return _hash("sparse", repr(value.shape), each(coordinates.coords), each(coordinates.data))
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return _hash("dataclass", _name(kind), each(fields))
    if hasattr(value, "to_numpy"):  # pandas
        return _hash("table", _name(kind), each(list(getattr(value, "columns", []))), each(value.to_numpy()))
    if hasattr(value, "get_config"):  # Keras's optimizers, losses, schedules
        return _hash("config", _name(kind), _plain_json(value))
    if hasattr(value, "to_str"):  # Hugging Face tokenizers, whose repr leaves most of the vocabulary out
        return _hash("to_str", _name(kind), value.to_str())
    if getattr(sys.modules.get(getattr(value, "__module__", "")), getattr(value, "__name__", ""), None) is value:
        return _hash("import", value.__module__, value.__name__)  # a compiled function
    if kind.__repr__ is object.__repr__ or re.search(r"\b0x[0-9a-f]{4,}", repr(value)):
        raise TypeError(
            f"{value!r} has no description that stays the same in another process. Give its class a __repr__ that "
            "tells all that matters, or use a function, a Keras layer or a scikit-learn estimator in its place."
        )
    return _hash("repr", _name(kind), repr(value))


def _methods(kind):
    """The methods of a class from a notebook, which may be written anew under the same name; else none."""
    here = kind.__module__ == "__main__"
    return [part for part in vars(kind).values() if here and isinstance(part, types.FunctionType)]


def _describe_function(function, seen):
    if function in seen:
        return _hash("circle", _name(function))
    seen = (*seen, function)
    each = functools.partial(_describe, seen=seen)
    code, own = function.__code__, {}
    if function.__module__ == "__main__":  # a notebook: its other cells change, and a file's modules seldom do
        own = {name: function.__globals__[name] for name in _globals_read(code) if name in function.__globals__}
    closure = []
    for cell in function.__closure__ or ():
        try:
            closure.append(cell.cell_contents)
        except ValueError:  # not filled yet
            closure.append(None)
    return _hash(
        "function",
        _name(function),
        *map(each, (code, function.__defaults__, function.__kwdefaults__, closure, own)),
    )


def _describe_code(code, seen):
    return _hash("code", code.co_code, repr(code.co_names), *(_describe(each, seen) for each in code.co_consts))


def _globals_read(code):
    names = {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return names.union(*(_globals_read(inner) for inner in code.co_consts if isinstance(inner, types.CodeType)))


def architecture(layer):
    """Return a layer's configuration as JSON, without the numbers that Keras counts up in automatic names."""
    return _plain_json(layer.get_config())


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
            return {key: rename(child) for key, child in node.items() if key != "compile_config"}
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


def rows_fingerprint(rows):
    """Placeholder until the keys of kept things are merged."""
    import os

    rows, state = np.asarray(rows), hashlib.sha256()
    state.update(f"{rows.dtype.kind} {rows.shape}".encode())
    if rows.dtype.kind in "biufc":
        state.update(np.ascontiguousarray(rows))
        return state.hexdigest()
    files = len(rows) > 0 and isinstance(rows[0], str) and os.path.isfile(rows[0])
    for row in rows:
        state.update(hashlib.sha256(Path(row).read_bytes() if files else str(row).encode()).digest())
    return state.hexdigest()
