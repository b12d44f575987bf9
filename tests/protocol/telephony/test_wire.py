"""Twilio's messages, and what the conversation has in their place."""

import base64
import json
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from serve_app.protocol.limits import FrameLimits
from serve_app.protocol.messages import (
    AgentAudio,
    Audio,
    ClientMessage,
    Close,
    Interrupt,
    Open,
    PlaybackState,
    Played,
    RequestInterrupt,
    ServerMessage,
    StateChanged,
    Text,
    Token,
)
from serve_app.protocol.sound import MU_LAW
from serve_app.protocol.telephony.keypad import MOST_KEYS, PAUSE_MS
from serve_app.protocol.telephony.wire import TelephonyWire
from serve_app.protocol.violation import ProtocolViolation
from serve_app.protocol.wire import AudioFrame
from tests.protocol.telephony.twilio import CHUNK_BYTES, CHUNK_MS, FORMAT, STREAM, Called, Twilio
from tests.protocol.test_plain_types import is_plain, values_in

SILENCE = b"\xff" * CHUNK_BYTES


def refusal(frame: bytes | str, wire: TelephonyWire | None = None) -> str:
    """Why the socket is closed."""
    with pytest.raises(ProtocolViolation) as violation:
        (wire or TelephonyWire()).read(frame)
    assert violation.value.close_code == 4400
    return str(violation.value)


# --- start ---


def test_a_call_opens_the_conversation_and_the_agent_speaks_first() -> None:
    assert Called().opened == [Open(prompt="", sample_rate_hz=8000)]


def test_custom_parameters_are_options() -> None:
    called = Called(
        prompt="Be brief.",
        greeting="Good day.",
        language="de",
        voice="nova",
        preset="patient",
        key="echo_sk_x",
        FirstName="Jane",
    )
    assert called.opened == [
        Open(
            prompt="Be brief.",
            greeting="Good day.",
            language="de",
            voice="nova",
            sample_rate_hz=8000,
            turn={"preset": "patient"},
            key="echo_sk_x",
        )
    ]


@pytest.mark.parametrize("greeting", ["", "false"])
def test_without_a_greeting_the_caller_speaks_first(greeting: str) -> None:
    (opened,) = Called(greeting=greeting).opened
    assert isinstance(opened, Open) and opened.greeting == ""


@pytest.mark.parametrize(
    ("start", "why"),
    [
        ({"mediaFormat": {**FORMAT, "encoding": "audio/x-l16"}}, "'mediaFormat' must be"),
        ({"mediaFormat": None}, "mediaFormat: an object is missing"),
        ({"streamSid": ""}, "'streamSid'"),
        ({"streamSid": "x" * 129}, "'streamSid' must have 1 to 128 characters"),
        ({"streamSid": 5}, "'streamSid'"),
        ({"mediaFormat": {**FORMAT, "sampleRate": 10**400}}, "'mediaFormat' must be"),
        ({"customParameters": {"prompt": ["x"]}}, "the parameter 'prompt' is not a text"),
        ({"customParameters": {"key": "x" * 9000}}, "key"),
        ({"customParameters": [1]}, "'customParameters' must be an object"),
        ({"customParameters": {"prompt": 5}}, "the parameter 'prompt' is not a text"),
        ({"customParameters": {"key": "\ud800"}}, "the parameter 'key' is not a text"),
        ({"customParameters": {"voice": "x" * 129}}, "'voice' is longer than 128 bytes"),
        ({"customParameters": {"prompt": "x" * 40_000}}, "'prompt' is longer than 32768 bytes"),
    ],
)
def test_a_wrong_start_closes_the_socket_and_says_why(start: dict[str, Any], why: str) -> None:
    wire = TelephonyWire()
    assert why in refusal(Twilio().start(**start), wire)
    assert "before 'start'" in refusal(Twilio().media(1, SILENCE), wire)


def test_nothing_but_the_beginning_and_the_end_may_come_before_start() -> None:
    twilio = Twilio()
    for frame in (twilio.media(1, SILENCE), twilio.dtmf("1"), twilio.mark("1")):
        assert "before 'start'" in refusal(frame)
    assert list(TelephonyWire().read(twilio.connected()).messages) == []
    assert list(TelephonyWire().read(twilio.stop()).messages) == [Close()]


def test_a_second_start_is_ignored_as_a_second_open_is() -> None:
    called = Called()
    assert called.read(called.twilio.start(streamSid="another")) == []
    assert called.write(Interrupt("token002"))[0]["streamSid"] == STREAM


# --- media ---


def test_media_are_audio_at_16_khz() -> None:
    called = Called()
    at_8_khz = np.sin(np.arange(8000) * 2 * np.pi * 440 / 8000) * 8000
    sound = MU_LAW.encode(at_8_khz.astype("<i2").tobytes())
    heard: list[ClientMessage] = []
    for number in range(50):
        payload = sound[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES]
        heard += called.read(called.twilio.media(number + 1, payload))
    samples = np.concatenate([audio.samples for audio in heard if isinstance(audio, Audio)])
    assert len(heard) == 50 and len(samples) == 16_000
    spectrum = np.abs(np.fft.rfft(samples))
    assert spectrum.argmax() == 440 and np.abs(samples).max() == pytest.approx(0.244, abs=0.01)


def test_nothing_is_heard_of_what_waits_or_is_the_agents_own() -> None:
    called = Called()
    assert called.read(called.twilio.media(2, SILENCE)) == []
    assert called.read(called.twilio.media(1, SILENCE, track="outbound")) == []
    (audio,) = called.read(called.twilio.media(1, SILENCE))
    assert isinstance(audio, Audio) and len(audio.samples) == 2 * CHUNK_MS * 16


@pytest.mark.parametrize(
    ("media", "why"),
    [
        ({"payload": "%"}, "not base64"),
        ({"payload": 5}, "base64"),
        ({"payload": "AAAA" * 4000}, "12000 bytes of audio: at most 8000"),
        ({"chunk": "-1"}, "'chunk' must be a whole number"),
        ({"chunk": "1" * 5000}, "'chunk' must be a whole number"),
        ({"chunk": 10**400}, "'chunk' must be a whole number"),
        ({"chunk": "\u0661"}, "'chunk' must be a whole number"),
        ({"chunk": ["1"] * 50}, "'chunk' must be a whole number"),
        ({"timestamp": None}, "'timestamp' must be a whole number"),
        ({"timestamp": 1.5}, "'timestamp' must be a whole number"),
    ],
)
def test_wrong_media_close_the_socket(media: dict[str, Any], why: str) -> None:
    called = Called()
    assert why in refusal(called.twilio.media(1, SILENCE, **media), called.wire)


def test_a_second_of_audio_may_be_in_one_message() -> None:
    called = Called()
    (audio,) = called.read(called.twilio.media(1, b"\xff" * 8000))
    assert isinstance(audio, Audio) and len(audio.samples) == 16_000


def test_media_that_come_in_any_order_are_heard_in_their_own() -> None:
    called = Called()
    tones = [MU_LAW.encode(np.full(CHUNK_BYTES, 1000 * n, "<i2").tobytes()) for n in range(1, 6)]
    heard: list[ClientMessage] = []
    for number in (2, 1, 5, 4, 3, 3, 1):
        heard += called.read(called.twilio.media(number, tones[number - 1]))
    samples = np.concatenate([audio.samples for audio in heard if isinstance(audio, Audio)])
    assert len(samples) == 5 * CHUNK_MS * 16
    middle = samples.reshape(5, -1)[:, 160]
    assert middle == pytest.approx(np.arange(1, 6) * 1000 / 32_768, rel=0.05)


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ("dtmf", {"digit": "1" * 129}),
        ("dtmf", {"digit": 5}),
        ("dtmf", {}),
        ("dtmf", []),
        ("mark", {"name": "1" * 129}),
        ("mark", {}),
        ("mark", None),
        ("media", None),
    ],
)
def test_parts_that_are_wrong_close_the_socket(event: str, fields: Any) -> None:
    called = Called()
    assert event in refusal(json.dumps({"event": event, event: fields}), called.wire)


# --- the agent's voice, and marks ---


def test_the_agents_voice_is_media_with_a_mark_behind_it() -> None:
    called = Called()
    pcm = np.arange(-4000, 4000, dtype="<i2").tobytes()
    media, mark = called.write(AgentAudio("token001", pcm))
    assert media == {
        "event": "media",
        "streamSid": STREAM,
        "media": {"payload": base64.b64encode(MU_LAW.encode(pcm)).decode()},
    }
    assert mark == {"event": "mark", "streamSid": STREAM, "mark": {"name": "1"}}
    of_audio = [isinstance(f, AudioFrame) for f in called.wire.write(AgentAudio("token001", pcm))]
    assert of_audio == [True, False], "a mark is written, whatever becomes of the audio"


def second(token: str) -> AgentAudio:
    return AgentAudio(token, bytes(2 * 8000))


def test_marks_that_come_back_say_what_was_played() -> None:
    called = Called()
    called.write(second("token001"))
    called.write(second("token001"))
    assert called.read(called.twilio.mark("1")) == [Played("token001", 1000)]
    called.write(second("token002"))
    assert called.read(called.twilio.mark("2")) == [Played("token001", 2000)]
    assert called.read(called.twilio.mark("3")) == [
        Played("token002", 1000),
        PlaybackState("waiting"),
    ]
    assert called.read(called.twilio.mark("3")) == []


def test_a_lost_mark_is_made_up_for_by_the_next_one() -> None:
    called = Called()
    for _ in range(3):
        called.write(second("token001"))
    assert called.read(called.twilio.mark("2")) == [Played("token001", 2000)]
    assert called.read(called.twilio.mark("1")) == []


def test_marks_that_come_back_because_of_a_clear_are_not_counted() -> None:
    called = Called()
    called.write(second("token001"))
    called.write(second("token001"))
    assert called.write(Interrupt("token002")) == [{"event": "clear", "streamSid": STREAM}]
    called.write(second("token002"))
    assert called.read(called.twilio.mark("1")) == called.read(called.twilio.mark("2")) == []
    assert Played("token002", 1000) in called.read(called.twilio.mark("3"))


def test_marks_that_never_come_back_are_forgotten() -> None:
    called = Called()
    for _ in range(1000):
        called.write(second("token001"))
    assert len(called.wire._marks._under_way) == 256
    assert called.read(called.twilio.mark("1000"))[0] == Played("token001", 1_000_000)


@pytest.mark.parametrize("message", [Token("token001"), StateChanged("waiting")])
def test_twilio_is_told_nothing_else(message: ServerMessage) -> None:
    assert Called().write(message) == []


def test_the_close_frame_says_it_all() -> None:
    wire = TelephonyWire()
    assert not wire.greeting() and not wire.farewell(4401, "no key")


# --- keys ---


class Speaker:
    """A caller whose audio goes on."""

    def __init__(self) -> None:
        self.called = Called()
        self._chunks = 0

    def press(self, keys: str) -> list[ClientMessage]:
        return [found for key in keys for found in self.called.read(self.called.twilio.dtmf(key))]

    def after(self, ms: int) -> list[ClientMessage]:
        """What comes of the keys while this much audio comes."""
        found: list[ClientMessage] = []
        for _ in range(ms // CHUNK_MS):
            self._chunks += 1
            found += self.called.read(self.called.twilio.media(self._chunks, SILENCE))
        return [message for message in found if not isinstance(message, Audio)]


def test_keys_in_a_row_are_one_message_and_the_first_one_stops_the_agent() -> None:
    speaker = Speaker()
    assert speaker.press("4") == [RequestInterrupt()]
    assert speaker.after(1000) == []
    assert speaker.press("2*") == []
    assert speaker.after(PAUSE_MS - CHUNK_MS) == []
    assert speaker.after(CHUNK_MS) == [Text("[Keys pressed on the telephone: 42*]")]
    assert speaker.after(5000) == []


def test_a_hash_ends_what_is_pressed_at_once() -> None:
    assert Speaker().press("42#") == [
        RequestInterrupt(),
        Text("[Keys pressed on the telephone: 42#]"),
    ]


def test_keys_have_an_end_and_other_tones_are_none() -> None:
    speaker = Speaker()
    assert speaker.press("\u06f5xF") == []
    found = speaker.press("7" * MOST_KEYS)
    assert found[-1] == Text(f"[Keys pressed on the telephone: {'7' * MOST_KEYS}]")


# --- the end, and what is no message ---


def test_the_end_of_the_stream_ends_the_conversation() -> None:
    called = Called()
    assert called.read(called.twilio.stop()) == [Close()]


def test_what_twilio_may_come_up_with_is_ignored() -> None:
    assert Called().read('{"event": "novelty", "novelty": {}}') == []


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (b"\x00", "send JSON in text frames"),
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        ("{}", "a message has an 'event'"),
        ('{"event": ["start"]}', "a message has an 'event'"),
        ('{"event": "start"}', "start: an object is missing"),
        ("[" * 200_000, "only audio may have more than"),
    ],
)
def test_what_is_no_message_closes_the_socket(frame: bytes | str, why: str) -> None:
    assert why in refusal(frame)


NAMES = st.sampled_from(
    [
        *("media", "dtmf", "mark", "start", "payload", "chunk", "timestamp", "track", "digit"),
        *("name", "streamSid", "mediaFormat", "customParameters", "prompt", "greeting", "preset"),
    ]
)
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just("AAAA")
)
ANY = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5)
)
EVENTS = st.sampled_from(["connected", "start", "media", "dtmf", "mark", "stop"])


@settings(max_examples=300, deadline=None)
@given(EVENTS, ANY, st.dictionaries(NAMES, ANY), st.booleans())
def test_any_json_is_taken_or_refused(event: str, of_it: Any, rest: Any, is_open: bool) -> None:
    wire = Called().wire if is_open else TelephonyWire(FrameLimits())
    try:
        reading = wire.read(json.dumps({"event": event, **rest, event: of_it}))
    except ProtocolViolation:
        return
    assert all(is_plain(value) for message in reading.messages for value in values_in(message))
