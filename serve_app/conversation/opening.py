"""How a conversation begins and ends: opened or resumed, closed, lost, drained, left alone."""

from dataclasses import replace

from serve_app.conversation import events as ev
from serve_app.conversation.effects import Cancel, Disarm
from serve_app.conversation.floor import Floor
from serve_app.conversation.history import Record
from serve_app.conversation.metrics import TurnTimes
from serve_app.conversation.open_reply import OpenReply
from serve_app.conversation.settings import with_client_settings
from serve_app.conversation.states import REPLYING, Mode, State
from serve_app.conversation.transcribing import end_turn
from serve_app.protocol.close_codes import CloseCode
from serve_app.protocol.messages import GoAway

LAST_TURN_S = 10.0
"""Time that a draining server leaves for the turn that is going on."""

# --- the beginning ---


def begin(floor: Floor, event: ev.Opened) -> State:
    floor.do(Disarm(ev.Timer.OPEN))
    try:
        settings = with_client_settings(floor.settings, event.turn)
    except ValueError as error:
        return floor.end(CloseCode.BAD_MESSAGE, f"open: turn: {error}")
    floor.wanted = event.events
    floor.seat(settings, event.language, event.sound)
    floor.times = TurnTimes.from_text(floor.now_s)
    floor.is_resumable = event.is_resumable
    if event.record:
        return _resume(floor, event.record, event.played)
    return _greet(floor, event.prompt, event.greeting)


def _resume(floor: Floor, record: Record, played: ev.Played | None) -> State:
    """Goes on where the conversation was: a turn whose answer nobody heard is answered now."""
    floor.generation = record.generation + 1
    floor.agent.tokens_issued = record.tokens_issued
    floor.history.keep(record.history)
    reply = record.reply
    if reply is None:
        return _speak_or_wait(floor)
    if played is not None and played.token == reply.token:
        reply = replace(reply, played_s=played.played_ms / 1000)
    return _go_on_with(floor, reply)


def _go_on_with(floor: Floor, reply: OpenReply) -> State:
    """Says what was not heard of the reply, and has the agent write what is missing of it."""
    heard, rest = reply.split()
    floor.commit_heard(heard)
    if reply.is_written and rest:
        return floor.say(rest)
    if reply.is_written or not heard:
        return _speak_or_wait(floor)
    return floor.ask(floor.history.with_user(floor.settings.continuation))


def _greet(floor: Floor, prompt: str, greeting: str | None) -> State:
    """Echo's way, unless the client asked for its own words or for silence."""
    floor.generation += 1
    prompt = prompt or floor.settings.prompt
    floor.history.begin(prompt, "" if greeting == "" else floor.settings.greeting)
    floor.record()
    state = floor.say(greeting) if greeting else _speak_or_wait(floor)
    if floor.agent.reply:
        floor.agent.reply.is_interruptible = floor.settings.interruptible_greeting
    return state


def _speak_or_wait(floor: Floor) -> State:
    return floor.ask() if floor.history.awaits_reply else floor.wait()


def open_is_late(floor: Floor, event: ev.Expired) -> State:
    return floor.end(CloseCode.NOT_OPENED, "no 'open' message arrived in time")


# --- the user is silent ---


def idle_too_long(floor: Floor, event: ev.Expired) -> State:
    floor.times = TurnTimes.from_text(floor.now_s)
    state = floor.say(floor.settings.idle_prompt)
    floor.reply.is_idle_prompt = True
    return state


def idle_much_too_long(floor: Floor, event: ev.Expired) -> State:
    floor.do(Cancel(floor.generation))
    return floor.end(
        CloseCode.IDLE, f"nothing was said for {floor.settings.idle_close_ms / 1000:g} s"
    )


# --- the end ---


def close(floor: Floor, event: ev.CloseRequested) -> State:
    if floor.state in REPLYING:
        floor.end_reply()
    floor.do(Cancel(floor.generation))
    return floor.end(CloseCode.CLOSED, "bye")


def lose_client(floor: Floor, event: ev.Disconnected) -> State:
    """The client may come back to what is recorded. Until then no reply is asked for."""
    return floor.leave()


def lose_client_in_reply(floor: Floor, event: ev.Disconnected) -> State:
    floor.record()
    return floor.leave()


def lose_speaker(floor: Floor, event: ev.Disconnected) -> State:
    """What the user has said so far is the turn, and is recorded."""
    floor.mode = Mode.DETACHED
    floor.user.cut_off(floor.turn)
    return end_turn(floor)


def lose_client_after_turn(floor: Floor, event: ev.Disconnected) -> None:
    """The turn is recorded when its text is here."""
    floor.mode = Mode.DETACHED


def drain(floor: Floor, event: ev.Draining) -> None:
    """A client that may come back finishes the turn that is going on, then connects elsewhere. One
    whose conversation ends with its socket talks on until little time is left."""
    floor.notify(GoAway(round(event.time_left_s * 1000)), "goaway")
    is_due = floor.is_resumable or event.time_left_s <= LAST_TURN_S
    if is_due and floor.mode is Mode.ATTACHED:
        floor.mode = Mode.DRAINING


def drain_while_waiting(floor: Floor, event: ev.Draining) -> State:
    drain(floor, event)
    return floor.stop() if floor.mode is Mode.DRAINING else State.WAITING


def drain_before_open(floor: Floor, event: ev.Draining) -> State:
    return floor.stop()
