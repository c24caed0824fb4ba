"""Machines on which no dataset lies."""

import pytest

from kpretrain.data import fetch


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A machine without data; the network is allowed, and refuses every connection."""
    monkeypatch.delenv("KPRETRAIN_DATA", raising=False)
    monkeypatch.setattr(fetch, "_REPOSITORY_DATA", tmp_path / "repository")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("KPRETRAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KPRETRAIN_OFFLINE", "0")
    monkeypatch.setenv("NO_PROXY", "*")
    for name, source in fetch.SOURCES.items():
        monkeypatch.setitem(fetch.SOURCES, name, source._replace(url=f"http://127.0.0.1:9/{source.files[0]}"))
    return tmp_path


@pytest.fixture
def shelf(nowhere, monkeypatch):
    """An own `$KPRETRAIN_DATA`, and no network."""
    monkeypatch.setenv("KPRETRAIN_OFFLINE", "1")
    monkeypatch.setenv("KPRETRAIN_DATA", str(nowhere))
    return nowhere
