"""The ingress of a real server follows its sessions: it grows, and drains a replica to shrink."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from websockets.sync.client import connect

from bench import providers
from bench.processes import kind_of, title
from tests.serve.call import SERVICE_RESTART, Call
from tests.serve.conftest import Server, config_with, free_port, running_server

pytestmark = [
    pytest.mark.serve,
    pytest.mark.models,
    pytest.mark.timeout(300),
    pytest.mark.slow,  # tests/deployments/test_scaling.py has what is decided
]

SESSIONS = 5
INGRESS = {
    "max_replicas": 2,
    "max_sessions": 8,
    "target_sessions": SESSIONS - 1,
    "upscale_delay_s": 0,
    "downscale_delay_s": 1,
}
DRAIN_S = 4
WITHIN_S = 60.0
"""Serve is told the number of sessions every 10 s."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    port = free_port()
    config = config_with(tmp_path, port, ingress=INGRESS)
    with providers.provided() as environment:
        environment["RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S"] = str(DRAIN_S)
        with running_server(config, port, environment) as server:
            yield server


def replicas(server: Server) -> int:
    processes = psutil.Process(server.process.pid).children(recursive=True)
    return sum(kind_of(title(process)) == "ingress" for process in processes)


def sessions(server: Server) -> int:
    """Those of the replica that HAProxy asks this time."""
    return int(json.loads(server.healthz())["sessions"])


def called(server: Server, stack: ExitStack) -> Call:
    """A call that ends with the stack."""
    return Call(stack.enter_context(connect(server.url, max_size=None)))


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.1)


def test_the_ingress_follows_its_sessions(server: Server) -> None:
    assert replicas(server) == 1
    with ExitStack() as early, ExitStack() as late:
        first = [called(server, early) for _ in range(SESSIONS)]
        assert all(c.takes("one replica") for c in first)
        wait_until(lambda: sessions(server) == 0, "no replica without sessions takes calls")
        assert replicas(server) == 2
        # HAProxy has restarted and counts from zero: one call to each replica.
        left = [called(server, late) for _ in range(2)]
        assert all(c.takes("two replicas") for c in first + left)
        early.close()
        wait_until(lambda: replicas(server) == 1, "no replica goes")
        assert [c for c in left if c.takes("one again")], "a call on the other one goes on"
        ended = [c.socket.close_code for c in left if not c.takes("still here")]
        assert ended == [SERVICE_RESTART]
        assert called(server, late).takes("connect again")
