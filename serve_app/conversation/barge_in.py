"""Barge-in: the user makes a sound, types or presses a button while the agent has the floor.

preparing ── speech ──▶ the reply is withdrawn
speaking ── first voiced frame ──▶ held ── a word, or long speech ──▶ the reply is interrupted
                                    └── noise, "yeah", or time ──▶ speaking

While the reply is held, some speech silences the agent: the client drops what it has not played,
which is said again when the reply goes on. Within the first second of a reply the user is taken to
go on with the turn: the agent is silent at once, and a reply that is interrupted then was never
said.
"""

from typing import Final

from serve_app.conversation import events as ev
from serve_app.conversation.effects import Cancel, Disarm
from serve_app.conversation.floor import Floor
from serve_app.conversation.listening import answer_text, takes
from serve_app.conversation.playout import Playout
from serve_app.conversation.states import State
from serve_app.conversation.turn import Interrupted, Withdrew
from serve_app.conversation.words import floor_words, words

_STILL_TALKING_S: Final = 1.0
"""A user who speaks so soon after the agent has begun had not finished."""

# --- the user makes a sound ---


def voice_while_preparing(floor: Floor, event: ev.VoiceActivity) -> State:
    """The user goes on before the agent is heard: the next words join the last ones."""
    floor.user.follow_voice(event.probability)
    if _may_interrupt(floor) and floor.user.is_speaking:
        is_read = floor.agent.only_writes and floor.reply.heard(floor.now_s)
        return _interrupt_text(floor) if is_read else _withdraw_reply(floor)
    floor.user.forget()
    return State.PREPARING


def _withdraw_reply(floor: Floor) -> State:
    floor.do(Cancel(floor.generation))
    floor.agent.end()
    floor.user.went_on()
    state = floor.listen()
    floor.turn.displaced = Withdrew() if floor.history.awaits_reply else None
    return state


def _interrupt_text(floor: Floor) -> State:
    """What is written of the reply was read."""
    floor.user.open(floor.generation)
    return _interrupt(floor)


def voice_while_speaking(floor: Floor, event: ev.VoiceActivity) -> State:
    """Holds the output at the first voiced frame, then finds out what the user wants."""
    user = floor.user
    user.follow_voice(event.probability)
    if not _may_interrupt(floor) or (user.turn is None and not user.is_voiced):
        user.forget()
        return State.SPEAKING
    if user.turn is None:
        user.open(floor.generation).is_over_agent = True
    user.follow_overlap(floor.turn)
    if user.is_voiced and not floor.own_voice.is_certain:
        floor.agent.hold()
        floor.arm(ev.Timer.HOLD, floor.settings.hold_ms / 1000)
        return _interrupt_if_long(floor)
    if _was_only_a_click(floor):
        _dismiss_overlap(floor)
    return State.SPEAKING


def voice_while_held(floor: Floor, event: ev.VoiceActivity) -> State:
    floor.user.follow_voice(event.probability)
    floor.user.follow_overlap(floor.turn)
    if floor.user.is_voiced:
        return _interrupt_if_long(floor)
    return _resume(floor) if _was_only_a_click(floor) else State.HELD


def _may_interrupt(floor: Floor) -> bool:
    settings = floor.settings
    return floor.reply.is_interruptible and settings.interruptions and settings.detects_turns


def _interrupt_if_long(floor: Floor) -> State:
    settings, speech_ms = floor.settings, floor.user.speech_ms
    patience = 2 if floor.reply.is_stopped_easily else 1
    is_long = speech_ms >= patience * settings.interrupt_speech_ms
    if is_long and settings.interrupt_words == 1:
        return _interrupt(floor)
    if not floor.agent.is_silenced and speech_ms >= _silent_after_ms(floor):
        floor.silence(all_of_it=_goes_on(floor))
    return State.HELD


def _silent_after_ms(floor: Floor) -> float:
    settings, is_stopped_easily = floor.settings, floor.reply.is_stopped_easily
    if _goes_on(floor) and not is_stopped_easily:
        return settings.min_speech_ms
    is_in_vain = floor.agent.is_ending(floor.now_s)  # it is about to be silent anyway
    if is_in_vain or settings.interrupt_words > 1:
        return float("inf")
    return settings.interrupt_speech_ms if is_stopped_easily else settings.silence_speech_ms


def _goes_on(floor: Floor) -> bool:
    """Whether the user may never have finished: the agent had hardly begun its answer."""
    speech_s = floor.user.speech_ms / 1000
    is_soon = floor.reply.audible_s(floor.now_s) - speech_s <= _STILL_TALKING_S
    return is_soon and floor.times.is_spoken and floor.history.awaits_reply


def _was_only_a_click(floor: Floor) -> bool:
    return floor.user.is_silent and floor.turn.speech_ms < floor.settings.min_speech_ms


# --- what it was ---


def overlap_transcribed(floor: Floor, event: ev.Transcribed) -> State:
    if floor.user.turn is None or not floor.take_transcript(event):
        return floor.state
    return _weigh(floor)


def overlap_failed(floor: Floor, event: ev.TranscriptionFailed) -> State:
    if floor.user.turn is None:
        return floor.state
    floor.take_failure(event)
    return _weigh(floor)


def _weigh(floor: Floor) -> State:
    """What is known of the overlap asks for the floor, or does not. A long one has several
    segments: as long as one of them is not transcribed, or still spoken, it may turn out to ask."""
    turn = floor.turn
    is_known = turn.is_soft_ended and turn.is_transcribed
    is_own_voice = floor.is_own_voice(turn)
    if is_known and words(turn.text):
        floor.own_voice.note(is_own_voice)
    if is_own_voice:
        return _resume(floor) if is_known else floor.state
    asked_for = floor_words(turn.text, floor.settings.backchannels)
    if len(asked_for) >= floor.settings.interrupt_words:
        return _interrupt(floor)
    is_answer = floor.agent.is_ending(floor.now_s) and not floor.reply.is_withdrawn
    if words(turn.text) and is_answer:
        # A "yes" to the agent's last words: a turn after them, or in their place.
        return _interrupt(floor) if floor.agent.is_silenced else floor.state
    return _resume(floor) if is_known else floor.state


def hold_is_over(floor: Floor, event: ev.Expired) -> State:
    if floor.user.is_speaking and not floor.user.is_silent:
        return _interrupt(floor)
    # The turn stays open: words that are transcribed later still count.
    return floor.send_on()


def _resume(floor: Floor) -> State:
    """Goes on with the same audio: under the same token, if the client has not been stopped."""
    floor.reply.is_stopped_easily |= floor.agent.is_silenced
    _dismiss_overlap(floor)
    return floor.send_on() if floor.state is State.HELD else State.SPEAKING


def _dismiss_overlap(floor: Floor) -> None:
    """It was nothing, or nothing that asks for the floor."""
    floor.do(Disarm(ev.Timer.HOLD))
    floor.user.close()


# --- the agent is stopped ---


def _interrupt(floor: Floor) -> State:
    if floor.reply.is_withdrawn:
        floor.user.went_on()
    said, reply = floor.said_lately, stop_reply(floor)
    unheard = tuple(reply.unheard(floor.now_s))
    is_all = reply.is_written or reply.is_scripted or bool(reply.call_id)
    floor.turn.displaced = Interrupted(unheard, said, is_all, reply.call_id)
    return floor.listen_on()


def interrupt_on_request(floor: Floor, event: ev.InterruptRequested) -> State:
    """What was said until then is a turn."""
    floor.is_asked = False
    return floor.pass_on(stop_reply(floor))


def type_over(floor: Floor, event: ev.TextReceived) -> State:
    """What was said over the agent and what is typed are one turn."""
    if not takes(floor, event):
        return floor.state
    stop_reply(floor)
    if floor.user.has_spoken:
        floor.listen_on()
        floor.turn.add_text(event.text, is_numbered=bool(event.id))
        return State.LISTENING
    floor.user.close()
    return answer_text(floor, event)


def stop_reply(floor: Floor) -> Playout:
    """Stops the client first, then the work."""
    floor.agent.interrupt()
    floor.do(Cancel(floor.generation))
    floor.do(Disarm(ev.Timer.HOLD))
    return floor.end_reply()
