"""Both want the floor, as scores in virtual time: see test_scores.py."""

from dataclasses import replace

import pytest

from serve_app.conversation import effects as ef
from serve_app.conversation.history import ChatMessage
from serve_app.conversation.states import State
from serve_app.protocol.messages import AgentAudio, Duck, Interrupt
from tests.conversation.score import Models, Noise, Says, Score
from tests.conversation.scores import SETTINGS, STORY, story

# --- barge-in ---


def test_output_is_held_within_a_frame() -> None:
    score = story(Says(4.0, 6.0, "No, I wanted another one."))
    interrupted_s = score.sent(Interrupt)[0][0]
    assert score.audio_between(4.0 + 0.032 + 0.005 + 0.032, interrupted_s) == 0


@pytest.mark.parametrize("sound", [Says(4.0, 4.3, "Uh-huh."), Noise(4.0, 4.05)])
def test_the_voice_is_lowered_at_once_and_raised_again(sound: Says | Noise) -> None:
    (down_s, down), (up_s, up) = story(sound).sent(Duck)
    assert (down.on, up.on) == (True, False)
    assert down_s - 4.0 <= 0.1 and 4.1 <= up_s <= 5.0


def test_the_voice_is_as_loud_as_before_after_an_interrupt() -> None:
    score = story(Says(4.0, 6.0, "No, I wanted another one."))
    assert [duck.on for _, duck in score.sent(Duck)] == [True, False]
    assert score.audio_between(4.1, score.sent(Duck)[1][0]) == 0


def test_the_voice_is_not_lowered_while_nothing_is_heard_of_it() -> None:
    assert not story(Says(2.2, 2.25, "Hm.")).sent(Duck)


def test_a_long_interruption_stops_the_agent_and_becomes_a_turn() -> None:
    score = story(Says(4.0, 6.0, "No, I wanted another one."))
    ((at_s, _),) = score.sent(Interrupt)
    assert at_s - 4.0 <= 0.416 + 0.064
    assert score.talk[2] == "user: No, I wanted another one."
    assert score.client.stale == 0


def test_history_is_what_was_heard() -> None:
    """pipecat#2791, #5605; livekit#2607: one or two words too many."""
    score = story(Says(4.0, 6.0, "No, I wanted another one."))
    heard = score.talk[1].removeprefix("agent: ")
    ((at_s, _),) = score.sent(Interrupt)
    played = int((at_s - 2.0 - score.first_audio_after(2.0)) * 20)
    assert STORY.startswith(heard) and 0 <= played - len(heard) < 10


@pytest.mark.parametrize("sound", [Says(4.0, 4.3, "Uh-huh."), Says(4.0, 4.38, "Yeah, right.")])
def test_a_backchannel_does_not_interrupt(sound: Says) -> None:
    """pipecat#1391, #2788; livekit#3427: the same audio goes on, under the same token."""
    score = story(sound)
    assert not score.sent(Interrupt)
    assert score.talk == ["user: Tell me a story.", f"agent: {STORY}"]
    assert len({audio.token for _, audio in score.sent(AgentAudio)}) == 1


@pytest.mark.parametrize("noise", [Noise(4.0, 4.05), Noise(4.0, 4.2), Noise(4.0, 4.4)])
def test_a_cough_does_not_interrupt(noise: Noise) -> None:
    """livekit#1229, pipecat#4308: silent for ever after a false alarm."""
    score = story(noise)
    assert not score.sent(Interrupt)
    assert score.talk[-1] == f"agent: {STORY}"


def test_a_long_noise_interrupts_but_the_agent_goes_on_where_it_was() -> None:
    score = story(Noise(4.0, 5.2), until_s=16)
    assert len(score.sent(Interrupt)) == 1
    assert len(score.asked(ef.Reply)) == 1, "what is known of the reply is said"
    said = " ".join(line.removeprefix("agent: ") for line in score.talk if "agent" in line)
    assert said == STORY
    assert score.machine.state is State.WAITING


def test_a_second_noise_does_not_make_the_agent_say_it_all_again() -> None:
    score = story(Noise(4.0, 5.2), Noise(13.0, 13.8), Noise(17.0, 17.8), until_s=22)
    said = " ".join(line.removeprefix("agent: ") for line in score.talk if "agent" in line)
    assert said == STORY
    assert score.machine.state is State.WAITING


def test_a_keyboard_does_not_keep_the_agent_from_speaking() -> None:
    clicks = [Noise(3.0 + 0.31 * i, 3.05 + 0.31 * i) for i in range(40)]
    score = story(*clicks, until_s=20)
    assert score.talk[-1] == f"agent: {STORY}"
    assert not score.sent(Interrupt)


def test_a_short_no_interrupts() -> None:
    score = story(Says(4.0, 4.2, "No."))
    ((at_s, _),) = score.sent(Interrupt)
    assert at_s <= 4.6
    assert score.talk[2] == "user: No."


def test_more_words_can_be_asked_for() -> None:
    careful = replace(SETTINGS, interrupt_words=3)
    assert not story(Says(4.0, 4.6, "No."), settings=careful).sent(Interrupt)
    assert story(Says(4.0, 4.9, "No, stop it."), settings=careful).sent(Interrupt)


def test_a_yes_to_the_last_words_is_an_answer() -> None:
    """The boundary of a turn: the user is quick, the agent is about to end."""
    score = story(until_s=12)
    ends_s = score.client.ends_at_s
    score = story(Says(ends_s - 0.3, ends_s - 0.05, "Yes."), until_s=16)
    assert not score.sent(Interrupt)
    assert score.talk[1:3] == [f"agent: {STORY}", "user: Yes."]


def test_interruptions_can_be_switched_off() -> None:
    score = story(Says(4.0, 5.0, "Stop it now."), settings=replace(SETTINGS, interruptions=False))
    assert not score.sent(Interrupt) and score.talk[1] == f"agent: {STORY}"


def test_a_greeting_can_be_uninterruptible() -> None:
    speech = Says(1.0, 2.0, "Hello there, hello.")
    polite = replace(SETTINGS, interruptible_greeting=False)
    score = Score([speech], polite, greeting=STORY).play(8)
    assert not score.sent(Interrupt) and score.talk == [f"agent: {STORY}"]
    assert Score([speech], SETTINGS, greeting=STORY).play(8).sent(Interrupt)


@pytest.mark.parametrize("models", [Models(stt_fails=True), Models(stt_is_mute=True)])
def test_a_hold_ends_also_when_nobody_knows_what_was_said(models: Models) -> None:
    score = Score([Says(1.5, 1.8, "Hm?")], SETTINGS, models, greeting=STORY).play(12)
    assert not score.sent(Interrupt)
    assert score.talk == [f"agent: {STORY}"]


def test_a_late_transcript_still_interrupts() -> None:
    score = Score([Says(1.5, 1.8, "Stop!")], SETTINGS, Models(stt_s=1.8), greeting=STORY).play(12)
    assert score.sent(Interrupt)


# --- one cancel ---


def test_the_client_is_told_first_and_then_the_work_is_cancelled() -> None:
    score = story(Says(4.0, 6.0, "No, I wanted another one."))
    effects = [effect for _, effect in score.effects]
    sent = next(i for i, e in enumerate(effects) if isinstance(e, ef.Send)
                and isinstance(e.message, Interrupt))  # fmt: skip
    assert isinstance(effects[sent + 1], ef.Cancel)


def test_no_audio_of_a_dead_reply_is_sent() -> None:
    """The score's models answer late and never obey a cancel."""
    slow = Models(llm_s=0.4, tts_s=0.5)
    sounds = [Says(2.9 + i, 3.4 + i, "Stop it.") for i in range(0, 12, 2)]
    score = story(*sounds, models=slow, until_s=25)
    assert score.client.stale == 0


def test_after_a_long_noise_the_agent_also_says_what_it_had_not_written_yet() -> None:
    """What was made of the reply before it was cancelled is said again, and then the rest."""

    def answer(chat: tuple[ChatMessage, ...]) -> str:
        if chat[-1].content != SETTINGS.continuation:
            return STORY
        said = chat[-2].content
        assert chat[-2].role == "assistant" and STORY.startswith(said)
        return STORY.removeprefix(said)

    slow = Models(seconds_per_second=0.9)
    score = story(Noise(4.0, 5.2), until_s=20, models=slow, answer=answer)
    assert len(score.sent(Interrupt)) == 1
    said = " ".join(line.removeprefix("agent: ") for line in score.talk if "agent" in line)
    assert said.split() == STORY.split()
    assert SETTINGS.continuation not in [m.content for m in score.last_record.history]
    assert score.machine.state is State.WAITING


def test_a_greeting_that_noise_interrupts_is_not_continued_by_the_llm() -> None:
    """Its words are the client's."""
    slow = Models(seconds_per_second=0.9)
    score = Score([Noise(1.0, 2.2)], greeting=STORY, models=slow, settings=SETTINGS).play(20)
    assert len(score.sent(Interrupt)) == 1
    assert not score.asked(ef.Reply)
    assert score.machine.state is State.WAITING
