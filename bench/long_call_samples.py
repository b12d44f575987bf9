"""What a server holds at one moment, process by process, seen from outside."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil

from serve_app.local.server import RAY_ENVIRONMENT
from tests.serve.conftest import ROOT, Server

ROLES = {
    "echo:Ingress": "ingress",
    "echo:VoiceActivity": "VAD",
    "echo:SpeechToText": "STT",
    "echo:Agent": "agent",
    "ray::SessionActor": "session actor",
    "ray::HAProxyManager": "HAProxy's manager",
    "bin/haproxy": "HAProxy",
    "ray::ProxyActor": "Serve's proxy",
    "ray::ServeController": "Serve's controller",
    "ray::DashboardAgent": "Ray's dashboard agent",
    "ray::RuntimeEnvAgent": "Ray's environment agent",
    "ray::IDLE": "idle worker",
    "raylet/raylet": "raylet",
    "gcs/gcs_server": "GCS",
    "dashboard.py": "Ray's dashboard",
    "log_monitor.py": "Ray's log monitor",
    "monitor.py": "Ray's autoscaler",
    "serve_app.cli cluster": "echo-serve cluster",
    "serve_app.cli": "echo-serve run",
}
"""The role of a process, by a part of its command line. The first that fits counts."""
OTHER = "other"
_MIB = 1 << 20

Sample = dict[str, float]
"""What one process holds: `uss` and `rss` in MiB, `descriptors`, `threads`; of the application's
replicas also `tasks` and `python objects`; of Ray's workers also `owned` and `references`."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at all processes."""

    at_s: float
    """Seconds since the first one."""
    processes: dict[str, Sample]
    """By role and process id, such as `ingress 4711`."""
    store: Sample
    """`objects` and `bytes` in Ray's object store."""


def role_of(command: str) -> str:
    return next((role for sign, role in ROLES.items() if sign in command), OTHER)


class Eye:
    """Looks at a running server. Made by `looking_at`."""

    def __init__(self, server: Server, asks: subprocess.Popen[str]) -> None:
        self._server_pid = server.process.pid
        self._asks = asks
        self._began_s = time.monotonic()

    def look(self) -> Look:
        """Takes a second of a CPU, at most."""
        inside = self._ask()
        at_s = time.monotonic() - self._began_s
        found = {}
        for process in self._processes():
            try:
                name = f"{role_of(' '.join(process.cmdline()))} {process.pid}"
                found[name] = _sample(process) | _of(process.pid, inside)
            except psutil.Error:
                continue  # it has ended
        return Look(round(at_s, 1), found, inside.get("store", {}))

    def _processes(self) -> list[psutil.Process]:
        server = psutil.Process(self._server_pid)
        return [server, *server.children(recursive=True)]

    def _ask(self) -> dict[str, Any]:
        """Empty once the process that asks has ended: its error is on the terminal."""
        assert self._asks.stdin is not None and self._asks.stdout is not None
        try:
            self._asks.stdin.write("\n")
            self._asks.stdin.flush()
        except BrokenPipeError:
            return {}
        line = self._asks.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {}
        return answer


def _sample(process: psutil.Process) -> Sample:
    with process.oneshot():
        memory = process.memory_full_info()
        return {
            "uss": round(memory.uss / _MIB, 2),
            "rss": round(memory.rss / _MIB, 2),
            "descriptors": process.num_fds(),
            "threads": process.num_threads(),
        }


def _of(pid: int, inside: Mapping[str, Any]) -> Sample:
    """JSON's keys are strings."""
    parts = [inside.get(part, {}).get(str(pid), {}) for part in ("inside", "ray")]
    return {name: value for part in parts for name, value in part.items()}


@contextmanager
def looking_at(server: Server) -> Iterator[Eye]:
    """Asks in a process of its own, since Ray reads only once how to sign in (RAY_AUTH_MODE)."""
    command = [sys.executable, "-m", "bench.long_call_asks"]
    asks = subprocess.Popen(
        [*command, server.ray_address],
        cwd=ROOT,
        env={**RAY_ENVIRONMENT, **os.environ},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Ctrl-C goes to the server and the client, which end first.
        start_new_session=True,
    )
    with asks:  # closes its standard input, which ends it
        yield Eye(server, asks)
