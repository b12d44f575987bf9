"""What `make chaos` plays on: a server, what it uses, and the way to its clients."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench import providers
from bench.chaos_relay import Cable
from serve_app.fakes import elevenlabs as elevenlabs_server
from serve_app.fakes import openai as openai_server
from tests.serve.conftest import READY, Server, echo_serve, free_port, start

_WHOLE_S = 60.0
_LOOK_S = 0.5
_REPLICAS = ("echo:Ingress", "echo:VoiceActivity", "echo:SpeechToText", "echo:Agent")
_OTHERS = ("ray::SessionActor", "ServeController", "haproxy")
"""Parts of the titles of the processes that there have to be."""


@dataclass(frozen=True)
class Engines:
    """What the server uses."""

    llm: openai_server.FakeOpenAi
    voice: elevenlabs_server.FakeElevenLabs
    redis: tuple[int, str] | None
    """Its process id and its address."""

    @property
    def environment(self) -> dict[str, str]:
        found = providers.environment(self.llm.url, self.voice.url)
        return found | ({"ECHO_REDIS_URL": self.redis[1]} if self.redis else {})


def launch(config: Path, port: int, environment: Mapping[str, str]) -> Server:
    return start(echo_serve("run", "--config", str(config)), port, READY, environment)


@dataclass
class Stage:
    """The server and everything around it."""

    server: Server
    config: Path
    environment: Mapping[str, str]
    engines: Engines
    replicas: int
    """Of everything."""
    cable: Cable = field(init=False)
    """Between the server and the clients that can come back."""

    @property
    def url(self) -> str:
        """Leads through the cable."""
        return f"ws://127.0.0.1:{self.cable.port}/conversation"

    def pids(self, name: str) -> list[int]:
        """Of the server's processes with this in their title."""
        ours = psutil.Process(self.server.process.pid).children(recursive=True)
        return sorted(p.pid for p in ours if name in " ".join(_command(p)[:1]))

    def signal(self, name: str, number: signal.Signals, most: int = 1) -> None:
        """The process with the most clients is met first: a fault that strikes nobody shows
        nothing."""
        pids = sorted(self.pids(name), key=_clients, reverse=True)
        if not pids:
            raise RuntimeError(f"no process {name}")
        for pid in pids[:most]:
            os.kill(pid, number)

    async def whole(self) -> None:
        """Returns when all processes are there that the next fault may need."""
        async with asyncio.timeout(_WHOLE_S):
            while not self._is_whole:  # noqa: ASYNC110 - processes have no event
                await asyncio.sleep(_LOOK_S)

    @property
    def _is_whole(self) -> bool:
        counts = dict.fromkeys(_REPLICAS, self.replicas) | dict.fromkeys(_OTHERS, 1)
        return all(len(self.pids(name)) >= count for name, count in counts.items())

    def wake(self) -> None:
        """Lets what was stopped go on."""
        stopped = [pid for name in (*_REPLICAS, *_OTHERS) for pid in self.pids(name)]
        for pid in [*stopped, *([self.engines.redis[0]] if self.engines.redis else [])]:
            os.kill(pid, signal.SIGCONT)

    def restart(self, strike: Callable[[subprocess.Popen[str]], None]) -> None:
        """Ends the server with a signal, and starts another one in its place. Raises RuntimeError
        if it does not end in order."""
        left = self.server.end(lambda: strike(self.server.process))
        status = self.server.process.returncode
        if left or status:
            raise RuntimeError(f"status {status}, left behind: {left}\n{self.server.output}")
        self.server = launch(self.config, self.server.port, self.environment)

    def restart_killed(self) -> None:
        """Kills the server so that it cannot stop, and starts another one, which has to end what is
        left. Raises RuntimeError if it does not say so."""
        command = psutil.Process(self.server.process.pid)
        both = [command, *command.children()]
        for process in both:
            process.suspend()  # so that neither notices the end of the other
        for process in both:
            process.kill()
        self.server.process.wait()
        self.server = launch(self.config, self.server.port, self.environment)
        if "ending what a server that was killed has left behind" not in self.server.output:
            raise RuntimeError(f"nothing was left behind, or nobody says so: {self.server.output}")


def _clients(pid: int) -> int:
    """Connections that the process has accepted and that are open."""
    try:
        found = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return 0
    listening = {c.laddr.port for c in found if c.status == psutil.CONN_LISTEN}
    is_open = [c for c in found if c.status == psutil.CONN_ESTABLISHED]
    return sum(c.laddr.port in listening for c in is_open)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@contextmanager
def redis_server() -> Iterator[tuple[int, str] | None]:
    """Starts a Redis, if one is installed. Yields its process id and its address."""
    port = free_port()
    # A title would overwrite its environment, by which tests/guard.py finds what is left.
    plain = ["--save", "", "--bind", "127.0.0.1", "--set-proc-title", "no"]
    command = ["redis-server", "--port", str(port), *plain]
    try:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    except FileNotFoundError:
        print("there is no redis-server: its faults need `apt-get install redis-server`")
        yield None
        return
    try:
        yield process.pid, f"redis://127.0.0.1:{port}/0"
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(10)
