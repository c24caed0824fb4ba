"""The fair comparison: arms x labels per class x draws, on the same labelled rows, with intervals and a verdict.

draws.py chooses the labelled rows, grid.py runs it, report.py says what it shows, statistics.py has the intervals,
figure.py the curves, records.py what is stored and pooled.
"""

from .draws import label_sizes
from .grid import ComparisonError, compare
from .report import Comparison
