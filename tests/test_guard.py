"""A test that is killed leaves no server behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests import guard
from tests.redis_server import redis_server

pytestmark = pytest.mark.timeout(60)

_SERVER = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
try:
    time.sleep(600)
finally:
    child.kill()
"""
_TEST = f"""
import subprocess, sys
from tests.guard import guard_this_process
guard_this_process()
server = subprocess.Popen([sys.executable, "-c", {_SERVER!r}], process_group=0)
print(server.pid, flush=True)
sys.stdin.read()
"""
_STUBBORN = """
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""
_NESTED = f"""
import signal, subprocess, sys
from tests.guard import guard_this_process
signal.signal(signal.SIGINT, signal.SIG_IGN)
guard_this_process()
child = subprocess.Popen([sys.executable, "-c", {_STUBBORN!r}], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""
_OUTER = f"""
import subprocess, sys
from tests.guard import guard_this_process
guard_this_process()
subprocess.Popen([sys.executable, "-c", {_NESTED!r}]).wait()
"""
_TEST_FILE = f"""
import subprocess, sys
def test_it_waits_for_what_does_not_stop():
    command = [sys.executable, "-c", {_STUBBORN!r}]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with open("WHERE", "w") as file:
            file.write(str(process.pid))
"""
_WITHIN_S = 20.0
_ROOT = Path(__file__).parents[1]


@pytest.fixture
def stubborn() -> Iterator[psutil.Process]:
    """A server that does not mind Ctrl-C."""
    command = [sys.executable, "-c", _STUBBORN]
    env = {**os.environ, "ECHO_TEST_STARTED_BY": "a label"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env) as process:
        assert process.stdout
        process.stdout.readline()
        yield psutil.Process(process.pid)
        process.kill()


def test_a_server_ends_when_its_test_is_killed() -> None:
    """Five servers ran on when the tests of a whole run were stopped with Ctrl-C."""
    with subprocess.Popen(
        [sys.executable, "-c", _TEST], cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as test:
        assert test.stdout
        lines = [test.stdout.readline() for _ in range(2)]
        found = [psutil.Process(int(line)) for line in lines]
        test.send_signal(signal.SIGKILL)
    assert gone(found)


def test_one_that_does_not_stop_is_killed_and_named(stubborn: psutil.Process) -> None:
    assert guard.bearing("a label") == [stubborn]
    assert guard.end("a label", patience_s=0.5) == [stubborn]
    stubborn.wait(_WITHIN_S)


def test_a_redis_is_found_by_its_label() -> None:
    """One ran on after a bench was killed: its title had overwritten its environment."""
    with redis_server() as (process, _):
        found = guard.bearing(os.environ["ECHO_TEST_STARTED_BY"])
        assert process.pid in [each.pid for each in found]


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["one process", "xdist"])
def test_after_ctrl_c_what_is_left_is_found_and_named(
    tmp_path: Path, workers: tuple[str, ...]
) -> None:
    """On the terminal: pytest has captured what its children print."""
    os.mkfifo(tmp_path / "pid")
    file = tmp_path / "test_it.py"
    file.write_text(_TEST_FILE.replace("WHERE", str(tmp_path / "pid")))
    options = ["-c", os.devnull, "-p", "tests.conftest", "-p", "no:cacheprovider", *workers]
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, str(file)],
        cwd=_ROOT,
        env={**os.environ, "ECHO_TEST_PATIENCE_S": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as tests:
        left = psutil.Process(int((tmp_path / "pid").read_text()))
        os.killpg(tests.pid, signal.SIGINT)
        _, said = tests.communicate(timeout=_WITHIN_S)
    assert gone([left])
    assert f"had to kill {left.pid} python" in said


def test_a_guard_outlives_the_guard_of_what_has_started_it() -> None:
    """A bench that a test starts has a guard of its own, which was killed with the bench."""
    env = {**os.environ, "ECHO_TEST_PATIENCE_S": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", _OUTER], cwd=_ROOT, env=env, stdout=subprocess.PIPE
    ) as outer:
        assert outer.stdout
        left = psutil.Process(int(outer.stdout.readline()))
        bench = left.parent()
        assert bench
        outer.kill()
    assert gone([bench, left])


def gone(processes: list[psutil.Process]) -> bool:
    """Whether they end; killed if they do not."""
    _, left = psutil.wait_procs(processes, _WITHIN_S)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return not left
