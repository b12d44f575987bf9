"""Texts for ElevenLabs' voices, and helpers for their speech."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from serve_app.agent.engines import Speech
from serve_app.agent.tts.elevenlabs.multi_context import MultiContextVoice
from serve_app.agent.tts.elevenlabs.sockets import Limits
from serve_app.agent.tts.elevenlabs.stream_input import StreamInputVoice
from serve_app.fakes.elevenlabs import SECONDS_PER_CHAR
from serve_app.protocol.formats import parse_format
from serve_app.settings.agent import TtsSettings

CLAUSES = ["Sure,", " I can help 😀", "!?", " What is it?\n"]
SENT = ["Sure, ", "I can help 😀 ", "What is it? "]
KEY = "xi-hush"
DEADLINE_S = 5.0
TICK_S = 0.01
"""How often sockets are checked, in tests that wait for it."""
LONG = ["Once upon a time there was a ship, ", "and it went far, far away ", "over the sea."]


def given(url: str, **settings: object) -> TtsSettings:
    return TtsSettings.model_validate(
        {"api_url": url, "output_format": "pcm_22050", "first_audio_timeout_s": 5, **settings}
    )


@asynccontextmanager
async def stream_input(url: str, **settings: object) -> AsyncIterator[StreamInputVoice]:
    options = given(url, **settings)
    yield StreamInputVoice(options, KEY, parse_format(options.output_format))


@asynccontextmanager
async def multi_context(
    url: str, limits: Limits | None = None, **settings: object
) -> AsyncIterator[MultiContextVoice]:
    options = given(url, **settings)
    voice = MultiContextVoice(options, KEY, parse_format(options.output_format), limits)
    try:
        yield voice
    finally:
        await voice.aclose()


async def say(*clauses: str) -> AsyncIterator[str]:
    for clause in clauses:
        yield clause


async def say_and_wait(*clauses: str) -> AsyncIterator[str]:
    """Like an LLM that takes a long time over the next clause."""
    for clause in clauses:
        yield clause
    await asyncio.Event().wait()


async def collect(speeches: AsyncGenerator[Speech, None], into: list[Speech]) -> None:
    async for speech in speeches:
        into.append(speech)  # noqa: PERF401 - an error must not lose what came before


def joined(speeches: list[Speech]) -> str:
    return "".join(s.text for s in speeches)


def audio(speeches: list[Speech]) -> bytes:
    return b"".join(s.audio for s in speeches)


def seconds(speeches: list[Speech]) -> float:
    return len(audio(speeches)) / 44_100


def spoken_s(*texts: str) -> float:
    return sum(map(len, texts)) * SECONDS_PER_CHAR


class Written:
    """Clauses that a test writes one by one."""

    def __init__(self, *clauses: str) -> None:
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()
        self.write(*clauses)

    def write(self, *clauses: str | None) -> None:
        for clause in clauses:
            self._queue.put_nowait(clause)

    async def __aiter__(self) -> AsyncIterator[str]:
        while (clause := await self._queue.get()) is not None:
            yield clause
