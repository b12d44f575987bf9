"""How a conversation begins and ends: opened or resumed, closed, lost, drained, left alone."""

from serve_app.conversation import events as ev
from serve_app.conversation.effects import Cancel, Disarm
from serve_app.conversation.floor import Floor
from serve_app.conversation.history import Record
from serve_app.conversation.metrics import TurnTimes
from serve_app.conversation.settings import with_client_settings
from serve_app.conversation.states import State
from serve_app.conversation.transcribing import end_turn
from serve_app.protocol.messages import GoAway

CLOSED = 1000
BAD_OPTION = 4400
NOT_OPENED = 4408
IDLE = 4410

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
    if event.record:
        _resume(floor, event.record)
    else:
        _greet(floor, event.prompt, event.greeting)


def _resume(floor: Floor, record: Record) -> None:
    """Goes on where the conversation was: a turn whose answer nobody heard is answered now."""
    floor.generation = record.generation + 1
    floor.agent.tokens_issued = record.tokens_issued
    floor.history.resume(record.history)
    _speak_or_wait(floor)


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
        floor.end_reply()
    if floor.state is State.LISTENING:
        floor.user.cut_off(floor.turn)
        end_turn(floor)
    elif floor.state is not State.TRANSCRIBING:
        floor.leave()


def drain(floor: Floor, event: ev.Draining) -> None:
    """The turn that is going on is finished; then the client is to connect elsewhere."""
    floor.notify(GoAway(round(event.time_left_s * 1000)), "goaway")
    floor.is_draining = True
    if floor.state in (State.CLOSED, State.WAITING):
        floor.stop()
