"""Backpressure through Serve, which otherwise reads a client's messages into a queue without end.

uvicorn reads no more from a socket than the application takes. In direct ingress (behind HAProxy)
Serve 2.60 takes all there is, on a thread of its own, and queues it for the application, so that it
notices when the client leaves. Here, its task waits while much of that is not taken yet. With
Serve's Python proxy the queue is in another process, and cannot be bounded from here.
"""

import asyncio
from typing import Any, Final

from starlette.types import Message, Receive

_MOST_BYTES: Final = 256 << 10
"""4 s of audio. One message more may be on its way."""
_LOOK_S: Final = 0.02
"""How often it is looked at again. Nobody waits for this but a client that is too fast."""
_MESSAGE_BYTES: Final = 256
"""What an empty message costs."""


class Intake:
    """What Serve has read of one socket or request, and the application has not taken.

    `fetch` runs on Serve's event loop and `take` on the application's: each changes a number of its
    own, and reads the other's."""

    def __init__(self, fetch: Receive) -> None:
        self._fetch = fetch
        self._fetched = 0
        self._taken = 0

    async def fetch(self) -> Message:
        """The next message from the client, once there is room for it."""
        while self._fetched - self._taken > _MOST_BYTES:  # noqa: ASYNC110 - two event loops
            await asyncio.sleep(_LOOK_S)
        message = await self._fetch()
        self._fetched += _size(message)
        return message

    def take(self, message: Message) -> None:
        """The application has this one."""
        self._taken += _size(message)


def bounded(receive: Receive) -> Intake | None:
    """Bounds what is read ahead of whoever takes the messages that come from `receive`. None where
    nothing is (uvicorn alone), or where it cannot be bounded. To be called before the first message
    but `connect` is taken; tests/serve/test_flood.py fails if another version of Serve looks
    different."""
    proxy: Any = receive
    if type(proxy).__name__ != "ASGIDIReceiveProxy":
        return None
    intake = Intake(proxy._receive)
    proxy._receive = intake.fetch  # its task looks it up for each message
    return intake


def bounded_receive(receive: Receive) -> Receive:
    """The same messages, of which little more is read ahead than is taken."""
    intake = bounded(receive)
    if intake is None:
        return receive

    async def take() -> Message:
        message = await receive()
        intake.take(message)
        return message

    return take


def _size(message: Message) -> int:
    data = message.get("bytes") or message.get("text") or message.get("body") or b""
    return len(data) + _MESSAGE_BYTES
