"""Events from the client, as far as they need no answer from the conversation. Whatever is wrong
with one raises Refused, and changes nothing."""

from typing import Any, Final, NoReturn

from serve_app.protocol import json_frames
from serve_app.protocol.json_frames import BadJson
from serve_app.protocol.limits import FrameLimits
from serve_app.protocol.realtime.editing import checked, text
from serve_app.protocol.realtime.refused import Refused
from serve_app.protocol.realtime.support import CLIENT_EVENTS, RESPONSE_FIELDS, Support
from serve_app.protocol.resampling import HEARD_HZ
from serve_app.protocol.sound import Format
from serve_app.protocol.wire import Frame

_MAX_ID: Final = 512
_FEW: Final = 64
"""Parts of an item."""
_SAMPLE_BYTES: Final = 4
_MOST_MS: Final = 1e12
"""30 years."""


def parsed(frame: Frame, limits: FrameLimits) -> dict[str, Any]:
    """The event in a frame."""
    try:
        return json_frames.parsed(frame, limits)
    except BadJson as bad:
        raise Refused(bad.code, bad.message) from None


def checked_type(event: dict[str, Any]) -> str:
    type_ = event.get("type")
    row = CLIENT_EVENTS.get(type_) if isinstance(type_, str) else None
    if row is None:
        known = ", ".join(CLIENT_EVENTS)
        raise Refused("invalid_value", f"no event is {ascii(type_)[:40]}: use {known}", "type")
    if row.support is Support.REFUSED:
        raise Refused("unsupported_event", f"{type_}: {row.note}", "type")
    return str(type_)


def event_id(event: dict[str, Any]) -> str | None:
    """For the error about it."""
    id_ = event.get("event_id")
    return id_[:_MAX_ID] if isinstance(id_, str) else None


def audio(event: dict[str, Any], format_: Format, limits: FrameLimits) -> bytes:
    """The samples of `input_audio_buffer.append`."""
    encoded = event.get("audio")
    if not isinstance(encoded, str):
        raise Refused("invalid_type", "audio has to be a string with base64", "audio")
    try:
        data = json_frames.binary(encoded)
    except ValueError:
        raise Refused("invalid_value", "audio is not base64", "audio") from None
    samples, rest = divmod(len(data), format_.bytes_per_sample)
    if rest:
        message = f"{len(data)} bytes are not a whole number of samples of {format_.name}"
        raise Refused("invalid_value", message, "audio")
    if samples / format_.rate_hz * HEARD_HZ * _SAMPLE_BYTES > limits.message_bytes:
        most_s = limits.message_bytes / HEARD_HZ / _SAMPLE_BYTES
        raise Refused("invalid_value", f"more than {most_s:.0f} s of audio at once", "audio")
    return data


def created(event: dict[str, Any], last_item: str | None) -> dict[str, Any]:
    """The item of `conversation.item.create`."""
    item = event.get("item")
    if not isinstance(item, dict):
        raise Refused("invalid_type", "item has to be an object", "item")
    if event.get("previous_item_id") not in (None, last_item):
        _refuse_item("an item can only be the last one", "previous_item_id")
    return item


def own_id(item: dict[str, Any]) -> str:
    """The one that the client has chosen for an item; empty if it has chosen none."""
    return _checked_text(item.get("id") or "", "item.id", _MAX_ID)


def output(item: dict[str, Any], limits: FrameLimits) -> tuple[str, str]:
    """The id of the call that an item answers, and what came of it."""
    most = limits.text_bytes
    call_id = _checked_text(item.get("call_id"), "item.call_id", most)
    return call_id, _checked_text(item.get("output"), "item.output", most)


def typed(item: dict[str, Any], limits: FrameLimits) -> str:
    """The text of an item."""
    for name, value in (("type", "message"), ("role", "user")):
        if item.get(name) != value:
            message = "only messages of the user, and outputs of functions, can be created"
            _refuse_item(message, f"item.{name}")
    content = item.get("content")
    if not isinstance(content, list) or not 0 < len(content) <= _FEW:
        raise Refused("invalid_type", "content has to be a list of parts", "item.content")
    words = "\n".join(_part(part, number, limits) for number, part in enumerate(content))
    if not words.strip():
        raise Refused("invalid_value", "the item has no words", "item.content")
    return words


def _part(part: Any, number: int, limits: FrameLimits) -> str:
    where = f"item.content[{number}]"
    if not isinstance(part, dict) or part.get("type") != "input_text":
        _refuse_item("only input_text can be in an item", f"{where}.type")
    return _checked_text(part.get("text"), f"{where}.text", limits.text_bytes)


def check_response(event: dict[str, Any], modality: str) -> None:
    """What `response.create` asks for. `modality`: that of the session."""
    response = event.get("response")
    if response is None:
        return
    if not isinstance(response, dict):
        raise Refused("invalid_type", "response has to be an object", "response")
    for path, value in checked(response, RESPONSE_FIELDS, "response"):
        if path == "output_modalities" and value != [modality]:
            message = f'{path}: those of the session are possible: ["{modality}"]'
            raise Refused("unsupported_value", message, f"response.{path}")


def item_id(event: dict[str, Any]) -> str:
    return _checked_text(event.get("item_id"), "item_id", _MAX_ID)


def truncation(event: dict[str, Any]) -> tuple[str, float]:
    """The item of `conversation.item.truncate`, and how many ms of it were played."""
    end_ms: Any = event.get("audio_end_ms")
    if event.get("content_index", 0) != 0:
        raise Refused("invalid_value", "items have one part, number 0", "content_index")
    # Compared as it is: float() fails at an integer of 400 digits.
    is_number = isinstance(end_ms, int | float) and not isinstance(end_ms, bool)
    if not is_number or not 0 <= end_ms < _MOST_MS:
        message = f"it has to be a number from 0 to {_MOST_MS:.0f}"
        raise Refused("invalid_value", message, "audio_end_ms")
    return item_id(event), float(end_ms)


def _checked_text(value: Any, param: str, most_bytes: int) -> str:
    try:
        return text(value, most_bytes)
    except ValueError as error:
        raise Refused("invalid_value", f"{param}: {error}", param) from None


def _refuse_item(message: str, param: str) -> NoReturn:
    raise Refused("unsupported_item", message, param)
