"""`make bench-capacity`: how many users a machine holds, and what each of them costs.

The server is the one that `echo-serve run` starts, with the packaged transcriber; LLM and voice
are local servers with fixed delays. First many sessions keep a microphone open and say nothing;
then more and more converse in real time, until the first audio is late twice. CPU is counted for
each kind of process. What a session adds to a stage is true of other machines too; the number of
sessions that fill this machine is not, because the clients run on it as well.
"""

import argparse
import asyncio
import json
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from bench import providers
from bench.busy import busy_loops
from bench.callers import CLIPS, PAUSE_S, Call, Visit, Window, call, say_nothing, talk
from bench.capacity_figures import (
    SLOWER,
    Cost,
    Step,
    costs,
    endpoints_alone,
    largest_that_met,
    step_of,
    talk_of,
)
from bench.capacity_table import cost_table, cpu_table, memory_table, talk_table
from bench.machine import machine
from bench.processes import Account, Load, Memory
from tests.serve.conftest import Server, config_with, free_port, running_server

_ALONE_S = 60.0
"""Length of the step with one session, in which each clip should come twice."""
_MISSES = 2
"""After this many steps in a row that miss the objective there is no more to learn."""
_PLACES = 1000
"""So many that the machine is full first."""


@dataclass(frozen=True, slots=True)
class Measured:
    calls: list[Call]
    load: Load
    memory: dict[str, Memory]


class Bench:
    """A running server, and what was measured on it."""

    def __init__(self, server: Server, seconds: float) -> None:
        self._server = server
        self._account = Account(server.process.pid)
        self._seconds = seconds
        self._endpoints_ms: dict[str, float] = {}
        self.nobody: Step
        self.silent: list[Step] = []
        self.talking: list[Step] = []

    async def run(self, silent: Sequence[int], talking: Sequence[int]) -> None:
        self.nobody = await self._nobody()
        for sessions in silent:
            self.silent.append(await self._silent(sessions))
            _report("silent", self.silent[-1])
        for sessions in talking:
            self.talking.append(await self._talking(sessions))
            _report("talking", self.talking[-1])
            last = self.talking[-_MISSES:]
            if len(last) == _MISSES and all(step.missed(self.talking[0]) for step in last):
                return

    @property
    def most_talking(self) -> Step:
        return largest_that_met(self.talking)

    @property
    def most_silent(self) -> Step:
        return max(self.silent, key=lambda step: step.sessions)

    def costs(self, step: Step) -> dict[str, Cost]:
        return costs(step, self.nobody)

    async def _nobody(self) -> Step:
        before = self._account.usage()
        await asyncio.sleep(self._seconds / 2)
        load = Load.between(before, self._account.usage())
        return step_of([], None, load, self._account.memory())

    async def _silent(self, sessions: int) -> Step:
        measured = await self._measured(say_nothing, sessions, self._seconds / 2)
        return step_of(measured.calls, None, measured.load, measured.memory)

    async def _talking(self, sessions: int) -> Step:
        seconds = max(self._seconds, _ALONE_S) if sessions == 1 else self._seconds
        measured = await self._measured(talk, sessions, seconds)
        self._endpoints_ms = self._endpoints_ms or endpoints_alone(measured.calls)
        talked = talk_of(measured.calls, self._endpoints_ms)
        return step_of(measured.calls, talked, measured.load, measured.memory)

    async def _measured(self, visit: Visit, sessions: int, seconds: float) -> Measured:
        window = Window(sessions, seconds)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(call(self._server.url, number, window, visit))
                for number in range(sessions)
            ]
            await window.opened()
            before = self._account.usage()
            await window.closed()
            load = Load.between(before, self._account.usage())
            memory = await asyncio.to_thread(self._account.memory)
        await asyncio.to_thread(self._server.wait_until_idle)
        return Measured([task.result() for task in tasks], load, memory)


def _report(what: str, step: Step) -> None:
    """Shows a step as soon as it is measured."""
    lost = f", {step.losses} lost" if step.losses else ""
    first = f", first audio p95 {step.talk.first_audio.p95_ms:.0f} ms" if step.talk else ""
    print(f"  {step.sessions} {what}{first}{lost}", file=sys.stderr, flush=True)


def main() -> int:
    arguments = _parser().parse_args()
    print(*_header(), sep="\n", flush=True)
    bench = _run(arguments)
    print(*_tables(bench), sep="\n")
    print(json.dumps(_figures(bench)))
    return int(bool(bench.talking[0].missed(bench.talking[0])))


def _run(arguments: argparse.Namespace) -> Bench:
    """Starts the providers and the server, and stops both."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, providers.provided() as environment:
        config = config_with(Path(folder), port, ingress={"max_sessions": _PLACES})
        with running_server(config, port, environment) as server:
            bench = Bench(server, arguments.seconds)
            with busy_loops() if arguments.busy else nullcontext():
                asyncio.run(bench.run(arguments.silent, arguments.talking))
            return bench


def _tables(bench: Bench) -> Iterator[str]:
    talking, silent = bench.most_talking, bench.most_silent
    yield from talk_table(bench.talking)
    yield from ("", "cores that are busy, with open microphones that say nothing, then with talk")
    yield from cpu_table([bench.nobody, *bench.silent, *bench.talking])
    yield from ("", "CPU time that a session adds, ms a second")
    yield from cost_table(
        (talking.sessions, bench.costs(talking)), (silent.sessions, bench.costs(silent))
    )
    yield from ("", "memory: pages that processes share counted once (and for each)")
    yield from memory_table(bench.nobody, bench.talking[-1], bench.costs(silent))


def _figures(bench: Bench) -> dict[str, Any]:
    talking, silent = bench.most_talking, bench.most_silent
    return {
        "machine": machine(),
        "nobody": asdict(bench.nobody),
        "silent": [asdict(step) for step in bench.silent],
        "talking": [asdict(step) for step in bench.talking],
        "missed": [step.missed(bench.talking[0]) for step in bench.talking],
        "cost_talking": {kind: asdict(cost) for kind, cost in bench.costs(talking).items()},
        "cost_silent": {kind: asdict(cost) for kind, cost in bench.costs(silent).items()},
    }


def _header() -> Iterator[str]:
    yield f"machine   {machine()}, {psutil.cpu_percent(interval=1.0):.0f} % busy with other work"
    yield f"command   python -m bench.capacity {shlex.join(sys.argv[1:])}".rstrip()
    yield "server    configs/serve.yaml behind HAProxy, packaged transcriber, on this machine too"
    yield "LLM       and voice stand in, with fixed delays, in a process of their own"
    yield (
        f"user      {len(CLIPS)} recordings of 2 to 5 s, then the answer, then"
        f" {PAUSE_S[0]:.0f} to {PAUSE_S[1]:.0f} s of thinking; the microphone is open all the time"
    )
    yield f"objective first audio p95 at most {SLOWER} times that of one session, and nothing lost"
    yield ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.capacity", description=__doc__)
    add = parser.add_argument
    add("--talking", type=int, nargs="+", default=[1, 4, 8, 12, 16, 24, 32], help="steps")
    add("--silent", type=int, nargs="+", default=[10, 40, 100], help="steps of open microphones")
    add("--busy", action="store_true", help="a busy loop on each core as well")
    add("--seconds", type=float, default=30.0, help="that a step is measured (default 30)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
