"""The transcriber is away for half a minute when a turn ends: the user waits, and loses nothing."""

from serve_app.conversation import effects as ef
from serve_app.conversation.settings import FRAME_SAMPLES
from serve_app.conversation.states import State
from serve_app.protocol.messages import ErrorNotice
from serve_app.settings.schema import SttSettings
from tests.conversation.talk import Talk

OUTAGE_S = 30.0


def asked(talk: Talk) -> Talk:
    """The user has asked something, and the turn is over."""
    talk.greet()
    talk.speech(640)
    talk.silence(480)
    assert talk.machine.state is State.TRANSCRIBING
    return talk


def test_a_transcript_that_comes_after_half_a_minute_is_answered(talk: Talk) -> None:
    asked(talk)
    talk.wait(OUTAGE_S)
    talk.transcript("What is this?")
    assert talk.chat()[-1] == ("user", "What is this?")
    assert not talk.sent(ErrorNotice)


def test_the_call_fails_before_the_conversation_gives_up(talk: Talk) -> None:
    """So that the error says what happened."""
    asked(talk)
    talk.wait(SttSettings().timeout_s)
    assert talk.machine.state is State.TRANSCRIBING and not talk.sent(ErrorNotice)
    talk.wait(2 * OUTAGE_S)
    assert talk.machine.state is State.WAITING and len(talk.sent(ErrorNotice)) == 1


def test_what_is_said_during_an_outage_joins_the_turn(talk: Talk) -> None:
    """With all of its audio: the first part is asked for again, together with the second."""
    asked(talk)
    first, turn = talk.last(ef.Transcribe), talk.machine.generation
    talk.wait(10.0)
    talk.speech(640)
    talk.silence(480)
    whole = talk.last(ef.Transcribe)
    assert ef.CancelSegment(turn, first.segment) in talk.effects
    assert whole.samples[0] == first.samples[0]
    assert len(whole.samples) >= len(first.samples) + 640 // 32 * FRAME_SAMPLES
    talk.wait(OUTAGE_S - 12.0)
    talk.transcript("What is this? Are you there?")
    assert talk.machine.generation == turn
    assert talk.chat()[-1] == ("user", "What is this? Are you there?")
    assert not talk.sent(ErrorNotice)
