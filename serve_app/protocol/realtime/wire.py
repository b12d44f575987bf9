"""OpenAI's Realtime protocol (the GA shape), for one socket.

    client's events ──requests──▶ messages ──▶ conversation
    events ◀──hearing, speaking── messages ◀──┘

A client need not open anything: the conversation begins with the first audio or `response.create`.
The agent's playback is followed by the server's clock alone: a client of this protocol never says
that it has played all it got, and the conversation goes on without that.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from serve_app.protocol.close_codes import CloseCode
from serve_app.protocol.limits import DEFAULT_FRAMES, FrameLimits
from serve_app.protocol.messages import (
    AgentAudio,
    Audio,
    Caption,
    ClientMessage,
    ErrorNotice,
    Interrupt,
    Metrics,
    Played,
    RequestInterrupt,
    ServerMessage,
    StateChanged,
    Text,
    Token,
    Transcript,
)
from serve_app.protocol.realtime import requests
from serve_app.protocol.realtime.editing import Editor
from serve_app.protocol.realtime.events import Events, message_item
from serve_app.protocol.realtime.hearing import Hearing
from serve_app.protocol.realtime.options import Defaults, Options
from serve_app.protocol.realtime.refused import Refused
from serve_app.protocol.realtime.resampling import HEARD_HZ
from serve_app.protocol.realtime.sound import Ears
from serve_app.protocol.realtime.speaking import Speaking
from serve_app.protocol.wire import Frame, Reading

_PCM_BYTES: Final = 2
_MOST_ITEMS: Final = 64
"""That wait for a response."""
_AGENT_STAGES: Final = frozenset({"llm", "tts", "agent"})
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
        self._session = session
        self._defaults = defaults
        self._limits = limits
        self._editor = Editor(defaults, limits)
        self._options = Options()
        self._has_begun = False
        self._ears = Ears(self._options.input_format)
        self._received = 0
        """Samples of audio, as the conversation hears them."""
        self._waiting: list[str] = []
        """Typed texts that no response was asked for."""
        self._typed = ""
        """What was sent last of them."""
        self._is_stopped_by_client = False
        self._events = Events()
        self._hearing = Hearing(self._events)
        self._speaking = Speaking(self._events)
        self._handlers: dict[str, Callable[[dict[str, Any]], Reading]] = {
            "session.update": self._update,
            "input_audio_buffer.append": self._append,
            "conversation.item.create": self._create_item,
            "conversation.item.retrieve": self._retrieve,
            "conversation.item.truncate": self._truncate,
            "response.create": self._respond,
            "response.cancel": self._cancel,
        }

    # --- the beginning and the end ---

    def greeting(self) -> Sequence[Frame]:
        return [self._events.event("session.created", session=self._shown)]

    def farewell(self, code: int, reason: str) -> Sequence[Frame]:
        if code in _SILENT:
            return []
        own_name = next((known.name.lower() for known in CloseCode if known == code), "closed")
        type_, name = _ERROR_CODES.get(code, ("invalid_request_error", own_name))
        return [self._events.error(type_, name, reason)]

    @property
    def _shown(self) -> dict[str, Any]:
        return {"id": f"sess_{self._session}", **self._options.shown(self._defaults)}

    # --- from the client ---

    def read(self, frame: Frame) -> Reading:
        event: dict[str, Any] = {}
        try:
            event = requests.parsed(frame, self._limits)
            return self._handlers[requests.checked_type(event)](event)
        except Refused as refused:
            return Reading(answers=[self._events.refusal(refused, requests.event_id(event))])

    def _update(self, event: dict[str, Any]) -> Reading:
        options = self._editor.edited(self._options, event.get("session"), self._has_begun)
        if options.input_format is not self._options.input_format:
            self._ears = Ears(options.input_format)
        self._options = options
        return Reading(answers=[self._events.event("session.updated", session=self._shown)])

    def _append(self, event: dict[str, Any]) -> Reading:
        data = requests.audio(event, self._options.input_format, self._limits)
        samples = self._ears.hear(data)
        self._received += len(samples)
        return self._said(Audio(samples)) if len(samples) else self._said()

    def _create_item(self, event: dict[str, Any]) -> Reading:
        id_, text = requests.typed(event, self._events.last_item, self._limits)
        size = sum(len(words.encode()) + 1 for words in (*self._waiting, text))
        if size > self._limits.text_bytes or len(self._waiting) >= _MOST_ITEMS:
            message = "too many items, or too much text in them, wait for a response.create"
            raise Refused("too_many_items", message, "item")
        self._waiting.append(text)
        content = {"type": "input_text", "text": text}
        item = message_item(id_ or self._events.new_id("item"), "user", "completed", content)
        return Reading(answers=[self._events.item_added(item), self._events.item_done(item)])

    def _respond(self, event: dict[str, Any]) -> Reading:
        requests.check_response(event)
        if not self._waiting:
            return self._greeted()
        self._typed = "\n".join(self._waiting).strip()
        self._waiting.clear()
        self._is_stopped_by_client = True
        return self._said(Text(self._typed))

    def _greeted(self) -> Reading:
        """Without anything to answer, the agent can only speak first."""
        if self._has_begun:
            message = "there is nothing to answer: speak, or create an item before"
            raise Refused("nothing_to_answer", message)
        self._has_begun = True
        return Reading([self._options.open(greeting=None)])

    def _cancel(self, event: dict[str, Any]) -> Reading:
        id_ = event.get("response_id")
        if not self._speaking.is_active or id_ not in (None, self._speaking.response_id):
            message = "no such response is in progress"
            raise Refused("response_cancel_not_active", message)
        self._is_stopped_by_client = True
        return self._said(RequestInterrupt())

    def _retrieve(self, event: dict[str, Any]) -> Reading:
        item = self._events.item(requests.item_id(event))
        if item is None:
            raise Refused("item_not_found", "it is none of the last items", "item_id")
        return Reading(answers=[self._events.event("conversation.item.retrieved", item=item)])

    def _truncate(self, event: dict[str, Any]) -> Reading:
        item, end_ms = requests.truncation(event)
        found = self._speaking.played(item)
        if found is None:
            message = "only the agent's last item can be truncated"
            raise Refused("invalid_value", message, "item_id")
        token, answers = found
        return Reading([Played(token, end_ms)] if token else [], answers)

    def _said(self, *messages: ClientMessage) -> Reading:
        """The conversation begins with the first of them."""
        if self._has_begun:
            return Reading(messages)
        self._has_begun = True
        return Reading([self._options.open(greeting=""), *messages])

    # --- to the client ---

    def write(self, message: ServerMessage) -> Sequence[Frame]:
        is_what_was_heard = isinstance(message, Transcript) and message.role == "agent"
        if self._speaking.is_cut and not is_what_was_heard:
            return [*self._speaking.heard(""), *self._written(message)]
        return self._written(message)

    def _written(self, message: ServerMessage) -> list[str]:
        match message:
            case Token():
                return [*self._hearing.stopped(self._heard_ms), *self._speaking.began()]
            case Caption(text=text):
                return [*self._hearing.stopped(self._heard_ms), *self._speaking.captioned(text)]
            case AgentAudio():
                return [*self._hearing.stopped(self._heard_ms), *self._sound(message)]
            case Interrupt():
                return self._interrupt()
            case Transcript(role="user", text=text):
                return self._understood(text)
            case Transcript(text=text):
                return self._speaking.heard(text)
            case StateChanged(state):
                return self._state(state)
            case Metrics():
                self._speaking.measured(message)
                return []
            case ErrorNotice():
                return self._error(message)
            case _:  # what no client of this protocol asks for
                return []

    def _sound(self, message: AgentAudio) -> list[str]:
        format_ = self._options.output_format
        duration_ms = len(message.audio) / _PCM_BYTES / format_.rate_hz * 1000
        return self._speaking.sounded(message.token, format_.encode(message.audio), duration_ms)

    def _interrupt(self) -> list[str]:
        is_by_client, self._is_stopped_by_client = self._is_stopped_by_client, False
        if is_by_client:
            return self._speaking.cancelled("client_cancelled")
        return [*self._hearing.started(self._heard_ms), *self._speaking.cancelled("turn_detected")]

    def _understood(self, text: str) -> list[str]:
        is_typed = text == self._typed
        self._typed = ""
        if is_typed or not self._hearing.has_item:
            return []
        return self._hearing.understood(text, self._heard_ms)

    def _state(self, state: str) -> list[str]:
        self._is_stopped_by_client = False
        if state == "replying":
            return [*self._hearing.stopped(self._heard_ms), *self._speaking.began()]
        if state == "listening":
            return [*self._hearing.started(self._heard_ms), *self._over()]
        return [*self._hearing.stopped(self._heard_ms), *self._speaking.completed()]

    def _over(self) -> list[str]:
        """The user has the floor: a reply of which nothing was heard is withdrawn."""
        if self._speaking.is_heard:
            return self._speaking.completed()
        return self._speaking.cancelled("turn_detected")

    def _error(self, notice: ErrorNotice) -> list[str]:
        if notice.stage == "open":
            return []  # said again before the close frame
        if notice.stage in _AGENT_STAGES:
            self._speaking.failed(notice.message)
        is_clients = notice.stage == "audio"
        type_ = "invalid_request_error" if is_clients else "server_error"
        return [self._events.error(type_, f"{notice.stage}_failed", notice.message)]

    @property
    def _heard_ms(self) -> int:
        return self._received * 1000 // HEARD_HZ
