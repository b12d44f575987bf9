"""The user makes a sound while the agent talks, or before it does."""

import numpy as np
import pytest

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.piece import Piece
from serve_app.conversation.states import REPLYING, State
from serve_app.protocol.messages import AgentAudio, Interrupt, Token, Transcript
from tests.conversation.talk import Talk


def test_barge_in_interrupts_and_goes_on_under_the_new_token(talk: Talk) -> None:
    talk.greet()
    talk.ask()
    talk.says("It is a rather long story that begins here.", 4.0)
    dead = talk.machine.generation
    talk.silence(960)
    talk.speech(480)
    assert talk.sent(Interrupt) == [Interrupt("token003")]
    assert ef.Cancel(dead) in talk.effects
    talk.silence(480)
    talk.transcript("Stop.")
    talk.says("All right.", 0.5)
    assert talk.sent(AgentAudio)[-1].token == "token003"
    assert len(talk.sent(Token)) == 2, "the interrupt announced the token already"


def test_the_client_hears_of_the_interrupt_before_anything_else(talk: Talk) -> None:
    talk.greet()
    talk.ask()
    talk.says("It is a rather long story.", 4.0)
    talk.silence(1056)
    talk.speech(384)
    talk.do(ev.AudioReceived(np.zeros(512, dtype=np.float32)))
    first, *_ = talk.do(ev.VoiceActivity(0.9))
    assert isinstance(first, ef.Send) and isinstance(first.message, Interrupt)


def test_a_dead_reply_cannot_emit(talk: Talk) -> None:
    talk.open()
    talk.says("Hello, I am", 2.0)
    dead = talk.reply
    talk.speech(480)
    assert talk.sent(Interrupt)
    assert talk.do(ev.ReplyAudio(*dead, Piece(b"\1\0", "late", 0.1))) == []
    assert talk.do(ev.ReplyEnded(*dead)) == []
    assert talk.do(ev.ReplyFailed(*dead, "tts", "late")) == []


def test_a_cough_does_not_interrupt(talk: Talk) -> None:
    talk.open()
    talk.says("Hello, I am your assistant.", 2.0)
    talk.speech(160)
    talk.silence(320)
    assert talk.machine.state in REPLYING
    assert not talk.sent(Interrupt)


def test_history_holds_what_was_heard(talk: Talk) -> None:
    talk.greet()
    talk.ask("Tell me.")
    talk.says("One two three four five six seven eight.", 4.0)
    talk.silence(1568)
    talk.speech(416)  # 1.984 s of 4 s were played: 20 of 41 characters
    assert talk.sent(Transcript)[-1] == Transcript(2, "agent", "One two three four")
    talk.silence(480)
    talk.transcript("Enough.")
    assert talk.chat()[-2:] == [("assistant", "One two three four"), ("user", "Enough.")]


def test_going_on_before_the_agent_is_heard_joins_the_last_message(talk: Talk) -> None:
    talk.greet()
    talk.ask("I would like")
    withdrawn = talk.machine.generation
    talk.speech(960)
    assert ef.Cancel(withdrawn) in talk.effects
    assert not talk.sent(Interrupt), "nothing of the reply was sent"
    talk.silence(480)
    talk.transcript("a cup of tea.")
    assert talk.chat()[-1] == ("user", "I would like a cup of tea.")


def test_noise_while_the_agent_thinks_does_not_leave_it_mute(talk: Talk) -> None:
    talk.greet()
    talk.ask("What is this?")
    talk.speech(128)
    talk.silence(480)
    talk.transcript("")
    assert talk.machine.state in REPLYING
    assert talk.chat()[-1] == ("user", "What is this?")


def test_what_is_said_over_the_agent_is_transcribed_at_once(talk: Talk) -> None:
    """The output is held until the text is here. It was ranked as a guess that nobody waits for."""
    talk.greet()
    talk.ask()
    talk.says("It is a rather long story.", 4.0)
    guess = talk.last(ef.Transcribe)
    talk.speech(256)
    talk.silence(192)
    overlap = talk.last(ef.Transcribe)
    assert talk.machine.state is State.HELD
    assert guess.due_ms > 0 and overlap is not guess
    assert overlap.due_ms == 0


@pytest.mark.parametrize("ends_the_hold", ["backchannel", "click", "time"])
def test_a_reply_that_ends_silently_while_it_is_held_is_over_afterwards(
    talk: Talk, ends_the_hold: str
) -> None:
    """Its last piece, which has no sound, came in the hold, and playback ran out meanwhile: the
    conversation stayed `replying`, with no timer armed and no work under way."""
    talk.greet()
    talk.ask()
    talk.says("It is a", 0.5)
    talk.silence(96)
    talk.speech(64 if ends_the_hold == "click" else 256)
    talk.do(ev.ReplyAudio(*talk.reply, Piece(b"", " ...", 0.0)))
    talk.reply_ends()
    talk.wait(0.5)  # playback runs out
    talk.silence(2000 if ends_the_hold == "time" else 480)
    if ends_the_hold == "time":
        assert talk.machine.state is State.TRANSCRIBING, "what was said has the floor"
        talk.transcript("")
    if ends_the_hold == "backchannel":
        talk.transcript("Yeah.")
        talk.wait(1.0)  # it had hardly begun, and is said from its beginning
    assert talk.machine.state is State.WAITING
