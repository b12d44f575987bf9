"""Whatever the user says or types reaches the agent once, also where both happen at once. What is
tested here was found by `bench.random_outages`."""

from dataclasses import replace

import numpy as np

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.settings import FRAME_SAMPLES, SAMPLE_RATE_HZ
from serve_app.conversation.states import State
from serve_app.protocol.messages import ErrorNotice
from tests.conversation.talk import SETTINGS, Talk


def talking_agent() -> Talk:
    """The agent gives a long reply, and the user has just said something short."""
    talk = Talk()
    talk.greet()
    talk.ask("Tell me a story.")
    talk.says("Once upon a time there was a server. " * 4, 8.0)
    talk.silence(1056)
    talk.speech(256)
    talk.silence(256)
    assert talk.machine.state is State.HELD, "the words are being transcribed"
    return talk


def test_words_said_over_the_agent_are_not_lost_when_the_user_types() -> None:
    talk = talking_agent()
    talk.do(ev.TextReceived("About a cat."))
    talk.silence(480)
    talk.transcript("No, another one.")
    assert talk.chat()[-1] == ("user", "About a cat. No, another one.")


def test_words_said_over_the_agent_are_not_lost_when_the_user_presses_stop() -> None:
    talk = talking_agent()
    talk.do(ev.InterruptRequested())
    talk.silence(480)
    talk.transcript("No, another one.")
    assert talk.chat()[-1] == ("user", "No, another one.")


def test_a_very_long_overlap_that_is_cut_is_transcribed_from_its_beginning() -> None:
    """The interruption cancels the work on its first segment, so it is asked for again."""
    talk = Talk(replace(SETTINGS, max_utterance_ms=1000, interrupt_speech_ms=2000, hold_ms=3000))
    talk.greet()
    talk.do(ev.TextReceived("Tell me a story."))
    talk.says("Once upon a time there was a server. " * 4, 8.0)
    talk.speech(2016)
    assert talk.machine.state is State.LISTENING
    asked, generation = talk.all(ef.Transcribe), talk.machine.generation
    again = [each for each in asked if each.generation == generation]
    before = [each for each in asked if each.generation == generation - 1]
    assert [each.segment for each in again] == [each.segment for each in before] == [1, 2]
    for old, new in zip(before, again, strict=True):
        assert np.array_equal(old.samples, new.samples)
    for each, text in zip(again, ("No,", "I want"), strict=True):
        talk.do(ev.Transcribed(generation, each.segment, text))
    talk.silence(480)
    talk.transcript("another one.")
    assert talk.chat()[-1] == ("user", "No, I want another one.")
    assert not talk.sent(ErrorNotice)


def test_an_overlap_is_not_dismissed_while_a_part_of_it_is_not_transcribed() -> None:
    """The parts of a long one may be transcribed in any order, and one may fail."""
    talk = Talk(replace(SETTINGS, max_utterance_ms=1000, interrupt_speech_ms=9000, hold_ms=5000))
    talk.greet()
    talk.do(ev.TextReceived("Tell me a story."))
    talk.says("Once upon a time there was a server. " * 4, 8.0)
    talk.speech(3040)
    first, second, third = talk.all(ef.Transcribe)[-3:]
    talk.do(ev.Transcribed(second.generation, second.segment, "(coughing)"))
    talk.do(ev.TranscriptionFailed(third.generation, third.segment, "not this"))
    assert talk.machine.state is State.HELD
    talk.do(ev.Transcribed(first.generation, first.segment, "No, another one."))
    assert talk.machine.state is State.LISTENING
    talk.silence(480)
    talk.transcript("")
    assert talk.chat()[-1] == ("user", "No, another one.")


def test_an_overlap_is_not_dismissed_while_more_of_it_is_spoken() -> None:
    """Its beginning, which was cut off because it is long, is transcribed while the user goes on.
    Found by `python -m bench.random_outages --first 8251 --count 1`."""
    talk = Talk(replace(SETTINGS, max_utterance_ms=1000, interrupt_speech_ms=9000, hold_ms=5000))
    talk.greet()
    talk.do(ev.TextReceived("Tell me a story."))
    talk.says("Once upon a time there was a server. " * 4, 8.0)
    talk.speech(1056)
    talk.transcript("yeah yeah")
    talk.speech(96)
    talk.silence(480)
    talk.transcript("another one")
    assert talk.machine.state is State.LISTENING
    talk.silence(480)
    assert talk.chat()[-1] == ("user", "yeah yeah another one")


def test_a_turn_whose_client_is_gone_when_its_transcript_fails_is_sent_again() -> None:
    """Nobody is there to be told that it is lost, so it must not count as understood."""
    talk = Talk()
    talk.do(ev.Opened("Be kind.", is_resumable=True))
    talk.silence(320)
    talk.speech(960)
    talk.do(ev.Disconnected())
    assert talk.machine.state is State.TRANSCRIBING
    asked = talk.last(ef.Transcribe)
    talk.do(ev.TranscriptionFailed(asked.generation, asked.segment, "not this"))
    assert talk.machine.state is State.ENDED
    spoken_from = 320 * SAMPLE_RATE_HZ // 1000
    assert talk.last(ef.Record).heard_samples <= spoken_from


def test_a_reply_that_was_stopped_by_a_button_stays_stopped_when_the_sound_was_noise() -> None:
    talk = talking_agent()
    talk.do(ev.InterruptRequested())
    replies = len(talk.all(ef.Reply))
    talk.silence(480)
    talk.transcript("(coughing)")
    assert talk.machine.state is State.WAITING
    assert len(talk.all(ef.Reply)) == replies


def test_a_sound_that_was_no_speech_does_not_delay_what_is_typed() -> None:
    talk = Talk()
    talk.greet()
    talk.ask("Tell me a story.")
    talk.says("Once upon a time there was a server. " * 4, 8.0)
    talk.speech(64)
    talk.do(ev.TextReceived("About a cat."))
    assert talk.chat()[-1][1].endswith("About a cat.")


def test_a_microphone_that_stops_within_a_word_and_comes_back_doubles_nothing() -> None:
    talk = Talk()
    talk.greet()
    talk.speech(960)
    talk.wait(5.0)  # no audio comes: the turn is over
    first = talk.last(ef.Transcribe).samples
    talk.transcript("Tell me a")
    assert talk.chat()[-1] == ("user", "Tell me a")
    talk.speech(960)  # the microphone is back, within the same run of speech
    talk.silence(480)
    again = talk.last(ef.Transcribe).samples
    assert not set(first.tolist()) & set(again.tolist()), "no frame is transcribed twice"
    assert len(again) >= 30 * FRAME_SAMPLES, "and none is left out"
