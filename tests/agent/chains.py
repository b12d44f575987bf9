"""Chains of engines whose providers are real local servers, and what metrics would show of them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

from serve_app.agent.chain import Chain, E, Watcher
from serve_app.agent.engines import LlmEngine, Speech, TtsEngine
from serve_app.agent.llm.chain import LlmChain
from serve_app.agent.text.clauses import ClauseSplitter
from serve_app.agent.text.reply_text import ReplyText
from serve_app.agent.tts.chain import TtsChain
from serve_app.conversation.sound import Sound
from serve_app.protocol.formats import parse_format
from serve_app.settings.agent import BreakerSettings

FORMAT = parse_format("pcm_44100")
DOWN = "http://127.0.0.1:9/v1"
"""The discard port: nobody listens."""


@dataclass
class Known(Watcher):
    """What metrics would show."""

    available: dict[str, bool] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def is_available(self, stage: str, engine: str, is_available: bool) -> None:
        self.available[engine] = is_available

    def has_failed(self, stage: str, engine: str) -> None:
        self.failures.append(engine)


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@asynccontextmanager
async def chat_chain(
    *engines: LlmEngine, known: Watcher, clock: Clock, failures: int = 3
) -> AsyncIterator[LlmChain]:
    settings = BreakerSettings(failures=failures, cool_down_s=30)
    chain = LlmChain(Chain("llm", _named(engines), settings, known, clock))
    try:
        yield chain
    finally:
        await chain.aclose()


@asynccontextmanager
async def voice_chain(
    *engines: TtsEngine,
    known: Watcher,
    clock: Clock,
    failures: int = 3,
    own_voices: Collection[str] = (),
) -> AsyncIterator[TtsChain]:
    settings = BreakerSettings(failures=failures, cool_down_s=30)
    chain = TtsChain(Chain("tts", _named(engines), settings, known, clock), own_voices)
    try:
        yield chain
    finally:
        await chain.aclose()


async def speak(
    chain: TtsChain, clauses: AsyncIterator[str], voice: str = ""
) -> AsyncGenerator[Speech, None]:
    """A reply of these clauses, in FORMAT."""
    text = ReplyText(AsWritten())
    writer = asyncio.create_task(_write(clauses, text))
    try:
        async with aclosing(chain.speak(text, Sound(voice), FORMAT)) as speeches:
            async for speech in speeches:
                yield speech
    finally:
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)


class AsWritten(ClauseSplitter):
    """Takes each piece that is written for a clause."""

    def push(self, text: str) -> list[str]:
        return [text] if text else []


async def _write(clauses: AsyncIterator[str], text: ReplyText) -> None:
    async for clause in clauses:
        text.write(clause)
    text.end()


def _named(engines: Sequence[E]) -> dict[str, E]:
    return {"abc"[number]: engine for number, engine in enumerate(engines)}
