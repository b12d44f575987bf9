"""One reply's share of a socket to ElevenLabs."""

import asyncio
from collections.abc import Awaitable, Callable

from elevenlabs.types import (
    CloseContext,
    FlushContext,
    InitializeConnectionMulti,
    KeepContextAlive,
    SendTextMulti,
)

from serve_app.agent.tts.elevenlabs.api import spoken
from serve_app.agent.tts.speech_progress import ProviderMessage
from serve_app.errors import EngineError

_INBOX = 4_096
"""Messages that may wait for the reader: 100 ms of audio each, and at most about a minute of text
is sent ahead."""


class ConnectionLost(Exception):
    """The socket is gone. The reason may have nothing to do with this reply."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class Context:
    """A context of ElevenLabs, from the first message that is sent to it to the last.

    Sending never fails: when the socket is gone, `receive` raises.
    """

    def __init__(
        self,
        id: str,
        ready: Callable[[], Awaitable[object]],
        send: Callable[[str], Awaitable[None]],
    ) -> None:
        """`ready` waits for the connection; `send` writes before it waits for anything."""
        self.id = id
        self.is_dropped = False
        """Whether its audio is not wanted any more."""
        self.closed_at: float | None = None
        """When (loop time) close_context was sent."""
        self._ready = ready
        self._send = send
        self._clock = asyncio.get_running_loop().time
        self._sent_at: float | None = None
        self._inbox: asyncio.Queue[ProviderMessage | Exception] = asyncio.Queue(_INBOX)

    @property
    def is_known(self) -> bool:
        """Whether ElevenLabs knows of it."""
        return self._sent_at is not None

    async def begin(self) -> None:
        """Opens it. The first message carries its settings, so it must not be a keep-alive."""
        await self._ready()
        await self._write(InitializeConnectionMulti(context_id=self.id).json())

    async def say(self, clause: str) -> None:
        """Sends more text; nothing if it is only symbols."""
        if text := spoken(clause):
            await self._write(SendTextMulti(text=text, context_id=self.id).json())

    async def keep_alive(self, after_s: float) -> None:
        """Restarts ElevenLabs' inactivity timeout if nothing was sent for `after_s`."""
        if self._sent_at is not None and self._clock() - self._sent_at >= after_s:
            await self._write(KeepContextAlive(context_id=self.id).json())

    async def finish(self) -> None:
        """The text is complete. ElevenLabs says the rest, then sends `isFinal`."""
        await self._write(FlushContext(context_id=self.id, flush=True).json())
        await self._close()

    async def drop(self) -> None:
        """Ends it at once. Audio that still arrives is not delivered."""
        self.is_dropped = True
        self._empty()
        if self.is_known:
            await self._close()

    async def receive(self) -> ProviderMessage:
        """The next message. Raises what `fail` was given: EngineError or ConnectionLost."""
        item = await self._inbox.get()
        if isinstance(item, Exception):
            raise item
        return item

    def end(self) -> None:
        """ElevenLabs has ended it: nothing may be sent to it any more."""
        if self.closed_at is None:
            self.closed_at = self._clock()

    def deliver(self, message: ProviderMessage) -> None:
        """A message has come for it."""
        if self.is_dropped:
            return
        if self._inbox.full():
            self.fail(EngineError("tts", "ElevenLabs sends more audio than it was asked for"))
        else:
            self._inbox.put_nowait(message)

    def fail(self, error: Exception) -> None:
        """Makes `receive` raise `error`, after the messages that came before it."""
        if self._inbox.full():
            self._empty()
        if not self.is_dropped:
            self._inbox.put_nowait(error)

    async def _close(self) -> None:
        # Once: any message to a closed context would open a new one with the same name.
        if self.closed_at is None:
            self.closed_at = self._clock()
            await self._send(CloseContext(context_id=self.id, close_context=True).json())

    async def _write(self, message: str) -> None:
        if self.closed_at is None and not self.is_dropped:
            self._sent_at = self._clock()
            await self._send(message)

    def _empty(self) -> None:
        while not self._inbox.empty():
            self._inbox.get_nowait()
