"""Replies that are written and not spoken."""

import pytest

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.piece import Piece
from serve_app.conversation.sound import Sound
from serve_app.conversation.states import State
from serve_app.protocol.messages import AgentAudio, Caption, Interrupt, Transcript
from tests.conversation.talk import Talk


@pytest.fixture
def talk() -> Talk:
    talk = Talk()
    talk.open(greeting="", sound=Sound(is_text=True))
    talk.ask()
    return talk


def writes(talk: Talk, *texts: str) -> None:
    talk.do(ev.ReplyBegan(*talk.reply))
    for text in texts:
        talk.do(ev.ReplyAudio(*talk.reply, Piece(b"", text, 0.0)))


def test_what_is_written_is_sent_at_once_and_is_the_history_when_it_has_ended(talk: Talk) -> None:
    assert talk.last(ef.Reply).sound.is_text
    writes(talk, "A c", "up, *I* think.")
    assert [caption.text for caption in talk.sent(Caption)] == ["A c", "up, *I* think."]
    assert not talk.sent(AgentAudio)
    talk.reply_ends()
    assert talk.machine.state is State.WAITING, "nothing has to be played"
    assert talk.sent(Transcript)[-1].text == "A cup, *I* think."
    assert talk.last(ef.Record).history[-1].content == "A cup, *I* think."


def test_who_speaks_interrupts_and_what_was_written_was_read(talk: Talk) -> None:
    writes(talk, "A cup, ", "I think")
    talk.speech(320)
    assert talk.machine.state is State.LISTENING and len(talk.sent(Interrupt)) == 1
    assert talk.last(ef.Record).history[-1].content == "A cup, I think"
    talk.silence(480)
    talk.transcript("No, that.")
    assert talk.chat()[-2:] == [("assistant", "A cup, I think"), ("user", "No, that.")]


def test_after_a_noise_the_rest_is_written(talk: Talk) -> None:
    writes(talk, "A cup, ")
    talk.speech(320)
    talk.silence(480)
    talk.transcript("")
    assert talk.machine.state is State.PREPARING
    assert talk.chat()[-2][1] == "A cup," and talk.chat()[-1][0] == "user"
    writes(talk, "I think.")
    talk.reply_ends()
    assert talk.last(ef.Record).history[-1].content == "A cup, I think."


def test_who_goes_on_before_anything_is_written_joins_the_turn(talk: Talk) -> None:
    talk.ask("On the table?")
    assert talk.chat()[-1] == ("user", "What is this? On the table?")
    assert not talk.sent(Interrupt)


def test_a_typed_text_interrupts_as_ever(talk: Talk) -> None:
    writes(talk, "A cup, ")
    talk.do(ev.TextReceived("Stop."))
    assert talk.chat()[-2:] == [("assistant", "A cup,"), ("user", "Stop.")]
