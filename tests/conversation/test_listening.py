"""The user's turn, from the first voiced frame to the text."""

from dataclasses import replace

import numpy as np
import pytest

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.settings import FRAME_SAMPLES, samples
from serve_app.conversation.states import REPLYING, State
from serve_app.protocol.messages import ErrorNotice
from tests.conversation.talk import SETTINGS, Talk


def test_a_turn_goes_through_echos_states(talk: Talk) -> None:
    talk.greet()
    talk.ask()
    talk.says("It is a test.", 1.0)
    talk.reply_ends()
    talk.silence(1024)
    talk.do(ev.PlaybackWaiting())
    assert talk.states() == [
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
    assert talk.machine.state in REPLYING
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


def test_the_text_of_a_turn_that_the_client_cut_off_is_needed_at_once(talk: Talk) -> None:
    """The microphone stopped in the middle of a word, and the turn is over."""
    talk.greet()
    talk.speech(960)
    talk.wait(5.0)
    assert talk.machine.state is State.TRANSCRIBING
    assert talk.last(ef.Transcribe).due_ms == 0


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
    assert all(len(part.samples) <= samples(3200) for part in parts)
    joined = np.concatenate([part.samples for part in parts])
    assert np.all(np.diff(joined) >= 0) and np.all(np.diff(joined) <= 1)
    for part in reversed(parts[1:]):
        talk.do(ev.Transcribed(part.generation, part.segment, f"part{part.segment}"))
    assert talk.chat()[-1] == ("user", " ".join(["one", *(f"part{p.segment}" for p in parts[1:])]))


@pytest.mark.parametrize("pause_ms", [32, 64, 96, 192, 1568])
@pytest.mark.parametrize("speech_ms", range(2560, 3200, 64))
def test_no_segment_is_longer_than_the_transcriber_takes(speech_ms: int, pause_ms: int) -> None:
    """Wherever it ends: in speech, in a pause, or in silence that belongs to it."""
    longest_ms = 3000
    talk = Talk(replace(SETTINGS, max_utterance_ms=longest_ms))
    talk.greet()
    talk.speech(speech_ms)
    talk.silence(pause_ms)
    talk.speech(960)
    talk.silence(1600)
    kept = {effect.segment: effect.samples for effect in talk.all(ef.Transcribe)}
    for cancelled in talk.all(ef.CancelSegment):
        kept.pop(cancelled.segment, None)
    assert max(map(len, kept.values())) <= samples(longest_ms)
    joined = np.concatenate(list(kept.values()))
    assert set(np.diff(joined)) <= {0, 1}, "no sample is lost"


def test_a_very_long_utterance_is_cut_where_the_user_is_quiet() -> None:
    talk = Talk(replace(SETTINGS, max_utterance_ms=3200))
    talk.greet()
    loud, quiet = (np.full(FRAME_SAMPLES, level, dtype=np.float32) for level in (0.5, 0.01))
    for frame in range(250):
        talk.do(ev.AudioReceived(quiet if frame % 16 < 8 else loud))
        talk.do(ev.VoiceActivity(0.9))
    parts = talk.all(ef.Transcribe)
    assert len(parts) >= 2
    for part in parts:
        assert np.all(part.samples[-samples(64) :] == quiet[0]), "in the middle of a pause"


def test_a_microphone_that_is_wrong_is_told_and_still_heard(talk: Talk) -> None:
    talk.greet()
    talk.do(ev.AudioIsWrong("the audio looks like int16"))
    assert talk.sent(ErrorNotice)[-1].stage == "audio"
    assert talk.machine.state is State.WAITING or talk.machine.state in REPLYING
    talk.do(ev.PlaybackWaiting())
    assert talk.do(ev.AudioReceived(np.zeros(FRAME_SAMPLES, dtype=np.float32)))
