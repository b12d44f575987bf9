"""What belongs to a server that was killed, and what does not."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import psutil
import pytest

from serve_app.local.leftovers import MARKER, bearing_marker, end_leftovers, leftovers

Start = Callable[[Mapping[str, str]], subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        def sleeping(env: Mapping[str, str]) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
            process = stack.enter_context(
                subprocess.Popen(command, env={**os.environ, **env}, stdout=subprocess.PIPE)
            )
            stack.callback(process.kill)
            assert process.stdout
            process.stdout.readline()
            return process

        yield sleeping


def ids() -> set[int]:
    return {process.pid for process in leftovers()}


def of_a_dead_process() -> dict[str, str]:
    """As the processes of a server whose command has ended."""
    code = "from serve_app.local.leftovers import *; print(bearing_marker()[MARKER])"
    return {MARKER: subprocess.check_output([sys.executable, "-c", code], text=True).strip()}


@pytest.mark.parametrize("is_frozen", [False, True])
def test_what_a_dead_process_has_started_is_ended_and_named(
    start: Start, monkeypatch: pytest.MonkeyPatch, is_frozen: bool
) -> None:
    """Also one that is stopped (SIGSTOP), which no signal but SIGKILL ends."""
    process = start(of_a_dead_process())
    # Nothing but this one, whatever else has been killed on this machine.
    found = psutil.Process(process.pid)
    monkeypatch.setattr(psutil, "process_iter", lambda: [found])
    if is_frozen:
        found.suspend()
    said: list[str] = []
    end_leftovers(said.append)
    process.wait(10)
    (line,) = said
    assert f"{process.pid} python" in line


def test_the_process_id_of_a_dead_process_may_be_in_use_again(start: Start) -> None:
    pid, start_time = bearing_marker()[MARKER].split("/")
    assert start({MARKER: f"{pid}/{int(start_time) - 1}"}).pid in ids()


def test_what_a_running_process_has_started_is_left_alone(start: Start) -> None:
    assert start(bearing_marker()).pid not in ids()


def test_what_nobody_has_marked_is_left_alone(start: Start) -> None:
    assert start({}).pid not in ids()


def test_we_do_not_end_ourselves() -> None:
    """A tool of a server may start another server, and live on."""
    code = "import os; from serve_app.local.leftovers import *; print([p.pid for p in leftovers()])"
    env = {**os.environ, **of_a_dead_process()}
    assert subprocess.check_output([sys.executable, "-c", code], env=env, text=True) == "[]\n"
