"""For all tests. Set before torch is loaded: see serve_app/app.py."""

import os
from collections.abc import Iterator

import pytest

from tests.guard import guard_this_process

os.environ.setdefault("GOMP_SPINCOUNT", "20000")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def pytest_sessionstart() -> None:
    """In each worker of pytest-xdist, too."""
    guard_this_process()


@pytest.fixture(autouse=True)
def same_environment() -> Iterator[None]:
    """What a test leaves in the environment (the commands do: `RAY_AUTH_MODE` for Ray) is not
    there for the next test, whose Ray would not start."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)
