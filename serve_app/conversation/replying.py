"""The agent's turn: what comes of a reply is kept, sent as it is played, and mended if it fails."""

from serve_app.conversation import events as ev
from serve_app.conversation.floor import Floor

# --- of a reply, also one that is a draft ---


def reply_began(floor: Floor, event: ev.ReplyBegan) -> None:
    floor.reply.text_at_s = floor.reply.text_at_s or floor.now_s


def draft_audio(floor: Floor, event: ev.ReplyAudio) -> None:
    floor.reply.add(event.piece, floor.now_s)


def draft_ended(floor: Floor, event: ev.ReplyEnded) -> None:
    floor.reply.is_written = True


# --- of the reply that is being given ---


def reply_audio(floor: Floor, event: ev.ReplyAudio) -> None:
    draft_audio(floor, event)
    floor.output()


def reply_ended(floor: Floor, event: ev.ReplyEnded) -> None:
    draft_ended(floor, event)
    _go_on(floor)


def reply_failed(floor: Floor, event: ev.ReplyFailed) -> None:
    """An agent that died is followed by another one, once; other failures are apologised for."""
    reply = floor.reply
    if reply.is_written:
        return  # it has ended, and nobody is asked for what is not missing
    if event.stage == "agent" and floor.history.awaits_reply and not reply.is_second_try:
        reply.is_second_try = True
        _ask_for_the_rest(floor)
        return
    floor.tell_error(event.stage, event.message)
    apology = floor.settings.apology
    if apology and event.stage != "tts" and not reply.is_apology:
        floor.agent.apologise(floor.generation, reply, apology)
    else:
        reply.is_written = True
        _go_on(floor)


def declined_late(floor: Floor, event: ev.DraftDeclined) -> None:
    """The turn ended before that was known. What it said may have been heard."""
    if not floor.reply.is_written:
        _ask_for_the_rest(floor)


def _ask_for_the_rest(floor: Floor) -> None:
    """Has the rest of the reply written anew, after what there is of it."""
    chat = floor.history.chat
    if said := floor.reply.text:
        chat = floor.history.after_words(said, floor.settings.continuation)
    floor.agent.go_on(floor.generation, chat)


# --- playback ---


def output_is_due(floor: Floor, event: ev.Expired) -> None:
    floor.output()


def playback_waiting(floor: Floor, event: ev.PlaybackWaiting) -> None:
    """Echo's client says so at every underrun: it is the end only when nothing is to come."""
    floor.agent.ran_dry(floor.now_s)
    _go_on(floor)


def played(floor: Floor, event: ev.Played) -> None:
    if event.token == floor.agent.token and floor.reply.is_started:
        floor.reply.correct(event.played_ms / 1000, floor.now_s)
        _go_on(floor)


def playback_is_over(floor: Floor, event: ev.Expired) -> None:
    floor.finish_reply()


def _go_on(floor: Floor) -> None:
    floor.output()
    floor.finish_if_played()
