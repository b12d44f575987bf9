"""What one client is to be sent and was not written yet. Bounded by number and by bytes: a client
that asks and does not read what it is answered holds no more than that."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from serve_app.protocol.wire import Frame

MOST_MESSAGES: Final = 1024
"""More than a client that reads has waiting for it: audio is sent as it is written."""
MOST_BYTES: Final = 8 << 20
"""That many messages may have 200 MB: of OpenAI's protocol, some hold whole prompts. One message
more may wait, so that none is too long."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Of a reply's audio."""

    frame: Frame
    interrupts: int
    """How many interrupts were sent before it."""
    sent_s: float


@dataclass(frozen=True, slots=True)
class CloseFrame:
    code: int
    reason: str


Barrier = Callable[[], Awaitable[None]]
"""What follows is sent when the barrier has returned."""
Item = Frame | Piece | Barrier | CloseFrame


class Outbox:
    """Of one socket."""

    def __init__(self) -> None:
        self._items: asyncio.Queue[Item] = asyncio.Queue()
        self._bytes = 0

    @property
    def size(self) -> int:
        """In messages."""
        return self._items.qsize()

    @property
    def is_full(self) -> bool:
        return self.size >= MOST_MESSAGES or self._bytes > MOST_BYTES

    def put(self, item: Item) -> None:
        """Also if it is full, which the caller looks at."""
        self._bytes += _bytes_of(item)
        self._items.put_nowait(item)

    async def next(self) -> Item:
        """The oldest one, once there is one."""
        return self._taken(await self._items.get())

    def clear(self) -> None:
        while self.size:
            self._taken(self._items.get_nowait())

    def _taken(self, item: Item) -> Item:
        self._bytes -= _bytes_of(item)
        return item


def _bytes_of(item: Item) -> int:
    match item:
        case bytes() | str():
            return len(item)
        case Piece(frame):
            return len(frame)
        case _:
            return 0
