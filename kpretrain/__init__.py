"""kpretrain: the helper module of a Keras 3 course on pretraining.

Importing it is cheap: a part is loaded when it is first used, and no deep-learning
framework is imported until one is needed.
"""

import importlib

__version__ = "0.1.0"

_MODULES = (
    "backbones",
    "check",
    "clean",
    "comparison",
    "data",
    "fingerprint",
    "models",
    "objectives",
    "plot",
    "presets",
    "results",
    "session",
    "source",
    "text",
    "transfer",
)
_WITHIN = {"arms": "comparison.arms", "machine": "tools.doctor"}
_FROM_MODULES = {
    "Comparison": "comparison",
    "Features": "transfer",
    "FineTune": "transfer",
    "compare": "comparison",
    "profile": "session",
    "setup": "session",
    "stamp": "session",
}

__all__ = [*_MODULES, *_WITHIN, *_FROM_MODULES]


def __getattr__(name):
    if name in _MODULES:
        return importlib.import_module(f"kpretrain.{name}")
    if name in _WITHIN:
        return importlib.import_module(f"kpretrain.{_WITHIN[name]}")
    if name in _FROM_MODULES:
        return getattr(importlib.import_module(f"kpretrain.{_FROM_MODULES[name]}"), name)
    raise AttributeError(f"module 'kpretrain' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
