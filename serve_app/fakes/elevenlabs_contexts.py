"""`multi-stream-input`: several replies on one connection, each in a context."""

import asyncio
import json
from contextlib import suppress
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from serve_app.fakes.elevenlabs_script import Connection, Context, Script
from serve_app.fakes.elevenlabs_stream import answers, audio_message, chunks, stalls


async def converse(script: Script, socket: ServerConnection, connection: Connection) -> None:
    """Until the client closes the connection, or until a fault."""
    voices: dict[str, _Voice] = {}
    inactivity_s = script.inactivity_s or float(connection.query.get("inactivity_timeout", 20))
    try:
        while True:
            async with asyncio.timeout(inactivity_s):
                message = json.loads(await socket.recv())
            connection.messages.append(message)
            if message.get("close_socket"):
                return
            await _obey(message, voices, script, socket, connection)
    except TimeoutError:
        await _refuse(socket, "no text for too long", "input_timeout_exceeded")
    finally:
        for voice in voices.values():
            voice.task.cancel()
        await asyncio.gather(*(v.task for v in voices.values()), return_exceptions=True)


class _Voice:
    """Speaks one context in its own task."""

    def __init__(
        self, id: str, script: Script, socket: ServerConnection, connection: Connection
    ) -> None:
        self.context = Context()
        self._named = {script.id_key: id} if script.id_key else {}
        self._script, self._socket, self._connection = script, socket, connection
        self._texts: asyncio.Queue[str | None] = asyncio.Queue()
        self._is_flushed = False
        self._clock = asyncio.get_running_loop().time
        self.task = asyncio.create_task(self._run())

    async def say(self, text: str) -> None:
        self.context.texts.append(text)
        if self._connection.is_faulty and self._script.has_fault:
            await self._texts.join()  # a fault comes after the audio of the clauses before it
        if await answers(self._script, self._socket, self._connection, **self._named):
            self._texts.put_nowait(text)

    def flush(self) -> None:
        self._is_flushed = True

    def close(self) -> None:
        """Says what was flushed to its end, and cuts off everything else."""
        self.context.closed_at_s = self._clock()
        self.context.closed.set()
        if stalls(self._script, self._connection):
            return
        self._texts.put_nowait(None)
        if not (self._is_flushed or self._script.late_audio):
            self.task.cancel()
            self.task = asyncio.create_task(self._finish())

    async def _run(self) -> None:
        delay_s = max(self._script.first_audio_delay_s, self._script.chunk_delay_s)
        while (text := await self._texts.get()) is not None:
            for chunk in chunks(self._script, self._connection, text):
                await asyncio.sleep(delay_s)
                delay_s = self._script.chunk_delay_s
                self.context.first_audio_at_s = self.context.first_audio_at_s or self._clock()
                await self._send(audio_message(self._script, chunk, **self._named))
            self._texts.task_done()
        await self._finish()

    async def _finish(self) -> None:
        if self._script.sends_final:
            await self._send(json.dumps({"audio": None, "isFinal": True, **self._named}))
            self.context.final.set()

    async def _send(self, message: str) -> None:
        with suppress(ConnectionClosed):
            await self._socket.send(message)


async def _obey(
    message: dict[str, Any],
    voices: dict[str, _Voice],
    script: Script,
    socket: ServerConnection,
    connection: Connection,
) -> None:
    id, text = message.get("context_id"), message.get("text", "")
    if id is None:
        return  # keeps the connection alive, whatever its contexts do
    voice = voices.get(id)
    if voice is not None and voice.context.closed.is_set() and text == "":
        return  # kept alive too late
    if voice is None or voice.context.closed.is_set():
        if text != " ":  # it would open a context whose settings can no longer be sent
            return await _refuse(socket, "the first message of a context is one space")
        if connection.unfinished >= script.max_contexts:
            return await _refuse(socket, "too many contexts", "max_active_conversations")
        voices[id] = _Voice(id, script, socket, connection)
        connection.contexts[id] = voices[id].context
        return
    if text.strip():
        await voice.say(text)
    elif text == "" and set(message) == {"text", "context_id"}:
        voice.context.kept_alive.set()
    if message.get("flush"):
        voice.flush()
    if message.get("close_context"):
        voice.close()


async def _refuse(socket: ServerConnection, message: str, error: str = "invalid_message") -> None:
    await socket.send(json.dumps({"message": message, "error": error, "code": 1008}))
    await socket.close(1008, error)
