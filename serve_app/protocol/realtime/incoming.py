"""From the client: each event as messages to the conversation, or as an answer."""

from collections.abc import Callable
from typing import Any, Final

from serve_app.protocol.limits import FrameLimits
from serve_app.protocol.messages import (
    Audio,
    ClientMessage,
    Played,
    RequestInterrupt,
    Text,
)
from serve_app.protocol.realtime import requests
from serve_app.protocol.realtime.call import Call
from serve_app.protocol.realtime.editing import Editor
from serve_app.protocol.realtime.events import Events, message_item
from serve_app.protocol.realtime.options import Defaults
from serve_app.protocol.realtime.refused import Refused
from serve_app.protocol.realtime.speaking import Speaking
from serve_app.protocol.sound import Ears
from serve_app.protocol.wire import Frame, Reading

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
    ) -> None:
        self._session = session
        self._defaults = defaults
        self._limits = limits
        self._call = call
        self._events = events
        self._speaking = speaking
        self._editor = Editor(defaults, limits)
        self._ears = Ears(call.options.input_format)
        self._waiting: list[str] = []
        """Typed texts that no response was asked for."""
        self._handlers: dict[str, Callable[[dict[str, Any]], Reading]] = {
            "session.update": self._update,
            "input_audio_buffer.append": self._append,
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

    def _create_item(self, event: dict[str, Any]) -> Reading:
        id_, text = requests.typed(event, self._events.last_item, self._limits)
        if self._events.is_taken(id_):
            message = "item.id: it has to be new, and none like item_3, which the server makes"
            raise Refused("invalid_value", message, "item.id")
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
        self._call.typed = "\n".join(self._waiting).strip()
        self._waiting.clear()
        self._call.is_stopped_by_client = True
        return self._said(Text(self._call.typed))

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
