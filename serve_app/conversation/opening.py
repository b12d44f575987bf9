"""How a conversation begins and ends: opened or resumed, closed, lost, drained, left alone, out of
time."""

from dataclasses import replace

from serve_app.conversation import events as ev
from serve_app.conversation.calling import send_calls
from serve_app.conversation.effects import Cancel, Disarm
from serve_app.conversation.floor import Floor
from serve_app.conversation.history import Record, without_last
from serve_app.conversation.metrics import TurnTimes
from serve_app.conversation.open_reply import OpenReply, joined
from serve_app.conversation.settings import with_client_settings
from serve_app.conversation.states import REPLYING, Mode, State
from serve_app.conversation.tool_messages import pending
from serve_app.conversation.transcribing import end_turn
from serve_app.protocol.close_codes import CloseCode
from serve_app.protocol.messages import GoAway

LAST_TURN_S = 10.0
"""Time for the turn that is going on when a server drains, or a session has nearly had its time."""
_NOTICE_S = 60.0
"""So long before a session has had its time its client is told."""
_SOON_S = 0.001
"""Sooner than this is now: timers are not exact."""
_CLOCK_S = 0.1
"""A client whose count of a whole reply is short by no more has played all of it."""

# --- the beginning ---


def begin(floor: Floor, event: ev.Opened) -> State:
    floor.do(Disarm(ev.Timer.OPEN))
    try:
        settings = with_client_settings(floor.settings, event.turn)
    except ValueError as error:
        return floor.end(CloseCode.BAD_MESSAGE, f"open: turn: {error}")
    floor.wanted = event.events
    floor.seat(settings, event.language, event.sound, event.tools)
    floor.times = TurnTimes.from_text(floor.now_s)
    floor.is_resumable = event.is_resumable
    _watch_time(floor, event.record.lasted_s if event.record else 0.0)
    if event.record:
        return _resume(floor, event.record, event.played)
    return _greet(floor, event.prompt, event.greeting)


def _resume(floor: Floor, record: Record, played: ev.Played | None) -> State:
    """Goes on where the conversation was: a turn whose answer nobody heard is answered now."""
    if played is not None:
        record = _as_played(record, played)
    floor.generation = record.generation + 1
    floor.agent.tokens_issued = record.tokens_issued
    floor.text_id = floor.recorded_text_id = record.text_id
    floor.history.keep(record.history)
    floor.agent.hear(record.language)
    send_calls(floor, pending(record.history))
    return _answer_or_wait(floor) if record.reply is None else _go_on_with(floor, record.reply)


def _as_played(record: Record, played: ev.Played) -> Record:
    """The record as the client knows it. The server took what it had sent whole for heard; of what
    comes after the reply that the client has played last, the client has played nothing."""
    replies = (*record.given, *([record.reply] if record.reply else []))
    tokens = [reply.token for reply in replies]
    is_known = played.token in tokens
    first = tokens.index(played.token) if is_known else 0
    played_s = played.played_ms / 1000 if is_known else 0.0
    unsure = replies[first:]
    unplayed_s = sum(reply.duration_s for reply in unsure) - played_s
    if not unsure or (record.reply is None and unplayed_s <= _CLOCK_S):
        return record
    history = record.history
    if taken_back := record.given[first:]:
        said = " ".join(reply.text for reply in taken_back)
        if (before := without_last(history, said)) is None:
            return record
        history = before
    return replace(record, history=history, reply=joined(unsure, played_s), given=())


def _go_on_with(floor: Floor, reply: OpenReply) -> State:
    """Says what was not heard of the reply, and has the agent write what is missing of it."""
    heard, rest = reply.split()
    floor.commit_heard(heard, reply.call_id)
    if reply.is_written and rest:
        floor.agent.say(floor.generation, rest)
        floor.reply.call_id = reply.call_id
        return floor.give_reply()
    if reply.is_written or floor.history.awaits_reply:
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


def _answer_or_wait(floor: Floor) -> State:
    """A client that asks for each reply asks again."""
    return _speak_or_wait(floor) if floor.settings.answers_turns else floor.wait()


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


# --- the session has had its time ---


def _watch_time(floor: Floor, lasted_s: float) -> None:
    """A session that goes on at another socket has what is left of its time."""
    floor.began_s = floor.now_s - lasted_s
    if floor.settings.max_session_s:
        notice_in_s = _time_left_s(floor) - _NOTICE_S
        floor.arm(ev.Timer.SESSION, max(_SOON_S, notice_in_s))


def _time_left_s(floor: Floor) -> float:
    return floor.began_s + floor.settings.max_session_s - floor.now_s


def time_runs_out(floor: Floor, event: ev.Expired) -> State | None:
    """Comes when a client is to be told, when only the turn that is going on may be finished, and
    at the end."""
    left_s = _time_left_s(floor)
    if left_s < _SOON_S:
        _stop_talking(floor)
        return floor.expire()
    floor.notify(GoAway(round(left_s * 1000), final=True), "goaway")
    if left_s > LAST_TURN_S + _SOON_S:
        floor.arm(ev.Timer.SESSION, left_s - LAST_TURN_S)
        return None
    floor.arm(ev.Timer.SESSION, left_s)
    if floor.mode is not Mode.DETACHED:
        floor.mode = Mode.EXPIRING
    return None


def time_runs_out_while_waiting(floor: Floor, event: ev.Expired) -> State | None:
    state = time_runs_out(floor, event)
    return floor.expire() if floor.mode is Mode.EXPIRING and state is None else state


# --- the end ---


def close(floor: Floor, event: ev.CloseRequested) -> State:
    _stop_talking(floor)
    return floor.end(CloseCode.CLOSED, "bye")


def _stop_talking(floor: Floor) -> None:
    if floor.state in REPLYING:
        floor.end_reply()
    floor.do(Cancel(floor.generation))


def lose_client(floor: Floor, event: ev.Disconnected) -> State:
    """The client may come back to what is recorded. Until then no reply is asked for."""
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
