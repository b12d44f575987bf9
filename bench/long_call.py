"""`make long-call`: whether an hour of talk leaves anything behind in the processes of the server.

The server is the one that `echo-serve run` starts, with the packaged transcriber; LLM and voice
are local servers with fixed delays. The users play recordings in real time, type, interrupt, say
nothing for a while, and lose their sockets and come back. All the while the server's processes are
looked at: memory, descriptors, threads, asyncio tasks, Ray objects. It fails if one of them holds
more in the last quarter of the time than in the second, or if an answer is missing.
"""

import argparse
import asyncio
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from bench import providers
from bench.long_call_clients import Tally, talk
from bench.long_call_figures import Course, courses, grown, store_line, table
from bench.long_call_samples import Eye, Look, looking_at
from bench.machine import machine
from tests.serve.conftest import config_with, free_port, running_server

_BEGIN, _END = "<!-- what make long-call printed -->", "<!-- end -->"
"""Between these two lines a page has the report."""
_SECOND_LOOKS_S = 10.0
"""From the end of the talk to a look at a server where nobody is."""


def main() -> int:
    arguments = _parser().parse_args()
    seconds = arguments.minutes * 60
    header = list(_header(arguments))
    print(*header, sep="\n", flush=True)
    tally, looks, idle = _measure(arguments.sessions, seconds, arguments.every, arguments.json)
    found = courses(looks)
    report = [*_account(tally, seconds), "", *table(found), "", store_line(found), *_idle(idle)]
    print(*report, sep="\n")
    if arguments.page:
        _write(arguments.page, [*header, "", *report])
    print(json.dumps(_figures(tally, found)))
    return int(bool(grown(found) or tally.lost or tally.unanswered or tally.stale_chunks))


def _measure(
    sessions: int, seconds: float, every_s: float, json_file: Path | None
) -> tuple[Tally, list[Look], Look]:
    """Starts the providers and the server, and stops both. The last look is at the server after
    everybody has gone."""
    port, tally = free_port(), Tally()
    with tempfile.TemporaryDirectory() as folder, providers.provided() as environment:
        config = config_with(Path(folder), port)
        with (
            running_server(config, port, environment) as server,
            looking_at(server) as eye,
        ):
            looks = asyncio.run(
                _talk_and_look(server.url, sessions, seconds, tally, eye, every_s, json_file)
            )
            server.wait_until_idle()
            time.sleep(_SECOND_LOOKS_S)
            return tally, looks, eye.look()


async def _talk_and_look(
    url: str,
    sessions: int,
    seconds: float,
    tally: Tally,
    eye: Eye,
    every_s: float,
    json_file: Path | None,
) -> list[Look]:
    looks: list[Look] = []
    talking = asyncio.create_task(talk(url, sessions, seconds, tally))
    while not talking.done():
        looks.append(await asyncio.to_thread(eye.look))
        print(_progress(looks[-1], tally), file=sys.stderr, flush=True)
        _keep(json_file, tally, looks)
        await asyncio.wait({talking}, timeout=every_s)
    await talking
    return looks


def _keep(file: Path | None, tally: Tally, looks: Sequence[Look]) -> None:
    """At each look, since an hour is long."""
    if file is not None:
        seen = {"tally": tally.plain(), "looks": [asdict(look) for look in looks]}
        file.write_text(json.dumps(seen))


def _progress(look: Look, tally: Tally) -> str:
    memory = {name: round(of["uss"]) for name, of in look.processes.items() if of["uss"] > 60}
    return f"  {look.at_s:6.0f} s, {tally.turns.total()} turns, {memory}"


# --- the report ---


def _header(arguments: argparse.Namespace) -> Iterator[str]:
    busy = psutil.cpu_percent(interval=1.0)
    yield f"- machine: {machine()}, {busy:.0f} % busy with other work at the start"
    yield f"- command: `{shlex.join(['python', '-m', 'bench.long_call', *sys.argv[1:]])}`"
    yield (
        f"- {arguments.sessions} sessions for {arguments.minutes:g} minutes on the server of"
        " `configs/serve.yaml` with its VAD and transcriber; LLM and voice stand in, with fixed"
        " delays"
    )


def _account(tally: Tally, seconds: float) -> Iterator[str]:
    did = ", ".join(f"{count} {what}" for what, count in sorted(tally.turns.items()))
    yield f"- {tally.turns.total()} turns in {seconds / 60:g} minutes: {did}"
    yield (
        f"- {tally.sessions} sessions, {tally.resumes} resumes, {tally.unanswered} answers missing,"
        f" {tally.not_interrupted} barge-ins without effect, {tally.stale_chunks} stale chunks"
    )
    yield f"- errors: {_counted(tally.errors)}; close codes: {_counted(tally.close_codes)}"
    yield f"- sessions lost: {_counted(tally.lost)}"


def _counted(counts: dict[Any, int]) -> str:
    return ", ".join(f"{count} times {what}" for what, count in counts.items()) or "none"


def _idle(look: Look) -> Iterator[str]:
    """What is left when everybody has gone."""
    tasks = {name.rstrip("0123456789 "): of["tasks"] for name, of in look.processes.items()
             if "tasks" in of}  # fmt: skip
    left = ", ".join(f"{name} {count:.0f}" for name, count in tasks.items())
    yield f"After the last session had ended: asyncio tasks: {left}."


def _write(page: Path, report: Sequence[str]) -> None:
    """Puts the report where the page has the last one."""
    before, _, rest = page.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    lines = "\n".join(report)
    page.write_text(f"{before}{_BEGIN}\n\n{lines}\n\n{_END}{after}")


def _figures(tally: Tally, found: Sequence[Course]) -> dict[str, Any]:
    return {
        "machine": machine(),
        "tally": tally.plain(),
        "grown": [f"{course.process}: {course.figure}" for course in grown(found)],
        "courses": [asdict(course) for course in found],
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.long_call", description=__doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=60.0, help="of talk (default 60)")
    add("--sessions", type=int, default=8, help="at once (default 8)")
    add("--every", type=float, default=30.0, help="seconds between two looks (default 30)")
    add("--json", type=Path, help="a file for all that is seen, written at each look")
    add("--page", type=Path, help="a page whose report is replaced, such as docs/long-calls.md")
    return parser


if __name__ == "__main__":
    sys.exit(main())
