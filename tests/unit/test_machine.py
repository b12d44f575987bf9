from dataclasses import replace

import numpy as np
import pytest

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.settings import samples
from serve_app.conversation.states import State
from serve_app.protocol.messages import (
    AgentAudio,
    ErrorNotice,
    Interrupt,
    Metrics,
    StateChanged,
    Token,
    Transcript,
)
from tests.unit.talk import SETTINGS, Talk


@pytest.fixture
def talk() -> Talk:
    return Talk()


def states(talk: Talk) -> list[str]:
    return [message.state for message in talk.sent(StateChanged)]


# --- opening and closing ---


def test_the_agent_speaks_first(talk: Talk) -> None:
    talk.open("Be kind.")
    assert talk.machine.state is State.REPLYING
    assert talk.sent(Token) == [Token("token001")]
    assert talk.chat() == [("system", "Be kind."), ("user", "Hello!")]


def test_the_token_comes_before_its_audio(talk: Talk) -> None:
    talk.greet()
    messages = [e.message for e in talk.all(ef.Send)]
    first_audio = next(i for i, m in enumerate(messages) if isinstance(m, AgentAudio))
    assert Token("token001") in messages[:first_audio]


def test_a_second_open_is_ignored(talk: Talk) -> None:
    talk.open()
    assert talk.do(ev.Opened("Be rude.")) == []


def test_audio_before_open_is_ignored(talk: Talk) -> None:
    assert talk.do(ev.AudioReceived(np.ones(4096, dtype=np.float32))) == []


def test_close_cancels_everything_and_is_the_last_effect(talk: Talk) -> None:
    talk.open()
    talk.do(ev.CloseRequested())
    assert ef.Cancel(1) in talk.effects
    assert talk.effects[-1] == ef.CloseSocket(1000, "bye")
    assert talk.do(ev.Opened("again")) == []


def test_a_socket_that_never_opens_is_closed(talk: Talk) -> None:
    (close,) = talk.do(ev.Expired(ev.Timer.OPEN, generation=0))
    assert isinstance(close, ef.CloseSocket) and close.code == 4408


def test_a_client_that_asks_for_no_events_gets_echo_messages_only() -> None:
    talk = Talk(events=())
    talk.greet()
    talk.ask()
    talk.says("It is a test.", 2.0)
    talk.speech(480)
    kinds = {type(effect.message) for effect in talk.all(ef.Send)}
    assert kinds == {Token, AgentAudio, Interrupt}


# --- the user's turn ---


def test_a_turn_goes_through_echos_states(talk: Talk) -> None:
    talk.greet()
    talk.ask()
    talk.says("It is a test.", 1.0)
    talk.reply_ends()
    talk.silence(1024)
    talk.do(ev.PlaybackWaiting())
    assert states(talk) == [
        "replying",
        "waiting",
        "listening",
        "transcribing",
        "replying",
        "waiting",
    ]


def test_the_segment_holds_the_speech_with_pre_roll_and_tail(talk: Talk) -> None:
    talk.greet()
    talk.silence(640)
    first_voiced = talk.received
    talk.speech(960)
    last_voiced = talk.received
    talk.silence(480)
    audio = talk.last(ef.Transcribe).samples
    settings = SETTINGS
    assert audio[0] == (first_voiced - samples(settings.pre_roll_ms)) // 512
    assert audio[-1] == (last_voiced + samples(160) - 1) // 512
    assert np.all(np.diff(audio) >= 0) and np.all(np.diff(audio) <= 1), "no sample is lost"


def test_a_click_opens_no_turn(talk: Talk) -> None:
    talk.greet()
    talk.speech(64)
    talk.silence(960)
    assert talk.machine.state is State.WAITING
    assert not talk.all(ef.Transcribe)


def test_a_pause_shorter_than_the_limit_ends_nothing(talk: Talk) -> None:
    talk.greet()
    talk.speech(640)
    talk.silence(320)
    talk.speech(640)
    assert talk.machine.state is State.LISTENING


def test_transcription_starts_before_the_turn_is_over(talk: Talk) -> None:
    talk.greet()
    talk.speech(960)
    talk.silence(192)
    talk.transcript("What is this?")
    assert talk.machine.state is State.LISTENING and len(talk.all(ef.Reply)) == 1
    talk.silence(224)
    assert talk.machine.state is State.REPLYING
    assert talk.chat()[-1] == ("user", "What is this?")
    assert len(talk.all(ef.Transcribe)) == 1


def test_speech_after_a_soft_end_throws_the_early_transcript_away(talk: Talk) -> None:
    talk.greet()
    talk.speech(960)
    talk.silence(320)
    talk.transcript("What is")
    early = talk.last(ef.Transcribe)
    talk.speech(640)
    assert ef.CancelSegment(early.generation, early.segment) in talk.effects
    talk.silence(416)
    assert len(talk.all(ef.Reply)) == 1, "the early transcript does not count"
    assert len(talk.last(ef.Transcribe).samples) > len(early.samples)
    talk.transcript("What is this?")
    assert talk.chat()[-1] == ("user", "What is this?")


def test_a_soft_end_is_never_later_than_the_endpoint() -> None:
    talk = Talk(replace(SETTINGS, soft_end_ms=10_000))
    talk.greet()
    talk.speech(960)
    talk.silence(384)
    assert not talk.all(ef.Transcribe)
    talk.silence(64)
    assert len(talk.all(ef.Transcribe)) == 1
    assert talk.machine.state is State.TRANSCRIBING


def test_nothing_said_costs_no_reply(talk: Talk) -> None:
    talk.greet()
    talk.ask(text="  ")
    assert talk.machine.state is State.WAITING
    assert len(talk.all(ef.Reply)) == 1


def test_speech_while_transcribing_joins_the_turn(talk: Talk) -> None:
    talk.greet()
    talk.speech(640)
    talk.silence(480)
    first = talk.last(ef.Transcribe)
    talk.speech(640)
    assert talk.machine.state is State.LISTENING
    assert ef.CancelSegment(first.generation, first.segment) in talk.effects
    talk.do(ev.Transcribed(first.generation, first.segment, "What is"))
    talk.silence(480)
    second = talk.last(ef.Transcribe)
    assert second.samples[0] == first.samples[0] and len(second.samples) > len(first.samples)
    talk.transcript("What is this?")
    assert talk.chat()[-1] == ("user", "What is this?")


def test_a_failed_transcription_ends_the_turn_and_is_told(talk: Talk) -> None:
    talk.greet()
    talk.speech(640)
    talk.silence(480)
    asked = talk.last(ef.Transcribe)
    talk.do(ev.TranscriptionFailed(asked.generation, asked.segment, "no answer within 15 s"))
    assert talk.machine.state is State.WAITING
    assert talk.sent(ErrorNotice) == [ErrorNotice(asked.generation, "stt", "no answer within 15 s")]


def test_a_very_long_utterance_is_cut_without_losing_a_sample() -> None:
    talk = Talk(replace(SETTINGS, max_utterance_ms=3200))
    talk.greet()
    talk.speech(6400)
    first, *_ = talk.all(ef.Transcribe)
    talk.do(ev.Transcribed(first.generation, first.segment, "one"))
    assert talk.machine.state is State.LISTENING
    talk.silence(480)
    parts = talk.all(ef.Transcribe)
    assert all(len(part.samples) <= samples(3200 + 32) for part in parts)
    joined = np.concatenate([part.samples for part in parts])
    assert np.all(np.diff(joined) >= 0) and np.all(np.diff(joined) <= 1)
    for part in reversed(parts[1:]):
        talk.do(ev.Transcribed(part.generation, part.segment, f"part{part.segment}"))
    assert talk.chat()[-1] == ("user", " ".join(["one", *(f"part{p.segment}" for p in parts[1:])]))


# --- the agent's turn ---


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


def test_waiting_in_the_middle_of_a_reply_is_an_underrun(talk: Talk) -> None:
    talk.open()
    talk.says("Well,", 0.5)
    talk.silence(800)
    talk.do(ev.PlaybackWaiting())
    assert talk.machine.state is State.REPLYING


def test_an_old_waiting_does_not_end_a_reply_that_still_plays(talk: Talk) -> None:
    talk.open()
    talk.says("Well, that is a long story.", 3.0)
    talk.reply_ends()
    talk.do(ev.PlaybackWaiting())
    assert talk.machine.state is State.REPLYING


def test_a_client_that_never_says_waiting_is_not_stuck(talk: Talk) -> None:
    talk.open()
    talk.says("Hello there.", 1.0)
    talk.reply_ends()
    armed = talk.last(ef.Arm)
    assert armed.seconds == pytest.approx(1.5)
    talk.do(ev.Expired(armed.timer, armed.generation))
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
    assert talk.do(ev.ReplyAudio(*dead, b"\1\0", "late", 0.1)) == [], "the dead agent is dead"
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


# --- barge-in ---


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
    assert talk.do(ev.ReplyAudio(*dead, b"\1\0", "late", 0.1)) == []
    assert talk.do(ev.ReplyEnded(*dead)) == []
    assert talk.do(ev.ReplyFailed(*dead, "tts", "late")) == []


def test_a_cough_does_not_interrupt(talk: Talk) -> None:
    talk.open()
    talk.says("Hello, I am your assistant.", 2.0)
    talk.speech(160)
    talk.silence(320)
    assert talk.machine.state is State.REPLYING
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
    assert talk.machine.state is State.REPLYING
    assert talk.chat()[-1] == ("user", "What is this?")


# --- the record ---


def test_each_committed_turn_is_recorded(talk: Talk) -> None:
    talk.greet("Hello there.")
    talk.ask("What is this?")
    user, last = talk.all(ef.Record)[-1], talk.last(ef.Reply).chat
    assert user.history == last
    talk.says("A test.", 1.0)
    talk.silence(640)
    talk.speech(480)
    assert talk.last(ef.Record).tokens_issued == 3
    assert [m.role for m in talk.last(ef.Record).history] == [
        "system", "user", "assistant", "user", "assistant",
    ]  # fmt: skip
