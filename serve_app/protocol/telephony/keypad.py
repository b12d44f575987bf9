"""The keys of the caller's telephone: what is pressed in a row is one message."""

from typing import Final

from serve_app.protocol.messages import ClientMessage, RequestInterrupt, Text

PAUSE_MS: Final = 1500
"""Without a key, after which the caller has finished. The caller's own audio is the clock."""
MOST_KEYS: Final = 32
"""In one message."""
_KEYS: Final = frozenset("0123456789*#ABCD")
_LAST: Final = "#"
"""It ends what was pressed at once, as callers expect."""


class Keypad:
    """Of one call."""

    def __init__(self) -> None:
        self._pressed = ""
        self._last_ms = 0.0

    def press(self, key: str, now_ms: float) -> list[ClientMessage]:
        """The agent falls silent at the first one. `now_ms`: how much audio has come."""
        if key not in _KEYS:
            return []
        is_first, self._last_ms = not self._pressed, now_ms
        self._pressed += key
        stop: list[ClientMessage] = [RequestInterrupt()] if is_first else []
        is_over = key == _LAST or len(self._pressed) == MOST_KEYS
        return [*stop, *(self._said() if is_over else [])]

    def pause(self, now_ms: float) -> list[ClientMessage]:
        """Time goes by."""
        is_over = self._pressed and now_ms - self._last_ms >= PAUSE_MS
        return self._said() if is_over else []

    def _said(self) -> list[ClientMessage]:
        pressed, self._pressed = self._pressed, ""
        return [Text(f"[Keys pressed on the telephone: {pressed}]")]
