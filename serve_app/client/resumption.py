"""What a client needs to go on with its conversation at another socket."""

import asyncio
from typing import Any

from serve_app.client.microphone import RecentAudio
from serve_app.client.playback import Playback, Received
from serve_app.client.reconnect import Backoff, may_retry

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
        self._token = ""
        self._window_s = 0.0
        self._backoff: Backoff | None = None

    def take(self, message: Received) -> bytes | None:
        """For a `session` message: the audio to send again, which is empty the first time. None
        for all others."""
        match message.kind:
            case "session":
                return self._take_session(message.fields)
            case "goaway" if not message.fields["final"]:
                self.may_begin.clear()
            case "state":
                self.recent.is_spoken = message.fields["state"] in _USER_SPEAKS
        return None

    def _take_session(self, fields: dict[str, Any]) -> bytes:
        is_first = not self._token
        self._token, self._window_s = fields["resume_token"], fields["window_s"]
        self._backoff = None
        if is_first:
            return b""
        self.count += 1
        return self.recent.unheard(fields["heard_samples"])

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
