"""What the benchmarks' callers say."""

import numpy as np

from bench.phrases import CLIPS, PAUSES_S, paused, phrases, whole
from serve_app.client.speech import trim
from serve_app.conversation.settings import SAMPLE_RATE_HZ
from tests.speech import clip


def test_a_pause_is_silence_between_two_whole_recordings() -> None:
    phrase = paused(0, 0)
    first, second = (trim(clip(name)) for name in phrase.parts)
    gap = round(phrase.pause_s * SAMPLE_RATE_HZ)
    samples = phrase.samples
    assert len(samples) == len(first) + gap + len(second)
    assert np.array_equal(samples[: len(first)], first)
    assert not samples[len(first) : len(first) + gap].any()
    assert np.array_equal(samples[-len(second) :], second)
    assert phrase.text.startswith("and mister john") and phrase.text.endswith("disposed young man")


def test_pauses_differ_but_are_the_same_each_time() -> None:
    drawn = [paused(caller, turn) for caller in range(8) for turn in range(6)]
    assert drawn == [paused(caller, turn) for caller in range(8) for turn in range(6)]
    lengths = [phrase.pause_s for phrase in drawn if len(phrase.parts) > 1]
    assert len(lengths) == len(set(lengths)) == 24
    assert all(PAUSES_S[0] <= length_s <= PAUSES_S[1] for length_s in lengths)


def test_a_speaker_who_pauses_by_himself_is_not_given_another_pause() -> None:
    alone = [phrase for phrase in (paused(0, turn) for turn in range(6)) if len(phrase.parts) == 1]
    assert len(alone) == 3
    assert all(phrase.is_paused and not phrase.pause_s and not phrase.text for phrase in alone)
    assert all(2.0 < len(phrase.samples) / SAMPLE_RATE_HZ < 3.0 for phrase in alone)


def test_a_caller_mixes_the_two_kinds() -> None:
    said = phrases(3, wholes=10, with_pauses=6)
    assert {phrase for phrase in said if not phrase.is_paused} == {whole(name) for name in CLIPS}
    assert said[0] == whole(CLIPS[3])
    is_paused = [phrase.is_paused for phrase in said]
    assert sum(is_paused) == 6
    assert any(is_paused[:4]) and any(is_paused[-4:])


def test_a_caller_may_have_one_kind_only() -> None:
    assert phrases(0, wholes=2, with_pauses=0) == [whole(CLIPS[0]), whole(CLIPS[1])]
    assert all(phrase.is_paused for phrase in phrases(0, wholes=0, with_pauses=2))
