"""The agent asks for tools that the client runs, and goes on with their results.

A call is written down as soon as it is made, and the reply ends with it. Then the client has time:
the user may speak meanwhile, and what comes of the tools is part of the next chat, whenever it
comes.

speaking ── ToolsCalled ──▶ the words are played ──▶ waiting ── all results ──▶ preparing
"""

from collections.abc import Collection

from serve_app.conversation import events as ev
from serve_app.conversation.effects import Disarm, Send
from serve_app.conversation.floor import Floor
from serve_app.conversation.states import State
from serve_app.conversation.tool_messages import (
    given_up,
    numbered,
    pending,
    pending_calls,
    with_result,
    with_steps,
)
from serve_app.protocol.messages import ToolCall


def tools_called(floor: Floor, event: ev.ToolsCalled) -> None:
    """Sends the client the calls that are its own."""
    reply, history = floor.reply, floor.history
    if reply.call_id or reply.is_written or not any(step.calls for step in event.steps):
        return
    steps = numbered(history.chat, event.steps, f"c{floor.generation:05}")
    reply.call_id = next(call.id for step in steps for call in step.calls)
    known = pending(history.chat)
    history.keep(with_steps(history.chat, steps))
    floor.record()
    send_calls(floor, [id_ for id_ in pending(history.chat) if id_ not in known])


def send_calls(floor: Floor, ids: Collection[str]) -> None:
    """To a client that comes back also those that it may have been sent before."""
    for call in pending_calls(floor.history.chat):
        if call.id in ids:
            floor.do(Send(ToolCall(floor.generation, call.id, call.name, call.arguments)))
    if ids:
        floor.arm(ev.Timer.TOOLS, floor.settings.tool_timeout_ms / 1000)


def take_result(floor: Floor, event: ev.ToolAnswered) -> State:
    """A result that nobody waits for is ignored. The last one that was missing may end a wait."""
    chat = with_result(floor.history.chat, event.call_id, event.output)
    if chat is None:
        return floor.state
    floor.unseen = (*floor.unseen, event.call_id)
    floor.history.keep(chat)
    floor.record()
    if pending(chat):
        return floor.state
    floor.do(Disarm(ev.Timer.TOOLS))
    return floor.wait() if floor.state is State.WAITING else floor.state


def ask_for_reply(floor: Floor, event: ev.ReplyRequested) -> None:
    """It is given once whoever has the floor is done with it."""
    floor.is_asked = True


def ask_while_waiting(floor: Floor, event: ev.ReplyRequested) -> State:
    ask_for_reply(floor, event)
    return floor.go_on() or floor.state


def tools_are_late(floor: Floor, event: ev.Expired) -> None:
    """The agent has to do without, and says so."""
    floor.unseen = (*floor.unseen, *pending(floor.history.chat))
    floor.history.keep(given_up(floor.history.chat))
    floor.record()
    floor.is_asked = True


def tools_are_late_while_waiting(floor: Floor, event: ev.Expired) -> State:
    tools_are_late(floor, event)
    return floor.wait()
