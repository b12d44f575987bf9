"""How a conversation begins and ends: opened or resumed, closed, lost, drained, left alone."""

from dataclasses import replace

from serve_app.conversation import events as ev
from serve_app.conversation.effects import Cancel, Disarm
from serve_app.conversation.floor import Floor
from serve_app.conversation.history import Record
from serve_app.conversation.metrics import TurnTimes
from serve_app.conversation.open_reply import OpenReply
from serve_app.conversation.settings import with_client_settings
from serve_app.conversation.states import State
from serve_app.conversation.transcribing import end_turn
from serve_app.protocol.messages import GoAway

CLOSED = 1000
BAD_OPTION = 4400
NOT_OPENED = 4408
IDLE = 4410
LAST_TURN_S = 10.0
"""Of the time that a server which is going to stop has left: for the turn that is going on then."""

# --- the beginning ---


def begin(floor: Floor, event: ev.Opened) -> None:
    floor.do(Disarm(ev.Timer.OPEN))
    try:
        settings = with_client_settings(floor.settings, event.turn)
    except ValueError as error:
        floor.end(BAD_OPTION, f"open: turn: {error}")
        return
    floor.wanted = event.events
    floor.seat(settings, event.language, event.sound)
    floor.times = TurnTimes.from_text(floor.now_s)
    floor.is_resumable = event.is_resumable
    if event.record:
        _resume(floor, event.record, event.played)
    else:
        _greet(floor, event.prompt, event.greeting)


def _resume(floor: Floor, record: Record, played: ev.Played | None) -> None:
    """Goes on where the conversation was: a turn whose answer nobody heard is answered now."""
    floor.generation = record.generation + 1
    floor.agent.tokens_issued = record.tokens_issued
    floor.history.resume(record.history)
    reply = record.reply
    if reply is None:
        _speak_or_wait(floor)
    else:
        if played is not None and played.token == reply.token:
            reply = replace(reply, played_s=played.played_ms / 1000)
        _go_on_with(floor, reply)


def _go_on_with(floor: Floor, reply: OpenReply) -> None:
    """Says what was not heard of the reply; what was not yet written of it is written now."""
    heard, rest = reply.split()
    floor.commit_heard(heard)
    if reply.is_written and rest:
        floor.say(rest)
    elif reply.is_written or not heard:
        _speak_or_wait(floor)
    else:
        floor.ask(floor.history.with_user(floor.settings.continuation))


def _greet(floor: Floor, prompt: str, greeting: str | None) -> None:
    """Echo's way, unless the client asked for its own words or for silence."""
    floor.generation += 1
    floor.history.begin(prompt, "" if greeting == "" else floor.settings.greeting)
    floor.record()
    if greeting:
        floor.say(greeting)
    else:
        _speak_or_wait(floor)
    if floor.agent.reply:
        floor.agent.reply.is_interruptible = floor.settings.interruptible_greeting


def _speak_or_wait(floor: Floor) -> None:
    if floor.history.awaits_reply:
        floor.ask()
    else:
        floor.wait()


def open_is_late(floor: Floor, event: ev.Expired) -> None:
    floor.end(NOT_OPENED, "no 'open' message arrived in time")


# --- the user is silent ---


def idle_too_long(floor: Floor, event: ev.Expired) -> None:
    floor.is_idle = True
    floor.times = TurnTimes.from_text(floor.now_s)
    floor.say(floor.settings.idle_prompt)


def idle_much_too_long(floor: Floor, event: ev.Expired) -> None:
    floor.do(Cancel(floor.generation))
    floor.end(IDLE, f"nothing was said for {floor.settings.idle_close_ms / 1000:g} s")


# --- the end ---


def close(floor: Floor, event: ev.CloseRequested) -> None:
    if floor.state is State.REPLYING:
        floor.end_reply()
    floor.do(Cancel(floor.generation))
    floor.state = State.CLOSED
    floor.end(CLOSED, "bye")


def disconnect(floor: Floor, event: ev.Disconnected) -> None:
    """The client may come back to what is recorded; until then nothing is asked for."""
    floor.is_detached = True
    if floor.state is State.REPLYING:
        floor.record()
    if floor.state is State.LISTENING:
        floor.user.cut_off(floor.turn)
        end_turn(floor)
    elif floor.state is not State.TRANSCRIBING:
        floor.leave()


def drain(floor: Floor, event: ev.Draining) -> None:
    """Who may come back finishes the turn that is going on and then connects elsewhere. Who may
    not, whose conversation ends with the socket, talks on until little time is left."""
    floor.notify(GoAway(round(event.time_left_s * 1000)), "goaway")
    if floor.is_resumable or event.time_left_s <= LAST_TURN_S or floor.state is State.CLOSED:
        floor.is_draining = True
        if floor.state in (State.CLOSED, State.WAITING):
            floor.stop()
