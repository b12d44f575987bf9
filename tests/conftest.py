"""For all tests. Set before torch is loaded: see serve_app/app.py."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("GOMP_SPINCOUNT", "20000")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

_SERVERS = {"serve", "web"}
"""Folders whose tests start real servers."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For `make test`, which has two workers. What belongs together is done by one of them: the
    folders whose tests share a server, and otherwise each file, whose tests share models."""
    for item in items:
        path = Path(item.location[0])
        folder = next((part for part in path.parts if part in _SERVERS), "")
        item.add_marker(pytest.mark.xdist_group(folder or str(path)))
