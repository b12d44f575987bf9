"""`make bench-agent`: how soon an interrupt frees LLM and voice, and the delay of the first audio.

The agent's engines and Speaker are the server's own; LLM and voice are the shipped stand-ins in a
process of their own, whose times are compared with ours. What lies between a client and the agent
is not measured here but by bench.latency.
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
from serve_app.settings.resolve import client_format
from serve_app.settings.schema import AgentSettings

_SETTLE_S = 5.0
"""What is not closed by then counts as left open."""
_LONGEST_HOLD_S = 0.5
"""Interrupts come at any time in the first audio of a reply, or before it."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """One reply on our side of the wire."""

    number: int
    audio_s: float
    """When its first audio left Speaker; 0: none did."""
    interrupt_s: float


@dataclass(frozen=True, slots=True)
class Open:
    """What is in use between two replies."""

    sockets: int
    tasks: int
    files: int
    chats: int
    """Requests that the LLM still answers, of those seen so far."""
    contexts: int
    """Contexts that the voice has not been told to close."""


@dataclass(frozen=True, slots=True)
class Figures:
    """All that is printed."""

    concurrent: int
    replies: int
    llm_closed: Delays
    """Interrupt to the end of the request's socket at the LLM."""
    context_closed: Delays
    """Interrupt to close_context at the voice."""
    first_audio: Delays
    """The voice's first byte to the first audio out of Speaker."""
    left_open: int
    """Sockets and contexts that were not closed at all."""
    interrupts_in_a_row: int
    before: Open
    after: Open

    @property
    def has_failures(self) -> bool:
        return self.left_open > 0 or self.before != self.after


class Quiet(Watcher):
    """Nobody looks at the breakers here: a failure ends the benchmark."""

    def is_available(self, stage: str, engine: str, is_available: bool) -> None:
        pass

    def has_failed(self, stage: str, engine: str) -> None:
        raise RuntimeError(f"{stage}: {engine} failed")


@asynccontextmanager
async def speaking(providers: Providers) -> AsyncIterator[Speaker]:
    """What an agent replica holds."""
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


async def measure(providers: Providers, concurrent: int, rounds: int, in_a_row: int) -> Figures:
    holds = random.Random(0)
    async with speaking(providers) as speaker:
        numbers = iter(range(10**6))

        async def reply(waits_for_audio: bool) -> Interrupted:
            hold_s = holds.uniform(0, _LONGEST_HOLD_S)
            return await interrupted(speaker, next(numbers), hold_s, waits_for_audio)

        replies = []
        for _ in range(rounds):
            replies += await asyncio.gather(*(reply(True) for _ in range(concurrent)))
        before = await settled(providers)
        for _ in range(in_a_row):
            await reply(False)
        after = await settled(providers)
    return await figures(providers, concurrent, replies, in_a_row, before, after)


async def interrupted(
    speaker: Speaker, number: int, hold_s: float, waits_for_audio: bool
) -> Interrupted:
    """Interrupts a reply `hold_s` after its first audio, or after its request."""
    audio: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    listener = asyncio.create_task(
        _listen(speaker.reply([ChatMessage("user", prompt(number))]), audio)
    )
    if waits_for_audio:
        await audio
    await asyncio.sleep(hold_s)
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
        raise RuntimeError("a reply came to its end: it is too short")
    finally:
        await parts.aclose()


async def settled(providers: Providers) -> Open:
    """What is in use when nothing is open at the providers any more, or after a while."""
    deadline_s = time.monotonic() + _SETTLE_S
    while True:
        seen = await in_use(providers)
        if not (seen.chats or seen.contexts) or time.monotonic() > deadline_s:
            return seen
        await asyncio.sleep(0.05)


async def in_use(providers: Providers) -> Open:
    report = await providers.report()
    process = psutil.Process()
    return Open(
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
    before: Open,
    after: Open,
) -> Figures:
    report = await providers.report()
    chats = {chat.number: chat for chat in report.chats}
    contexts = {context.number: context for context in report.contexts}
    ours = [(reply, chats[reply.number], contexts[reply.number]) for reply in replies]
    return Figures(
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


def table(row: Figures) -> Iterator[str]:
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
    add("--rounds", type=int, default=25, help="of so many replies (default 25)")
    add("--in-a-row", type=int, default=200, help="interrupts one after the other (default 200)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
