"""The agent's turn: a reply is collected, sent as it is played, and mended if it fails."""

from serve_app.conversation import events as ev
from serve_app.conversation.floor import Floor
from serve_app.conversation.states import State

# --- a reply that is being made, a draft or not ---


def reply_began(floor: Floor, event: ev.ReplyBegan) -> None:
    floor.reply.text_at_s = floor.reply.text_at_s or floor.now_s


def collect(floor: Floor, event: ev.ReplyAudio) -> None:
    floor.reply.add(event.piece, floor.now_s)


def draft_ended(floor: Floor, event: ev.ReplyEnded) -> None:
    floor.reply.is_written = True


# --- a reply that is being given ---


def reply_audio(floor: Floor, event: ev.ReplyAudio) -> State:
    collect(floor, event)
    return _output(floor)


def reply_ended(floor: Floor, event: ev.ReplyEnded) -> State:
    floor.reply.is_written = True
    return _go_on(floor)


def reply_failed(floor: Floor, event: ev.ReplyFailed) -> State:
    """When the agent's replica died, another one writes the rest, once. The user is told of any
    other failure."""
    reply = floor.reply
    if reply.is_written:
        return floor.state  # it has ended: nothing is missing
    if reply.call_id:  # what it has asked for must not be asked for again
        floor.tell_error(event.stage, event.message)
        reply.is_written = True
        return _go_on(floor)
    is_owed = floor.history.awaits_reply or reply.is_taken_back
    if event.stage == "agent" and is_owed and not reply.is_second_try:
        reply.is_second_try = True
        floor.ask_for_the_rest()
        return floor.state
    floor.tell_error(event.stage, event.message)
    apology = floor.settings.apology
    if event.is_refused:
        apology = floor.settings.refusal
        floor.history.withdraw()
    if apology and event.stage != "tts" and not reply.is_apology:
        floor.agent.apologise(floor.generation, reply, apology)
        return floor.state
    reply.is_written = True
    return _go_on(floor)


def declined_late(floor: Floor, event: ev.DraftDeclined) -> None:
    """The turn ended before the draft was declined. What it said may have been heard."""
    if not floor.reply.is_written:
        floor.ask_for_the_rest()


# --- playback ---


def output_is_due(floor: Floor, event: ev.Expired) -> State:
    return floor.output()


def playback_waiting(floor: Floor, event: ev.PlaybackWaiting) -> State:
    """Echo's client says so whenever its queue is empty. That is the end of the reply only when
    nothing is to come."""
    floor.agent.ran_dry(floor.now_s)
    return _go_on(floor)


def played(floor: Floor, event: ev.Played) -> State:
    if event.token != floor.agent.token:
        return floor.state
    floor.reply.correct(event.played_ms / 1000, floor.now_s)
    return _go_on(floor)


def backlog(floor: Floor, event: ev.Backlog) -> State:
    """What waits to be written is not heard. Playback is counted from when it is written."""
    floor.reply.wait_for(event.messages, floor.now_s)
    return _output(floor)


def playback_is_over(floor: Floor, event: ev.Expired) -> State:
    """Unless the client has not been sent all of it yet: then more is bound to come."""
    return floor.state if floor.reply.is_behind else floor.finish_reply()


def _go_on(floor: Floor) -> State:
    return floor.finish_if_played(_output(floor))


def _output(floor: Floor) -> State:
    return floor.keep_back() if floor.state is State.HELD else floor.output()
