"""MessagePack bytes to messages and back. Bad input raises ProtocolViolation and nothing else."""

import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

import msgpack
import numpy as np

from serve_app.protocol.close_codes import CloseCode
from serve_app.protocol.messages import (
    EVENTS,
    SAMPLE_RATES_HZ,
    TOKEN_BYTES,
    AgentAudio,
    Audio,
    Caption,
    ClientMessage,
    Close,
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
    ServerMessage,
    SessionNotice,
    StateChanged,
    Text,
    Token,
    Transcript,
)
from serve_app.protocol.violation import ProtocolViolation

MAX_MESSAGE_BYTES: Final = 1 << 20
"""16 s of audio; Echo's client sends 8 KiB. It limits the memory that one client can take."""
MAX_TEXT_BYTES: Final = 32 << 10
"""The longest prompt, greeting or typed turn."""
MAX_TEXT_ID: Final = (1 << 53) - 1
"""The largest whole number that every JSON and JavaScript library keeps exact."""
_MAX_NAME_BYTES: Final = 128
_MAX_KEY_BYTES: Final = 8192

_MAX_ITEMS: Final = 64
"""Of a list or a map."""
_AUDIO_LIST: Final = re.compile(rb"\xa5audio[\x90-\x9f\xdc\xdd\x80-\x8f\xde\xdf]")
"""The field `audio` with a list or a map in it: looked for in a message that cannot be taken."""
_NOT_A_LIST: Final = (
    "audio: numbers in a list or a map: send the bytes of the float32 samples as MessagePack binary"
)

_SAMPLE_BYTES: Final = 4
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
    SessionNotice: "session",
    GoAway: "goaway",
}
"""By message to a client, its name on the wire."""


def decode(frame: bytes | str) -> ClientMessage:
    """The message in a WebSocket frame from a client. Raises ProtocolViolation."""
    if isinstance(frame, str):
        raise ProtocolViolation(
            "text frame: send MessagePack in binary frames", CloseCode.NOT_BINARY
        )
    fields = _unpack(frame)
    kind = fields.get("type")
    parse = _PARSERS.get(kind) if isinstance(kind, str) else None
    if parse is None:
        raise ProtocolViolation(f"unknown message type {_shown(kind)}: use {', '.join(_PARSERS)}")
    return parse(fields)


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


def _unpack(frame: bytes) -> dict[str, Any]:
    if len(frame) > MAX_MESSAGE_BYTES:
        raise ProtocolViolation(
            f"message of {len(frame)} bytes: at most {MAX_MESSAGE_BYTES} are taken",
            CloseCode.TOO_BIG,
        )
    try:
        # The limits matter: without them, 64 KiB of nested array headers take 67 MB.
        fields = msgpack.unpackb(
            frame,
            max_array_len=_MAX_ITEMS,
            max_map_len=_MAX_ITEMS,
            strict_map_key=True,
            ext_hook=_refuse_ext,
        )
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException):
        if _AUDIO_LIST.search(frame):
            raise ProtocolViolation(_NOT_A_LIST) from None
        raise ProtocolViolation("not a valid MessagePack message", CloseCode.NOT_MSGPACK) from None
    if not isinstance(fields, dict):
        raise ProtocolViolation("a message is a MessagePack map with a 'type'")
    return fields


def _refuse_ext(code: int, data: bytes) -> None:
    """No message has an ext type, but some libraries make one of a Float32Array."""
    raise ProtocolViolation(
        f"ext type {code} is not taken: send audio as binary, in JavaScript"
        " new Uint8Array(samples.buffer)"
    )


def _open(fields: dict[str, Any]) -> Open:
    turn, played = fields.get("turn", {}), fields.get("played")
    if not isinstance(turn, dict):
        raise ProtocolViolation("open: 'turn' must be a map")
    if not isinstance(played, dict | None):
        raise ProtocolViolation("open: 'played' must be a map")
    return Open(
        prompt=_string("open", fields, "prompt", MAX_TEXT_BYTES),
        events=_events(fields.get("events", [])),
        greeting=_greeting(fields),
        language=_string("open", fields, "language", _MAX_NAME_BYTES),
        voice=_string("open", fields, "voice", _MAX_NAME_BYTES),
        sample_rate_hz=_sample_rate(fields.get("sample_rate_hz", 0)),
        turn=turn,
        resume=_flag("open", fields, "resume"),
        resume_token=_string("open", fields, "resume_token", _MAX_NAME_BYTES),
        key=_string("open", fields, "key", _MAX_KEY_BYTES),
        played=None if played is None else _played(played),
    )


def _events(events: object) -> frozenset[str]:
    if not isinstance(events, list) or not all(isinstance(e, str) for e in events):
        raise ProtocolViolation("open: 'events' must be a list of strings")
    if unknown := sorted(set(events) - EVENTS):
        raise ProtocolViolation(
            f"open: unknown event {_shown(unknown[0])}: use {', '.join(sorted(EVENTS))}",
        )
    return frozenset(events)


def _sample_rate(rate_hz: object) -> int:
    if type(rate_hz) is int and rate_hz in (0, *SAMPLE_RATES_HZ):
        return rate_hz
    known = ", ".join(map(str, SAMPLE_RATES_HZ))
    raise ProtocolViolation(f"open: 'sample_rate_hz' must be one of {known}")


def _greeting(fields: dict[str, Any]) -> str | None:
    if fields.get("greeting") is None:
        return None
    if fields["greeting"] is False:
        return ""
    return _string("open", fields, "greeting", MAX_TEXT_BYTES, "a string or false")


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


def _text(fields: dict[str, Any]) -> Text:
    text = _string("text", fields, "text", MAX_TEXT_BYTES).strip()
    if not text:
        raise ProtocolViolation("text: 'text' must have words")
    return Text(text, _text_id(fields))


def _text_id(fields: dict[str, Any]) -> int:
    text_id = fields.get("id", 0)
    if type(text_id) is int and 0 <= text_id <= MAX_TEXT_ID:
        return text_id
    raise ProtocolViolation("text: 'id' must be a whole number from 0 to 2^53 - 1")


def _played(fields: dict[str, Any]) -> Played:
    played_ms: Any = fields.get("played_ms")
    if type(played_ms) not in (int, float) or not 0 <= float(played_ms) < float("inf"):
        raise ProtocolViolation("played: 'played_ms' must be a number, 0 or more")
    return Played(_string("played", fields, "token", _MAX_NAME_BYTES), float(played_ms))


def _audio(fields: dict[str, Any]) -> Audio:
    audio = fields.get("audio")
    if isinstance(audio, list | dict):
        raise ProtocolViolation(_NOT_A_LIST)
    if isinstance(audio, str):
        raise ProtocolViolation("audio: 'audio' is a string: send MessagePack binary, not base64")
    if not isinstance(audio, bytes):
        raise ProtocolViolation("audio: 'audio' must be MessagePack binary")
    if len(audio) % _SAMPLE_BYTES:
        # To carry the rest over would turn every later sample into noise.
        raise ProtocolViolation(
            f"audio: {len(audio)} bytes is not a whole number of float32 samples",
        )
    samples = np.frombuffer(audio, dtype="<f4").astype(np.float32)
    # A NaN would stay in the VAD's recurrent state for the rest of the session.
    clean = np.clip(np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0), -1.0, 1.0)
    return Audio(clean, audio)


def _state(fields: dict[str, Any]) -> PlaybackState:
    if fields.get("state") != "waiting":
        raise ProtocolViolation("state: the only state a client sends is 'waiting'")
    return PlaybackState("waiting")


_PARSERS: Final[dict[str, Callable[[dict[str, Any]], ClientMessage]]] = {
    "open": _open,
    "audio": _audio,
    "state": _state,
    "text": _text,
    "interrupt": lambda fields: RequestInterrupt(),
    "played": _played,
    "close": lambda fields: Close(),
}


def _stamped(message: AgentAudio) -> bytes:
    token = message.token.encode("ascii")
    if len(token) != TOKEN_BYTES or len(message.audio) % 2:
        raise ValueError("agent audio needs an 8-byte token and an even number of bytes")
    return token + message.audio


def _shown(value: object) -> str:
    """A client's value, short enough for a close reason, which RFC 6455 limits to 123 bytes."""
    return ascii(value)[:32]
