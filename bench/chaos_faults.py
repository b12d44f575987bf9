"""What `make chaos` does to a server: its processes, and the faults."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench.busy import busy_loops
from bench.chaos_relay import Cable
from serve_app.fakes import elevenlabs as elevenlabs_server
from serve_app.fakes import openai as openai_server
from serve_app.local.server import RAY_ENVIRONMENT
from tests.serve.conftest import ROOT, Server, free_port

_UPDATE_S = 240.0
_WHOLE_S = 60.0
_LOOK_S = 0.5
_PROCESSES = {
    "echo:Ingress": 2,
    "echo:VoiceActivity": 2,
    "echo:SpeechToText": 2,
    "echo:Agent": 2,
    "ray::SessionActor": 1,
    "ServeController": 1,
    "haproxy": 1,
}
"""How many there have to be with two replicas, by a part of their titles."""
AWAY_S = 20.0
"""How long the only replica of a stage is stopped."""


@dataclass
class Result:
    """What one fault did, over all sessions that lived through it."""

    fault: str
    turns: int = 0
    lost: int = 0
    """Turns that the client was told about but the agent's last history lacks, and speech that was
    not understood."""
    doubled: int = 0
    """Turns that the client or the agent was told about more than once."""
    stale_chunks: int = 0
    resumed: int = 0
    next_audio_s: list[float] = field(default_factory=list)
    """From the fault to the agent's next audio, for each session."""
    ended: int = 0
    """Sessions that did not go on."""
    leftovers: int = 0
    """What is left 10 s after the end: sessions of replicas, entries of session actors, answers of
    the LLM, and contexts at the voice."""

    @property
    def is_good(self) -> bool:
        wrong = self.lost + self.doubled + self.stale_chunks + self.ended + self.leftovers
        return not wrong and bool(self.turns)


@dataclass
class Stage:
    """The server and everything around it."""

    server: Server
    config: Path
    environment: Mapping[str, str]
    llm: openai_server.FakeOpenAi
    voice: elevenlabs_server.FakeElevenLabs
    cable: Cable
    """Between the server and the clients that can come back."""
    redis: int | None
    """Its process id."""
    replicas: int = 2
    """Of each deployment."""

    @property
    def url(self) -> str:
        """Leads through the cable."""
        return f"ws://127.0.0.1:{self.cable.port}/conversation"

    def pids(self, name: str) -> list[int]:
        """Of the server's processes with this in their title."""
        ours = psutil.Process(self.server.process.pid).children(recursive=True)
        return sorted(p.pid for p in ours if name in " ".join(_command(p)[:1]))

    def signal(self, name: str, number: signal.Signals, most: int = 1) -> None:
        pids = self.pids(name)
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
        wanted = {name: min(count, self.replicas) for name, count in _PROCESSES.items()}
        return all(len(self.pids(name)) >= count for name, count in wanted.items())

    def wake(self) -> None:
        """Lets what was stopped go on."""
        stopped = [pid for name in _PROCESSES for pid in self.pids(name)]
        for pid in [*stopped, *([self.redis] if self.redis else [])]:
            os.kill(pid, signal.SIGCONT)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


Fault = Callable[[Stage], Awaitable[None]]


def _kills(*names: str) -> Fault:
    async def strike(stage: Stage) -> None:
        for name in names:
            stage.signal(name, signal.SIGKILL)

    return strike


def _stops(name: str) -> Fault:
    async def strike(stage: Stage) -> None:
        stage.signal(name, signal.SIGSTOP)

    return strike


def _stops_for_a_while(name: str) -> Fault:
    async def strike(stage: Stage) -> None:
        stage.signal(name, signal.SIGSTOP)
        await asyncio.sleep(AWAY_S)
        stage.signal(name, signal.SIGCONT)

    return strike


async def _keep_busy(stage: Stage) -> None:
    with busy_loops():
        await asyncio.sleep(AWAY_S)


async def _stop_redis(stage: Stage) -> None:
    if stage.redis is None:
        raise RuntimeError("there is no redis-server: apt-get install redis-server")
    os.kill(stage.redis, signal.SIGSTOP)


async def _pull_cable(stage: Stage) -> None:
    stage.cable.pull()


async def _update(stage: Stage) -> None:
    await update(stage.server, stage.config, stage.environment)


async def update(server: Server, config: Path, environment: Mapping[str, str]) -> None:
    """Deploys other settings: Serve replaces all replicas of all deployments, one after the other,
    and starts new session actors. Returns when none of the old ones is left."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.chaos_update", server.ray_address, str(config)),
        cwd=ROOT,
        # With Ray's settings as on the nodes: a handle remembers how calls are made where it was.
        env={**RAY_ENVIRONMENT, **os.environ, **environment, "RAY_AUTH_MODE": "token"},
    )
    try:
        async with asyncio.timeout(_UPDATE_S):
            code = await process.wait()
    except (TimeoutError, asyncio.CancelledError):
        process.kill()
        await process.wait()
        raise
    if code:
        raise RuntimeError(f"the update ended with {code}")


async def _nothing(stage: Stage) -> None:
    return


FAULTS: dict[str, tuple[Fault, bool]] = {
    "nothing": (_nothing, False),
    "ingress": (_kills("echo:Ingress"), False),
    "session actor": (_kills("ray::SessionActor"), False),
    "session actor and ingress": (_kills("ray::SessionActor", "echo:Ingress"), False),
    "agent": (_kills("echo:Agent"), False),
    "vad": (_kills("echo:VoiceActivity"), True),
    "stt": (_kills("echo:SpeechToText"), True),
    "haproxy": (_kills("haproxy"), False),
    "serve controller": (_kills("ServeController"), False),
    "cable pulled": (_pull_cable, False),
    "vad stopped": (_stops("echo:VoiceActivity"), True),
    "stt stopped": (_stops("echo:SpeechToText"), True),
    "redis stopped": (_stop_redis, False),
    "rolling update": (_update, False),
}
"""By name: what is done, and whether it strikes while the user speaks (else during a reply)."""


_STAGES = {
    "vad": ("echo:VoiceActivity", True),
    "stt": ("echo:SpeechToText", True),
    "agent": ("echo:Agent", False),
    "session actor": ("ray::SessionActor", False),
}
"""The title of each process, and whether it is missed most while the user speaks."""
ALONE: dict[str, tuple[Fault, bool]] = {
    **{f"the only {name}": (_kills(title), speaks) for name, (title, speaks) in _STAGES.items()},
    **{
        f"the only {name} stopped for {AWAY_S:.0f} s": (_stops_for_a_while(title), speaks)
        for name, (title, speaks) in _STAGES.items()
    },
    f"a busy loop on each core for {AWAY_S:.0f} s": (_keep_busy, True),
}
"""The same for a server with one replica of everything: until it is there again, nobody else is."""


@contextmanager
def redis_server() -> Iterator[tuple[int, str] | None]:
    """Starts a Redis, if one is installed. Yields its process id and its address."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--save", "", "--bind", "127.0.0.1"]
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
