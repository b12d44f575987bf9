"""Real servers: the commands that users run, each in a process of its own."""

import fcntl
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from serve_app.local.server import RAY_ENVIRONMENT
from tests.guard import guard_this_process

ROOT = Path(__file__).parents[2]
START_S = 240.0
STOP_S = 60.0
READY = "Ctrl-C stops the server"
"""`echo-serve run` says it when it takes callers."""


def echo_serve(*arguments: str) -> list[str]:
    """The command, as it is here and not as it may be installed."""
    return [sys.executable, "-m", "serve_app.cli", *arguments]


def _shuffled(start: int, stop: int, step: int) -> deque[int]:
    """Those of this worker: two (pytest-xdist) take turns."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    numbers = range(start + worker % 2 * step, stop, 2 * step)
    return deque(random.sample(numbers, len(numbers)))


# Below the ports that the system gives out, or a connection could take one before a server. In
# turn: a port that is drawn twice would be free the second time, since no server binds at once.
_PORTS = _shuffled(30_100, 32_700, 1)
_RANGE = 100
_RANGES = _shuffled(20_000, 30_000, _RANGE)


def free_port() -> int:
    while True:
        _PORTS.rotate()
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("0.0.0.0", _PORTS[0]))
            return _PORTS[0]


def replica_ports() -> dict[str, str]:
    """A range for the replicas of one server."""
    _RANGES.rotate()
    return {
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(_RANGES[0]),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(_RANGES[0] + _RANGE - 1),
    }


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """For the start of a Ray. Two at once, on two cores, are too slow for its raylet, which waits
    for 15 s and has no setting for it."""
    with open(Path(tempfile.gettempdir()) / "echo-serve-tests-start.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@dataclass
class Server:
    """A server process and what it printed."""

    process: subprocess.Popen[str]
    port: int
    lines: list[str] = field(default_factory=list)
    is_ready: threading.Event = field(default_factory=threading.Event)
    reader: threading.Thread = field(default_factory=threading.Thread)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/conversation"

    @property
    def ray_address(self) -> str:
        found = re.search(r"Ray is at (\S+),", self.output)
        assert found
        return found[1]

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def healthz(self) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=10) as answer:
            return bytes(answer.read())

    def ask(self, module: str, *arguments: str) -> Any:
        """The answer, in JSON, of one of the `ask_` modules. Raises AssertionError with what it has
        printed, and no more, if it has none."""
        answer = subprocess.run(
            [sys.executable, "-m", f"tests.serve.{module}", self.ray_address, *arguments],
            cwd=ROOT,
            env={**RAY_ENVIRONMENT, **os.environ},
            capture_output=True,
            text=True,
            timeout=60,
        )
        if answer.returncode:
            raise AssertionError(answer.stderr)
        return json.loads(answer.stdout)

    def wait_until_idle(self) -> None:
        """A session ends shortly after its socket, so this has to ask until it has."""
        deadline = time.monotonic() + STOP_S
        while (health := json.loads(self.healthz()))["sessions"] or health["waiting"]:
            assert time.monotonic() < deadline, "a session does not end, or a socket waits"

    def end(self, strike: Callable[[], None] | None = None) -> list[psutil.Process]:
        """Ends it with Ctrl-C, or as `strike` does. Returns what it has left behind, which is
        killed."""
        server = [psutil.Process(self.process.pid)] if self.process.poll() is None else []
        started = [*server, *(child for each in server for child in each.children(recursive=True))]
        if strike:
            strike()
        else:
            self.process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_S)
        _, left = psutil.wait_procs(started, timeout=10)
        for process in left:
            process.kill()
        self.process.wait()
        self.reader.join(STOP_S)
        return left

    def read(self, sign: str) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            for line in stdout:
                self.lines.append(line.rstrip())
                if sign in line:
                    self.is_ready.set()
        self.is_ready.set()


def start(
    command: Sequence[str], port: int, sign: str, env: Mapping[str, str] | None = None
) -> Server:
    """Starts the command, and returns when it has printed the line with `sign`."""
    guard_this_process()
    with one_at_a_time():
        return _start(command, port, sign, env)


def _start(
    command: Sequence[str], port: int, sign: str, env: Mapping[str, str] | None = None
) -> Server:
    moved = {
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
        # Otherwise HAProxy may find another server at the port of a replica that has died, or of
        # the proxy that takes requests while there is no replica.
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port()),
        **replica_ports(),
    }
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **moved, **(env or {})},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,
        # A background job ignores Ctrl-C, and its children would, too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    server = Server(process, port)
    server.reader = threading.Thread(target=server.read, args=(sign,))
    server.reader.start()
    try:
        assert server.is_ready.wait(START_S), f"not ready in {START_S} s:\n{server.output}"
        assert process.poll() is None, server.output
    except BaseException:
        server.end()
        raise
    return server


@contextmanager
def running(
    command: Sequence[str], port: int, sign: str, env: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """A server that has started. Ends it with Ctrl-C, and fails if it leaves a process behind."""
    server = start(command, port, sign, env)
    try:
        yield server
    finally:
        left = server.end()
    assert not left, f"left behind: {left}\n{server.output}"


def running_server(
    config: Path, port: int, env: Mapping[str, str] | None = None
) -> AbstractContextManager[Server]:
    """`echo-serve run` with this file, in which the port is."""
    return running(echo_serve("run", "--config", str(config)), port, READY, env)


def config_with(folder: Path, port: int, **changes: dict[str, Any]) -> Path:
    """configs/serve.yaml with another port and these changes."""
    config = yaml.safe_load((ROOT / "configs/serve.yaml").read_text())
    config["http_options"]["port"] = port
    for section, values in changes.items():
        args = config["applications"][0]["args"]
        args[section] = args.get(section, {}) | values
    path = folder / "serve.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`echo-serve run` on the packaged models, with room for three sessions."""
    port = free_port()
    config = config_with(tmp_path_factory.mktemp("server"), port, ingress={"max_sessions": 3})
    with running_server(config, port) as server:
        yield server
