"""A server in a terminal of its own: the process leads the terminal's session and process group."""

import fcntl
import os
import pty
import select
import signal
import subprocess
import termios
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from serve_app.local.server import HAPROXY_PORTS
from tests.serve.conftest import (
    ROOT,
    STOP_S,
    config_with,
    echo_serve,
    free_port,
    one_at_a_time,
    replica_ports,
)

_LABEL = "ECHO_TEST_SERVER"
_LINE_S = 120.0


def _take_terminal() -> None:
    # Under nohup, as a CI run may be, the server would rightly not heed a closed terminal.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """`echo-serve run` with packaged models and the ports of `env`."""

    def __init__(self, config: Path, env: Mapping[str, str], prefix: Sequence[str] = ()) -> None:
        """`prefix`: of the command."""
        self.output = ""
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [*prefix, *echo_serve("run", "--config", str(config))],
            cwd=ROOT,
            env={**os.environ, **env},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(slave)

    def wait_for(self, sign: str) -> None:
        """Reads until this is printed."""
        deadline_s = time.monotonic() + _LINE_S
        while sign not in self.output:
            assert time.monotonic() < deadline_s, self.output
            assert self._read(1.0), f"it ended:\n{self.output}"

    def press(self, key: bytes) -> None:
        os.write(self._master, key)

    def close(self) -> None:
        """The terminal's window: what runs in it gets SIGHUP, and can print no more."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def end(self) -> int:
        """Reads to the end, and returns the exit status."""
        deadline_s = time.monotonic() + STOP_S
        while self._master >= 0 and self._read(0.2) and time.monotonic() < deadline_s:
            pass
        status = self.process.wait(STOP_S)
        self.close()
        return status

    def _read(self, timeout_s: float) -> bool:
        """Whether there may be more to come."""
        if not select.select([self._master], [], [], timeout_s)[0]:
            return self.process.poll() is None
        try:
            self.output += os.read(self._master, 65536).decode()
        except OSError:  # all processes that could print have ended
            return False
        return True


class Place:
    """Ports and a file for one server after another, whose processes bear a label of ours."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.port = free_port()
        self.ports = {name: free_port() for name in HAPROXY_PORTS}
        self._config = config_with(folder, self.port)
        self._label = uuid.uuid4().hex
        self._started: list[Terminal] = []
        self._env = {
            **env,
            _LABEL: self._label,
            **{name: str(port) for name, port in self.ports.items()},
            **replica_ports(),
        }

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/conversation"

    def start(self, *prefix: str) -> Terminal:
        self._started.append(Terminal(self._config, self._env, prefix))
        return self._started[-1]

    def end(self) -> None:
        """Kills what runs, after a test that has failed; else nothing does."""
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()
        for server in self._started:
            server.process.wait(STOP_S)
            server.close()

    def processes(self) -> list[psutil.Process]:
        """All that were started here and run, whoever their parents are now."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(_LABEL) == self._label:
                    found.append(process)
        return found


@contextmanager
def place(folder: Path, env: Mapping[str, str]) -> Iterator[Place]:
    """Afterwards, nothing that was started there runs."""
    here = Place(folder, env)
    try:
        with one_at_a_time():
            yield here
    finally:
        here.end()
