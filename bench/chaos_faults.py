"""What `make chaos` does to a server."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.busy import busy_loops
from bench.chaos_stage import Stage
from serve_app.local.server import RAY_ENVIRONMENT
from tests.serve.conftest import ROOT, Server

_UPDATE_S = 240.0
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
    not_answered: int = 0
    """Of these counts, how many could not be had even then: something may be left."""

    @property
    def is_good(self) -> bool:
        wrong = self.lost + self.doubled + self.stale_chunks + self.ended
        return not (wrong or self.leftovers or self.not_answered) and bool(self.turns)


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
    os.kill(_redis(stage), signal.SIGSTOP)


def _redis(stage: Stage) -> int:
    if stage.engines.redis is None:
        raise RuntimeError("there is no redis-server: apt-get install redis-server")
    return stage.engines.redis[0]


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


def _restarts(strike: Callable[[subprocess.Popen[str]], None]) -> Fault:
    async def restart(stage: Stage) -> None:
        _redis(stage)
        await asyncio.to_thread(stage.restart, strike)

    return restart


def _sends(number: signal.Signals) -> Fault:
    return _restarts(lambda process: process.send_signal(number))


async def _kill_and_restart(stage: Stage) -> None:
    _redis(stage)
    await asyncio.to_thread(stage.restart_killed)


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
    "server: SIGTERM": (_sends(signal.SIGTERM), False),
    "server: SIGINT": (_sends(signal.SIGINT), False),
    "server: SIGHUP": (_sends(signal.SIGHUP), False),
    "server: SIGTERM to its group": (
        _restarts(lambda process: os.killpg(process.pid, signal.SIGTERM)),
        False,
    ),
    "server: SIGKILL": (_kill_and_restart, False),
}
"""The same for a server with one replica of everything: until it is there again, nobody else is.
Those of `server` end all of it, and another one starts in its place."""
