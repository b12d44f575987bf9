"""A server that is told to stop, in every way that an operating system has: it says so to its
sessions, ends with status 0, and leaves nothing. And one that is killed."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgpack
import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from bench import providers
from serve_app.local.ports import check_free
from tests.serve.conftest import READY
from tests.serve.terminal import Place, Terminal, place

pytestmark = [pytest.mark.serve, pytest.mark.models, pytest.mark.timeout(300)]

SLOW = pytest.mark.slow
"""Of a case of a test: the same test runs in `make test` with the cases that are not."""
SERVICE_RESTART = 1012
OPEN = {"type": "open", "prompt": "", "greeting": False, "events": ["goaway", "transcript"]}


@pytest.fixture(scope="module")
def engines() -> Iterator[Mapping[str, str]]:
    with providers.provided() as environment:
        yield environment


@pytest.fixture
def here(tmp_path: Path, engines: Mapping[str, str]) -> Iterator[Place]:
    with place(tmp_path, engines) as found:
        yield found


@contextmanager
def opened(here: Place) -> Iterator[ClientConnection]:
    """A session that has taken a turn."""
    with connect(here.url) as socket:
        socket.send(msgpack.packb(OPEN))
        socket.send(msgpack.packb({"type": "text", "text": "Hello."}))
        while msgpack.unpackb(socket.recv(timeout=30))["type"] != "transcript":
            pass
        yield socket


def last_words(socket: ClientConnection) -> tuple[bool, int]:
    """Whether the client is told to go away, and the close code."""
    told = False
    try:
        while True:
            told |= msgpack.unpackb(socket.recv(timeout=60))["type"] == "goaway"
    except ConnectionClosed as closed:
        return told, closed.rcvd.code if closed.rcvd else 1006


def nothing_is_left(here: Place) -> None:
    assert here.processes() == []
    check_free({"http_options.port": here.port, **here.ports})


# --- what can be done to a server ---


def ctrl_c(server: Terminal) -> None:
    server.press(b"\x03")


def send(number: int) -> Callable[[Terminal], None]:
    return lambda server: server.process.send_signal(number)


def send_to_group(number: int) -> Callable[[Terminal], None]:
    return lambda server: os.killpg(server.process.pid, number)


def close_terminal(server: Terminal) -> None:
    server.close()


def send_again_and_again(server: Terminal) -> None:
    for number in [signal.SIGTERM, signal.SIGINT, signal.SIGHUP] * 4:
        os.killpg(server.process.pid, number)
        time.sleep(0.3)


def send_to_the_process_with_ray(server: Terminal) -> None:
    """Ray's own handler for it aborts."""
    inner(server).send_signal(signal.SIGTERM)


def kill(server: Terminal) -> None:
    server.process.kill()


def inner(server: Terminal) -> psutil.Process:
    (child,) = psutil.Process(server.process.pid).children()
    return child


@pytest.mark.parametrize(
    "strike",
    [
        pytest.param(send(signal.SIGTERM), id="SIGTERM"),
        pytest.param(ctrl_c, id="ctrl-c", marks=SLOW),
        pytest.param(close_terminal, id="closed terminal", marks=SLOW),
        pytest.param(send_to_group(signal.SIGTERM), id="SIGTERM to the group", marks=SLOW),
        pytest.param(send_again_and_again, id="again and again", marks=SLOW),
        pytest.param(
            send_to_the_process_with_ray, id="SIGTERM to the process with Ray", marks=SLOW
        ),
    ],
)
def test_sessions_are_told_before_a_server_stops(
    here: Place, strike: Callable[[Terminal], None]
) -> None:
    server = here.start()
    server.wait_for(READY)
    with opened(here) as socket:
        strike(server)
        assert last_words(socket) == (True, SERVICE_RESTART)
    assert server.end() == 0, server.output
    nothing_is_left(here)


@pytest.mark.parametrize(
    "line, strike",
    [
        pytest.param("starting Ray", send(signal.SIGTERM), id="SIGTERM before Ray"),
        pytest.param("Ray is at", send(signal.SIGTERM), id="SIGTERM after Ray", marks=SLOW),
        pytest.param(
            "Ray is at", send_to_group(signal.SIGTERM), id="SIGTERM to the group", marks=SLOW
        ),
        pytest.param("starting Ray", ctrl_c, id="ctrl-c", marks=SLOW),
        pytest.param("Ray is at", close_terminal, id="closed terminal", marks=SLOW),
    ],
)
def test_a_server_stops_while_it_starts(
    here: Place, line: str, strike: Callable[[Terminal], None]
) -> None:
    server = here.start()
    server.wait_for(line)
    strike(server)
    assert server.end() == 0, server.output
    assert READY not in server.output
    nothing_is_left(here)


CONTAINER = ["unshare", "--pid", "--fork", "--mount-proc"]


def can_contain() -> bool:
    try:
        return not subprocess.run([*CONTAINER, "true"], capture_output=True, timeout=10).returncode
    except OSError:
        return False


@SLOW  # nothing quicker has a server without a process above it
@pytest.mark.skipif(not can_contain(), reason="may not make a namespace of process ids")
def test_sessions_are_told_before_a_container_stops(here: Place) -> None:
    """`docker stop` sends SIGTERM to the container's first process, which has nobody above it."""
    server = here.start(*CONTAINER)
    server.wait_for(READY)
    with opened(here) as socket:
        inner(server).terminate()
        assert last_words(socket) == (True, SERVICE_RESTART)
    assert server.end() == 0, server.output
    nothing_is_left(here)


@SLOW  # nothing quicker; test_the_next_start... below kills both processes
def test_sessions_are_told_when_only_the_command_is_killed(here: Place) -> None:
    """The process with Ray notices, and stops in order."""
    server = here.start()
    server.wait_for(READY)
    with opened(here) as socket:
        server.process.kill()
        assert last_words(socket) == (True, SERVICE_RESTART)
    server.end()
    psutil.wait_procs(here.processes(), timeout=40)
    nothing_is_left(here)


@SLOW  # nothing quicker; test_the_next_start... below kills both processes
def test_the_command_ends_with_the_process_that_ray_is_in(here: Place) -> None:
    server = here.start()
    server.wait_for(READY)
    inner(server).kill()
    assert server.end() == 1
    assert "the server's process was ended by signal 9" in server.output
    nothing_is_left(here)


def frozen(here: Place, name: str) -> list[psutil.Process]:
    """Stops the processes of this name. HAProxy has another worker after a change, and the one
    before ends by itself at some time: from here on, none does."""
    found = []
    for process in here.processes():
        with suppress(psutil.NoSuchProcess):
            if process.name() == name:
                process.suspend()
                found.append(process)
    return found


def test_the_next_start_ends_what_a_killed_server_has_left(here: Place) -> None:
    server = here.start()
    server.wait_for(READY)
    for process in (server.process, inner(server)):
        process.send_signal(signal.SIGSTOP)  # so that neither notices the end of the other
    proxies = frozen(here, "haproxy")
    assert proxies, "they keep the ports"
    killed = [inner(server), psutil.Process(server.process.pid)]
    for process in killed:
        process.kill()
    server.end()
    assert all(p.is_running() for p in proxies), "what is frozen does not end by itself"
    server = here.start()
    server.wait_for(READY)
    (line,) = [x for x in server.output.splitlines() if x.startswith("ending what a server")]
    named = line.partition(": ")[2].split(", ")
    assert all(f"{p.pid} haproxy" in named for p in proxies), line
    assert not any(p.is_running() for p in proxies), line
    with opened(here):
        server.process.terminate()
    assert server.end() == 0
    nothing_is_left(here)
