"""A port that is in use is one line, which names who uses it."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import psutil
import pytest

from serve_app.errors import ConfigError
from serve_app.local.leftovers import bearing_marker
from serve_app.local.ports import check_free

LISTEN = "import socket, time; s = socket.create_server(('127.0.0.1', 0)); \
print(s.getsockname()[1], flush=True); time.sleep(60)"

Listen = Callable[[Mapping[str, str]], tuple[int, int]]


@pytest.fixture
def listening() -> Iterator[Listen]:
    """A process with a port: the ids of both."""
    with ExitStack() as stack:

        def start(env: Mapping[str, str]) -> tuple[int, int]:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", LISTEN],
                    env={**os.environ, **env},
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.kill)
            assert process.stdout
            return process.pid, int(process.stdout.readline())

        yield start


def refusal(port: int) -> str:
    with pytest.raises(ConfigError) as caught:
        check_free({"HERE": port})
    return str(caught.value)


def test_a_free_port_is_fine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    check_free({"HERE": port})


def test_a_foreign_process_is_named(listening: Listen) -> None:
    pid, port = listening({})
    line = refusal(port)
    assert line.startswith(f"port {port} is in use by process {pid} ({sys.executable} -c ")
    assert line.endswith("): stop what uses it, or move it with HERE") and "\n" not in line


def test_another_server_is_named_by_its_command(listening: Listen) -> None:
    _, port = listening(bearing_marker())
    assert f" by another Echo Serve (process {os.getpid()}): stop " in refusal(port)


def test_a_process_that_cannot_be_known_is_not_named(
    listening: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(_kind: str) -> None:
        raise psutil.AccessDenied

    _, port = listening({})
    monkeypatch.setattr(psutil, "net_connections", denied)
    assert refusal(port) == f"port {port} is in use: stop what uses it, or move it with HERE"
