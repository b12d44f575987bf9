"""MessagePack bytes to messages and back. Bad input raises ProtocolViolation, nothing else."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

import msgpack
import numpy as np

from serve_app.errors import ProtocolViolation
from serve_app.protocol.messages import (
    EVENTS,
    TOKEN_BYTES,
    AgentAudio,
    Audio,
    ClientMessage,
    Close,
    ErrorNotice,
    Interrupt,
    Metrics,
    Open,
    PlaybackState,
    ServerMessage,
    StateChanged,
    Token,
    Transcript,
)

MAX_MESSAGE_BYTES: Final = 1 << 20
"""16 s of audio. Echo's client sends 8 KiB; the bound keeps one client from a lot of memory."""
MAX_PROMPT_BYTES: Final = 32 << 10

NOT_BINARY: Final = 1003
NOT_MSGPACK: Final = 1007
TOO_BIG: Final = 1009
BAD_MESSAGE: Final = 4400

_SAMPLE_BYTES: Final = 4
_SERVER_TYPES: Final[dict[type, str]] = {
    Token: "token",
    AgentAudio: "audio",
    Interrupt: "interrupt",
    Transcript: "transcript",
    StateChanged: "state",
    Metrics: "metrics",
    ErrorNotice: "error",
}


def decode(frame: bytes | str) -> ClientMessage:
    """One WebSocket frame from a client. Raises ProtocolViolation."""
    if isinstance(frame, str):
        raise ProtocolViolation(NOT_BINARY, "text frame: send MessagePack in binary frames")
    fields = _unpack(frame)
    kind = fields.get("type")
    parse = _PARSERS.get(kind) if isinstance(kind, str) else None
    if parse is None:
        raise ProtocolViolation(
            BAD_MESSAGE, f"unknown message type {_shown(kind)}: use open, audio, state or close"
        )
    return parse(fields)


def encode(message: ServerMessage) -> bytes:
    """One binary WebSocket frame to a client."""
    fields: dict[str, Any] = {"type": _SERVER_TYPES[type(message)]}
    if isinstance(message, AgentAudio):
        fields["audio"] = _stamped(message)
    else:
        fields |= asdict(message)
    return bytes(msgpack.packb(fields))


def _unpack(frame: bytes) -> dict[str, Any]:
    if len(frame) > MAX_MESSAGE_BYTES:
        raise ProtocolViolation(
            TOO_BIG, f"message of {len(frame)} bytes: at most {MAX_MESSAGE_BYTES} are taken"
        )
    try:
        # The limits matter: without them 64 KiB of nested array headers cost 67 MB.
        fields = msgpack.unpackb(
            frame, max_array_len=64, max_map_len=64, max_ext_len=0, strict_map_key=True
        )
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException):
        raise ProtocolViolation(NOT_MSGPACK, "not a valid MessagePack message") from None
    if not isinstance(fields, dict):
        raise ProtocolViolation(BAD_MESSAGE, "a message is a MessagePack map with a 'type'")
    return fields


def _open(fields: dict[str, Any]) -> Open:
    prompt, events = fields.get("prompt", ""), fields.get("events", [])
    if not isinstance(prompt, str):
        raise ProtocolViolation(BAD_MESSAGE, "open: 'prompt' must be a string")
    if len(prompt.encode()) > MAX_PROMPT_BYTES:
        raise ProtocolViolation(
            BAD_MESSAGE, f"open: 'prompt' is longer than {MAX_PROMPT_BYTES} bytes"
        )
    if not isinstance(events, list) or not all(isinstance(e, str) for e in events):
        raise ProtocolViolation(BAD_MESSAGE, "open: 'events' must be a list of strings")
    if unknown := sorted(set(events) - EVENTS):
        raise ProtocolViolation(
            BAD_MESSAGE,
            f"open: unknown event {_shown(unknown[0])}: use {', '.join(sorted(EVENTS))}",
        )
    return Open(prompt, frozenset(events))


def _audio(fields: dict[str, Any]) -> Audio:
    audio = fields.get("audio")
    if not isinstance(audio, bytes):
        raise ProtocolViolation(BAD_MESSAGE, "audio: 'audio' must be MessagePack binary")
    if len(audio) % _SAMPLE_BYTES:
        # Carrying the rest over would turn every later sample into noise.
        raise ProtocolViolation(
            BAD_MESSAGE, f"audio: {len(audio)} bytes is no whole number of float32 samples"
        )
    samples = np.frombuffer(audio, dtype="<f4").astype(np.float32)
    # One NaN would stay in the recurrent state of the VAD for the rest of the session.
    return Audio(np.clip(np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0), -1.0, 1.0))


def _state(fields: dict[str, Any]) -> PlaybackState:
    if fields.get("state") != "waiting":
        raise ProtocolViolation(BAD_MESSAGE, "state: the only state a client sends is 'waiting'")
    return PlaybackState("waiting")


_PARSERS: Final[dict[str, Callable[[dict[str, Any]], ClientMessage]]] = {
    "open": _open,
    "audio": _audio,
    "state": _state,
    "close": lambda fields: Close(),
}


def _stamped(message: AgentAudio) -> bytes:
    token = message.token.encode("ascii")
    if len(token) != TOKEN_BYTES or len(message.audio) % 2:
        raise ValueError("agent audio needs an 8-byte token and an even number of bytes")
    return token + message.audio


def _shown(value: object) -> str:
    """A client's value in a close reason, which RFC 6455 limits to 123 bytes."""
    return ascii(value)[:32]
