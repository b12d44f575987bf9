"""Tools that the client runs, as items: what the agent asks for, and what comes of it."""

from typing import Final

from serve_app.protocol.messages import ToolCall
from serve_app.protocol.realtime.events import Events, Item
from serve_app.protocol.realtime.refused import Refused

OUTPUT: Final = "function_call_output"
_REMEMBERED: Final = 256
"""Calls that may be answered: many more than the history has room for."""


class Calling:
    """Of one socket."""

    def __init__(self, events: Events) -> None:
        self._events = events
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

    def answered(self, call_id: str, output: str, id_: str) -> list[str]:
        """The events about an output of the client's. `id_`: that of its item, if the client has
        chosen one. Raises Refused."""
        if call_id not in self._open:
            message = "the agent waits for no output of such a call"
            raise Refused("invalid_tool_call_id", message, "item.call_id")
        del self._open[call_id]
        self.has_output = True
        shown = _output(id_ or self._events.new_id("item"), call_id, output)
        return [self._events.item_added(shown), self._events.item_done(shown)]


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
