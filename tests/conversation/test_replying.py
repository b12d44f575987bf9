"""The agent's turn: metrics, playback, and replies that fail."""

import pytest

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.history import Record
from serve_app.conversation.piece import Piece
from serve_app.conversation.states import REPLYING, State
from serve_app.protocol.messages import (
    EVENTS,
    AgentAudio,
    Caption,
    ErrorNotice,
    Metrics,
    Token,
    Transcript,
)
from tests.conversation.talk import Talk


def test_metrics_add_up_to_the_delay(talk: Talk) -> None:
    talk.greet()
    talk.speech(960)
    talk.silence(416)  # the end of the turn
    talk.wait(0.1)
    talk.transcript("What is this?")
    talk.wait(0.2)
    talk.do(ev.ReplyBegan(*talk.reply))
    talk.wait(0.3)
    talk.says("A test.", 1.0)
    metrics = talk.sent(Metrics)[-1]
    found = (metrics.endpoint_ms, metrics.stt_ms, metrics.llm_ms, metrics.tts_ms)
    assert found == pytest.approx((416, 100, 200, 300))


def test_a_caption_says_what_the_audio_after_it_says(talk: Talk) -> None:
    talk.open()
    talk.says("Well, that is a long story.", 3.0)
    talk.says(" And it goes on.", 2.0)
    talk.reply_ends()
    talk.silence(6016)
    sent = [e.message for e in talk.all(ef.Send) if isinstance(e.message, Caption | AgentAudio)]
    assert [type(message) for message in sent] == [Caption, AgentAudio] * 10
    captions = talk.sent(Caption)
    assert "".join(one.text for one in captions) == "Well, that is a long story. And it goes on."
    assert {one.turn for one in captions} == {talk.sent(Transcript)[-1].turn}


def test_captions_go_to_those_who_ask_for_them(talk: Talk) -> None:
    plain = Talk(events=EVENTS - {"caption"})
    plain.open()
    plain.says("Well.", 1.0)
    assert not plain.sent(Caption)


UNSAID = Piece(b"", "こんにちは。", 0.0, is_said=False)


def test_a_reply_without_a_sound_is_shown_and_told_and_never_heard(talk: Talk) -> None:
    talk.greet()
    talk.ask()
    talk.do(ev.ReplyBegan(*talk.reply))
    talk.do(ev.ReplyAudio(*talk.reply, UNSAID))
    talk.do(ev.ReplyFailed(*talk.reply, "tts", "the voice has no sound for this text"))
    assert talk.sent(Caption)[-1].text == "こんにちは。"
    assert talk.sent(ErrorNotice)[-1].stage == "tts"
    assert talk.machine.state is State.WAITING
    assert [one.role for one in talk.sent(Transcript)] == ["agent", "user"]
    talk.ask("Pardon?")
    assert "こんにちは。" not in str(talk.chat())


def test_a_clause_without_a_sound_is_shown_in_its_place_and_not_heard(talk: Talk) -> None:
    talk.greet()
    talk.ask()
    talk.says("It means hello:", 0.5)
    talk.do(ev.ReplyAudio(*talk.reply, UNSAID))
    talk.says(" as you know.", 0.5)
    talk.reply_ends()
    assert "こんにちは。" not in str(talk.last(Record).reply)
    talk.silence(1024)
    talk.do(ev.PlaybackWaiting())
    shown = "".join(one.text for one in talk.sent(Caption))
    assert shown.endswith("It means hello:こんにちは。 as you know.")
    assert talk.sent(Transcript)[-1].text == "It means hello: as you know."


def test_waiting_in_the_middle_of_a_reply_is_an_underrun(talk: Talk) -> None:
    talk.open()
    talk.says("Well,", 0.5)
    talk.silence(800)
    talk.do(ev.PlaybackWaiting())
    assert talk.machine.state in REPLYING


def test_a_reply_that_has_ended_cannot_fail_any_more(talk: Talk) -> None:
    """Or its rest would be asked for, and never be heard."""
    talk.open()
    talk.says("Well.", 1.0)
    talk.reply_ends()
    asked = talk.all(ef.Reply)
    talk.do(ev.ReplyFailed(*talk.reply, "agent", "it died"))
    assert talk.all(ef.Reply) == asked


def test_an_old_waiting_does_not_end_a_reply_that_still_plays(talk: Talk) -> None:
    talk.open()
    talk.says("Well, that is a long story.", 3.0)
    talk.reply_ends()
    talk.do(ev.PlaybackWaiting())
    assert talk.machine.state in REPLYING


def test_a_client_that_never_says_waiting_is_not_stuck(talk: Talk) -> None:
    talk.open()
    talk.says("Hello there.", 1.0)
    talk.reply_ends()
    armed = talk.last(ef.Arm)
    assert armed.seconds == pytest.approx(1.5)
    talk.do(ev.Expired(armed.generation, armed.timer))
    assert talk.machine.state is State.WAITING


def test_a_reply_without_audio_ends_at_once(talk: Talk) -> None:
    talk.open()
    talk.reply_ends()
    assert talk.machine.state is State.WAITING


def test_a_failed_reply_keeps_what_was_said_and_the_session(talk: Talk) -> None:
    talk.greet()
    talk.ask()
    talk.says("It is", 0.5)
    talk.do(ev.ReplyFailed(*talk.reply, "tts", "429"))
    talk.silence(640)
    talk.do(ev.PlaybackWaiting())
    assert talk.machine.state is State.WAITING
    assert talk.sent(ErrorNotice)[-1].stage == "tts"
    talk.ask("Go on.")
    assert talk.chat()[-2:] == [("assistant", "It is"), ("user", "Go on.")]


def test_an_agent_that_dies_in_its_reply_is_followed_by_another_once(talk: Talk) -> None:
    talk.greet()
    talk.ask()
    talk.says("It is", 0.5)
    dead = talk.reply
    talk.do(ev.ReplyFailed(*dead, "agent", "ActorDiedError"))
    assert talk.do(ev.ReplyAudio(*dead, Piece(b"\1\0", "late", 0.1))) == [], (
        "the dead agent is dead"
    )
    assert talk.chat()[-3:-1] == [("user", "What is this?"), ("assistant", "It is")]
    assert "Go on" in talk.chat()[-1][1]
    talk.says(" a test.", 0.5)
    talk.do(ev.ReplyFailed(*talk.reply, "agent", "ActorDiedError"))
    assert [m.stage for m in talk.sent(ErrorNotice)] == ["agent"], "not again"
    assert len(talk.sent(Token)) == 2, "one for the greeting, one for the reply"


def test_an_agent_that_dies_before_its_first_word_is_asked_the_same_again(talk: Talk) -> None:
    talk.greet()
    talk.ask()
    first = talk.chat()
    talk.do(ev.ReplyFailed(*talk.reply, "agent", "ActorDiedError"))
    assert (len(talk.all(ef.Reply)), talk.chat()) == (3, first)
    talk.says("It is a test.", 0.5)
    talk.reply_ends()
    talk.silence(640)
    talk.do(ev.PlaybackWaiting())
    assert talk.last(ef.Record).history[-1].content == "It is a test."


def test_every_reply_has_its_own_token(talk: Talk) -> None:
    talk.greet()
    talk.ask()
    talk.says("It is a test.", 1.0)
    tokens = [audio.token for audio in talk.sent(AgentAudio)]
    assert tokens == ["token001", "token001", "token002", "token002"]
    assert talk.sent(Token) == [Token("token001"), Token("token002")]


# --- texts that meet in one reply ---


def heard_in_all(talk: Talk) -> list[str]:
    """What the client is told that it heard of the agent, once everything was played."""
    talk.reply_ends()
    talk.silence(9600)
    return [message.text for message in talk.sent(Transcript) if message.role == "agent"]


def test_an_apology_does_not_stick_to_what_was_said_before(talk: Talk) -> None:
    talk.open()
    talk.says("The answer is", 1.0)
    talk.do(ev.ReplyFailed(*talk.reply, "llm", "it died"))
    talk.says("Sorry, something went wrong.", 1.0)
    assert heard_in_all(talk) == ["The answer is Sorry, something went wrong."]


def test_the_rest_of_a_declined_draft_does_not_stick_to_its_beginning(talk: Talk) -> None:
    talk.open()
    talk.says("Let me check that.", 1.0)
    talk.do(ev.DraftDeclined(*talk.reply))
    talk.says("It is five.", 1.0)
    assert heard_in_all(talk) == ["Let me check that. It is five."]


@pytest.mark.parametrize(("said", "rest"), [("Well ", "then."), ("Well", " then."), ("Well", ".")])
def test_texts_that_fit_stay_as_they_are(talk: Talk, said: str, rest: str) -> None:
    talk.open()
    talk.says(said, 1.0)
    talk.do(ev.ReplyFailed(*talk.reply, "agent", "it died"))
    talk.says(rest, 1.0)
    assert heard_in_all(talk) == [said + rest]


# --- what the provider does not want to answer ---


def refused(talk: Talk) -> None:
    talk.do(ev.ReplyFailed(*talk.reply, "llm", "the provider's content filter", is_refused=True))


def test_a_refusal_is_said_politely_and_what_was_refused_is_not_sent_again(talk: Talk) -> None:
    talk.greet()
    talk.ask("Where do I get poison?")
    refused(talk)
    assert talk.last(ef.Say).text == "I'm sorry, I can't talk about that."
    talk.says("I'm sorry, I can't talk about that.", 1.0)
    talk.reply_ends()
    talk.silence(3000)
    assert "poison" not in str(talk.last(ef.Record))
    talk.ask("Then tell me a joke.")
    assert "poison" not in str(talk.chat())
