"""The end of the user's turn: it is over, its text may still be missing; then it is answered."""

from serve_app.conversation import events as ev
from serve_app.conversation.delivery import TURN_END_S
from serve_app.conversation.effects import Cancel, Disarm
from serve_app.conversation.floor import Floor
from serve_app.conversation.metrics import TurnTimes
from serve_app.conversation.states import Mode, State
from serve_app.conversation.turn import Interrupted, Turn, Withdrew
from serve_app.conversation.words import floor_words, same_words

_TRANSCRIPT_S = 45.0
"""Longer than the deadline of the call itself, which should have failed by then."""


def end_turn(floor: Floor) -> State:
    """The turn is over, and is answered as soon as its text is here."""
    silence_ms = floor.user.silence_ms if floor.settings.detects_turns else 0.0
    floor.times = TurnTimes(floor.now_s, silence_ms, floor.now_s)
    floor.do(Disarm(ev.Timer.STALL))
    if not floor.turn.is_transcribed:
        floor.arm(ev.Timer.TRANSCRIPT, _TRANSCRIPT_S)
    return _answer_when_transcribed(floor)


def voice_while_transcribing(floor: Floor, event: ev.VoiceActivity) -> State:
    """Speech that goes on joins the turn."""
    floor.user.follow_voice(event.probability)
    if not floor.user.is_speaking or not floor.settings.detects_turns:
        return State.TRANSCRIBING
    floor.do(Disarm(ev.Timer.TRANSCRIPT))
    floor.user.reopen(floor.turn)
    floor.agent.drop(floor.generation)
    return floor.take_floor()


def transcribed(floor: Floor, event: ev.Transcribed) -> State:
    floor.take_transcript(event)
    return _answer_when_transcribed(floor)


def transcription_failed(floor: Floor, event: ev.TranscriptionFailed) -> State:
    floor.take_failure(event)
    return _leave_to_client(floor) or _answer_when_transcribed(floor)


def transcript_is_late(floor: Floor, event: ev.Expired) -> State:
    floor.tell_error("stt", "no transcript in time")
    if left := _leave_to_client(floor):
        return left
    floor.do(Cancel(floor.generation))
    floor.agent.reply = None
    floor.turn.give_up()
    return _answer_when_transcribed(floor)


def _leave_to_client(floor: Floor) -> State | None:
    """Nobody is there to be told that words are missing. The turn is not recorded, so a client that
    comes back sends all of it again."""
    if floor.mode is not Mode.DETACHED or floor.turn.has_irreplaceable_text:
        return None
    return floor.leave()


def _answer_when_transcribed(floor: Floor) -> State:
    turn = floor.turn
    if not turn.is_transcribed:
        return State.TRANSCRIBING
    floor.do(Disarm(ev.Timer.TRANSCRIPT))
    floor.times = floor.times.transcribed(floor.now_s)
    floor.user.close()
    is_own_voice = floor.is_own_voice(turn)
    if turn.is_over_agent and turn.text:
        floor.own_voice.note(is_own_voice)
    if turn.text and not is_own_voice and not _is_backchannel(floor, turn):
        floor.commit_turn(turn.text, turn.language)
        return _answer(floor, turn.text)
    return _answer_nothing(floor, turn.displaced)


def _is_backchannel(floor: Floor, turn: Turn) -> bool:
    """What interrupted the agent turns out to ask for nothing. Over its last words it is an answer
    to them."""
    over = turn.displaced
    if not isinstance(over, Interrupted) or not over.leaves(TURN_END_S):
        return False
    return not floor_words(turn.text, floor.settings.backchannels)


def _answer(floor: Floor, text: str) -> State:
    draft = floor.agent.reply
    if floor.mode is Mode.DETACHED:
        return floor.leave()
    if not (floor.settings.answers_turns or floor.is_asked):
        floor.agent.drop(floor.generation)
        return floor.wait()
    if draft is not None and same_words(draft.answers, text):
        return floor.give_reply()
    return floor.ask()


def _answer_nothing(floor: Floor, displaced: Interrupted | Withdrew | None) -> State:
    """It was noise, or nobody understood it: the agent goes on as if nothing had been said."""
    floor.agent.drop(floor.generation)
    if floor.mode is Mode.DETACHED:
        return floor.leave()
    match displaced:
        case Interrupted(unheard, _, is_all, call_id) if unheard or not is_all:
            floor.agent.repeat(unheard, is_all, floor.now_s, call_id)
            if not is_all:
                floor.ask_for_the_rest()
            return floor.give_reply()
        case Withdrew():
            return floor.ask()
        case _:
            return floor.wait()
