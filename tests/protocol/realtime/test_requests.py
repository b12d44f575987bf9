"""What clients send: frames, the audio and the numbers in them, and which responses are refused, by
the names that SDKs look for."""

import base64
import json
from typing import Any

import numpy as np
import pytest

from serve_app.protocol.limits import FrameLimits
from serve_app.protocol.messages import AgentAudio, Audio, Caption, RequestInterrupt, Token
from serve_app.protocol.realtime.wire import RealtimeWire
from tests.protocol.realtime.said import LOCAL, Spoken, event, opened

# --- responses ---


@pytest.mark.parametrize(
    ("response", "param"),
    [
        ({"conversation": "none"}, "response.conversation"),
        ({"instructions": "Say hi."}, "response.instructions"),
        ({"tools": [{"type": "function"}]}, "response.tools"),
        ({"nonsense": 1}, "response.nonsense"),
        ([], "response"),
    ],
)
def test_other_responses_are_refused(response: Any, param: str) -> None:
    assert Spoken().refusal("response.create", response=response)["param"] == param


def test_only_a_response_in_progress_can_be_cancelled() -> None:
    spoken = Spoken()
    opened(spoken)
    assert spoken.refusal("response.cancel")["code"] == "response_cancel_not_active"
    spoken.hear(Token("token001"))
    assert spoken.send("response.cancel", response_id="resp_1") == [RequestInterrupt()]
    error = spoken.refusal("response.cancel", response_id="resp_9")
    assert (error["code"], error["param"]) == ("response_cancel_not_active", "response_id")


# --- numbers ---


NUMBERS = ["1e400", "-1e400", "1" + "0" * 400, "-1" + "0" * 400, "-1", "true", "null", '"5"']
"""As they are written in JSON: what is no time, or none that a float can hold."""


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_that_no_float_can_hold_is_refused_as_any_other(number: str) -> None:
    spoken = Spoken()
    spoken.hear(Token("token001"), Caption(1, "Hello."), AgentAudio("token001", bytes(960)))
    frame = '{"type": "conversation.item.truncate", "item_id": "item_1", "audio_end_ms": %s}'
    messages, (answer,) = spoken.exchange(frame % number)
    assert not messages
    assert (answer["error"]["code"], answer["error"]["param"]) == ("invalid_value", "audio_end_ms")


@pytest.mark.parametrize("number", [number for number in NUMBERS if number != "null"])
@pytest.mark.parametrize("field", ["silence_duration_ms", "idle_timeout_ms"])
def test_nor_does_one_end_the_session_in_another_field(field: str, number: str) -> None:
    detection = f'{{"{field}": {number}}}'
    session = f'{{"audio": {{"input": {{"turn_detection": {detection}}}}}}}'
    _, (answer,) = Spoken().exchange(f'{{"type": "session.update", "session": {session}}}')
    assert answer["error"]["param"] == f"session.audio.input.turn_detection.{field}"


# --- frames ---


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x00", "invalid_frame"),
        ("{", "invalid_json"),
        ("[]", "invalid_json"),
        ('{"type": NaN}', "invalid_json"),
        ("[" * 100_000, "invalid_json"),
        ('{"type": "nonsense"}', "invalid_value"),
        ('{"type": ["session.update"]}', "invalid_value"),
        ('{"type": "input_audio_buffer.commit"}', "unsupported_event"),
        ("[" + "[]," * 50_000 + "[]]", "message_too_big"),
        (json.dumps({"type": "input_audio_buffer.append", "audio": "?"}), "invalid_value"),
        (json.dumps({"type": "input_audio_buffer.append", "audio": "AAAA"}), "invalid_value"),
        (json.dumps({"type": "input_audio_buffer.append", "audio": 1}), "invalid_type"),
    ],
)
def test_a_wrong_frame_is_answered_and_nothing_more(frame: str | bytes, code: str) -> None:
    messages, (answer,) = Spoken().exchange(frame)
    assert not messages and answer["error"]["code"] == code


def test_no_message_has_more_audio_than_one_of_echos_could_have() -> None:
    wire = RealtimeWire("abc", LOCAL, FrameLimits())
    minute = base64.b64encode(bytes(8000 * 60)).decode()
    session = {"audio": {"input": {"format": {"type": "audio/pcmu"}}}}
    for frame in (
        {"type": "session.update", "session": session},
        {"type": "input_audio_buffer.append", "audio": minute},
    ):
        reading = wire.read(json.dumps(frame))
    assert not reading.messages and "16 s" in event(reading.answers[0])["error"]["message"]


def test_samples_are_those_of_the_format() -> None:
    spoken = Spoken()
    pcm = np.full(2400, 16_384, "<i2").tobytes()
    _, audio = spoken.send("input_audio_buffer.append", audio=base64.b64encode(pcm).decode())
    assert isinstance(audio, Audio) and audio.samples.dtype == np.float32
    assert audio.samples[200:1400] == pytest.approx(0.5, abs=0.002)


def test_what_is_quoted_of_a_client_is_bounded() -> None:
    frame = json.dumps({"type": "x" * 50_000, "event_id": "y" * 50_000})
    (answer,) = Spoken().wire.read(frame).answers
    assert len(answer) < 2000


def test_audio_may_come_without_an_end_in_pieces_that_are_short_enough() -> None:
    """Nothing of it is kept."""
    spoken = Spoken()
    session = {"audio": {"input": {"format": {"type": "audio/pcmu"}}}}
    spoken.send("session.update", session=session)
    most = base64.b64encode(bytes(8000 * 16)).decode()
    for _ in range(3):
        *_, audio = spoken.send("input_audio_buffer.append", audio=most)
        assert isinstance(audio, Audio) and len(audio.samples) == 16 * 16_000
    more = base64.b64encode(bytes(8000 * 17)).decode()
    error = spoken.refusal("input_audio_buffer.append", audio=more)
    assert (error["code"], error["param"]) == ("invalid_value", "audio")
