"""`make chaos`: processes are killed under live conversations, which have to go on.

It runs a real local Ray in HAProxy mode with two replicas of everything, local servers that stand
in for LLM and voice, and clients that resume; then one with a replica of each, as in the default
configuration. All that is counted is seen from outside: by the
clients, and by the LLM, which is sent the history.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import providers
from bench.chaos_clients import SCENES, Strike, live, play
from bench.chaos_faults import ALONE, FAULTS, Result
from bench.chaos_relay import cable
from bench.chaos_stage import Engines, Stage, launch, redis_server
from bench.machine import machine
from serve_app.fakes import elevenlabs as elevenlabs_server
from serve_app.fakes import openai as openai_server
from tests.serve.conftest import Server, config_with, free_port
from tests.serve.test_sessions import recorded

_SHORT = [
    "ingress",
    "session actor",
    "agent",
    "vad",
    "stt",
    "all ingresses, in a reply",
    "all ingresses, in speech",
    "two sockets, one token",
]
NOT_ANSWERED = "entries not answered"
_LEFTOVERS_S = 10.0
_LOOK_S = 0.5
_MAX_SESSIONS = 150
"""Per ingress replica: one has to be able to take most of the other one's sessions."""
_DRAINING = {"RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "15"}
"""Time for the turn in progress, and for HAProxy to learn which replica is leaving."""


async def _run(stage: Stage, name: str, sessions: int) -> Result:
    result = Result(name)
    await stage.whole()
    if name in SCENES:
        await play(stage, name, result)
    else:
        strike = Strike(stage, name, sessions)
        names = [f"{name} {number}:" for number in range(sessions)]
        await asyncio.gather(*(live(stage, each, strike, result) for each in names))
    if line := told(result, await _leftovers(stage)):
        print(line, file=sys.stderr)
    return result


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of sessions that are over, by kind."""

    counts: dict[str, int]
    reason: str = ""
    """Why the entries of session actors could not be counted."""


def told(result: Result, left: Left) -> str:
    """Adds it to the result. A line that says what is left; empty if nothing is."""
    result.not_answered = left.counts.get(NOT_ANSWERED, 0)
    result.leftovers = sum(left.counts.values()) - result.not_answered
    if not any(left.counts.values()):
        return ""
    return f"  {result.fault}: left {left.counts}" + (f"; {left.reason}" if left.reason else "")


async def _leftovers(stage: Stage) -> Left:
    """Once nothing is left or 10 s have passed. The last count begins after them: one takes seconds
    on a busy machine, so what it found at its beginning has not had its time."""
    deadline_s = time.monotonic() + _LEFTOVERS_S
    while True:
        is_last = time.monotonic() > deadline_s
        left = await _count(stage)
        if is_last or not any(left.counts.values()):
            break
        await asyncio.sleep(_LOOK_S)
    stage.wake()
    return left


async def _count(stage: Stage) -> Left:
    # Each question is answered by some replica; eight will most likely reach both.
    healths = [json.loads(await asyncio.to_thread(stage.server.healthz)) for _ in range(8)]
    # Sockets stay open for the next reply; contexts and answers must not.
    connected = [c for c in stage.engines.voice.connections if not c.closed.is_set()]
    counts = {
        "sessions": max(health["sessions"] for health in healths),
        "waiting": max(health["waiting"] for health in healths),
        "voices": sum(1 for c in connected if c.unfinished),
        "answers": stage.engines.llm.answering,
    }
    kept = await asyncio.to_thread(entries, stage.server)
    return Left(counts | kept.counts, kept.reason)


def entries(server: Server) -> Left:
    """Those of the session actors. One that is being restarted cannot be asked yet."""
    try:
        return Left({"entries": len(recorded(server))})
    except (AssertionError, subprocess.TimeoutExpired) as error:
        *_, last = str(error).strip().splitlines() or [""]  # of a traceback
        return Left({NOT_ANSWERED: 1}, f"{type(error).__name__}: {last}")


async def _measure(faults: list[str], sessions: int) -> list[Result]:
    """On a server with two replicas of everything, then on one with one."""
    llm, voice = providers.scripts()
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder, redis_server() as redis:
        async with (
            openai_server.FakeOpenAi(llm) as openai,
            elevenlabs_server.FakeElevenLabs(voice) as elevenlabs,
        ):
            engines = Engines(openai, elevenlabs, redis)
            for replicas in (2, 1):
                of_this = [name for name in faults if (name in ALONE) == (replicas == 1)]
                if not of_this:
                    continue
                async with _stage(Path(folder), replicas, engines) as stage:
                    for name in of_this:
                        results.append(await _run(stage, name, sessions))
                        print(_row(results[-1]), flush=True)
    return results


@asynccontextmanager
async def _stage(folder: Path, replicas: int, engines: Engines) -> AsyncIterator[Stage]:
    """A server with so many replicas of everything."""
    port = free_port()
    count = {"replicas": replicas}
    ingress = count | {"max_sessions": _MAX_SESSIONS}
    config = config_with(folder, port, ingress=ingress, vad=count, stt=count, agent=count)
    environment = engines.environment | (_DRAINING if replicas > 1 else {})
    server = await asyncio.to_thread(launch, config, port, environment)
    stage = Stage(server, config, environment, engines, replicas)
    try:
        async with cable(port) as stage.cable:
            yield stage
    finally:
        left = await asyncio.to_thread(stage.server.end)
    if left:
        raise RuntimeError(f"left behind: {left}")


_HEAD = (
    "| killed or stopped | turns | lost | doubled | stale | resumed | next audio p50, p95 | left |"
)


def _row(result: Result) -> str:
    waits = sorted(result.next_audio_s)
    p95 = waits[round(0.95 * (len(waits) - 1))] if waits else 0.0
    audio = f"{statistics.median(waits):.1f} s, {p95:.1f} s" if waits else ""
    return (
        f"| {result.fault} | {result.turns} | {result.lost + result.ended} | {result.doubled} "
        f"| {result.stale_chunks} | {result.resumed} "
        f"| {audio} | {_left(result)} |"
    )


def _left(result: Result) -> str:
    return f"{result.leftovers}, or more" if result.not_answered else str(result.leftovers)


def main() -> int:
    names = [*FAULTS, *SCENES, *ALONE]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", nargs="+", choices=names, default=names)
    parser.add_argument("--sessions", type=int, default=4, help="that live through each fault")
    parser.add_argument("--short", action="store_true", help="what CI runs")
    arguments = parser.parse_args()
    faults = _SHORT if arguments.short else arguments.faults
    print(_HEAD, "|---" * 8 + "|", sep="\n", flush=True)
    results = asyncio.run(_measure(faults, arguments.sessions))
    print(json.dumps({"machine": machine(), "faults": [asdict(result) for result in results]}))
    return int(not all(result.is_good for result in results))


if __name__ == "__main__":
    sys.exit(main())
