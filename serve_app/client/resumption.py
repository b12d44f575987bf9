"""What a client needs to go on with its conversation at another socket."""

import asyncio
from collections import deque
from typing import Any

from serve_app.client.microphone import RecentAudio
from serve_app.client.playback import Playback, Received
from serve_app.client.reconnect import Backoff, may_retry

_MAX_TYPED = 64
"""Texts that may have to be sent again. More are never on their way at once."""
_USER_SPEAKS = ("listening", "transcribing")


class Resumption:
    """Learns from the server's messages how to come back."""

    events = frozenset({"goaway", "state"})
    """The events that it needs."""

    def __init__(self) -> None:
        self.count = 0
        """How often the client has come back."""
        self.recent = RecentAudio()
        self.may_begin = asyncio.Event()
        """Whether a typed turn may be sent. Not after `goaway`, unless the session itself is about
        to end: the socket may be closing, and there will be another one."""
        self.may_begin.set()
        self.typed: deque[dict[str, Any]] = deque(maxlen=_MAX_TYPED)
        """The last `text` messages. After a resume, those that the server has not taken."""
        self._texts = 0
        self._token = ""
        self._window_s = 0.0
        self._backoff: Backoff | None = None

    def number(self, text: dict[str, Any]) -> dict[str, Any]:
        """The `text` message with a number, by which the server knows it if it comes again."""
        self._texts = max(self._texts + 1, text.get("id", 0))
        numbered = {**text, "id": self._texts}
        self.typed.append(numbered)
        return numbered

    def take(self, message: Received) -> bool:
        """Whether the conversation goes on at this socket: what the server has not heard is to be
        sent again. Then `recent` and `typed` hold that."""
        match message.kind:
            case "session":
                return self._take_session(message.fields)
            case "goaway" if not message.fields.get("final"):
                self.may_begin.clear()
            case "state":
                self.recent.is_spoken = message.fields["state"] in _USER_SPEAKS
        return False

    def _take_session(self, fields: dict[str, Any]) -> bool:
        is_first = not self._token
        self._token, self._window_s = fields["resume_token"], fields["window_s"]
        self._backoff = None
        if is_first:
            return False
        self.count += 1
        self.recent.rewind(fields["heard_samples"])
        # A server that does not number texts would take them twice.
        taken = fields.get("text_id", self._texts)
        while self.typed and self.typed[0]["id"] <= taken:
            self.typed.popleft()
        return True

    def next_pause_s(self, close_code: int | None) -> float | None:
        """Pause before the next try, after a connection that ended with this code; None when
        there is no next try."""
        if not self._token or not may_retry(close_code):
            return None
        self._backoff = self._backoff or Backoff(self._window_s)
        return self._backoff.next_s()

    def opening(self, playback: Playback) -> dict[str, Any]:
        """The `open` message."""
        played = {"token": playback.played_token, "played_ms": playback.played_ms}
        return {"type": "open", "resume_token": self._token, "played": played}
