"""A test that is killed leaves no server behind."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest

from tests.serve import guard
from tests.serve.conftest import ROOT

pytestmark = pytest.mark.timeout(60)

_SERVER = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("ready", child.pid, flush=True)
try:
    time.sleep(600)
finally:
    child.kill()
"""
_TEST = f"""
import sys
from tests.serve.conftest import start
server = start([sys.executable, "-c", {_SERVER!r}], 0, "ready")
print(server.process.pid, *server.lines, flush=True)
sys.stdin.read()
"""
_STUBBORN = """
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""
_WITHIN_S = 20.0


@pytest.fixture
def stubborn() -> Iterator[psutil.Process]:
    """A server that does not mind Ctrl-C."""
    command = [sys.executable, "-c", _STUBBORN]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield psutil.Process(process.pid)
        process.kill()


def test_a_server_ends_when_its_test_is_killed() -> None:
    """Five servers ran on when the tests of a whole run were stopped with Ctrl-C."""
    with subprocess.Popen(
        [sys.executable, "-c", _TEST], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as test:
        assert test.stdout
        server, _, child = test.stdout.readline().split()
        found = [psutil.Process(int(pid)) for pid in (server, child)]
        test.send_signal(signal.SIGKILL)
    _, left = psutil.wait_procs(found, _WITHIN_S)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    assert not left


def test_one_that_does_not_stop_is_killed_and_named(stubborn: psutil.Process) -> None:
    assert guard.end(stubborn, patience_s=0.5) == [stubborn]
    stubborn.wait(_WITHIN_S)
