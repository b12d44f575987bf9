"""`make soak`: whether good and hostile callers leave anything behind in the server's processes.

The server is the one that `echo-serve run` starts, with its real VAD and transcriber; LLM and
voice stand in, with fixed delays. Good callers speak, interrupt, type, fall silent, lose their
sockets and come back. Hostile ones, from another address, send garbage, bombs and huge frames, do
not read, do not open, and vanish. Each process is looked at every few seconds: memory, descriptors,
threads, asyncio tasks. It fails if one surely grows by more than is allowed or cannot be seen, if a
process of the application has died, if anything is left when all have gone, or if a good caller's
session was lost.
"""

import argparse
import asyncio
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from bench import providers
from bench.long_call_clients import Tally, talk
from bench.long_call_samples import Eye, Look, looking_at
from bench.machine import machine
from bench.soak_figures import (
    ALLOWED,
    Trend,
    counted_from_s,
    gone,
    left_behind,
    table,
    trends,
    unseen,
)
from bench.soak_hostile import Visits, pester
from tests.serve.conftest import Server, config_with, free_port, running_server

_REST_S = 10.0
"""From the end of the last session to the look at what is left."""
_APPLICATION = ("ingress", "VAD", "STT", "agent", "session actor")
_FIRST_S = 20.0
"""A first round, before anything is counted: HAProxy keeps connections to the ingress, and every
process has seen everything once."""
_SERVES_LOG = {"RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1"}
"""Serve keeps up to 1000 lines of its log in an ingress replica before it writes them, one for each
visit. A run with fewer visits would see these objects only grow."""
_SHORTEST_MINUTES = 2
_ROOM = 100
"""Sessions: hostile callers must not take the good ones' places here."""


@dataclass(frozen=True)
class Found:
    """All that was seen."""

    tally: Tally
    visits: Visits
    first: list[Look]
    """In the first round, which is not counted."""
    before: Look
    looks: list[Look]
    after: Look

    @property
    def complaints(self) -> list[str]:
        """What is wrong; empty when nothing is."""
        found = trends(self.looks)
        grown = [
            f"{t.process}: {t.figure} grew by at least {t.surely_grew:.1f}, allowed {t.allowed:.1f}"
            for t in found
            if not t.is_flat
        ]
        hidden = [f"not seen: {line}" for line in unseen(found, _APPLICATION)]
        died = [f"{name} has died" for name in gone([*self.first, *self.looks], _APPLICATION)]
        left = [f"left behind: {line}" for line in left_behind(self.before, self.after)]
        lost = [f"a good caller lost {n} sessions: {why}" for why, n in self.tally.lost.items()]
        return grown + hidden + died + left + lost


def main() -> int:
    parser = _parser()
    arguments = parser.parse_args()
    if arguments.minutes < _SHORTEST_MINUTES:
        parser.error(f"--minutes: at least {_SHORTEST_MINUTES}, since the first does not count")
    seconds = arguments.minutes * 60
    busy = psutil.cpu_percent(interval=1.0)
    print(f"- machine: {machine()}, {busy:.0f} % busy with other work at the start")
    print(f"- command: `{shlex.join(['python', '-m', 'bench.soak', *sys.argv[1:]])}`", flush=True)
    found = _measure(arguments, seconds)
    print(*_report(found, seconds), sep="\n")
    if arguments.json:
        arguments.json.write_text(json.dumps({"looks": [asdict(look) for look in found.looks]}))
    print(json.dumps(_figures(found)))
    return int(bool(found.complaints))


def _measure(arguments: argparse.Namespace, seconds: float) -> Found:
    """Starts the providers and the server, and stops both."""
    port, tally, visits = free_port(), Tally(), Visits()
    with tempfile.TemporaryDirectory() as folder, providers.provided() as environment:
        config = config_with(Path(folder), port, ingress={"max_sessions": _ROOM})
        with (
            running_server(config, port, environment | _SERVES_LOG) as server,
            looking_at(server) as eye,
        ):
            first = asyncio.run(_soak(server.url, arguments, _FIRST_S, Tally(), Visits(), eye))
            before = _at_rest(server, eye)
            looks = asyncio.run(_soak(server.url, arguments, seconds, tally, visits, eye))
            return Found(tally, visits, first, before, looks, _at_rest(server, eye))


def _at_rest(server: Server, eye: Eye) -> Look:
    """When everybody has gone."""
    server.wait_until_idle()
    time.sleep(_REST_S)
    return eye.look()


async def _soak(
    url: str, arguments: argparse.Namespace, seconds: float, tally: Tally, visits: Visits, eye: Eye
) -> list[Look]:
    looks: list[Look] = []
    everybody = asyncio.gather(
        talk(url, arguments.sessions, seconds, tally),
        pester(url, arguments.hostile, seconds, visits),
    )
    while not everybody.done():
        looks.append(await asyncio.to_thread(eye.look))
        print(_progress(looks[-1], tally, visits), file=sys.stderr, flush=True)
        await asyncio.wait({everybody}, timeout=arguments.every)
    await everybody
    return looks


def _progress(look: Look, tally: Tally, visits: Visits) -> str:
    memory = {n: round(of["uss"]) for n, of in look.processes.items() if "tasks" in of}
    return f"  {look.at_s:6.0f} s, {tally.turns.total()} turns, {visits.total} visits, {memory}"


# --- the report ---


def _report(found: Found, seconds: float) -> Iterator[str]:
    tally, visits = found.tally, found.visits
    did = ", ".join(f"{count} {what}" for what, count in sorted(tally.turns.items()))
    yield f"- {tally.turns.total()} turns of good callers in {seconds / 60:g} minutes: {did}"
    yield (
        f"- {tally.resumes} resumes, {tally.unanswered} answers missing, {tally.not_interrupted}"
        f" barge-ins without effect, errors: {dict(tally.errors) or 'none'}"
    )
    said = ", ".join(f"{what} ({count})" for what, count in sorted(visits.said.items()))
    yield f"- {visits.total} hostile visits: {said}"
    warm_up_s = counted_from_s(found.looks) - found.looks[0].at_s
    yield (
        f"- slopes: Theil-Sen with a 95 % interval, without the first {warm_up_s:.0f} s;"
        f" allowed in the rest: 3 % and {_allowed()}"
    )
    yield from ("", *table(trends(found.looks)), "")
    yield from (f"NOT FLAT: {line}" for line in found.complaints)
    if not found.complaints:
        yield "flat: nothing grew, nothing died, nothing was left behind, no good session was lost"


def _allowed() -> str:
    units = {"uss": "MiB"}
    return ", ".join(f"{value:g} {units.get(name, name)}" for name, value in ALLOWED.items())


def _figures(found: Found) -> dict[str, Any]:
    def plain(trend: Trend) -> dict[str, Any]:
        return asdict(trend) | {"surely_grew": trend.surely_grew, "is_flat": trend.is_flat}

    return {
        "machine": machine(),
        "tally": found.tally.plain(),
        "visits": dict(found.visits.said),
        "complaints": found.complaints,
        "trends": [plain(trend) for trend in trends(found.looks)],
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=10.0, help="default 10; at least 2")
    add("--sessions", type=int, default=4, help="good callers at once (default 4)")
    add("--hostile", type=int, default=3, help="hostile callers at once (default 3)")
    add("--every", type=float, default=4.0, help="seconds between two looks (default 4)")
    add("--json", type=Path, help="a file for all that is seen")
    return parser


if __name__ == "__main__":
    sys.exit(main())
