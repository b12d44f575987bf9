"""MessagePack bytes to messages and back. Bad input raises ProtocolViolation and nothing else."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

import msgpack
import numpy as np

from serve_app.protocol.close_codes import CloseCode
from serve_app.protocol.limits import DEFAULT_FRAMES, MAX_KEY_BYTES, FrameLimits
from serve_app.protocol.messages import (
    EVENTS,
    SAMPLE_RATES_HZ,
    TOKEN_BYTES,
    AgentAudio,
    Audio,
    Caption,
    ClearTurn,
    ClientMessage,
    Close,
    CommitTurn,
    Duck,
    ErrorNotice,
    GoAway,
    Interrupt,
    Metrics,
    Open,
    Partial,
    PlaybackState,
    Played,
    RequestInterrupt,
    RequestReply,
    Samples,
    ServerMessage,
    SessionNotice,
    StateChanged,
    Text,
    Token,
    ToolCall,
    ToolResult,
    Transcript,
)
from serve_app.protocol.tools import Tool, tools_in
from serve_app.protocol.unpacking import AUDIO_IN_A_LIST, shown, unpack
from serve_app.protocol.violation import ProtocolViolation

MAX_TEXT_ID: Final = (1 << 53) - 1
"""The largest whole number that every JSON and JavaScript library keeps exact."""
_MAX_NAME_BYTES: Final = 128
_MAX_KIND: Final = 11
"""Characters of a type that is not known: the reason of a close frame has 123 bytes."""
_MAX_SPARE_BYTES: Final = 4096
"""Of a message besides its texts, its key and its audio: names, numbers, and what is not known."""
_TURN_BYTES: Final = 16 << 10
"""64 backchannels of 40 characters and an idle prompt of 1,000, in the widest script."""
_SAMPLE_BYTES: Final = 4
_SILENCE: Final = np.float32(1e-15)
"""-300 dB; below 1e-38, float32 has denormal numbers. Models square what they hear."""
SERVER_TYPES: Final[dict[type, str]] = {
    Token: "token",
    AgentAudio: "audio",
    Interrupt: "interrupt",
    Transcript: "transcript",
    Partial: "partial",
    Caption: "caption",
    StateChanged: "state",
    Duck: "duck",
    Metrics: "metrics",
    ErrorNotice: "error",
    ToolCall: "tool_call",
    SessionNotice: "session",
    GoAway: "goaway",
}
"""By message to a client, its name on the wire."""


def decode(frame: bytes | str, limits: FrameLimits = DEFAULT_FRAMES) -> ClientMessage:
    """The message in a WebSocket frame from a client. Raises ProtocolViolation."""
    if isinstance(frame, str):
        raise ProtocolViolation(
            "text frame: send MessagePack in binary frames", CloseCode.NOT_BINARY
        )
    fields = unpack(frame, limits)
    kind = fields.get("type")
    parse = _PARSERS.get(kind) if isinstance(kind, str) else None
    if parse is None:
        known = ", ".join(_PARSERS)
        raise ProtocolViolation(f"unknown message type {shown(kind)[:_MAX_KIND]}: use {known}")
    message = parse(fields, limits)
    _check_size(str(kind), len(frame), message, limits)
    return message


def encode(message: ServerMessage) -> bytes:
    """The binary WebSocket frame for a message to a client."""
    fields: dict[str, Any] = {"type": SERVER_TYPES[type(message)]}
    if isinstance(message, AgentAudio):
        fields["audio"] = _stamped(message)
    else:
        fields |= asdict(message)
    if not fields.get("language", True):
        del fields["language"]  # not known
    return bytes(msgpack.packb(fields))


def _check_size(kind: str, size: int, message: ClientMessage, limits: FrameLimits) -> None:
    """What is left besides what the message holds: fields that are not known are ignored, but are
    not a place to put things."""
    match message:
        case Audio():
            most = len(message.raw)
        case Open():
            most = 2 * limits.text_bytes + _TURN_BYTES + len(message.key.encode())
            most += limits.text_bytes if message.tools else 0
        case Text() | ToolResult():
            most = limits.text_bytes
        case _:
            most = 0
    if size > most + _MAX_SPARE_BYTES:
        raise ProtocolViolation(f"{kind}: {size} bytes: what is not known of it is too long")


def opened(fields: dict[str, Any], limits: FrameLimits) -> Open:
    """By the fields of an `open`, in any protocol. Raises ProtocolViolation."""
    turn, played = fields.get("turn", {}), fields.get("played")
    if not isinstance(turn, dict):
        raise ProtocolViolation("open: 'turn' must be a map")
    if not isinstance(played, dict | None):
        raise ProtocolViolation("open: 'played' must be a map")
    return Open(
        prompt=_string("open", fields, "prompt", limits.text_bytes),
        events=_events(fields.get("events", [])),
        greeting=_greeting(fields, limits),
        language=_string("open", fields, "language", _MAX_NAME_BYTES),
        voice=_string("open", fields, "voice", _MAX_NAME_BYTES),
        sample_rate_hz=_sample_rate(fields.get("sample_rate_hz", 0)),
        turn=turn,
        resume=_flag("open", fields, "resume"),
        resume_token=_string("open", fields, "resume_token", _MAX_NAME_BYTES),
        key=_string("open", fields, "key", MAX_KEY_BYTES),
        played=None if played is None else _played(played, limits),
        tools=_tools(fields, limits),
        text_only=_flag("open", fields, "text_only"),
    )


def _tools(fields: dict[str, Any], limits: FrameLimits) -> tuple[Tool, ...]:
    """In JSON, because a message has few lists and maps, and a schema may have many."""
    text = _string("open", fields, "tools", limits.text_bytes, "a string with JSON")
    try:
        return tools_in(text, limits.text_bytes)
    except ValueError as error:
        raise ProtocolViolation(f"open: 'tools': {error}") from None


def _events(events: object) -> frozenset[str]:
    if not isinstance(events, list) or not all(isinstance(e, str) for e in events):
        raise ProtocolViolation("open: 'events' must be a list of strings")
    if unknown := sorted(set(events) - EVENTS):
        raise ProtocolViolation(
            f"open: unknown event {shown(unknown[0])}: use {', '.join(sorted(EVENTS))}",
        )
    return frozenset(events)


def _sample_rate(rate_hz: object) -> int:
    if type(rate_hz) is int and rate_hz in (0, *SAMPLE_RATES_HZ):
        return rate_hz
    known = ", ".join(map(str, SAMPLE_RATES_HZ))
    raise ProtocolViolation(f"open: 'sample_rate_hz' must be one of {known}")


def _greeting(fields: dict[str, Any], limits: FrameLimits) -> str | None:
    if fields.get("greeting") is None:
        return None
    if fields["greeting"] is False:
        return ""
    return _string("open", fields, "greeting", limits.text_bytes, "a string or false")


def _flag(kind: str, fields: dict[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise ProtocolViolation(f"{kind}: '{name}' must be true or false")
    return value


def _string(
    kind: str, fields: dict[str, Any], name: str, max_bytes: int, wanted: str = "a string"
) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise ProtocolViolation(f"{kind}: '{name}' must be {wanted}")
    if len(value.encode()) > max_bytes:
        raise ProtocolViolation(f"{kind}: '{name}' is longer than {max_bytes} bytes")
    return value


def _text(fields: dict[str, Any], limits: FrameLimits) -> Text:
    text = _string("text", fields, "text", limits.text_bytes).strip()
    if not text:
        raise ProtocolViolation("text: 'text' must have words")
    return Text(text, _text_id(fields))


def _text_id(fields: dict[str, Any]) -> int:
    text_id = fields.get("id", 0)
    if type(text_id) is int and 0 <= text_id <= MAX_TEXT_ID:
        return text_id
    raise ProtocolViolation("text: 'id' must be a whole number from 0 to 2^53 - 1")


def _played(fields: dict[str, Any], limits: FrameLimits) -> Played:
    played_ms: Any = fields.get("played_ms")
    if type(played_ms) not in (int, float) or not 0 <= float(played_ms) < float("inf"):
        raise ProtocolViolation("played: 'played_ms' must be a number, 0 or more")
    return Played(_string("played", fields, "token", _MAX_NAME_BYTES), float(played_ms))


def _tool_result(fields: dict[str, Any], limits: FrameLimits) -> ToolResult:
    call_id = _string("tool_result", fields, "call_id", _MAX_NAME_BYTES)
    return ToolResult(call_id, _string("tool_result", fields, "output", limits.text_bytes))


def _audio(fields: dict[str, Any], limits: FrameLimits) -> Audio:
    audio = fields.get("audio")
    if isinstance(audio, list | dict):
        raise ProtocolViolation(AUDIO_IN_A_LIST)
    if isinstance(audio, str):
        raise ProtocolViolation("audio: 'audio' is a string: send MessagePack binary, not base64")
    if not isinstance(audio, bytes):
        raise ProtocolViolation("audio: 'audio' must be MessagePack binary")
    if len(audio) % _SAMPLE_BYTES:
        # To carry the rest over would turn every later sample into noise.
        raise ProtocolViolation(
            f"audio: {len(audio)} bytes is not a whole number of float32 samples",
        )
    return Audio(clean(np.frombuffer(audio, dtype="<f4").astype(np.float32)), audio)


def clean(samples: Samples) -> Samples:
    """A NaN would stay in the VAD's recurrent state for the rest of the session. What is too small
    to be stored as a normal number makes arithmetic many times slower, and is silence."""
    samples = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0)
    samples[np.abs(samples) < _SILENCE] = 0.0
    return np.clip(samples, -1.0, 1.0)


def _state(fields: dict[str, Any], limits: FrameLimits) -> PlaybackState:
    if fields.get("state") != "waiting":
        raise ProtocolViolation("state: the only state a client sends is 'waiting'")
    return PlaybackState("waiting")


_PARSERS: Final[dict[str, Callable[[dict[str, Any], FrameLimits], ClientMessage]]] = {
    "open": opened,
    "audio": _audio,
    "state": _state,
    "text": _text,
    "interrupt": lambda fields, limits: RequestInterrupt(),
    "played": _played,
    "tool_result": _tool_result,
    "commit": lambda fields, limits: CommitTurn(),
    "clear": lambda fields, limits: ClearTurn(),
    "reply": lambda fields, limits: RequestReply(),
    "close": lambda fields, limits: Close(),
}


def _stamped(message: AgentAudio) -> bytes:
    token = message.token.encode("ascii")
    if len(token) != TOKEN_BYTES or len(message.audio) % 2:
        raise ValueError("agent audio needs an 8-byte token and an even number of bytes")
    return token + message.audio
