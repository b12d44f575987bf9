"""For all tests. Set before torch is loaded: see serve_app/app.py."""

import os

from tests.guard import guard_this_process

os.environ.setdefault("GOMP_SPINCOUNT", "20000")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def pytest_sessionstart() -> None:
    """In each worker of pytest-xdist, too."""
    guard_this_process()
