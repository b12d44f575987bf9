"""The barge-in benchmark's own arithmetic, and two of its calls with the real models."""

from dataclasses import replace
from xml.etree.ElementTree import Element, fromstring

import numpy as np
import pytest

from bench.barge_in import Stage, calls
from bench.barge_in_agent import FORMAT, Agent, Line
from bench.barge_in_call import Call, Delays, Echo
from bench.barge_in_curves import picture
from bench.barge_in_ears import Ears
from bench.barge_in_figures import Alarms, Loop, Outcome, Stops, alarms, loop, outcome, stops
from bench.barge_in_loudspeaker import Loudspeaker
from bench.barge_in_noises import noises, room
from bench.barge_in_sounds import NOISE_DB, SENTENCE, VOICE_DB, Sound, level_db, microphone
from bench.barge_in_tables import Point, alarm_lines, loop_lines, point_lines, stop_lines
from serve_app.agent.engines import Speech
from serve_app.conversation.history import ChatMessage
from serve_app.conversation.settings import SAMPLE_RATE_HZ, TurnSettings
from serve_app.protocol.messages import AgentAudio, Interrupt, Token
from tests.speech import clip

_GO_ON = "Go on."


def _noise(seconds: float, seed: int) -> bytes:
    random = np.random.default_rng(seed)
    return random.integers(-3000, 3000, round(seconds * SAMPLE_RATE_HZ)).astype("<i2").tobytes()


STORY = Line(
    (
        Speech(_noise(2.0, 1), "Once upon a time,"),
        Speech(_noise(2.0, 2), " there was a clock."),
        Speech(_noise(4.0, 3), " It stood still, and nobody knew why."),
    )
)
ANSWER = Line((Speech(_noise(1.0, 4), "I see."),))


# --- the script ---


def test_audio_is_found_in_the_script() -> None:
    audio = STORY.audio
    second = FORMAT.bytes_per_second
    assert STORY.position(audio[second : 2 * second]) == pytest.approx(1.0)
    assert STORY.position(ANSWER.audio) is None


def test_audio_with_a_softer_beginning_is_found_too() -> None:
    part = bytearray(STORY.audio[FORMAT.bytes_per_second : 2 * FORMAT.bytes_per_second])
    part[:320] = bytes(320)
    assert STORY.position(bytes(part)) == pytest.approx(1.0)


def test_a_story_goes_on_after_what_was_said() -> None:
    assert STORY.after("Once upon a time,").text == " there was a clock." + STORY.speeches[2].text
    assert STORY.after(STORY.text).speeches == ()


def test_the_agent_tells_then_answers() -> None:
    agent = Agent(STORY, [ANSWER])
    asked = (ChatMessage("user", "Tell me a story."),)
    assert agent.reply(asked, _GO_ON) is STORY
    said = ChatMessage("assistant", "Once upon a time,")
    assert len(agent.reply((*asked, said, ChatMessage("user", _GO_ON)), _GO_ON).speeches) == 2
    assert agent.reply((*asked, said, ChatMessage("user", "Really?")), _GO_ON) is ANSWER


# --- the loudspeaker ---


def test_an_interrupt_cuts_what_is_playing_and_drops_the_rest() -> None:
    speaker = Loudspeaker()
    speaker.take(Token("token001"), 0.0)
    for at_s in (1.0, 1.1, 1.2):
        assert speaker.take(AgentAudio("token001", _noise(0.5, 1)), at_s)
    speaker.take(Interrupt("token002"), 1.7)
    assert [(s.start_s, s.end_s) for s in speaker.played] == [(1.0, 1.5), (1.5, 1.7)]
    assert not speaker.take(AgentAudio("token001", _noise(0.5, 1)), 1.8)
    assert speaker.stale == 1
    assert speaker.take(AgentAudio("token002", _noise(0.5, 1)), 2.0)
    assert (speaker.played[-1].start_s, speaker.ends_at_s) == (2.0, 2.5)


def test_what_is_heard_of_it_is_what_was_played() -> None:
    speaker = Loudspeaker()
    speaker.take(Token("token001"), 0.0)
    audio = _noise(0.5, 1)
    speaker.take(AgentAudio("token001", audio), 1.0)
    speaker.take(Interrupt("token002"), 1.25)
    heard = speaker.sound(0.9, SAMPLE_RATE_HZ)
    expected = np.frombuffer(audio, dtype="<i2")[: SAMPLE_RATE_HZ // 4] / 32768
    assert not heard[: SAMPLE_RATE_HZ // 10].any()
    assert heard[SAMPLE_RATE_HZ // 10 :][: len(expected)] == pytest.approx(expected)
    assert not heard[SAMPLE_RATE_HZ // 10 + len(expected) :].any()


# --- the sounds ---


def test_noises_are_the_same_each_time() -> None:
    first, second = list(noises()), list(noises())
    assert [name for _, name, _ in first] == [name for _, name, _ in second]
    assert all((a == b).all() for (_, _, a), (_, _, b) in zip(first, second, strict=True))
    assert all(np.isfinite(noise).all() and noise.any() for _, _, noise in first)


def test_the_microphone_hears_the_sound_where_it_begins_above_the_room() -> None:
    sound = Sound("cough", "a", np.full(SAMPLE_RATE_HZ, 0.05, dtype=np.float32))
    silent = microphone(sound, 1.5, 4.0, is_noisy=False)
    assert len(silent) == 4 * SAMPLE_RATE_HZ
    assert np.flatnonzero(silent)[[0, -1]].tolist() == [24_000, 39_999]
    noise = microphone(None, 0.0, 4.0, is_noisy=True)
    assert 10 * np.log10(np.square(noise).mean()) == pytest.approx(NOISE_DB, abs=0.1)
    assert NOISE_DB == VOICE_DB - 20


def test_the_level_is_that_of_the_louder_half() -> None:
    tone = room(SAMPLE_RATE_HZ, seed=2) * np.float32(0.1)
    padded = np.concatenate((tone, np.zeros(SAMPLE_RATE_HZ, dtype=np.float32)))
    assert level_db(padded) == pytest.approx(-20, abs=0.5)


# --- figures ---

OUTCOME = Outcome("cough", "a", False, None, None, True, 0.0, 0.0, 0.0, ())


def test_false_stops_and_stutters_are_told_apart() -> None:
    stopped = replace(OUTCOME, is_interrupted=True, silent_ms=400.0, goes_on=False, pause_s=2.0)
    stutter = replace(OUTCOME, is_interrupted=True, silent_ms=400.0, repeated_s=0.4)
    (row, everything) = alarms([OUTCOME, OUTCOME, stopped, stutter])
    assert (row.cases, row.false_stops, row.stutters) == (4, 25.0, 25.0)
    assert (row.repeated_s, row.pause_s) == (0.1, 0.5)
    assert replace(everything, kind="cough") == row


def test_a_wish_to_speak_is_noticed_missed_or_taken_back() -> None:
    asked = replace(OUTCOME, kind=SENTENCE)
    noticed = replace(asked, is_interrupted=True, silent_ms=300.0, goes_on=False)
    taken_back = replace(asked, is_interrupted=True, silent_ms=500.0)
    row = stops([asked, noticed, taken_back, OUTCOME])[-1]
    assert (row.cases, row.missed, row.taken_back) == (3, 1, 1)
    assert row.silent_p50_ms == 400.0


STOPS = Stops("all", 10, 1, 0, 300.0, 450.0, 60.0, 90.0)
ALARMS = Alarms("all", 20, 15.0, 5.0, 0.1, 0.0, 0.4)
POINTS = [
    Point("", 0, STOPS, (ALARMS,)),
    Point("hold_ms", 500, STOPS, (ALARMS,)),
    Point("hold_ms", 900, replace(STOPS, silent_p50_ms=200.0), (replace(ALARMS, false_stops=40),)),
]


def test_the_picture_shows_each_point() -> None:
    drawn = fromstring(picture(POINTS))
    texts = [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"500", "900", "hold_ms"} <= set(texts)
    lost, stopped = drawn.iter("{http://www.w3.org/2000/svg}polyline")
    (x1, y1), (x2, y2) = _places(lost)
    assert x2 < x1 and y2 < y1, "sooner is left, more false stops are above"
    assert all(
        above < below
        for (_, above), (_, below) in zip(_places(stopped), _places(lost), strict=True)
    )


def _places(line: Element) -> list[tuple[float, float]]:
    pairs = (place.split(",") for place in line.attrib["points"].split())
    return [(float(x), float(y)) for x, y in pairs]


def test_the_tables_show_the_figures() -> None:
    assert list(stop_lines([STOPS]))[-1].split()[4:] == ["300", "450", "60", "90"]
    assert list(alarm_lines([ALARMS]))[-1].split()[:4] == ["all", "20", "15", "5"]
    assert list(point_lines(POINTS))[-1].split()[:4] == ["hold_ms", "900", "200", "450"]
    lines = list(loop_lines([Loop(-20.0, False, 40, ("I see.",), 60.0, False)]))
    assert lines[-1].split() == ["-20", "silent", "40", "1", "no"]


# --- calls ---


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage(Ears(), STORY, (ANSWER,), Delays())


@pytest.mark.models
def test_a_sentence_stops_the_loudspeaker_and_silence_does_not(stage: Stage) -> None:
    words = Sound(SENTENCE, "a", clip("go_forward"))
    silence = Sound("cough", "b", np.zeros(SAMPLE_RATE_HZ, dtype=np.float32))
    settings = TurnSettings()
    spoken, _, quiet, noisy = calls(stage, [words, silence], [2.0], settings)
    assert spoken.is_interrupted and not spoken.goes_on
    assert spoken.silent_ms is not None and 0 < spoken.silent_ms < 1200
    assert any("forward" in turn.lower() for turn in spoken.turns)
    for outcome_ in (quiet, noisy):
        assert not outcome_.is_interrupted and outcome_.pause_s == 0
    alone = stage.call(words, 2.0, False, replace(settings, interruptions=False))
    assert not alone.is_interrupted and alone.silent_ms is None


@pytest.mark.models
def test_the_network_is_in_what_is_measured(stage: Stage) -> None:
    words = Sound(SENTENCE, "a", clip("go_forward"))
    near = stage.call(words, 2.0, False, TurnSettings())
    far_stage = replace(stage, delays=Delays(network_s=0.05))
    far = far_stage.call(words, 2.0, False, TurnSettings())
    assert near.silent_ms is not None and far.silent_ms is not None
    assert far.silent_ms - near.silent_ms == pytest.approx(100, abs=1)


@pytest.mark.models
def test_a_story_that_nobody_disturbs_is_played_once(stage: Stage) -> None:
    heard = microphone(None, 0.0, 15.0, is_noisy=False)
    call = Call(stage.ears, Agent(STORY, [ANSWER]), heard, TurnSettings(), echo=Echo(-200.0))
    call.run(lambda call: call.is_quiet and call.now_s > 5, 15.0)
    told = outcome(call, "none", "", STORY, 0.0)
    assert (told.repeated_s, told.skipped_s) == pytest.approx((0.0, 0.0), abs=1e-6)
    assert sum(s.seconds for s in call.loudspeaker.played) == pytest.approx(STORY.seconds)
    assert loop(call, -200.0, False).turns == ()
