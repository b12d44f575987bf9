"""JSON in text frames, and base64 in it, for the protocols that have them. What would cost memory
is refused before it does."""

import base64
import binascii
import json
from typing import Any, Final, NoReturn

from serve_app.protocol.limits import FrameLimits
from serve_app.protocol.wire import Frame

_PLAIN: Final = 4
"""A message without audio may have so many times the bytes of its longest text: JSON may write six
for each character, and there is more in it than the text."""
_FEW: Final = 64
"""Lists, maps and fields of a message that is longer."""


class BadJson(ValueError):
    """`code` and `message` say why a frame is not taken."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def parsed(frame: Frame, limits: FrameLimits) -> dict[str, Any]:
    """The object in a frame. Raises BadJson."""
    if isinstance(frame, bytes):
        raise BadJson("invalid_frame", "send JSON in text frames: this one is binary")
    _check_size(frame, limits)
    try:
        found = json.loads(frame, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise BadJson("invalid_json", "not valid JSON") from None
    if not isinstance(found, dict):
        raise BadJson("invalid_json", "not a JSON object")
    return found


def binary(encoded: str) -> bytes:
    """The bytes in base64. Raises ValueError."""
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None


def _check_size(frame: str, limits: FrameLimits) -> None:
    """Only audio may be long: a list of a million lists would cost a hundred times its bytes."""
    most = _PLAIN * limits.text_bytes
    if len(frame) > most and frame.count("[") + frame.count("{") + frame.count(",") > _FEW:
        raise BadJson("message_too_big", f"only audio may have more than {most} characters")


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)
