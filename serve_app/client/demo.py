"""`make demo`: one spoken conversation with a recorded human voice, printed and measured."""

import asyncio
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from serve_app.client.playback import Received
from serve_app.client.session import KEY_VARIABLE, EchoSession, converse
from serve_app.client.speech import read_wav, trim, write_wav
from serve_app.errors import ConfigError, EngineError
from serve_app.local.server import read_file, running
from serve_app.protocol.formats import AudioFormat
from serve_app.protocol.messages import Samples
from serve_app.settings.resolve import client_format

Report = Callable[[str], None]

SPEECH = Path(__file__).parents[2] / "tests" / "data" / "speech"
"""LibriVox and CMU recordings; their texts and licences are in the folder. The reader of
librivox_0880 pauses in the middle of a sentence, so the server waits."""
TURNS = ("go_forward", "librivox_0880", "librivox_0930", "librivox_0890", "librivox_0920")
BARGE_IN = "librivox_0870"
PROMPT = "You are a helpful voice assistant. Answer briefly."
_BARGE_IN_AFTER_S = 1.6
"""A user who speaks within the first second of a reply goes on with the turn before it."""
_PAUSE_S = 0.3


@dataclass(frozen=True, slots=True)
class TurnReport:
    """One exchange. The first time is measured by the client, the other four by the server."""

    transcript: str
    reply: str
    first_audio_ms: float
    """End of the user's speech to the first audio of the answer."""
    endpoint_ms: float
    stt_ms: float
    llm_ms: float
    tts_ms: float


@dataclass(frozen=True, slots=True)
class DemoReport:
    """The last line of the demo, as JSON."""

    machine: str
    greeting: str
    turns: list[TurnReport]
    first_audio_p50_ms: float
    interrupt_ms: float
    """First voiced sample of the barge-in to the `interrupt` message."""
    stale_chunks: int
    """Audio under an old token after an interrupt."""


def demo(config: Path, wav: Path, report: Report) -> int:
    """Starts the server, converses and stops everything. Raises ConfigError and EngineError."""
    if not SPEECH.is_dir():
        raise ConfigError(f"the recordings are missing: {SPEECH}; run the demo in a checkout")
    url = f"ws://localhost:{read_file(config).port}/conversation"
    with running(config, report) as settings:
        if settings.access.asks_for_keys and not os.environ.get(KEY_VARIABLE):
            raise ConfigError(f"this server asks for a key: set {KEY_VARIABLE} to one")
        voice = client_format(settings.agent.tts)
        if not voice.is_pcm:
            raise ConfigError("the demo writes a WAV: set ELEVEN_LABS_OUTPUT_FORMAT to pcm_44100")
        result = asyncio.run(_converse(url, voice, wav, report))
    _report_figures(result, wav, report)
    report(json.dumps(asdict(result)))
    return 0


async def _converse(url: str, voice: AudioFormat, wav: Path, report: Report) -> DemoReport:
    async with converse(url, voice) as session:
        user = _User(session, report)
        greeting = await user.greet()
        turns = [await user.exchange(name) for name in TURNS]
        interrupt_ms = await user.barge_in(TURNS[-1], BARGE_IN)
        playback = session.playback
        playback.advance(time.monotonic())
    write_wav(wav, bytes(playback.heard), voice.rate_hz)
    return DemoReport(
        machine=f"{platform.machine()}, {os.cpu_count()} cores",
        greeting=greeting,
        turns=turns,
        first_audio_p50_ms=statistics.median(turn.first_audio_ms for turn in turns),
        interrupt_ms=interrupt_ms,
        stale_chunks=playback.stale_chunks,
    )


class _User:
    """Plays the user's part of the conversation and prints both."""

    def __init__(self, session: EchoSession, report: Report) -> None:
        self._session = session
        self._report = report

    async def greet(self) -> str:
        await self._session.open(PROMPT, {"transcript", "state", "metrics", "error"})
        return await self._reply()

    async def exchange(self, name: str) -> TurnReport:
        await asyncio.sleep(_PAUSE_S)
        _, end_s = await self._session.say(_clip(name))
        transcript = await self._transcript()
        first, metrics = await self._begun()
        reply = await self._reply()
        parts = {key: metrics[key] for key in ("endpoint_ms", "stt_ms", "llm_ms", "tts_ms")}
        turn = TurnReport(transcript, reply, (first.at_s - end_s) * 1000, **parts)
        self._report(_latency_line(turn))
        return turn

    async def _begun(self) -> tuple[Received, dict[str, Any]]:
        """The first audio of a reply, and its metrics, which come with it."""
        found: dict[str, Received] = {}
        while len(found) < 2:
            message = await self._next("audio", "metrics")
            found.setdefault(message.kind, message)
        return found["audio"], found["metrics"].fields

    async def barge_in(self, opening: str, interruption: str) -> float:
        """Speaks while the agent does. Returns how long the interrupt took, in ms."""
        await asyncio.sleep(_PAUSE_S)
        await self._session.say(_clip(opening))
        await self._transcript()
        await self._next("audio")
        await asyncio.sleep(_BARGE_IN_AFTER_S)
        start_s, _ = await self._session.say(_clip(interruption))
        interrupt = await self._next("interrupt")
        await self._transcript(note="  <- interrupted here")
        await self._transcript()
        await self._reply()
        return (interrupt.at_s - start_s) * 1000

    async def _reply(self) -> str:
        text = await self._transcript()
        while (await self._next("state")).fields["state"] != "waiting":
            pass
        return text

    async def _transcript(self, note: str = "") -> str:
        fields = (await self._next("transcript")).fields
        self._report(f"  {fields['role']:<6} {fields['text']}{note}")
        return str(fields["text"])

    async def _next(self, *kinds: str) -> Received:
        message = await self._session.next(*kinds, "error")
        if message.kind == "error":
            raise EngineError(message.fields["stage"], message.fields["message"])
        return message


def _clip(name: str) -> Samples:
    return trim(read_wav(SPEECH / f"{name}.wav"))


def _latency_line(turn: TurnReport) -> str:
    return (
        f"         first audio after {turn.first_audio_ms:.0f} ms: endpoint {turn.endpoint_ms:.0f},"
        f" stt {turn.stt_ms:.0f}, llm {turn.llm_ms:.0f}, tts {turn.tts_ms:.0f}"
    )


def _report_figures(result: DemoReport, wav: Path, report: Report) -> None:
    report("")
    report(
        f"first audio after the end of speech, p50 of {len(result.turns)} turns:"
        f" {result.first_audio_p50_ms:.0f} ms"
    )
    report(f"interrupt after the first voiced sample: {result.interrupt_ms:.0f} ms")
    report(f"chunks of a dead reply after an interrupt: {result.stale_chunks}")
    report(f"what the user heard: {wav}")
