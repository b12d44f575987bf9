"""Sockets to ElevenLabs that replies share, and that stay open between them."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from serve_app.agent.tts.elevenlabs.api import (
    INACTIVITY_S,
    Connect,
    bad_answer,
    closed_by,
    decode,
    engine_errors,
    error_in,
    read,
)
from serve_app.agent.tts.elevenlabs.context import ConnectionLost, Context
from serve_app.errors import EngineError, EngineUnavailable

_CLOSE_TIMEOUT_S = 0.2
"""How long an interrupt waits for close_context to be sent."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How sockets are shared and kept open."""

    contexts: int = 5
    """On one socket. It is ElevenLabs' own limit: with one more it closes the socket."""
    keep_alive_s: float = 15.0
    """A context to which nothing was sent for this long gets a keep-alive."""
    final_s: float = 10.0
    """A socket gets no more contexts if a dropped one takes longer than this to become final."""
    idle_s: float = INACTIVITY_S - 30.0
    """A socket without contexts is closed after this time, before ElevenLabs does it."""
    idle_sockets: int = 4
    """How many wait for replies. Of more, the one that has waited longest is closed."""
    tick_s: float = 1.0
    """How often all this is checked."""


class ContextSocket:
    """One WebSocket; its address says the voice and the language. Its task lasts as long as its
    connection."""

    def __init__(
        self,
        url: str,
        connect: Connect,
        limits: Limits,
        on_end: Callable[["ContextSocket"], None],
    ) -> None:
        """Connects at once; `on_end` is called when the connection is gone."""
        self.url = url
        self._key_variable = connect.key_variable
        self._limits = limits
        self._on_end = on_end
        self._clock = asyncio.get_running_loop().time
        self._contexts: dict[str, Context] = {}
        """Those that ElevenLabs counts, which it does until their isFinal."""
        self._had_contexts = 0
        self._socket: ClientConnection | None = None
        self._is_ready = asyncio.Event()
        """Set when it is connected, or has failed to connect."""
        self._is_retired = False
        self.used_at = self._clock()
        """When (loop time) a context last began or ended."""
        self._error: EngineError | None = None
        self._task = asyncio.create_task(self._run(connect))
        self._task.add_done_callback(self._end)

    @property
    def has_room(self) -> bool:
        """Whether another context fits."""
        return not self._is_retired and len(self._contexts) < self._limits.contexts

    @property
    def is_idle(self) -> bool:
        """Whether it waits for replies."""
        return not self._is_retired and not self._contexts

    def reserve(self) -> Context:
        """A context for one reply. It counts from now on."""
        context = Context(uuid4().hex, self._is_ready.wait, self._send)
        self._contexts[context.id] = context
        self._had_contexts += 1
        self.used_at = self._clock()
        return context

    async def release(self, context: Context) -> None:
        """The reply is over: ends it at ElevenLabs at once, and drops what still arrives."""
        if not context.is_known:
            self._contexts.pop(context.id, None)
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await context.drop()
        except TimeoutError:  # ElevenLabs does not read from this connection
            self.retire()

    def retire(self) -> None:
        """It gets no more contexts, and is closed after its last one."""
        self._is_retired = True

    async def aclose(self) -> None:
        """Closes it, even if replies still use it."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _send(self, message: str) -> None:
        if self._socket is not None:
            with suppress(ConnectionClosed):  # the reader tells the contexts
                await self._socket.send(message)

    async def _run(self, connect: Connect) -> None:
        with engine_errors(connect.key_variable):
            async with connect as self._socket:
                self._is_ready.set()
                await self._read_and_keep(self._socket)

    async def _read_and_keep(self, socket: ClientConnection) -> None:
        keeper = asyncio.create_task(self._keep(socket))
        try:
            while True:
                self._route(decode(await socket.recv()))
        except ConnectionClosed as closed:
            raise (self._error or closed_by(closed, self._key_variable)) from None
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    def _route(self, data: dict[str, Any]) -> None:
        context = self._addressee(data)
        if error := error_in(data, self._key_variable):
            self._report(error, context)
        elif context is not None:
            is_final = bool(data.get("isFinal") or data.get("is_final"))
            if is_final:
                self._forget(context)
            if not context.is_dropped:
                try:
                    context.deliver(read(data))
                except ValueError as senseless:
                    context.fail(bad_answer(senseless))

    def _addressee(self, data: dict[str, Any]) -> Context | None:
        """None if the context is over, and for a message without a context's name, unless this
        socket has had only one context."""
        name = data.get("contextId") or data.get("context_id")
        if name is not None:
            return self._contexts.get(str(name))
        return next(iter(self._contexts.values()), None) if self._had_contexts == 1 else None

    def _report(self, error: EngineError, context: Context | None) -> None:
        """After an error ElevenLabs closes the whole socket, even if it concerns only one reply."""
        self._error = error
        self.retire()
        if context is None and len(self._contexts) == 1:
            (context,) = self._contexts.values()
        if context is not None:
            self._forget(context)
            context.fail(error)

    def _forget(self, context: Context) -> None:
        self._contexts.pop(context.id, None)
        context.end()
        self.used_at = self._clock()

    async def _keep(self, socket: ClientConnection) -> None:
        while True:
            await asyncio.sleep(self._limits.tick_s)
            now = self._clock()
            for context in list(self._contexts.values()):
                await context.keep_alive(self._limits.keep_alive_s)
            if any(self._is_overdue(context, now) for context in self._contexts.values()):
                self.retire()
            is_in_use = not all(context.is_dropped for context in self._contexts.values())
            if self.is_idle and now - self.used_at >= self._limits.idle_s:
                self.retire()
            if self._is_retired and not is_in_use:
                return await socket.close()

    def _is_overdue(self, context: Context, now: float) -> bool:
        closed_at = context.closed_at
        return (
            context.is_dropped and closed_at is not None and now - closed_at > self._limits.final_s
        )

    def _end(self, task: "asyncio.Task[None]") -> None:
        shut_down = EngineUnavailable("tts", "the voice was shut down")
        error = None if task.cancelled() else task.exception()
        reason = error if isinstance(error, Exception) else shut_down
        was_connected = self._socket is not None
        self._socket = None
        self._is_ready.set()
        self.retire()
        for context in self._contexts.values():
            context.fail(ConnectionLost(reason) if was_connected else reason)
        self._contexts.clear()
        self._on_end(self)
