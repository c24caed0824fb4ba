"""The benchmark's texts with planted near duplicates, which the tests share."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def bench():
    """`tests/benchmarks/bench_duplicates.py` as a module."""
    path = Path(__file__).parents[1] / "benchmarks" / "bench_duplicates.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
