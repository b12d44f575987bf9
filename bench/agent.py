"""`make bench-agent`: how soon an interrupt frees LLM and voice, and how late the first audio is.

The engines and Speaker are the server's own. LLM and voice are the shipped stand-ins, in their own
process; their times are compared with ours. What lies between a client and the agent is measured
by bench.latency.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass

import psutil

from bench.agent_providers import (
    CHUNK_S,
    FIRST_AUDIO_S,
    FIRST_TOKEN_S,
    Providers,
    prompt,
    providing,
)
from bench.figures import Delays, delays
from serve_app.agent.chain import Watcher
from serve_app.agent.factory import build_llm_chain, build_tts_chain
from serve_app.agent.parts import ReplyPart
from serve_app.agent.speaker import Speaker
from serve_app.conversation.history import ChatMessage
from serve_app.conversation.piece import Piece
from serve_app.settings.agent import AgentSettings
from serve_app.settings.resolve import client_format

_REST_S = 5.0
"""What is not closed after this time counts as left open."""
_LONGEST_PAUSE_S = 0.5
"""Interrupts come at a random time within this, after a reply's first audio or its request."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """One reply, seen from our side."""

    number: int
    audio_s: float
    """When its first audio left Speaker; 0 if none did."""
    interrupt_s: float


@dataclass(frozen=True, slots=True)
class InUse:
    """What is in use between two replies."""

    sockets: int
    tasks: int
    files: int
    chats: int
    """Requests that the LLM is still answering."""
    contexts: int
    """Contexts that the voice has not been told to close."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that is printed."""

    concurrent: int
    replies: int
    llm_closed: Delays
    """From the interrupt until the LLM sees the request's socket closed."""
    context_closed: Delays
    """From the interrupt until the voice gets close_context."""
    first_audio: Delays
    """From the voice's first byte until the first audio leaves Speaker."""
    left_open: int
    """Sockets and contexts that were never closed."""
    interrupts_in_a_row: int
    before: InUse
    after: InUse

    @property
    def has_failures(self) -> bool:
        return self.left_open > 0 or self.before != self.after


class Quiet(Watcher):
    """Takes no notice of the breakers. A failure ends the benchmark."""

    def is_available(self, stage: str, engine: str, is_available: bool) -> None:
        pass

    def has_failed(self, stage: str, engine: str) -> None:
        raise RuntimeError(f"{stage}: {engine} failed")


@asynccontextmanager
async def speaking(providers: Providers) -> AsyncIterator[Speaker]:
    """As in an agent replica."""
    llm = {"provider": "generic", "model": "m", "api_url": providers.llm_url}
    tts = {
        "provider": "elevenlabs",
        "api_url": providers.voice_url,
        "api_key_variable": "KEY",
    }
    settings = AgentSettings.model_validate({"llm": llm, "tts": tts})
    chat = build_llm_chain(settings, {}, Quiet())
    voice = build_tts_chain(settings, {"KEY": "bench"}, Quiet())
    voice.warm_up()
    try:
        yield Speaker(chat, voice, client_format(settings.tts))
    finally:
        await asyncio.gather(chat.aclose(), voice.aclose())


async def measure(providers: Providers, concurrent: int, rounds: int, in_a_row: int) -> Measured:
    pauses = random.Random(0)
    async with speaking(providers) as speaker:
        numbers = iter(range(10**6))

        async def reply(waits_for_audio: bool) -> Interrupted:
            pause_s = pauses.uniform(0, _LONGEST_PAUSE_S)
            return await interrupted(speaker, next(numbers), pause_s, waits_for_audio)

        replies = []
        for _ in range(rounds):
            replies += await asyncio.gather(*(reply(True) for _ in range(concurrent)))
        before = await at_rest(providers)
        for _ in range(in_a_row):
            await reply(False)
        after = await at_rest(providers)
    return await figures(providers, concurrent, replies, in_a_row, before, after)


async def interrupted(
    speaker: Speaker, number: int, pause_s: float, waits_for_audio: bool
) -> Interrupted:
    """Interrupts a reply `pause_s` after its first audio, or after its request."""
    audio: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    listener = asyncio.create_task(
        _listen(speaker.reply([ChatMessage("user", prompt(number))]), audio)
    )
    if waits_for_audio:
        await audio
    await asyncio.sleep(pause_s)
    interrupt_s = time.monotonic()
    listener.cancel()
    with suppress(asyncio.CancelledError):
        await listener
    return Interrupted(number, audio.result() if audio.done() else 0.0, interrupt_s)


async def _listen(parts: AsyncGenerator[ReplyPart, None], audio: "asyncio.Future[float]") -> None:
    try:
        async for part in parts:
            if isinstance(part, Piece) and part.audio and not audio.done():
                audio.set_result(time.monotonic())
        raise RuntimeError("a reply ended before its interrupt: it is too short")
    finally:
        await parts.aclose()


async def at_rest(providers: Providers) -> InUse:
    """What is in use once nothing is open at the providers, or after _REST_S."""
    deadline_s = time.monotonic() + _REST_S
    while True:
        seen = await in_use(providers)
        if not (seen.chats or seen.contexts) or time.monotonic() > deadline_s:
            return seen
        await asyncio.sleep(0.05)


async def in_use(providers: Providers) -> InUse:
    report = await providers.report()
    process = psutil.Process()
    return InUse(
        sockets=len(process.net_connections("inet")),
        tasks=len(asyncio.all_tasks()),
        files=process.num_fds(),
        chats=sum(not chat.ended_s for chat in report.chats),
        contexts=sum(not context.ended_s for context in report.contexts),
    )


async def figures(
    providers: Providers,
    concurrent: int,
    replies: list[Interrupted],
    in_a_row: int,
    before: InUse,
    after: InUse,
) -> Measured:
    report = await providers.report()
    chats = {chat.number: chat for chat in report.chats}
    contexts = {context.number: context for context in report.contexts}
    ours = [(reply, chats[reply.number], contexts[reply.number]) for reply in replies]
    return Measured(
        concurrent=concurrent,
        replies=len(replies),
        llm_closed=_delays([chat.ended_s - reply.interrupt_s for reply, chat, _ in ours]),
        context_closed=_delays([voice.ended_s - reply.interrupt_s for reply, _, voice in ours]),
        first_audio=_delays([reply.audio_s - voice.begun_s for reply, _, voice in ours]),
        left_open=sum(not seen.ended_s for seen in (*report.chats, *report.contexts)),
        interrupts_in_a_row=in_a_row,
        before=before,
        after=after,
    )


def _delays(values_s: list[float]) -> Delays:
    return delays([value_s * 1000 for value_s in values_s])


def table(row: Measured) -> Iterator[str]:
    """The lines to print."""
    yield f"{row.concurrent} replies at once, {row.replies} in all, ms          p50    p95    max"
    yield f"interrupt to the LLM's socket closed           {_line(row.llm_closed)}"
    yield f"interrupt to the voice's context closed        {_line(row.context_closed)}"
    yield f"voice's first byte to first audio out          {_line(row.first_audio)}"
    yield f"left open at the providers                     {row.left_open:7}"
    yield ""
    yield f"{row.interrupts_in_a_row} interrupts in a row    sockets  tasks  files  chats  contexts"
    for name, seen in (("before", row.before), ("after", row.after)):
        yield (
            f"{name:<24}{seen.sockets:10}{seen.tasks:7}{seen.files:7}{seen.chats:7}"
            f"{seen.contexts:10}"
        )


def _line(values: Delays) -> str:
    return f"{values.p50_ms:7.1f}{values.p95_ms:7.1f}{values.max_ms:7.1f}"


def main() -> int:
    arguments = _parser().parse_args()
    busy = psutil.cpu_percent(interval=1.0)
    print(f"machine   {os.cpu_count()} cores, {busy:.0f} % busy with other work")
    print(
        f"LLM       stands in: first token after {FIRST_TOKEN_S * 1000:.0f} ms\n"
        f"voice     stands in: first audio after {FIRST_AUDIO_S * 1000:.0f} ms, 93 ms of it each"
        f" {CHUNK_S * 1000:.0f} ms\n",
        flush=True,
    )
    with providing() as providers:
        measured = asyncio.run(
            measure(providers, arguments.concurrent, arguments.rounds, arguments.in_a_row)
        )
    print(*table(measured), sep="\n")
    print(json.dumps(asdict(measured)))
    return int(measured.has_failures)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.agent", description=__doc__)
    add = parser.add_argument
    add("--concurrent", type=int, default=8, help="replies at once (default 8)")
    add("--rounds", type=int, default=25, help="of that many replies (default 25)")
    add("--in-a-row", type=int, default=200, help="interrupts one after the other (default 200)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
