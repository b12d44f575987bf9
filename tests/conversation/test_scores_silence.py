"""The agent falls silent before it is known what the user wants, and may go on, as scores in
virtual time: see test_scores.py."""

from dataclasses import replace

import pytest

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.states import State
from serve_app.protocol.messages import AgentAudio, Interrupt, Metrics, Token, Transcript
from tests.conversation.score import Models, Noise, Says, Score
from tests.conversation.scores import SETTINGS, STORY, story
from tests.conversation.talk import Talk

QUICK = replace(SETTINGS, silence_speech_ms=160)
YEAH = Says(5.0, 5.35, "Yeah.")


def told(score: Score) -> str:
    """All that the agent has said, by the transcripts."""
    return " ".join(text.removeprefix("agent: ") for text in score.talk if "agent: " in text)


def test_the_agent_is_silent_160_ms_after_the_first_voiced_frame() -> None:
    score = story(Says(5.0, 7.0, "No, I wanted another one."), settings=QUICK)
    ((at_s, _),) = score.sent(Interrupt)
    assert at_s - 5.0 <= 0.160 + 0.032 + 0.005
    assert score.talk[2] == "user: No, I wanted another one."
    assert score.client.stale == 0


@pytest.mark.parametrize("sound", [YEAH, Noise(5.0, 5.2), Noise(5.0, 5.35)])
def test_what_was_not_heard_is_said_again(sound: Says | Noise) -> None:
    score = story(sound, settings=QUICK, until_s=16)
    ((stopped_s, interrupt),) = score.sent(Interrupt)
    assert told(score) == STORY, "each word once"
    assert [line for line in score.talk if "user" in line] == ["user: Tell me a story."]
    assert len(score.asked(ef.Reply)) == 1, "the LLM is not asked again"
    later = {audio.token for at_s, audio in score.sent(AgentAudio) if at_s > stopped_s}
    assert later == {interrupt.token} and score.client.stale == 0
    assert len(score.sent(Metrics)) == 1
    assert score.machine.state is State.WAITING


@pytest.mark.parametrize("text", ["Yeah, yeah, okay, right.", "Hahaha.", "Mmmm."])
def test_a_long_backchannel_that_has_interrupted_is_taken_back(text: str) -> None:
    score = story(Says(5.0, 6.2, text), settings=QUICK, until_s=20)
    assert told(score) == STORY and len(score.sent(Interrupt)) == 1
    assert [line for line in score.talk if "user" in line] == ["user: Tell me a story."]


def test_a_long_yes_over_the_last_words_is_an_answer() -> None:
    ends_s = story(settings=QUICK).client.ends_at_s
    score = story(Says(ends_s - 0.8, ends_s + 0.2, "Yes, okay."), settings=QUICK, until_s=20)
    assert "user: Yes, okay." in score.talk


def test_the_agent_goes_on_as_soon_as_the_backchannel_is_known() -> None:
    score = story(YEAH, settings=QUICK, until_s=16)
    ((stopped_s, _),) = score.sent(Interrupt)
    assert score.first_audio_after(stopped_s) < YEAH.end_s + 0.4 - stopped_s


def test_what_is_written_while_the_agent_is_silent_is_said_too() -> None:
    slow = Models(seconds_per_second=0.9)
    score = story(YEAH, settings=QUICK, models=slow, until_s=16)
    assert told(score) == STORY and len(score.asked(ef.Reply)) == 1


def test_the_record_of_a_silenced_reply_has_what_was_not_heard() -> None:
    score = story(YEAH, settings=QUICK, is_resumable=True, until_s=5.3)
    record = score.last_record
    assert record.reply is not None
    heard = record.history[-1].content
    assert f"{heard} {record.reply.text}" == STORY
    rest = Score(record=record, settings=QUICK, is_resumable=True).play(16)
    assert f"{heard} {told(rest)}" == STORY


def test_a_reply_that_is_not_written_yet_goes_on_elsewhere() -> None:
    slow = Models(seconds_per_second=2.5)
    score = story(YEAH, settings=QUICK, models=slow, is_resumable=True, until_s=5.3)
    record = score.last_record
    assert record.reply is not None and not record.reply.is_written
    rest = Score(record=record, settings=QUICK, is_resumable=True).play(16)
    assert len(rest.asked(ef.Reply)) == 1


def test_an_agent_that_dies_while_it_is_silenced_is_replaced() -> None:
    talk = Talk(QUICK)
    talk.greet()
    talk.ask()
    talk.says("Once upon a time there was a server. " * 4, 8.0)
    talk.silence(1536)
    talk.speech(256)
    assert talk.sent(Interrupt), "the agent is silent"
    asked = len(talk.all(ef.Reply))
    talk.do(ev.ReplyFailed(*talk.reply, "agent", "its process is gone"))
    assert len(talk.all(ef.Reply)) == asked + 1


def test_a_client_that_says_it_has_nothing_to_play_does_not_end_a_silenced_reply() -> None:
    cues = [(5.25, ev.PlaybackWaiting())]
    score = story(YEAH, settings=QUICK, cues=cues, until_s=16)
    assert told(score) == STORY


def test_a_button_that_is_pressed_while_the_agent_is_silent_ends_its_reply() -> None:
    cues = [(5.25, ev.InterruptRequested())]
    score = story(YEAH, settings=QUICK, cues=cues, until_s=16)
    assert len(score.sent(Interrupt)) == 1
    assert STORY.startswith(score.talk[1].removeprefix("agent: "))
    assert score.talk[2] == "user: Yeah.", "what was said until then is a turn"


def test_the_last_second_of_a_reply_is_not_taken_back() -> None:
    ends_s = story(settings=QUICK).client.ends_at_s
    score = story(Says(ends_s - 0.6, ends_s - 0.3, "Yes."), settings=QUICK, until_s=16)
    assert not score.sent(Interrupt)
    assert score.talk[1:3] == [f"agent: {STORY}", "user: Yes."]


def test_clients_that_want_several_words_are_not_silenced_by_one() -> None:
    careful = replace(QUICK, interrupt_words=3)
    assert not story(Says(5.0, 5.4, "No."), settings=careful).sent(Interrupt)


def test_nor_are_they_after_the_agent_was_stopped_for_nothing() -> None:
    careful = replace(QUICK, interrupt_words=3)
    start_s = answer_starts_s() + 0.3
    sounds = [Noise(start_s, start_s + 0.3), Says(5.0, 5.8, "No.")]
    assert len(story(*sounds, settings=careful, until_s=16).sent(Interrupt)) == 1


# --- the user had not finished ---


def answer_starts_s() -> float:
    return 2.0 + story(settings=QUICK).first_audio_after(2.0)


@pytest.mark.parametrize("after_s", [0.1, 0.5, 0.9])
def test_a_user_who_goes_on_at_once_was_never_answered(after_s: float) -> None:
    onset_s = answer_starts_s() + after_s
    more = Says(onset_s, onset_s + 1.5, "About a little cat.")
    score = story(more, settings=QUICK, until_s=16)
    ((at_s, _),) = score.sent(Interrupt)
    assert at_s - onset_s <= 0.096 + 0.064 + 0.005
    assert score.talk == [
        "user: Tell me a story.",
        "user: About a little cat.",
        f"agent: {STORY}",
    ]
    asked = [e for _, e in score.effects if isinstance(e, ef.Reply)]
    assert [m.content for m in asked[-1].chat[1:]] == ["Tell me a story. About a little cat."]


@pytest.mark.parametrize("sound", [Noise(0.0, 0.3), Says(0.0, 0.3, "Yeah.")])
def test_a_sound_at_the_beginning_of_a_reply_has_it_said_from_its_beginning(
    sound: Says | Noise,
) -> None:
    start_s = answer_starts_s() + 0.3
    score = story(replace(sound, start_s=start_s, end_s=start_s + 0.3), settings=QUICK, until_s=16)
    assert len(score.sent(Interrupt)) == 1
    assert score.talk == ["user: Tell me a story.", f"agent: {STORY}"]
    assert len(score.asked(ef.Reply)) == 1


def test_a_long_noise_at_the_beginning_of_a_reply_has_it_said_from_its_beginning() -> None:
    start_s = answer_starts_s() + 0.3
    score = story(Noise(start_s, start_s + 1.5), settings=QUICK, until_s=20)
    assert score.talk == ["user: Tell me a story.", f"agent: {STORY}"]


def test_the_pause_of_a_user_who_goes_on_is_learned() -> None:
    """The same pause again does not end the turn."""
    hesitant = [Says(1.0, 2.0, "Tell me a..."), Says(3.7, 5.0, "story about a cat")]
    pause_s = hesitant[1].start_s - hesitant[0].end_s
    late = [Says(8 + s.start_s + pause_s, 8 + s.end_s + pause_s, s.text) for s in hesitant]
    score = Score([*hesitant, *late], QUICK, answer=lambda chat: "Sure.").play(25)
    assert len(score.sent(Interrupt)) <= 1
    assert score.machine.state is State.WAITING


def test_a_greeting_that_is_interrupted_at_once_was_begun() -> None:
    score = Score([Says(0.6, 2.0, "Hello, who is there?")], QUICK, greeting=STORY).play(12)
    assert score.talk[0].startswith("agent: ")


def test_a_typed_question_has_no_end_that_can_be_mistaken(talk: Talk) -> None:
    talk = Talk(QUICK)
    talk.greet()
    talk.do(ev.TextReceived("Tell me a story."))
    talk.says("Once upon a time there was a server. " * 4, 8.0)
    talk.silence(320)
    talk.speech(480)
    assert talk.sent(Transcript)[-1].role == "agent", "what was heard of it is said"
    assert len(talk.sent(Token)) == 2
