"""For all tests. Set before torch is loaded: see serve_app/app.py."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("GOMP_SPINCOUNT", "20000")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

_SERVERS = {"serve", "web"}
"""Folders whose tests start real servers."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For `make test`, which has two workers: one for all that starts servers, so that there is one
    server at a time; the other one takes file by file, since a file shares its models."""
    for item in items:
        path = Path(item.location[0])
        servers = _SERVERS & set(path.parts)
        item.add_marker(pytest.mark.xdist_group("servers" if servers else str(path)))
