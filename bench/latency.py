"""`make bench-latency`: how soon the whole server answers, whom it speaks over, and how soon it
falls silent.

The server is the one that `echo-serve run` starts, with the packaged transcriber; LLM and voice
are local servers with fixed delays. The users play recordings in real time. Some of their turns
have a pause inside: two consecutive parts of one recording with 0.36 to 0.75 s of silence between
them, or a recording of somebody who pauses for as long.
"""

import argparse
import asyncio
import json
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import psutil

from bench import providers
from bench.figures import Figures, summary, table
from bench.machine import machine
from bench.phrases import CLIPS, PAUSES_S
from bench.visits import Heard, Plan, all_exchanges, interrupted, talked
from serve_app.protocol.formats import parse_format
from tests.serve.conftest import config_with, free_port, running_server

_FORMAT = parse_format("pcm_44100")


def main() -> int:
    arguments = _parser().parse_args()
    print(*_header(), sep="\n", flush=True)
    plan = Plan(arguments.turns, arguments.paused, arguments.barge_ins)
    rows = _measure(arguments.sessions, plan)
    print(*table(rows), sep="\n")
    print(json.dumps({"machine": machine(), "figures": [asdict(row) for row in rows]}))
    return int(any(row.has_failures for row in rows))


def _measure(session_counts: Sequence[int], plan: Plan) -> list[Figures]:
    """Starts the providers and the server, and stops both."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, providers.providing() as provided:
        config = config_with(Path(folder), port)
        with running_server(config, port, provided.environment) as server:
            rows = []
            for count in session_counts:
                heard = asyncio.run(_heard(server.url, count, plan, provided))
                rows.append(summary(count, heard))
                server.wait_until_idle()
            return rows


async def _heard(url: str, sessions: int, plan: Plan, provided: providers.Providers) -> Heard:
    calls, stale = await talked(url, _FORMAT, str(sessions), sessions, plan)
    barge_ins, stale_too = await interrupted(url, _FORMAT, sessions, plan)
    return Heard(all_exchanges(calls, provided.asked()), barge_ins, stale + stale_too)


def _header() -> Iterator[str]:
    yield f"machine   {machine()}, {psutil.cpu_percent(interval=1.0):.0f} % busy with other work"
    yield f"command   python -m bench.latency {shlex.join(sys.argv[1:])}".rstrip()
    yield "server    configs/serve.yaml behind HAProxy, packaged transcriber, on this machine too"
    yield from stand_ins()
    yield from users()
    yield ""


def stand_ins() -> Iterator[str]:
    """What the lines about LLM and voice say."""
    yield (
        f"LLM       stands in: first token {providers.FIRST_TOKEN_S * 1000:.0f} ms after the"
        f" request, then one each {providers.NEXT_TOKEN_S * 1000:.0f} ms"
    )
    yield f"          {providers.ANSWER!r}"
    yield (
        f"voice     stands in: first audio {providers.FIRST_AUDIO_S * 1000:.0f} ms after the first"
        f" clause, then {providers.REAL_TIME_FACTOR:.1f} times real time"
    )


def users() -> Iterator[str]:
    """What the lines about users say."""
    yield (
        f"user      {len(CLIPS)} recordings (LibriVox, CMU), spoken in real time into an open"
        " microphone;"
    )
    yield (
        f"          paused: two parts of one recording, {PAUSES_S[0]} to {PAUSES_S[1]} s apart, and"
        " speakers who pause (MFA)"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.latency", description=__doc__)
    add_plan(parser)
    return parser


def add_plan(parser: argparse.ArgumentParser) -> None:
    """The options that say how much is measured."""
    add = parser.add_argument
    add("--sessions", type=int, nargs="+", default=[1, 8], help="concurrent sessions, in turn")
    add("--turns", type=int, default=10, help="phrases without a pause, a session (default 10)")
    add("--paused", type=int, default=6, help="phrases with a pause inside (default 6)")
    add("--barge-ins", type=int, default=6, help="a session (default 6)")


if __name__ == "__main__":
    sys.exit(main())
