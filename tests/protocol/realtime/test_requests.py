"""What clients send: what it comes to, and what is refused, by the names that SDKs look for."""

import base64
import json
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from serve_app.protocol.limits import FrameLimits
from serve_app.protocol.messages import (
    AgentAudio,
    Audio,
    Caption,
    Open,
    Played,
    RequestInterrupt,
    Text,
    Token,
)
from serve_app.protocol.realtime import editing
from serve_app.protocol.realtime.options import Defaults, Options
from serve_app.protocol.realtime.wire import RealtimeWire
from tests.protocol.realtime.said import LOCAL, Spoken, event

SILENCE = base64.b64encode(bytes(960)).decode()
"""20 ms of pcm at 24 kHz."""


def update(spoken: Spoken, **session: Any) -> dict[str, Any]:
    """The session as it is then."""
    _, (answer,) = spoken.exchange(json.dumps({"type": "session.update", "session": session}))
    assert answer["type"] == "session.updated", answer
    return dict(answer["session"])


def opened(spoken: Spoken) -> Open:
    """The conversation that the first audio begins."""
    open_, _ = spoken.send("input_audio_buffer.append", audio=SILENCE)
    assert isinstance(open_, Open)
    return open_


def typed(text: str, **item: Any) -> dict[str, Any]:
    content = [{"type": "input_text", "text": text}]
    return {"type": "message", "role": "user", "content": content, **item}


# --- the beginning ---


def test_the_session_is_there_at_once() -> None:
    (greeting,) = Spoken().wire.greeting()
    created = event(greeting)
    assert created["type"] == "session.created"
    session = created["session"]
    assert session["id"] == "sess_abc" and session["instructions"] == ""
    assert session["audio"]["output"]["voice"] == "heart"
    assert session["audio"]["input"]["turn_detection"]["type"] == "semantic_vad"


def test_the_first_audio_begins_the_conversation_in_silence() -> None:
    spoken = Spoken()
    open_, audio = spoken.send("input_audio_buffer.append", audio=SILENCE)
    assert isinstance(open_, Open) and isinstance(audio, Audio)
    assert (open_.prompt, open_.greeting, open_.sample_rate_hz) == ("", "", 24_000)
    assert "caption" in open_.events and len(audio.samples) == 320
    (more,) = spoken.send("input_audio_buffer.append", audio=SILENCE)
    assert isinstance(more, Audio)


def test_a_response_that_answers_nothing_lets_the_agent_speak_first() -> None:
    spoken = Spoken()
    (open_,) = spoken.send("response.create")
    assert isinstance(open_, Open) and open_.greeting is None
    assert spoken.refusal("response.create")["code"] == "nothing_to_answer"


# --- the session ---


def test_what_is_set_before_the_beginning_is_in_open() -> None:
    spoken = Spoken(Defaults(has_voices=True))
    detection = {"type": "server_vad", "silence_duration_ms": 700, "interrupt_response": False}
    shown = update(
        spoken,
        type="realtime",
        model="gpt-realtime",
        instructions="Be brief.",
        audio={
            "input": {
                "transcription": {"model": "whisper-1", "language": "de"},
                "turn_detection": {**detection, "idle_timeout_ms": 9000, "threshold": 0.4},
            },
            "output": {"voice": "21m00", "format": {"type": "audio/pcmu"}},
        },
    )
    assert shown["instructions"] == "Be brief."
    assert shown["audio"]["output"]["format"] == {"type": "audio/pcmu"}
    assert shown["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 700
    open_ = opened(spoken)
    assert (open_.prompt, open_.voice, open_.language) == ("Be brief.", "21m00", "de")
    assert open_.sample_rate_hz == 8000
    assert open_.turn["interruptions"] is False and open_.turn["idle_prompt_ms"] == 9000
    assert open_.turn["end_silence_ms"] == open_.turn["max_silence_ms"] == 700


@pytest.mark.parametrize(("eagerness", "preset"), [("low", "patient"), ("high", "quick")])
def test_eagerness_is_a_preset(eagerness: str, preset: str) -> None:
    spoken = Spoken()
    detection = {"type": "semantic_vad", "eagerness": eagerness}
    update(spoken, audio={"input": {"turn_detection": detection}})
    assert opened(spoken).turn == {"preset": preset}


def test_another_turn_detection_takes_the_place_of_the_last_one() -> None:
    spoken = Spoken()
    detection = {"type": "server_vad", "silence_duration_ms": 700}
    update(spoken, audio={"input": {"turn_detection": detection}})
    update(spoken, audio={"input": {"turn_detection": {"type": "semantic_vad"}}})
    assert opened(spoken).turn == {}


@pytest.mark.parametrize(
    ("defaults", "voice", "passed_on"),
    [
        (LOCAL, "marin", ""),
        (LOCAL, "heart", ""),
        (Defaults(has_voices=True), "marin", ""),
        (Defaults(has_voices=True), "21m00", "21m00"),
        (Defaults(has_openais_voices=True), "marin", "marin"),
    ],
)
def test_openais_voices_are_taken_where_there_are_others(
    defaults: Defaults, voice: str, passed_on: str
) -> None:
    spoken = Spoken(defaults)
    update(spoken, audio={"output": {"voice": voice}})
    assert opened(spoken).voice == passed_on


def test_what_open_has_said_stays() -> None:
    spoken = Spoken()
    update(spoken, instructions="Be brief.")
    opened(spoken)
    error = spoken.refusal("session.update", session={"instructions": "Be long."})
    assert (error["code"], error["param"]) == ("session_has_begun", "session.instructions")
    detection = {"type": "server_vad"}
    error = spoken.refusal(
        "session.update", session={"audio": {"input": {"turn_detection": detection}}}
    )
    assert error["param"] == "session.audio.input.turn_detection"
    shown = update(
        spoken,
        instructions="Be brief.",
        tracing="auto",
        audio={"input": {"format": {"type": "audio/pcma"}}},
    )
    assert shown["audio"]["input"]["format"] == {"type": "audio/pcma"}
    (audio,) = spoken.send("input_audio_buffer.append", audio=SILENCE)
    assert isinstance(audio, Audio) and len(audio.samples) == 1920


def test_all_that_open_has_said_stays() -> None:
    assert {field.name for field in fields(Options)} - {"input_format"} == set(editing._FIXED)


def test_an_update_is_taken_whole_or_not_at_all() -> None:
    spoken = Spoken()
    session = {"instructions": "Be brief.", "tools": [{"type": "mcp", "name": "a"}]}
    assert spoken.refusal("session.update", session=session)["param"] == "session.tools"
    assert opened(spoken).prompt == ""


@pytest.mark.parametrize(
    ("session", "code", "param"),
    [
        ([], "invalid_type", "session"),
        ({"type": "transcription"}, "invalid_value", "session.type"),
        ({"nonsense": 1}, "unknown_parameter", "session.nonsense"),
        ({"\ud800": 1}, "unknown_parameter", "session.\\ud800"),
        (
            {"audio": {"input": {"nonsense": 1}}},
            "unknown_parameter",
            "session.audio.input.nonsense",
        ),
        ({"x" * 1000: 1}, "unknown_parameter", f"session.{'x' * 160}"),
        ({"audio": 1}, "invalid_type", "session.audio"),
        ({"instructions": 1}, "invalid_value", "session.instructions"),
        ({"instructions": "\ud800"}, "invalid_value", "session.instructions"),
        ({"instructions": "x" * 40_000}, "invalid_value", "session.instructions"),
        ({"tool_choice": "required"}, "unsupported_value", "session.tool_choice"),
        ({"audio": {"output": {"speed": 1.5}}}, "unsupported_value", "session.audio.output.speed"),
        (
            {"audio": {"output": {"voice": "unheard"}}},
            "invalid_value",
            "session.audio.output.voice",
        ),
        (
            {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16_000}}}},
            "invalid_value",
            "session.audio.input.format.rate",
        ),
        (
            {"audio": {"output": {"format": {"type": "audio/mp3"}}}},
            "invalid_value",
            "session.audio.output.format.type",
        ),
        (
            {"audio": {"output": {"format": "pcm16"}}},
            "invalid_value",
            "session.audio.output.format",
        ),
        (
            {"audio": {"output": {"voice": {"id": 5}}}},
            "invalid_value",
            "session.audio.output.voice.id",
        ),
        (
            {"audio": {"input": {"turn_detection": 1}}},
            "invalid_type",
            "session.audio.input.turn_detection",
        ),
        (
            {"audio": {"input": {"turn_detection": {"type": "server_vad", "create_response": 0}}}},
            "invalid_value",
            "session.audio.input.turn_detection.create_response",
        ),
        (
            {"audio": {"input": {"turn_detection": {"silence_duration_ms": 1}}}},
            "invalid_value",
            "session.audio.input.turn_detection.silence_duration_ms",
        ),
    ],
)
def test_what_cannot_be_is_refused(session: Any, code: str, param: str) -> None:
    error = Spoken().refusal("session.update", session=session)
    assert (error["code"], error["param"]) == (code, param), error["message"]


@pytest.mark.parametrize(
    "session",
    [
        {"tools": [], "tool_choice": "auto", "prompt": None, "output_modalities": ["audio"]},
        {"audio": {"input": {"noise_reduction": {"type": "near_field"}, "transcription": None}}},
        {"audio": {"output": {"speed": 1.0}}, "reasoning": {"effort": "low"}},
        {"max_output_tokens": 100, "truncation": "disabled", "include": None},
    ],
)
def test_what_asks_for_nothing_is_taken(session: dict[str, Any]) -> None:
    update(Spoken(), type="realtime", **session)


# --- items and responses ---


def test_items_are_said_with_the_next_response() -> None:
    spoken = Spoken()
    for text in ("One.", "Two."):
        _, answers = spoken.exchange(
            json.dumps({"type": "conversation.item.create", "item": typed(text)})
        )
        assert [answer["type"] for answer in answers] == [
            "conversation.item.added",
            "conversation.item.done",
        ]
    assert answers[0]["previous_item_id"] == "item_1" and answers[0]["item"]["id"] == "item_2"
    open_, text_ = spoken.send("response.create", response={"metadata": {"a": "b"}})
    assert isinstance(open_, Open) and open_.greeting == ""
    assert text_ == Text("One.\nTwo.")


def test_an_item_may_have_an_id_of_the_clients() -> None:
    spoken = Spoken()
    _, answers = spoken.exchange(
        json.dumps({"type": "conversation.item.create", "item": typed("One.", id="mine")})
    )
    assert answers[0]["item"]["id"] == "mine"


def test_no_two_items_have_the_same_id() -> None:
    """A client's would take the place of the agent's words, or get the id of what comes later."""
    spoken = Spoken()
    spoken.hear(Token("token001"), Caption(1, "Hello."), AgentAudio("token001", bytes(960)))
    spoken.send("conversation.item.create", item=typed("One.", id="mine"))
    for id_ in ("mine", "item_1", "item_2"):
        error = spoken.refusal("conversation.item.create", item=typed("Two.", id=id_))
        assert (error["code"], error["param"]) == ("invalid_value", "item.id")
    spoken.send("conversation.item.create", item=typed("Two.", id="item_a1"))


@pytest.mark.parametrize(
    ("item", "code", "param"),
    [
        (None, "invalid_type", "item"),
        (typed("Hi.", role="system"), "unsupported_item", "item.role"),
        (typed("Hi.", type="function_call"), "unsupported_item", "item.type"),
        (typed(" "), "invalid_value", "item.content"),
        (typed("x" * 40_000), "invalid_value", "item.content[0].text"),
        (typed("Hi.", content=[]), "invalid_type", "item.content"),
        (typed("Hi.", id="x" * 513), "invalid_value", "item.id"),
        (
            typed("Hi.", content=[{"type": "input_audio", "audio": ""}]),
            "unsupported_item",
            "item.content[0].type",
        ),
    ],
)
def test_other_items_are_refused(item: Any, code: str, param: str) -> None:
    error = Spoken().refusal("conversation.item.create", item=item)
    assert (error["code"], error["param"]) == (code, param)


def test_texts_that_wait_are_bounded() -> None:
    spoken = Spoken()
    for _ in range(4):
        spoken.send("conversation.item.create", item=typed("x" * 8000))
    error = spoken.refusal("conversation.item.create", item=typed("x" * 8000))
    assert error["code"] == "too_many_items"
    spoken.send("response.create")
    spoken.send("conversation.item.create", item=typed("x" * 8000))


def test_items_that_wait_are_bounded_however_short() -> None:
    spoken = Spoken()
    for _ in range(64):
        spoken.send("conversation.item.create", item=typed("x"))
    error = spoken.refusal("conversation.item.create", item=typed("x"))
    assert (error["code"], error["param"]) == ("too_many_items", "item")
    _, said = spoken.send("response.create")
    assert said == Text("\n".join("x" * 64))


def test_parts_of_an_item_are_bounded() -> None:
    part = {"type": "input_text", "text": "x"}
    Spoken().send("conversation.item.create", item=typed("", content=[part] * 64))
    error = Spoken().refusal("conversation.item.create", item=typed("", content=[part] * 65))
    assert (error["code"], error["param"]) == ("invalid_type", "item.content")


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


def test_a_truncation_says_how_much_was_played() -> None:
    spoken = Spoken()
    opened(spoken)
    begun = spoken.hear(Token("token001"), Caption(1, "Hello."), AgentAudio("token001", bytes(960)))
    item = begun[-1]["item_id"]
    fields = {"item_id": item, "content_index": 0, "audio_end_ms": 15}
    assert spoken.send("conversation.item.truncate", **fields) == [Played("token001", 15.0)]
    fields["item_id"] = "another"
    assert spoken.refusal("conversation.item.truncate", **fields)["param"] == "item_id"


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


def test_only_the_last_items_can_be_retrieved() -> None:
    spoken = Spoken()
    for number in range(20):
        spoken.send("conversation.item.create", item=typed("Hi.", id=f"mine_{number}"))
    frame = json.dumps({"type": "conversation.item.retrieve", "item_id": "mine_19"})
    _, (answer,) = spoken.exchange(frame)
    assert answer["item"]["content"] == [{"type": "input_text", "text": "Hi."}]
    error = spoken.refusal("conversation.item.retrieve", item_id="mine_3")
    assert (error["code"], error["param"]) == ("item_not_found", "item_id")


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
