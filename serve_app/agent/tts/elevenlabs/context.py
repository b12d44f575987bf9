"""One reply's share of a socket."""

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
"""Messages that wait for their reader: 100 ms each, and text is held back after a minute."""


class ConnectionLost(Exception):
    """The socket is gone, for a reason that may have nothing to do with this reply."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class Context:
    """A context of ElevenLabs, from its first message to the last that is sent to it.

    Sending never fails: when the socket is gone, `receive` says so.
    """

    def __init__(
        self,
        id: str,
        settled: Callable[[], Awaitable[object]],
        send: Callable[[str], Awaitable[None]],
    ) -> None:
        """`settled` waits for the connection; `send` writes before it waits for anything."""
        self.id = id
        self.is_dropped = False
        """Nobody wants its audio any more."""
        self.closed_at: float | None = None
        """Loop time of close_context."""
        self._settled = settled
        self._send = send
        self._clock = asyncio.get_running_loop().time
        self._sent_at: float | None = None
        self._inbox: asyncio.Queue[ProviderMessage | Exception] = asyncio.Queue(_INBOX)

    @property
    def is_known(self) -> bool:
        """Whether ElevenLabs has heard of it."""
        return self._sent_at is not None

    async def begin(self) -> None:
        """Opens it. Its settings come in the first message: a keep-alive must not be that."""
        await self._settled()
        await self._write(InitializeConnectionMulti(context_id=self.id).json())

    async def say(self, clause: str) -> None:
        """More text; nothing is sent for symbols alone."""
        if text := spoken(clause):
            await self._write(SendTextMulti(text=text, context_id=self.id).json())

    async def keep_alive(self, after_s: float) -> None:
        """Restarts ElevenLabs' clock of inactivity when nothing was sent for `after_s`."""
        if self._sent_at is not None and self._clock() - self._sent_at >= after_s:
            await self._write(KeepContextAlive(context_id=self.id).json())

    async def finish(self) -> None:
        """The text is complete; ElevenLabs says what it has, then `isFinal`."""
        await self._write(FlushContext(context_id=self.id, flush=True).json())
        await self._close()

    async def drop(self) -> None:
        """Ends it at once: no more audio is delivered, whatever still arrives."""
        self.is_dropped = True
        self._empty()
        if self.is_known:
            await self._close()

    async def receive(self) -> ProviderMessage:
        """The next message. Raises EngineError, ConnectionLost, or what `fail` was given."""
        item = await self._inbox.get()
        if isinstance(item, Exception):
            raise item
        return item

    def end(self) -> None:
        """ElevenLabs has ended it: nothing may be sent to it any more."""
        if self.closed_at is None:
            self.closed_at = self._clock()

    def deliver(self, message: ProviderMessage) -> None:
        """From the socket."""
        if self.is_dropped:
            return
        if self._inbox.full():
            self.fail(EngineError("tts", "ElevenLabs sends more audio than it was asked for"))
        else:
            self._inbox.put_nowait(message)

    def fail(self, error: Exception) -> None:
        """The reply ends with `error`, after what was delivered before it."""
        if self._inbox.full():
            self._empty()
        if not self.is_dropped:
            self._inbox.put_nowait(error)

    async def _close(self) -> None:
        # Once: to a closed context any message would open a new one of the same name.
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
