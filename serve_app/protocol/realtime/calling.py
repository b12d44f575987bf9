"""Tools that the client runs, as items: what the agent asks for, and what comes of it."""

from typing import Any, Final

from serve_app.protocol.limits import FrameLimits
from serve_app.protocol.messages import ToolCall
from serve_app.protocol.realtime.editing import text
from serve_app.protocol.realtime.events import Events, Item
from serve_app.protocol.realtime.refused import Refused

OUTPUT: Final = "function_call_output"
_REMEMBERED: Final = 256
"""Calls that may be answered: many more than the history has room for."""


class Calling:
    """Of one socket."""

    def __init__(self, events: Events, limits: FrameLimits) -> None:
        self._events = events
        self._limits = limits
        self._open: dict[str, None] = {}
        """The ids of the calls without an output, in order."""
        self.has_output = False
        """Whether an output came since the last response."""

    def called(self, call: ToolCall, response: str, index: int) -> tuple[Item, list[str]]:
        """The item of a call, and the events that tell of it."""
        self._open[call.call_id] = None
        if len(self._open) > _REMEMBERED:
            del self._open[next(iter(self._open))]
        events, id_ = self._events, self._events.new_id("item")
        begun, done = _call(id_, "in_progress", call, ""), _call(id_, "completed", call)
        place = {"response_id": response, "output_index": index}
        part = {**place, "item_id": id_, "call_id": call.call_id}
        arguments = "response.function_call_arguments"
        return done, [
            events.event("response.output_item.added", **place, item=begun),
            events.item_added(begun),
            events.event(f"{arguments}.delta", **part, delta=call.arguments),
            events.event(f"{arguments}.done", **part, name=call.name, arguments=call.arguments),
            events.event("response.output_item.done", **place, item=done),
            events.item_done(done),
        ]

    def answered(self, item: dict[str, Any], id_: str) -> tuple[str, str, list[str]]:
        """The id of the call and the output of an item of the client's, and the events about it.
        `id_`: its own, if the client has chosen one. Raises Refused."""
        call_id = self._text(item.get("call_id"), "item.call_id")
        output = self._text(item.get("output"), "item.output")
        if call_id not in self._open:
            message = "the agent waits for no output of such a call"
            raise Refused("invalid_tool_call_id", message, "item.call_id")
        del self._open[call_id]
        self.has_output = True
        shown = _output(id_ or self._events.new_id("item"), call_id, output)
        return call_id, output, [self._events.item_added(shown), self._events.item_done(shown)]

    def _text(self, value: Any, param: str) -> str:
        try:
            return text(value, self._limits.text_bytes)
        except ValueError as error:
            raise Refused("invalid_value", f"{param}: {error}", param) from None


def _call(id_: str, status: str, call: ToolCall, arguments: str | None = None) -> Item:
    return {
        "id": id_,
        "object": "realtime.item",
        "type": "function_call",
        "status": status,
        "name": call.name,
        "call_id": call.call_id,
        "arguments": call.arguments if arguments is None else arguments,
    }


def _output(id_: str, call_id: str, output: str) -> Item:
    return {
        "id": id_,
        "object": "realtime.item",
        "type": OUTPUT,
        "status": "completed",
        "call_id": call_id,
        "output": output,
    }
