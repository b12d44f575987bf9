"""`make bench-latency`: how soon the whole server answers, and how soon it falls silent.

The server is the one that `echo-serve run` starts, with the packaged transcriber; LLM and voice
are local servers with fixed delays. The users play recordings in real time.
"""

import argparse
import asyncio
import json
import shlex
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TypeVar

import psutil

from bench import providers
from bench.figures import Figures, summary, table
from bench.machine import machine
from bench.user import BargeIn, Turn, User
from serve_app.client.session import converse
from serve_app.protocol.formats import parse_format
from tests.serve.conftest import config_with, free_port, running
from tests.speech import TRANSCRIPTS

T = TypeVar("T")

CLIPS = tuple(TRANSCRIPTS)
BARGE_IN_CLIPS = ("librivox_0880", "librivox_0890", "librivox_0930", "go_forward", "cards_005")
"""The clips of 2 to 5 s."""
_STAGGER_S = 0.8
"""Between the starts of two sessions: an eighth of a turn, so that eight do not speak at once."""
_FORMAT = parse_format("pcm_44100")


def main() -> int:
    arguments = _parser().parse_args()
    print(*_header(), sep="\n", flush=True)
    rows = _measure(arguments.sessions, arguments.turns, arguments.barge_ins)
    print(*table(rows), sep="\n")
    print(json.dumps({"machine": machine(), "figures": [asdict(row) for row in rows]}))
    return int(any(row.has_failures for row in rows))


def _measure(session_counts: Sequence[int], turns: int, barge_ins: int) -> list[Figures]:
    """Starts the providers and the server, and stops both."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, providers.provided() as environment:
        config = config_with(Path(folder), port)
        command = [sys.executable, "-m", "serve_app.cli", "run", "--config", str(config)]
        with running(command, port, "Ctrl-C stops the server", environment) as server:
            rows = []
            for count in session_counts:
                rows.append(asyncio.run(_figures(server.url, count, turns, barge_ins)))
                server.wait_until_idle()
            return rows


async def _figures(url: str, sessions: int, turns: int, barge_ins: int) -> Figures:
    async def talk(number: int) -> tuple[list[Turn], int]:
        return await _talk(url, number, turns)

    async def interrupt(number: int) -> tuple[list[BargeIn | None], int]:
        return await _interrupt(url, number, barge_ins)

    talked, stale_in_turns = await _at_once(sessions, talk)
    interrupted, stale_in_barge_ins = await _at_once(sessions, interrupt)
    return summary(sessions, talked, interrupted, stale_in_turns + stale_in_barge_ins)


async def _at_once(
    sessions: int, visit: Callable[[int], Awaitable[tuple[list[T], int]]]
) -> tuple[list[T], int]:
    """The measurements of all sessions, and the sum of their stale chunks."""

    async def staggered(number: int) -> tuple[list[T], int]:
        await asyncio.sleep(number * _STAGGER_S)
        return await visit(number)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(staggered(number)) for number in range(sessions)]
    measured = [task.result() for task in tasks]
    return list(chain(*(results for results, _ in measured))), sum(stale for _, stale in measured)


async def _talk(url: str, number: int, turns: int) -> tuple[list[Turn], int]:
    """One session with short answers. Each session begins with a different clip."""
    async with converse(url, _FORMAT) as session:
        user = User(session)
        await user.open(providers.PROMPT)
        await user.hear_greeting()
        clips = [CLIPS[(number + i) % len(CLIPS)] for i in range(turns)]
        return [await user.turn(name) for name in clips], session.playback.stale_chunks


async def _interrupt(url: str, number: int, times: int) -> tuple[list[BargeIn | None], int]:
    """One session with long replies, none of which is heard to its end."""
    async with converse(url, _FORMAT) as session:
        user = User(session)
        await user.open(providers.STORY_PROMPT)
        clips = [BARGE_IN_CLIPS[(number + i) % len(BARGE_IN_CLIPS)] for i in range(times)]
        return [await user.barge_in(name) for name in clips], session.playback.stale_chunks


def _header() -> Iterator[str]:
    yield f"machine   {machine()}, {psutil.cpu_percent(interval=1.0):.0f} % busy with other work"
    yield f"command   python -m bench.latency {shlex.join(sys.argv[1:])}".rstrip()
    yield "server    configs/serve.yaml behind HAProxy, packaged transcriber, on this machine too"
    yield (
        f"LLM       stands in: first token {providers.FIRST_TOKEN_S * 1000:.0f} ms after the"
        f" request, then one each {providers.NEXT_TOKEN_S * 1000:.0f} ms"
    )
    yield f"          {providers.ANSWER!r}"
    yield (
        f"voice     stands in: first audio {providers.FIRST_AUDIO_S * 1000:.0f} ms after the first"
        f" clause, then {providers.REAL_TIME_FACTOR:.1f} times real time"
    )
    yield (
        f"user      {len(CLIPS)} recordings (LibriVox, CMU), spoken in real time into an open"
        " microphone"
    )
    yield ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.latency", description=__doc__)
    add = parser.add_argument
    add("--sessions", type=int, nargs="+", default=[1, 8], help="concurrent sessions, in turn")
    add("--turns", type=int, default=12, help="a session (default 12)")
    add("--barge-ins", type=int, default=10, help="a session (default 10)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
