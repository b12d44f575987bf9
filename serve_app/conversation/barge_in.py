"""Both want the floor: the user makes a sound, types or presses a button while the agent talks."""

from serve_app.conversation import events as ev
from serve_app.conversation.effects import Cancel, Disarm
from serve_app.conversation.floor import Floor
from serve_app.conversation.listening import take_text
from serve_app.conversation.piece import Piece
from serve_app.conversation.words import floor_words, words

# --- the user makes a sound ---


def voice_while_replying(floor: Floor, event: ev.VoiceActivity) -> None:
    floor.user.hear(event.probability)
    reply = floor.reply
    if not (reply.is_interruptible and floor.settings.interruptions):
        floor.user.forget()
    elif reply.is_started:
        _weigh_overlap(floor)
    elif floor.user.is_speaking:
        _withdraw_reply(floor)
    else:
        floor.user.forget()


def _withdraw_reply(floor: Floor) -> None:
    """The user goes on before the agent was heard: the next words join the last ones."""
    floor.do(Cancel(floor.generation))
    floor.agent.end()
    floor.user.went_on()
    floor.owes_reply = floor.history.awaits_reply
    floor.listen()


def _weigh_overlap(floor: Floor) -> None:
    """Holds the output at the first voiced frame, then finds out what the user wants."""
    user = floor.user
    if user.turn is None and not user.is_voiced:
        user.forget()
        return
    turn = user.turn or user.open(floor.generation)
    user.follow(turn)
    if user.is_voiced:
        _hold(floor)
        if _is_long(floor, user.speech_ms):
            _interrupt(floor)
    elif user.is_silent and turn.speech_ms < floor.settings.min_speech_ms:
        _dismiss_overlap(floor)


def _is_long(floor: Floor, speech_ms: int) -> bool:
    settings = floor.settings
    return settings.interrupt_words == 1 and speech_ms >= settings.interrupt_speech_ms


def _hold(floor: Floor) -> None:
    if not floor.reply.is_held:
        floor.agent.hold()
        floor.arm(ev.Timer.HOLD, floor.settings.hold_ms / 1000)


# --- what it was ---


def overlap_transcribed(floor: Floor, event: ev.Transcribed) -> None:
    turn = floor.user.turn
    if turn is None or not turn.settle(event.segment, event.text):
        return
    asked_for = floor_words(turn.text, floor.settings.backchannels)
    if len(asked_for) >= floor.settings.interrupt_words:
        _interrupt(floor)
    elif not (words(turn.text) and floor.agent.is_ending(floor.now_s)):
        # A "yes" to the agent's last words is an answer, and becomes a turn with them.
        _dismiss_overlap(floor)


def overlap_failed(floor: Floor, event: ev.TranscriptionFailed) -> None:
    if floor.user.turn is not None:
        floor.settle_failure(event)
        _dismiss_overlap(floor)


def hold_is_over(floor: Floor, event: ev.Expired) -> None:
    if floor.user.is_speaking and not floor.user.is_silent:
        _interrupt(floor)
    else:
        # Should the words still come, they still count.
        floor.agent.resume(floor.generation, floor.now_s)


def _dismiss_overlap(floor: Floor) -> None:
    """It was nothing, or nothing that asks for the floor."""
    floor.do(Disarm(ev.Timer.HOLD))
    floor.user.close()
    floor.agent.resume(floor.generation, floor.now_s)


# --- the agent is stopped ---


def _interrupt(floor: Floor) -> None:
    floor.cut_off = _stop_reply(floor)
    floor.listen_on()


def interrupt_on_request(floor: Floor, event: ev.InterruptRequested) -> None:
    _stop_reply(floor)
    floor.wait()


def type_over(floor: Floor, event: ev.TextReceived) -> None:
    _stop_reply(floor)
    floor.user.close()
    take_text(floor, event)


def _stop_reply(floor: Floor) -> list[Piece]:
    """The client first, then the work. Returns what was not heard."""
    floor.agent.interrupt()
    floor.do(Cancel(floor.generation))
    floor.do(Disarm(ev.Timer.HOLD))
    return floor.end_reply()
