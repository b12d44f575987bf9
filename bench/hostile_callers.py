"""The others: callers who have their microphone open, and type, because that shows a delay more
often than speech does."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bench.providers import PROMPT

_PIECE_S = 0.1
_SILENCE = msgpack.packb({"type": "audio", "audio": bytes(int(_PIECE_S * 16_000) * 4)})
_OPEN = msgpack.packb({"type": "open", "prompt": PROMPT, "greeting": False})
_TEXT = msgpack.packb({"type": "text", "text": "Can you help me?"})
_THINK_S = 0.3
LATE_S = 10.0
"""An answer that takes longer is none."""


@dataclass(slots=True)
class Seen:
    """By all callers."""

    delays_s: list[float] = field(default_factory=list)
    """From a typed text to the first audio of its answer."""
    unanswered: int = 0
    closed: list[str] = field(default_factory=list)
    """Why calls have ended, which nobody wanted."""

    @property
    def failures(self) -> int:
        """Calls that ended, and questions without an answer."""
        return len(self.closed) + self.unanswered

    def percentile_ms(self, share: float) -> float:
        """0 if there was no answer."""
        ordered = sorted(self.delays_s)
        return 1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


@asynccontextmanager
async def calling(url: str, callers: int, seen: Seen) -> AsyncIterator[None]:
    """As many callers, until the end of the block."""
    calls = [asyncio.create_task(_call(url, seen)) for _ in range(callers)]
    try:
        yield
    finally:
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def _call(url: str, seen: Seen) -> None:
    try:
        async with connect(url, max_size=None) as socket:
            await socket.send(_OPEN)
            talking = asyncio.create_task(_talk(socket))
            try:
                while True:
                    await _ask(socket, seen)
            finally:
                talking.cancel()
    except (ConnectionClosed, OSError) as error:
        seen.closed.append(str(error))


async def _talk(socket: ClientConnection) -> None:
    with suppress(ConnectionClosed):
        while True:
            await socket.send(_SILENCE)
            await asyncio.sleep(_PIECE_S)


async def _ask(socket: ClientConnection, seen: Seen) -> None:
    asked_s = time.monotonic()
    await socket.send(_TEXT)
    token: bytes | None = None
    try:
        async with asyncio.timeout(LATE_S):
            while True:
                got = msgpack.unpackb(await socket.recv())
                if got["type"] in ("token", "interrupt"):
                    token = got["token"].encode()
                elif got["type"] == "audio" and got["audio"][:8] == token:
                    break
        seen.delays_s.append(time.monotonic() - asked_s)
    except TimeoutError:
        seen.unanswered += 1
    await asyncio.sleep(_THINK_S)
