"""Messages from the telephone network, as plain values. Raises ProtocolViolation for what is wrong
with one."""

from typing import Any, Final

from serve_app.protocol import codec, json_frames
from serve_app.protocol.json_frames import BadJson
from serve_app.protocol.limits import FrameLimits
from serve_app.protocol.messages import Open
from serve_app.protocol.telephony.timeline import BYTES_PER_MS, Chunk
from serve_app.protocol.violation import ProtocolViolation
from serve_app.protocol.wire import Frame

RATE_HZ: Final = 1000 * BYTES_PER_MS
_FORMAT: Final = {"encoding": "audio/x-mulaw", "sampleRate": RATE_HZ, "channels": 1}
_MOST_PAYLOAD: Final = RATE_HZ
"""A second in one message; Twilio sends 20 ms."""
_MOST_DIGITS: Final = 12
"""Of a number: 30 years in milliseconds."""
_MAX_NAME: Final = 128
_PRESET: Final = "preset"
_OPTIONS: Final = ("prompt", "greeting", "language", "voice", "key", _PRESET)
"""The names of the custom parameters, and of the options of `open`; `preset` is one of `turn`."""


def parsed(frame: Frame, limits: FrameLimits) -> dict[str, Any]:
    """The message in a frame, with the name of its event."""
    try:
        message = json_frames.parsed(frame, limits)
    except BadJson as bad:
        raise ProtocolViolation(bad.message) from None
    if not isinstance(message.get("event"), str):
        raise ProtocolViolation("a message has an 'event'")
    return message


def part(message: dict[str, Any], name: str) -> dict[str, Any]:
    """The object of this name."""
    found = message.get(name)
    if not isinstance(found, dict):
        raise ProtocolViolation(f"{name}: an object is missing")
    return found


def text(fields: dict[str, Any], name: str, where: str) -> str:
    found = fields.get(name)
    if not isinstance(found, str) or not 0 < len(found) <= _MAX_NAME:
        raise ProtocolViolation(f"{where}: '{name}' must have 1 to {_MAX_NAME} characters")
    return found


def check_format(start: dict[str, Any]) -> None:
    """Of the audio that is to come."""
    format_ = part(start, "mediaFormat")
    if any(format_.get(name) != value for name, value in _FORMAT.items()):
        raise ProtocolViolation(f"start: 'mediaFormat' must be {_FORMAT}")


def opened(start: dict[str, Any], limits: FrameLimits) -> Open:
    """By the custom parameters. Those that are not known are somebody else's."""
    parameters = start.get("customParameters") or {}
    if not isinstance(parameters, dict):
        raise ProtocolViolation("start: 'customParameters' must be an object")
    known = {name: _parameter(parameters, name) for name in _OPTIONS if name in parameters}
    fields: dict[str, Any] = {"sample_rate_hz": RATE_HZ, **known}
    if _PRESET in fields:
        fields["turn"] = {_PRESET: fields[_PRESET]}
    if fields.get("greeting") in ("", "false"):
        fields["greeting"] = False
    return codec.opened(fields, limits)


def _parameter(parameters: dict[str, Any], name: str) -> str:
    value = parameters[name]
    try:
        value.encode()
    except (AttributeError, UnicodeEncodeError):  # JSON can write half of a character
        raise ProtocolViolation(f"start: the parameter '{name}' is not a text") from None
    return str(value)


def chunk(media: dict[str, Any]) -> Chunk:
    number, at_ms = _number(media, "chunk"), _number(media, "timestamp")
    payload = media.get("payload")
    if not isinstance(payload, str):
        raise ProtocolViolation("media: 'payload' must be a string with base64")
    try:
        data = json_frames.binary(payload)
    except ValueError:
        raise ProtocolViolation("media: 'payload' is not base64") from None
    if len(data) > _MOST_PAYLOAD:
        raise ProtocolViolation(f"media: {len(data)} bytes of audio: at most {_MOST_PAYLOAD}")
    return Chunk(number, at_ms, data)


def _number(media: dict[str, Any], name: str) -> int:
    """Twilio writes it as a text."""
    found = str(media.get(name))
    if not (found.isascii() and found.isdecimal() and len(found) <= _MOST_DIGITS):
        raise ProtocolViolation(f"media: '{name}' must be a whole number")
    return int(found)
