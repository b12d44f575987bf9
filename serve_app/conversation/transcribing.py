"""The end of the user's turn: it is over, its text may not be there, and then it is answered."""

from serve_app.conversation import events as ev
from serve_app.conversation.effects import Cancel, Disarm
from serve_app.conversation.floor import Floor
from serve_app.conversation.metrics import TurnTimes
from serve_app.conversation.states import State
from serve_app.conversation.words import same_words

_TRANSCRIPT_S = 30.0
"""Above the deadline of the call itself, which should have failed by then."""


def end_turn(floor: Floor) -> None:
    """The turn is over, and is answered as soon as its text is there."""
    floor.times = TurnTimes(floor.now_s, floor.user.silence_ms, floor.now_s)
    floor.state = State.TRANSCRIBING
    floor.do(Disarm(ev.Timer.STALL))
    if not floor.turn.is_complete:
        floor.arm(ev.Timer.TRANSCRIPT, _TRANSCRIPT_S)
    _answer_when_transcribed(floor)


def voice_while_transcribing(floor: Floor, event: ev.VoiceActivity) -> None:
    """Speech that goes on joins the turn."""
    floor.user.hear(event.probability)
    if floor.user.is_speaking:
        floor.do(Disarm(ev.Timer.TRANSCRIPT))
        floor.user.reopen(floor.turn)
        floor.agent.drop(floor.generation)
        floor.take_floor()


def transcribed(floor: Floor, event: ev.Transcribed) -> None:
    floor.turn.settle(event.segment, event.text)
    _answer_when_transcribed(floor)


def transcription_failed(floor: Floor, event: ev.TranscriptionFailed) -> None:
    floor.settle_failure(event)
    _answer_when_transcribed(floor)


def transcript_is_late(floor: Floor, event: ev.Expired) -> None:
    floor.tell_error("stt", "no transcript in time")
    floor.do(Cancel(floor.generation))
    floor.agent.reply = None
    floor.turn.give_up()
    _answer_when_transcribed(floor)


def _answer_when_transcribed(floor: Floor) -> None:
    turn = floor.turn
    if not turn.is_complete:
        return
    floor.do(Disarm(ev.Timer.TRANSCRIPT))
    floor.times = floor.times.transcribed(floor.now_s)
    floor.user.close()
    if turn.text:
        floor.commit_turn(turn.text)
        _answer(floor, turn.text)
    else:
        _answer_nothing(floor)


def _answer(floor: Floor, text: str) -> None:
    draft = floor.agent.reply
    if floor.is_detached:
        floor.leave()
    elif draft is not None and same_words(draft.answers, text):
        floor.give_reply()
    else:
        floor.ask()


def _answer_nothing(floor: Floor) -> None:
    """Noise, or words that nobody understood: whoever was cut off by it goes on."""
    floor.agent.drop(floor.generation)
    rest, floor.cut_off = floor.cut_off, []
    if floor.is_detached:
        floor.leave()
    elif rest:
        floor.agent.repeat(rest, floor.now_s)
        floor.give_reply()
    elif floor.owes_reply:
        floor.ask()
    else:
        floor.wait()
