"""kpretrain: the helper of a Keras 3 course on pretraining. A part is loaded when it is first used.

session                     setup, profile, stamp: what every notebook starts and ends with
data, clean                 named data sets, your own folders and tables; noise, duplicates, splits
text, models, objectives    tokens and rows of tokens; encoders and augmentation; what is learned without labels
transfer                    Features and FineTune: a pretrained encoder as a scikit-learn estimator
comparison, arms            compare: arms x labels per class x draws, with intervals and a verdict
presets, backbones          checkpoints that are kept or shipped; pretrained networks to start from
ranking                     which backbone for these rows: scores of frozen features by a few labels
results, plot, check        stored records; figures; bets and the checks of the exercises
tools                       the command line and its pages, which a reader of a notebook never meets
files, words                caches and whole writes; numbers in words
fingerprint, source         keys of what is kept: values, and the code that they hold
"""

import importlib
import os
import pkgutil
import sys

from . import source  # at once, since it notes what the files of the course say now

__version__ = "0.1.0"

_INSIDE = {"__main__", "files", "masks", "paths", "tools", "words"}  # for the other modules alone
_MODULES = sorted({module.name for module in pkgutil.iter_modules(__path__)} - _INSIDE)
_FROM_MODULES = {
    "Comparison": "comparison",
    "Features": "transfer",
    "FineTune": "transfer",
    "arms": "comparison",
    "compare": "comparison",
    "profile": "session",
    "setup": "session",
    "stamp": "session",
}

__all__ = [*_MODULES, *_FROM_MODULES]


class _QuietStart:
    """Where Python looks for modules: it has TensorFlow loaded within `session.quiet`, whoever imports it, and when.

    From then on TensorFlow tells fatal errors only, unless `$TF_CPP_MIN_LOG_LEVEL` is set already.
    """

    def find_spec(self, name, path=None, target=None):
        if name != "tensorflow":
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec and spec.loader:
            load = spec.loader.exec_module

            def load_quietly(module):
                os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
                with importlib.import_module("kpretrain.session").quiet():
                    load(module)
                    module.config.list_physical_devices()  # it looks for a graphics card, and tells if there is none

            spec.loader.exec_module = load_quietly
        return spec


sys.meta_path.insert(0, _QuietStart())


def __getattr__(name):
    if name in _MODULES:
        return importlib.import_module(f"kpretrain.{name}")
    if name in _FROM_MODULES:
        return getattr(importlib.import_module(f"kpretrain.{_FROM_MODULES[name]}"), name)
    raise AttributeError(f"module 'kpretrain' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
