"""`make bench-protocols`: the same conversation by each protocol, on one server: what is
understood, how soon it is answered, and what it costs.

The server is the one that `echo-serve run` starts, with the packaged transcriber; LLM and voice are
local servers with fixed delays. Callers say recordings in real time. The protocols take turns, so
that what else the machine does meets all of them. Transcripts are what the LLM was sent.
"""

import argparse
import asyncio
import json
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from bench import providers
from bench.figures import delays
from bench.latency import stand_ins
from bench.machine import machine
from bench.phrases import whole
from bench.processes import Account, Load
from bench.protocol_callers import PROTOCOLS, Calling
from tests.serve.conftest import Server, config_with, free_port, running_server
from tests.speech import transcript, word_errors, words

_CLIPS = ("librivox_0890", "librivox_0930", "go_forward", "librivox_0870")
"""2 to 7 s long; they sound finished."""
_STAGGER_S = 0.8
_EDGE = ("ingress", "haproxy")
"""Processes in which protocols differ."""


@dataclass
class Figures:
    """Of one protocol and one number of callers."""

    protocol: str
    sessions: int
    delays_ms: list[float] = field(default_factory=list)
    """From the last sample of a phrase to the first audio of its answer."""
    early: int = 0
    """Phrases that were answered before they were over: they count for no delay."""
    unanswered: int = 0
    word_errors: int = 0
    words: int = 0
    edge_cores: list[float] = field(default_factory=list)
    """CPU seconds a second of ingress and HAProxy, a call; one for each round."""


def main() -> int:
    arguments = _parser().parse_args()
    print(*_header(), sep="\n", flush=True)
    rows = _measure(arguments.sessions, arguments.rounds)
    print(*_table(rows), sep="\n")
    print(json.dumps({"machine": machine(), "figures": [asdict(row) for row in rows]}))
    return int(any(row.unanswered for row in rows))


def _measure(session_counts: Sequence[int], rounds: int) -> list[Figures]:
    """Starts the providers and the server, and stops both."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, providers.providing() as provided:
        config = config_with(Path(folder), port, ingress={"max_sessions": 100})
        with running_server(config, port, provided.environment) as server:
            rows: list[Figures] = []
            for count in session_counts:
                of_count = {name: Figures(name, count) for name in PROTOCOLS}
                for number in range(rounds):
                    for name, figures in of_count.items():
                        _round(server, PROTOCOLS[name], figures, number, provided)
                rows += of_count.values()
            return rows


def _round(
    server: Server, calling: Calling, figures: Figures, number: int, provided: providers.Providers
) -> None:
    """Each caller says all phrases in one call."""
    server.wait_until_idle()
    account = Account(server.process.pid)
    name = f"{figures.protocol} {figures.sessions} {number}"
    before = account.usage()
    calls = asyncio.run(_calls(f"127.0.0.1:{server.port}", calling, figures, name))
    cores = Load.between(before, account.usage()).cores
    figures.edge_cores.append(sum(cores.get(kind, 0.0) for kind in _EDGE) / figures.sessions)
    asked = provided.asked()
    for prompt, clips in calls:
        heard = next((each.users for each in reversed(asked) if each.prompt == prompt), ())
        expected = " ".join(transcript(clip) for clip in clips)
        figures.words += len(words(expected))
        figures.word_errors += word_errors(expected, " ".join(heard))


async def _calls(
    address: str, calling: Calling, figures: Figures, name: str
) -> list[tuple[str, list[str]]]:
    """The prompt of each call, and what was said in it."""

    async def call(caller: int) -> tuple[str, list[str]]:
        await asyncio.sleep(caller * _STAGGER_S)
        prompt = providers.call_prompt(f"{name} {caller}")
        clips = [_CLIPS[(caller + i) % len(_CLIPS)] for i in range(len(_CLIPS))]
        async with calling(address, prompt) as line:
            for clip in clips:
                await line.hear_out()
                spoken_s = await line.say(whole(clip).samples)
                try:
                    delay_ms = (await line.answered() - spoken_s) * 1000
                except TimeoutError:
                    figures.unanswered += 1
                    continue
                if delay_ms < 0:
                    figures.early += 1
                else:
                    figures.delays_ms.append(delay_ms)
            await line.hear_out()
        return prompt, clips

    return list(await asyncio.gather(*map(call, range(figures.sessions))))


def _header() -> Iterator[str]:
    yield f"machine   {machine()}, {psutil.cpu_percent(interval=1.0):.0f} % busy with other work"
    yield f"command   python -m bench.protocols {shlex.join(sys.argv[1:])}".rstrip()
    yield f"started   {time.strftime('%Y-%m-%d')}"
    yield "server    configs/serve.yaml behind HAProxy, packaged transcriber, on this machine too"
    yield from stand_ins()
    yield ""


def _table(rows: Sequence[Figures]) -> Iterator[str]:
    yield (
        "| path | calls | answers | first audio p50, p95 | early | unanswered | word errors"
        " | ingress and HAProxy, a call |"
    )
    yield "|---" * 8 + "|"
    for row in rows:
        first = delays(row.delays_ms)
        yield (
            f"| `{row.protocol}` | {row.sessions} | {len(row.delays_ms)}"
            f" | {first.p50_ms:.0f}, {first.p95_ms:.0f} ms | {row.early} | {row.unanswered}"
            f" | {row.word_errors} of {row.words} | {statistics.mean(row.edge_cores):.3f} cores |"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.protocols", description=__doc__)
    add = parser.add_argument
    add("--sessions", type=int, nargs="+", default=[1, 8], help="calls at once, in turn")
    add("--rounds", type=int, default=3, help="calls of each caller by each protocol (default 3)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
