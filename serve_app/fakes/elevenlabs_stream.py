"""`stream-input`: one reply on one connection. Also what both kinds of WebSocket have in common."""

import asyncio
import base64
import json
from typing import Any

from websockets.asyncio.server import ServerConnection

from serve_app.fakes.elevenlabs_script import Connection, Script
from serve_app.fakes.tone import SECONDS_PER_CHAR, Chunk, spoken


async def converse(script: Script, socket: ServerConnection, connection: Connection) -> None:
    """Until the client says that its text is complete, or until a fault."""
    async for raw in socket:
        message = json.loads(raw)
        connection.messages.append(message)
        if message["text"].strip():
            if not await answers(script, socket, connection):
                continue
            await _speak(script, socket, connection)
        if not message["text"] and not stalls(script, connection):
            if script.sends_final:
                await socket.send(json.dumps({"audio": None, "isFinal": True}))
            return


async def answers(
    script: Script, socket: ServerConnection, connection: Connection, **named: str
) -> bool:
    """Whether the clause that just arrived is to be spoken; if not, its fault has happened."""
    connection.clause_arrived.set()
    clauses = len(connection.texts)
    if not connection.is_faulty:
        return True
    if script.fail_after is not None and clauses >= script.fail_after:
        await _fail(script, socket, named)
        return False
    if script.cut_after is not None and clauses >= script.cut_after:
        await _cut(script, socket, connection, named)
        return False
    return not stalls(script, connection)


def stalls(script: Script, connection: Connection) -> bool:
    """Whether nothing more is sent."""
    after = script.stall_after
    return connection.is_faulty and after is not None and len(connection.texts) >= after


def audio_message(script: Script, chunk: Chunk, **named: str) -> str:
    """As ElevenLabs sends it; `named` names the context."""
    alignment = _alignment(chunk.chars) if script.has_alignment else None
    audio = base64.b64encode(chunk.audio).decode()
    rest = {"isFinal": None, "alignment": alignment, "normalizedAlignment": None}
    return json.dumps({"audio": audio, **rest, **named})


def chunks(script: Script, connection: Connection, text: str) -> list[Chunk]:
    """The audio of a clause."""
    format = connection.query["output_format"]
    return list(spoken(text, format, script.chunk_bytes, script.extra_bytes))


async def _speak(script: Script, socket: ServerConnection, connection: Connection) -> None:
    """Speaks the last clause."""
    text, is_first = connection.texts[-1], len(connection.texts) == 1
    delay_s = max(script.first_audio_delay_s if is_first else 0.0, script.chunk_delay_s)
    for chunk in chunks(script, connection, text):
        await asyncio.sleep(delay_s)
        delay_s = script.chunk_delay_s
        await socket.send(audio_message(script, chunk))


async def _fail(script: Script, socket: ServerConnection, named: dict[str, str]) -> None:
    if isinstance(script.error, dict):
        await socket.send(json.dumps({**script.error, **named}))
    elif script.error:
        await socket.send(script.error)
    await socket.close(script.close_code, script.close_reason)


async def _cut(
    script: Script, socket: ServerConnection, connection: Connection, named: dict[str, str]
) -> None:
    all_chunks = chunks(script, connection, connection.texts[-1])
    for chunk in all_chunks[: len(all_chunks) // 2]:
        await socket.send(audio_message(script, chunk, **named))
    socket.transport.close()  # what was written is sent, a close frame is not


def _alignment(chars: str) -> dict[str, Any]:
    duration_ms = round(SECONDS_PER_CHAR * 1000)
    return {
        "chars": list(chars),
        "charStartTimesMs": [i * duration_ms for i in range(len(chars))],
        "charsDurationsMs": [duration_ms] * len(chars),
    }
