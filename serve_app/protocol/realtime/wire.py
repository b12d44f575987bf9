"""OpenAI's Realtime protocol (the GA shape), for one socket.

    client's events ── incoming ──▶ messages ──▶ conversation
    events ◀── outgoing (hearing, speaking) ── messages ◀──┘

A client need not open anything: the conversation begins with the first audio or `response.create`.
The agent's playback is followed by the server's clock alone: a client of this protocol never says
that it has played all it got, and the conversation goes on without that.
"""

from collections.abc import Sequence
from typing import Final

from serve_app.protocol.close_codes import CloseCode
from serve_app.protocol.limits import DEFAULT_FRAMES, FrameLimits
from serve_app.protocol.messages import AgentAudio, ServerMessage
from serve_app.protocol.realtime.call import Call
from serve_app.protocol.realtime.calling import Calling
from serve_app.protocol.realtime.events import Events
from serve_app.protocol.realtime.hearing import Hearing
from serve_app.protocol.realtime.incoming import Incoming
from serve_app.protocol.realtime.options import Defaults
from serve_app.protocol.realtime.outgoing import Outgoing
from serve_app.protocol.realtime.speaking import Speaking
from serve_app.protocol.wire import AudioFrame, Frame, Reading, Writing

_SILENT: Final = frozenset({CloseCode.CLOSED, CloseCode.GONE})
"""Nobody is there to be told, or nothing is wrong."""
_ERROR_CODES: Final[dict[int, tuple[str, str]]] = {
    CloseCode.KEY_REFUSED: ("invalid_request_error", "invalid_api_key"),
    CloseCode.KEY_ENDED: ("invalid_request_error", "invalid_api_key"),
    CloseCode.LIMIT_REACHED: ("rate_limit_error", "rate_limit_exceeded"),
    CloseCode.TOO_FAST: ("rate_limit_error", "rate_limit_exceeded"),
    CloseCode.TIME_IS_UP: ("invalid_request_error", "session_expired"),
    CloseCode.FAILED: ("server_error", "server_error"),
    CloseCode.STOPPING: ("server_error", "server_is_stopping"),
    CloseCode.AT_CAPACITY: ("server_error", "at_capacity"),
}
"""Type and code of the error event before a close frame; others are the client's doing."""


class RealtimeWire:
    """`session`: an id that no other session has."""

    def __init__(
        self, session: str, defaults: Defaults, limits: FrameLimits = DEFAULT_FRAMES
    ) -> None:
        call, self._events = Call(), Events()
        calling = Calling(self._events)
        speaking, hearing = Speaking(call, self._events, calling), Hearing(call, self._events)
        self._incoming = Incoming(
            session, defaults, limits, call, self._events, speaking, calling, hearing
        )
        self._outgoing = Outgoing(call, self._events, speaking, hearing)

    def greeting(self) -> Sequence[Frame]:
        return [self._events.event("session.created", session=self._incoming.shown)]

    def read(self, frame: Frame) -> Reading:
        return self._incoming.read(frame)

    def write(self, message: ServerMessage) -> Writing:
        events = self._outgoing.written(message)
        if not isinstance(message, AgentAudio):
            return events
        *before, audio = events
        return [*before, AudioFrame(audio)]

    def farewell(self, code: int, reason: str) -> Sequence[Frame]:
        if code in _SILENT:
            return []
        own_name = next((known.name.lower() for known in CloseCode if known == code), "closed")
        type_, name = _ERROR_CODES.get(code, ("invalid_request_error", own_name))
        return [self._events.error(type_, name, reason)]
