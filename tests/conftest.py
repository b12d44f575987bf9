"""For all tests. Set before torch is loaded: see serve_app/app.py."""

import os
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.guard import guard_this_process

os.environ.setdefault("GOMP_SPINCOUNT", "20000")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


# Background jobs of a shell ignore Ctrl-C, and so would what tests start and send it to.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_SERVERS = "tests/serve/"


class ServersInTurn(LoadScopeScheduling):
    """One worker has all that starts servers: two of them at once are too slow on two cores. The
    others have the rest, file by file."""

    def _split_scope(self, nodeid: str) -> str:
        return _SERVERS if nodeid.startswith(_SERVERS) else nodeid.partition("::")[0]


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """What takes longest comes first. The server that many tests share runs until the end, so it
    starts last."""

    def key(item: pytest.Function) -> tuple[bool, bool]:
        has_its_own = hasattr(item.module, "server")
        is_shared = "server" in item.fixturenames and not has_its_own
        return not item.nodeid.startswith(_SERVERS), is_shared

    items.sort(key=key)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ServersInTurn:
    """`-n 2` needs no `--dist`."""
    config.option.loadscopereorder = False
    return ServersInTurn(config, log)


def pytest_sessionstart(session: pytest.Session) -> None:
    """In each worker of pytest-xdist, too. What the guard says goes to the terminal: what pytest
    captures is shown to nobody after Ctrl-C."""
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else nullcontext():
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
