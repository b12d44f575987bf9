"""To the client: what the conversation says, as events."""

from typing import Final

from serve_app.protocol.messages import (
    AgentAudio,
    Caption,
    ErrorNotice,
    Interrupt,
    Metrics,
    ServerMessage,
    StateChanged,
    Token,
    ToolCall,
    Transcript,
)
from serve_app.protocol.realtime.call import Call
from serve_app.protocol.realtime.events import Events
from serve_app.protocol.realtime.hearing import Hearing
from serve_app.protocol.realtime.refused import Refused
from serve_app.protocol.realtime.speaking import Speaking

_PCM_BYTES: Final = 2
_AGENT_STAGES: Final = frozenset({"llm", "tts", "agent"})


class Outgoing:
    """Of one socket."""

    def __init__(self, call: Call, events: Events, speaking: Speaking, hearing: Hearing) -> None:
        self._call = call
        self._events = events
        self._speaking = speaking
        self._hearing = hearing
        self._state_was = ""

    def written(self, message: ServerMessage) -> list[str]:
        """May be none; of AgentAudio the last one has the audio."""
        is_what_was_heard = isinstance(message, Transcript) and message.role == "agent"
        if self._speaking.is_cut and not is_what_was_heard:
            return [*self._speaking.heard(""), *self._events_of(message)]
        return self._events_of(message)

    def _events_of(self, message: ServerMessage) -> list[str]:
        match message:
            case Token():
                return [*self._hearing.stopped(), *self._speaking.began()]
            case Caption(text=text):
                return [*self._hearing.stopped(), *self._speaking.captioned(text)]
            case AgentAudio():
                return [*self._hearing.stopped(), *self._sound(message)]
            case Interrupt():
                return self._interrupt()
            case Transcript(role="user", text=text):
                return self._understood(text)
            case Transcript(text=text):
                return self._speaking.heard(text)
            case StateChanged(state):
                return self._state(state)
            case ToolCall():
                return [*self._hearing.stopped(), *self._speaking.called(message)]
            case Metrics():
                self._speaking.measured(message)
                return []
            case ErrorNotice():
                return self._error(message)
            case _:  # what no client of this protocol asks for
                return []

    def _sound(self, message: AgentAudio) -> list[str]:
        format_ = self._call.options.output_format
        duration_ms = len(message.audio) / _PCM_BYTES / format_.rate_hz * 1000
        return self._speaking.sounded(message.token, format_.encode(message.audio), duration_ms)

    def _interrupt(self) -> list[str]:
        is_by_client, self._call.is_stopped_by_client = self._call.is_stopped_by_client, False
        if is_by_client:
            return self._speaking.cancelled("client_cancelled")
        return [*self._hearing.started(), *self._speaking.cancelled("turn_detected")]

    def _understood(self, text: str) -> list[str]:
        is_typed = text == self._call.typed
        self._call.typed = ""
        if is_typed or not self._hearing.has_item:
            return []
        self._call.is_unanswered = not (self._call.options.answers_turns or self._call.is_requested)
        if self._hearing.is_committed:
            return self._hearing.transcribed(text)
        return self._hearing.understood(text)

    def _state(self, state: str) -> list[str]:
        self._call.is_stopped_by_client = False
        return [*self._left(state), *self._entered(state)]

    def _left(self, state: str) -> list[str]:
        """What is known of a turn once its transcription is over."""
        before, self._state_was = self._state_was, state
        self._hearing.is_under_way = state in ("listening", "transcribing")
        said = []
        if before == "transcribing" != state and self._hearing.is_committed:
            said += self._hearing.transcribed("")
        if self._call.is_requested and not self._hearing.is_under_way:
            self._call.is_requested = False
            if state == "waiting":
                refused = Refused("nothing_to_answer", "nothing was said: there is no response")
                said.append(self._events.refusal(refused, None))
        return said

    def _entered(self, state: str) -> list[str]:
        if state == "replying":
            return [*self._hearing.stopped(), *self._speaking.began()]
        if state == "listening":
            return [*self._hearing.started(), *self._over()]
        return [*self._hearing.stopped(), *self._speaking.completed()]

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
