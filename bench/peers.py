"""`make bench-peers`: this server beside Pipecat, in the same run.

The same callers (bench/visits.py) talk to this server and to Pipecat's (bench/pipecat_server.py),
which stands in a virtual environment of its own. One server runs at a time, for one number of
sessions; then comes the next. All have the same LLM and the same voice, which stand in, and the
same weights of Whisper and Silero.
"""

import argparse
import asyncio
import json
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from bench import providers
from bench.latency import add_plan, stand_ins, users
from bench.machine import machine
from bench.peer_figures import NAMES, OURS, Row, row_of, table
from bench.processes import Account, Load
from bench.stt_peers import MANIFEST
from bench.visits import Heard, Plan, all_exchanges, interrupted, talked
from serve_app.models.fetch import ModelStore, cache_dir
from serve_app.protocol.formats import AudioFormat, parse_format
from tests.serve.conftest import config_with, free_port, running, running_server

ROOT = Path(__file__).parents[1]
DEVIATIONS = (
    "Whisper is tiny.en (default: distil-medium.en), in int8 and greedy as here, one thread a core;"
    " it is loaded once and not by each session",
    "its serializer speaks Echo's messages, with an `interrupt` where its Twilio serializer sends"
    " `clear`",
    "OpenAILLMService and ElevenLabsTTSService have the addresses of the stand-ins",
    "`silence` ends turns with SpeechTimeoutUserTurnStopStrategy() instead of Smart Turn, the"
    " default, which is `smart`",
)
"""Where the peer is not as its package's template makes it."""


@dataclass(frozen=True, slots=True)
class Started:
    """A server that can be called."""

    url: str
    pid: int
    audio_format: AudioFormat


def main() -> int:
    arguments = _parser().parse_args()
    print(*_header(), sep="\n", flush=True)
    plan = Plan(arguments.turns, arguments.paused, arguments.barge_ins)
    with providers.providing() as provided:
        rows = []
        for sessions in arguments.sessions:
            for name in arguments.servers:
                rows.append(_row(name, sessions, plan, provided, arguments.python))
                _report(rows[-1])
    print(*table(rows), sep="\n")
    print(json.dumps({"machine": machine(), "rows": [asdict(row) for row in rows]}))
    return int(any(row.has_failures for row in rows if row.server == OURS))


def _row(name: str, sessions: int, plan: Plan, provided: providers.Providers, python: Path) -> Row:
    """Starts one server, measures it, and stops it."""
    server = _ours(provided) if name == OURS else _pipecat(name, provided, python)
    with server as started:
        heard, load = asyncio.run(_measured(name, started, sessions, plan, provided))
        return row_of(name, sessions, heard, load)


async def _measured(
    name: str, server: Started, sessions: int, plan: Plan, provided: providers.Providers
) -> tuple[Heard, Load]:
    account = Account(server.pid)
    before = account.usage()
    run = f"{name} {sessions}"
    calls, stale = await talked(server.url, server.audio_format, run, sessions, plan)
    load = Load.between(before, account.usage())
    barge_ins, stale_too = await interrupted(server.url, server.audio_format, sessions, plan)
    heard = Heard(all_exchanges(calls, provided.asked()), barge_ins, stale + stale_too)
    return heard, load


@contextmanager
def _ours(provided: providers.Providers) -> Iterator[Started]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = config_with(Path(folder), port)
        with running_server(config, port, provided.environment) as server:
            yield Started(server.url, server.process.pid, parse_format("pcm_44100"))


@contextmanager
def _pipecat(stop: str, provided: providers.Providers, python: Path) -> Iterator[Started]:
    port = free_port()
    whisper = ModelStore(MANIFEST, cache_dir()).path("whisper-tiny.en-ct2", print)
    command = [str(python), str(ROOT / "bench" / "pipecat_server.py")]
    command += ["--port", str(port), "--stop", stop, "--whisper", str(whisper)]
    command += ["--llm", provided.llm_url, "--voice", provided.voice_url.replace("http", "ws", 1)]
    with running(command, port, "serves on port") as server:
        yield Started(server.url, server.process.pid, parse_format("pcm_24000"))


def _header() -> Iterator[str]:
    yield f"machine   {machine()}, {psutil.cpu_percent(interval=1.0):.0f} % busy with other work"
    yield f"command   python -m bench.peers {shlex.join(sys.argv[1:])}".rstrip()
    yield "ours      configs/serve.yaml behind HAProxy, packaged transcriber, on this machine too"
    yield "pipecat   1.14.0 on this machine too, one process for all sessions, its defaults, but:"
    yield from (f"          - {deviation}" for deviation in DEVIATIONS)
    yield from stand_ins()
    yield from users()
    yield ""


def _report(row: Row) -> None:
    """Shows a row as soon as it is measured."""
    first = row.complete.first_audio
    print(
        f"  {row.server} {row.sessions}: first audio p50 {first.p50_ms:.0f} ms,"
        f" {row.paused.spoken_over} of {row.paused.turns} spoken over",
        file=sys.stderr,
        flush=True,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    add_plan(parser)
    add = parser.add_argument
    add("--servers", nargs="+", choices=NAMES, default=list(NAMES), help="which of them")
    add("--python", type=Path, default=ROOT / ".venv/.peers/bin/python", help="with Pipecat")
    return parser


if __name__ == "__main__":
    sys.exit(main())
