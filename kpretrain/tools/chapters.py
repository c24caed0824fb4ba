"""What each chapter needs, read from the notebooks themselves: the packages of their code, the memory of their stamps.

Nothing but the standard library is imported, since `python -m kpretrain doctor` asks where packages are missing.
"""

import ast
import contextlib
import importlib.util
import json
import re
from dataclasses import dataclass

from ..paths import ROOT

# What no import shows: code of a notebook -> a package that runs it, and within which library.
_BEHIND = {
    r"Text\w*Preprocessor": "tensorflow_text",  # keras_hub's tasks that are given strings
    r'format="onnx"': "tf2onnx",
    r"to_litert": "ai_edge_litert",
}


@dataclass(frozen=True)
class Chapter:
    """What one notebook needs.

    Attributes
    ----------
    number : str
        "07".
    modules : frozenset of str
        The top-level modules without which a cell of it fails.
    optional : frozenset of str
        Those that it imports only if they are there.
    memory : float
        GB, the peak of the run whose outputs it holds; 0.0 if it holds none.
    """

    number: str
    modules: frozenset
    optional: frozenset
    memory: float

    def missing(self):
        """Return the modules that this chapter needs and that this Python cannot find, sorted."""
        return sorted(name for name in self.modules if not there(name))


def there(name):
    """Tell whether a top-level module can be found, without importing it.

    Examples
    --------
    >>> there("json"), there("a_module_that_nobody_wrote")
    (True, False)
    """
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:  # it was put into sys.modules by hand
        return False


def chapters(folder=ROOT / "notebooks"):
    """Return a `Chapter` for each numbered notebook of a folder, in order.

    Readers change notebooks: a cell that is no Python counts for nothing, and a file that is no notebook is left out.

    Examples
    --------
    >>> last = chapters()[-1]
    >>> last.number, "sklearn" in last.modules, "dask" in last.optional, last.memory > 0.5
    ('16', True, True, True)
    """
    listed = []
    for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        with contextlib.suppress(ValueError, LookupError):
            listed.append(_chapter(path))
    return listed


def _chapter(path):
    cells = [cell for cell in json.loads(path.read_text(encoding="utf8"))["cells"] if cell["cell_type"] == "code"]
    printed = "".join("".join(output.get("text", "")) for cell in cells for output in cell["outputs"])
    peaks = [float(peak) for peak in re.findall(r"peak memory ([\d.]+) GB", printed)]
    code = ["".join(cell["source"]) for cell in cells if "setup" not in cell["metadata"].get("tags", [])]
    modules, optional = set(), set()
    for source in code:
        with contextlib.suppress(SyntaxError):
            _imports(ast.parse(re.sub(r"^(\s*)[%!].*", r"\1pass", source, flags=re.M)), modules, optional)
    modules |= {module for pattern, module in _BEHIND.items() if re.search(pattern, "\n".join(code))}
    return Chapter(path.name[:2], frozenset(modules), frozenset(optional - modules), max(peaks, default=0.0))


def _imports(node, modules, optional):
    """Put what a piece of code imports into one set or, if that stands within `if` or `try`, into the other."""
    if isinstance(node, ast.Import):
        modules |= {alias.name.split(".")[0] for alias in node.names}
    elif isinstance(node, ast.ImportFrom) and not node.level:
        modules.add(node.module.split(".")[0])
    inside = optional if isinstance(node, ast.If | ast.Try) else modules
    for child in ast.iter_child_nodes(node):
        _imports(child, inside, optional)
