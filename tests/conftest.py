"""For all tests. Set before torch is loaded: see serve_app/app.py."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("GOMP_SPINCOUNT", "20000")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For `make test`, which has two workers. What belongs together is done by one of them: tests
    that share the server of `tests/serve/conftest.py`, and otherwise each file, whose tests share
    models."""
    for item in items:
        path = Path(item.location[0])
        shares = "serve" in path.parts and "server" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("server" if shares else str(path)))
