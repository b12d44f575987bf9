"""The client says what a turn is, or when it is to be answered, or both."""

from dataclasses import replace

import numpy as np
import pytest

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.listener import LONGEST_PRESS_S
from serve_app.conversation.settings import FRAME_SAMPLES, SAMPLE_RATE_HZ, TurnSettings
from serve_app.conversation.states import State
from serve_app.protocol.messages import EVENTS, Interrupt, StateChanged, Transcript
from tests.conversation.talk import SETTINGS, Talk


def begun(**turn: object) -> Talk:
    talk = Talk()
    talk.open(greeting="", turn=turn)
    return talk


@pytest.fixture
def pushed() -> Talk:
    return begun(detects_turns=False)


@pytest.fixture
def asked() -> Talk:
    return begun(answers_turns=False)


def commit(talk: Talk, text: str | None = "What is this?") -> None:
    talk.do(ev.TurnCommitted())
    if text is not None:
        talk.transcript(text)


# --- push-to-talk ---


def test_a_turn_is_all_the_audio_up_to_the_commit(pushed: Talk) -> None:
    pushed.silence(480)
    pushed.speech(960)
    pushed.silence(3200)
    assert pushed.machine.state is State.WAITING and not pushed.all(ef.Transcribe)
    commit(pushed)
    (asked,) = pushed.all(ef.Transcribe)
    assert asked.samples[0] == 0 and len(asked.samples) == pushed.received
    assert pushed.chat()[-1] == ("user", "What is this?")
    assert pushed.machine.state is State.PREPARING
    assert not pushed.all(ef.JudgeTurn) and not pushed.all(ef.TranscribePart)


def test_the_next_turn_begins_where_the_last_one_ended(pushed: Talk) -> None:
    pushed.speech(960)
    commit(pushed)
    pushed.says("A cup.", 1.0)
    pushed.reply_ends()
    pushed.silence(1536)
    pushed.do(ev.PlaybackWaiting())
    pushed.speech(320)
    commit(pushed, "And that?")
    first, second = pushed.all(ef.Transcribe)
    assert second.samples[0] == first.samples[-1] + 1, "nothing is lost in between"
    assert pushed.chat()[-2:] == [("assistant", "A cup."), ("user", "And that?")]


def test_what_is_cleared_is_no_turn(pushed: Talk) -> None:
    pushed.speech(960)
    pushed.do(ev.TurnCleared())
    commit(pushed, None)
    assert not pushed.all(ef.Transcribe) and pushed.machine.state is State.WAITING
    pushed.speech(320)
    commit(pushed)
    (asked,) = pushed.all(ef.Transcribe)
    assert len(asked.samples) == 10 * FRAME_SAMPLES


def test_silence_and_pauses_end_nothing(pushed: Talk) -> None:
    pushed.speech(960)
    pushed.wait(60)
    assert pushed.machine.state is State.WAITING
    commit(pushed)
    assert pushed.machine.state is State.PREPARING


def test_speech_does_not_interrupt_and_a_commit_does(pushed: Talk) -> None:
    pushed.speech(320)
    commit(pushed)
    pushed.says("That is a very long story.", 10.0)
    pushed.speech(3200)
    assert pushed.machine.state is State.SPEAKING and not pushed.sent(Interrupt)
    commit(pushed, "Stop.")
    assert len(pushed.sent(Interrupt)) == 1 and pushed.machine.state is State.PREPARING
    role, text = pushed.chat()[-2]
    assert role == "assistant" and "That is a very long story.".startswith(text)
    assert len(pushed.last(ef.Transcribe).samples) == 100 * FRAME_SAMPLES


def test_a_commit_before_the_transcript_is_a_part_of_the_turn(pushed: Talk) -> None:
    pushed.speech(320)
    commit(pushed, None)
    pushed.speech(320)
    assert pushed.machine.state is State.TRANSCRIBING
    commit(pushed, None)
    first, second = pushed.all(ef.Transcribe)
    assert second.samples[0] == first.samples[-1] + 1
    pushed.do(ev.Transcribed(first.generation, first.segment, "What is"))
    assert pushed.machine.state is State.TRANSCRIBING
    pushed.do(ev.Transcribed(second.generation, second.segment, "this?"))
    assert pushed.chat()[-1] == ("user", "What is this?")


def test_a_long_press_is_transcribed_in_parts(pushed: Talk) -> None:
    pushed.speech(70_400)
    commit(pushed, None)
    parts = pushed.all(ef.Transcribe)
    assert len(parts) == 3
    samples = np.concatenate([part.samples for part in parts])
    assert len(samples) == pushed.received and np.all(np.diff(samples) >= 0)


def test_only_the_newest_two_minutes_are_kept(pushed: Talk) -> None:
    second = np.zeros(SAMPLE_RATE_HZ, dtype=np.float32)
    for _ in range(2 * LONGEST_PRESS_S):
        pushed.do(ev.AudioReceived(second))
        for _ in range(SAMPLE_RATE_HZ // FRAME_SAMPLES):
            pushed.do(ev.VoiceActivity(0.9))
    commit(pushed, None)
    kept_s = sum(len(part.samples) for part in pushed.all(ef.Transcribe)) / SAMPLE_RATE_HZ
    assert LONGEST_PRESS_S <= kept_s <= LONGEST_PRESS_S + 11


def test_a_commit_of_nothing_comes_to_nothing(pushed: Talk) -> None:
    commit(pushed, None)
    assert pushed.machine.state is State.WAITING and not pushed.all(ef.Transcribe)
    pushed.speech(320)
    commit(pushed, "")
    assert pushed.machine.state is State.WAITING and not pushed.all(ef.Reply)


def test_less_than_a_tenth_of_a_second_is_kept_for_the_next_commit(pushed: Talk) -> None:
    for _ in range(3):
        pushed.speech(32)
        commit(pushed, None)
    assert pushed.machine.state is State.WAITING and not pushed.all(ef.Transcribe)
    pushed.speech(32)
    commit(pushed)
    (asked,) = pushed.all(ef.Transcribe)
    assert len(asked.samples) == 4 * FRAME_SAMPLES
    pushed.says("Yes.", 5.0)
    commit(pushed, None)
    assert pushed.machine.state is State.SPEAKING, "nor does it interrupt"


def test_a_failed_transcript_is_told(pushed: Talk) -> None:
    pushed.speech(320)
    commit(pushed, None)
    asked = pushed.last(ef.Transcribe)
    pushed.do(ev.TranscriptionFailed(asked.generation, asked.segment, "no answer"))
    assert pushed.machine.state is State.WAITING


def test_where_the_server_detects_turns_commits_are_ignored() -> None:
    talk = begun()
    talk.speech(320)
    commit(talk, None)
    talk.do(ev.TurnCleared())
    assert talk.machine.state is State.LISTENING and not talk.all(ef.Transcribe)
    talk.silence(480)
    talk.transcript("What is this?")
    assert talk.chat()[-1] == ("user", "What is this?")


def test_what_was_not_committed_is_sent_again_by_a_client_that_comes_back() -> None:
    talk = Talk()
    talk.open(greeting="", turn={"detects_turns": False}, is_resumable=True)
    talk.speech(320)
    commit(talk)
    talk.speech(960)
    assert talk.last(ef.Record).heard_samples == 10 * FRAME_SAMPLES


# --- replies on request ---


def test_a_turn_is_answered_only_on_request(asked: Talk) -> None:
    asked.ask()
    assert asked.machine.state is State.WAITING and not asked.all(ef.Reply)
    assert [said.text for said in asked.sent(Transcript)] == ["What is this?"]
    asked.do(ev.ReplyRequested())
    assert asked.machine.state is State.PREPARING
    assert asked.chat()[-1] == ("user", "What is this?")
    assert asked.sent(StateChanged)[-1].state == "replying"


def test_nothing_is_drafted_that_may_never_be_asked_for() -> None:
    talk = Talk(TurnSettings())
    talk.open(greeting="", turn={"answers_turns": False})
    talk.speech(960)
    talk.silence(320)
    talk.transcript("What is this?")
    talk.silence(3200)
    assert talk.machine.state is State.WAITING and not talk.all(ef.Reply)


def test_several_turns_are_answered_together(asked: Talk) -> None:
    asked.ask("What is this?")
    asked.ask("And that?")
    asked.do(ev.ReplyRequested())
    assert asked.chat()[1:] == [("user", "What is this? And that?")]


def test_a_reply_can_be_asked_for_before_the_transcript_is_there(asked: Talk) -> None:
    asked.speech(960)
    asked.do(ev.ReplyRequested())
    asked.silence(480)
    asked.transcript("What is this?")
    assert asked.machine.state is State.PREPARING
    asked.says("A cup.", 1.0)
    asked.reply_ends()
    asked.silence(1536)
    asked.do(ev.PlaybackWaiting())
    asked.ask("And that?")
    assert asked.machine.state is State.WAITING, "each one is asked for"


def test_a_request_with_nothing_to_answer_is_ignored(asked: Talk) -> None:
    asked.do(ev.ReplyRequested())
    assert asked.machine.state is State.WAITING
    asked.ask()
    assert asked.machine.state is State.WAITING, "and does not count for what comes later"


def test_a_reply_that_was_asked_for_is_not_cut_short_because_the_user_is_silent() -> None:
    talk = Talk(replace(SETTINGS, idle_close_ms=8000))
    talk.open(greeting="", turn={"answers_turns": False})
    talk.ask()
    talk.wait(6)
    talk.do(ev.ReplyRequested())
    talk.wait(4)
    assert talk.machine.state is State.PREPARING


def test_what_is_typed_is_answered_at_once(asked: Talk) -> None:
    asked.ask("What is this?")
    asked.do(ev.TextReceived("Tell me."))
    assert asked.chat()[1:] == [("user", "What is this? Tell me.")]


def test_who_comes_back_asks_again() -> None:
    talk = Talk()
    talk.open(greeting="", turn={"answers_turns": False}, is_resumable=True)
    talk.ask()
    again = Talk()
    record = talk.last(ef.Record)
    again.do(ev.Opened("", EVENTS, record=record, turn={"answers_turns": False}))
    assert again.machine.state is State.WAITING
    again.do(ev.ReplyRequested())
    assert again.chat()[-1] == ("user", "What is this?")


def test_push_to_talk_with_replies_on_request_as_openais_clients_have_it() -> None:
    talk = begun(detects_turns=False, answers_turns=False)
    talk.speech(960)
    talk.do(ev.TurnCommitted())
    talk.do(ev.ReplyRequested())
    talk.transcript("What is this?")
    assert talk.machine.state is State.PREPARING
    assert talk.chat()[-1] == ("user", "What is this?")
