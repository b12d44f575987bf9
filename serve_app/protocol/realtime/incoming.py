"""From the client: each event as messages to the conversation, or as an answer."""

from collections.abc import Callable
from typing import Any, Final

from serve_app.protocol.limits import FrameLimits
from serve_app.protocol.messages import (
    Audio,
    ClearTurn,
    ClientMessage,
    CommitTurn,
    Played,
    RequestInterrupt,
    RequestReply,
    Text,
    ToolResult,
)
from serve_app.protocol.realtime import requests
from serve_app.protocol.realtime.call import Call
from serve_app.protocol.realtime.calling import OUTPUT, Calling
from serve_app.protocol.realtime.editing import Editor
from serve_app.protocol.realtime.events import Events, message_item
from serve_app.protocol.realtime.hearing import Hearing
from serve_app.protocol.realtime.options import Defaults
from serve_app.protocol.realtime.refused import Refused
from serve_app.protocol.realtime.speaking import Speaking
from serve_app.protocol.resampling import HEARD_HZ
from serve_app.protocol.sound import Ears
from serve_app.protocol.wire import Frame, Reading

_LEAST_S: Final = 0.1
"""Of audio in a turn, as with OpenAI."""
_MOST_ITEMS: Final = 64
"""That wait for a response."""


class Incoming:
    """Of one socket."""

    def __init__(
        self,
        session: str,
        defaults: Defaults,
        limits: FrameLimits,
        call: Call,
        events: Events,
        speaking: Speaking,
        calling: Calling,
        hearing: Hearing,
    ) -> None:
        self._session = session
        self._defaults = defaults
        self._limits = limits
        self._call = call
        self._events = events
        self._speaking = speaking
        self._calling = calling
        self._hearing = hearing
        self._editor = Editor(defaults, limits)
        self._ears = Ears(call.options.input_format)
        self._waiting: list[str] = []
        """Typed texts that no response was asked for."""
        self._handlers: dict[str, Callable[[dict[str, Any]], Reading]] = {
            "session.update": self._update,
            "input_audio_buffer.append": self._append,
            "input_audio_buffer.commit": self._commit,
            "input_audio_buffer.clear": self._clear,
            "conversation.item.create": self._create_item,
            "conversation.item.retrieve": self._retrieve,
            "conversation.item.truncate": self._truncate,
            "response.create": self._respond,
            "response.cancel": self._cancel,
        }

    @property
    def shown(self) -> dict[str, Any]:
        """The session."""
        return {"id": f"sess_{self._session}", **self._call.options.shown(self._defaults)}

    def read(self, frame: Frame) -> Reading:
        event: dict[str, Any] = {}
        try:
            event = requests.parsed(frame, self._limits)
            return self._handlers[requests.checked_type(event)](event)
        except Refused as refused:
            return Reading(answers=[self._events.refusal(refused, requests.event_id(event))])

    def _update(self, event: dict[str, Any]) -> Reading:
        call = self._call
        options = self._editor.edited(call.options, event.get("session"), call.has_begun)
        if options.input_format is not call.options.input_format:
            self._ears = Ears(options.input_format)
        call.options = options
        return Reading(answers=[self._events.event("session.updated", session=self.shown)])

    def _append(self, event: dict[str, Any]) -> Reading:
        data = requests.audio(event, self._call.options.input_format, self._limits)
        samples = self._ears.hear(data)
        self._call.received += len(samples)
        return self._said(Audio(samples)) if len(samples) else self._said()

    def _commit(self, event: dict[str, Any]) -> Reading:
        samples = self._pressed(event)
        if samples < _LEAST_S * HEARD_HZ:
            message = f"less than {_LEAST_S * 1000:.0f} ms of audio came since the last turn"
            raise Refused("input_audio_buffer_commit_empty", message)
        if self._hearing.is_committed:
            message = "the last turn is not transcribed yet: commit again after that"
            raise Refused("input_audio_buffer_commit_pending", message)
        self._call.taken = self._call.received
        self._call.is_stopped_by_client = self._speaking.is_active
        return Reading([CommitTurn()], self._hearing.committed(samples))

    def _clear(self, event: dict[str, Any]) -> Reading:
        self._pressed(event)
        self._call.taken = self._call.received
        cleared = self._events.event("input_audio_buffer.cleared")
        return Reading([ClearTurn()] if self._call.has_begun else [], [cleared])

    def _pressed(self, event: dict[str, Any]) -> int:
        """Samples that were neither committed nor cleared."""
        if self._call.options.turn_detection is not None:
            message = (
                "the server ends turns by itself: for push-to-talk, set turn_detection to null"
            )
            raise Refused("unsupported_event", f"{event['type']}: {message}", "type")
        return self._call.received - self._call.taken

    def _create_item(self, event: dict[str, Any]) -> Reading:
        item = requests.created(event, self._events.last_item)
        if self._events.is_taken(id_ := requests.own_id(item)):
            message = "item.id: it has to be new, and none like item_3, which the server makes"
            raise Refused("invalid_value", message, "item.id")
        if item.get("type") == OUTPUT:
            call_id, output = requests.output(item, self._limits)
            answers = self._calling.answered(call_id, output, id_)
            return Reading([ToolResult(call_id, output)], answers)
        text = requests.typed(item, self._limits)
        size = sum(len(words.encode()) + 1 for words in (*self._waiting, text))
        if size > self._limits.text_bytes or len(self._waiting) >= _MOST_ITEMS:
            message = "too many items, or too much text in them, wait for a response.create"
            raise Refused("too_many_items", message, "item")
        self._waiting.append(text)
        content = {"type": "input_text", "text": text}
        shown = message_item(id_ or self._events.new_id("item"), "user", "completed", content)
        return Reading(answers=[self._events.item_added(shown), self._events.item_done(shown)])

    def _respond(self, event: dict[str, Any]) -> Reading:
        requests.check_response(event, self._call.options.modality)
        has_output, self._calling.has_output = self._calling.has_output, False
        if not self._waiting and not has_output:
            return self._asked_for()
        self._call.is_unanswered = False
        if not self._waiting:
            return Reading([RequestReply()])
        self._call.typed = "\n".join(self._waiting).strip()
        self._waiting.clear()
        self._call.is_stopped_by_client = True
        return self._said(Text(self._call.typed))

    def _asked_for(self) -> Reading:
        """With push-to-talk, or without `create_response`, turns wait for this."""
        call, hearing = self._call, self._hearing
        is_heard = hearing.is_under_way or hearing.is_committed
        if not call.is_unanswered and (call.options.answers_turns or not is_heard):
            return self._greeted()
        call.is_requested = not call.is_unanswered
        call.is_unanswered = False
        return Reading([RequestReply()])

    def _greeted(self) -> Reading:
        """Without anything to answer, the agent can only speak first."""
        if self._call.has_begun:
            message = "there is nothing to answer: speak, or create an item before"
            raise Refused("nothing_to_answer", message)
        self._call.has_begun = True
        return Reading([self._call.options.open(greeting=None)])

    def _cancel(self, event: dict[str, Any]) -> Reading:
        id_ = event.get("response_id")
        if not self._speaking.is_active or id_ not in (None, self._speaking.response_id):
            message = "no such response is in progress"
            param = "" if id_ is None else "response_id"
            raise Refused("response_cancel_not_active", message, param)
        self._call.is_stopped_by_client = True
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
        if self._call.has_begun:
            return Reading(messages)
        self._call.has_begun = True
        return Reading([self._call.options.open(greeting=""), *messages])
