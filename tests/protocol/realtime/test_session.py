"""The beginning of a conversation, and what clients write into its session: what comes of it, and
what is refused."""

from dataclasses import fields
from typing import Any

import pytest

from serve_app.protocol.messages import Audio, Open
from serve_app.protocol.realtime import editing
from serve_app.protocol.realtime.options import Defaults, Options
from tests.protocol.realtime.said import LOCAL, SILENCE, Spoken, event, opened, update

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
