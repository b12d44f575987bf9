"""The wire, byte by byte: what Echo's clients send and receive."""

from contextlib import suppress
from dataclasses import fields

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.errors import ProtocolViolation
from serve_app.protocol.codec import MAX_TEXT_ID, decode, encode
from serve_app.protocol.limits import DEFAULT_FRAMES
from serve_app.protocol.messages import (
    AgentAudio,
    Audio,
    Close,
    Duck,
    ErrorNotice,
    GoAway,
    Interrupt,
    Metrics,
    Open,
    Partial,
    PlaybackState,
    ServerMessage,
    SessionNotice,
    StateChanged,
    Text,
    Token,
    Transcript,
)

TIME = msgpack.Timestamp(0)
"""An ext type that msgpack makes an object of by itself."""


def pack(**fields: object) -> bytes:
    return bytes(msgpack.packb(fields))


# --- golden bytes: they must never change ---


def test_open_as_echos_client_sends_it() -> None:
    frame = b"\x82\xa4type\xa4open\xa6prompt\xa8Be kind."
    assert decode(frame) == Open("Be kind.")


def test_audio_as_echos_client_sends_it() -> None:
    frame = b"\x82\xa4type\xa5audio\xa5audio\xc4\x08" + b"\x00\x00\x00\x3f\x00\x00\x80\xbe"
    message = decode(frame)
    assert isinstance(message, Audio)
    assert message.samples.dtype == np.float32
    assert message.samples.tolist() == [0.5, -0.25]


def test_state_and_close_as_echos_client_sends_them() -> None:
    assert decode(b"\x82\xa4type\xa5state\xa5state\xa7waiting") == PlaybackState("waiting")
    assert decode(b"\x81\xa4type\xa5close") == Close()


def test_a_text_may_have_a_number() -> None:
    assert decode(pack(type="text", text="Hi.")) == Text("Hi.")
    assert decode(pack(type="text", text="Hi.", id=MAX_TEXT_ID)) == Text("Hi.", MAX_TEXT_ID)


@pytest.mark.parametrize(
    ("message", "frame"),
    [
        (Token("abcdefgh"), b"\x82\xa4type\xa5token\xa5token\xa8abcdefgh"),
        (Interrupt("abcdefgh"), b"\x82\xa4type\xa9interrupt\xa5token\xa8abcdefgh"),
        (
            AgentAudio("abcdefgh", b"\1\2\3\4"),
            b"\x82\xa4type\xa5audio\xa5audio\xc4\x0cabcdefgh\1\2\3\4",
        ),
        (
            Transcript(2, "user", "Hi."),
            b"\x84\xa4type\xaatranscript\xa4turn\x02\xa4role\xa4user\xa4text\xa3Hi.",
        ),
        (
            Partial(2, "Go on"),
            b"\x83\xa4type\xa7partial\xa4turn\x02\xa4text\xa5Go on",
        ),
        (Duck(True), b"\x82\xa4type\xa4duck\xa2on\xc3"),
        (StateChanged("waiting"), b"\x82\xa4type\xa5state\xa5state\xa7waiting"),
        (
            ErrorNotice(2, "llm", "late"),
            b"\x84\xa4type\xa5error\xa4turn\x02\xa5stage\xa3llm\xa7message\xa4late",
        ),
        (
            SessionNotice("id.secret", 60.0, 512, 7),
            b"\x85\xa4type\xa7session\xacresume_token\xa9id.secret\xa8window_s\xcb\x40\x4e"
            b"\0\0\0\0\0\0\xadheard_samples\xcd\x02\x00\xa7text_id\x07",
        ),
        (
            GoAway(8000),
            b"\x83\xa4type\xa6goaway\xactime_left_ms\xcd\x1f\x40\xa5final\xc2",
        ),
    ],
)
def test_server_messages(message: ServerMessage, frame: bytes) -> None:
    assert encode(message) == frame


def test_metrics_are_named_as_in_the_code() -> None:
    metrics = msgpack.unpackb(encode(Metrics(3, 416.0, 90.0, 250.0, 100.0)))
    assert metrics == {
        "type": "metrics", "turn": 3, "endpoint_ms": 416.0,
        "stt_ms": 90.0, "llm_ms": 250.0, "tts_ms": 100.0,
    }  # fmt: skip


def test_agent_audio_is_a_token_and_an_even_number_of_bytes() -> None:
    for message in (AgentAudio("short", b"\1\2"), AgentAudio("abcdefgh", b"\1\2\3")):
        with pytest.raises(ValueError, match="8-byte token and an even number"):
            encode(message)


# --- what is refused, with which code, and with a reason that says what to do ---


@pytest.mark.parametrize(
    ("frame", "code", "reason"),
    [
        ('{"type": "open"}', 1003, "text frame: send MessagePack in binary frames"),
        (b"\xc1", 1007, "not a valid MessagePack message"),
        (b"", 1007, "not a valid MessagePack message"),
        (b"\x81\xa4type", 1007, "not a valid MessagePack message"),
        (pack(type="open") + b"\0", 1007, "not a valid MessagePack message"),
        (b"\x93\1\2\3", 4400, "a message is a MessagePack map with a 'type'"),
        (b"\x80", 4400, "unknown message type None: use open, audio, state, text, interrupt,"),
        (pack(type="x" * 300), 4400, "unknown message type 'xxxxx"),
        (pack(type="dance"), 4400, "unknown message type 'dance': use open, audio, state, text,"),
        (pack(type=["open"]), 4400, "unknown message type ['open']: use open, audio, state, text"),
        (pack(type="open", prompt=7), 4400, "open: 'prompt' must be a string"),
        (pack(type="open", prompt="x" * 40_000), 4400, "open: 'prompt' is longer than 32768"),
        (pack(type="open", sample_rate_hz=11_025), 4400, "open: 'sample_rate_hz' must be one of"),
        (pack(type="open", sample_rate_hz="8000"), 4400, "open: 'sample_rate_hz' must be one of"),
        (pack(type="open", events="all"), 4400, "open: 'events' must be a list of strings"),
        (pack(type="open", events=["all"]), 4400, "open: unknown event 'all': use caption, duck,"),
        (pack(type="open", greeting=True), 4400, "open: 'greeting' must be a string or false"),
        (pack(type="open", language=7), 4400, "open: 'language' must be a string"),
        (pack(type="open", voice="x" * 200), 4400, "open: 'voice' is longer than 128 bytes"),
        (pack(type="open", turn=[]), 4400, "open: 'turn' must be a map"),
        (pack(type="open", resume=1), 4400, "open: 'resume' must be true or false"),
        (pack(type="open", resume_token=7), 4400, "open: 'resume_token' must be a string"),
        (pack(type="open", played=7), 4400, "open: 'played' must be a map"),
        (pack(type="open", played={"token": "t"}), 4400, "'played_ms' must be a number, 0 or more"),
        (pack(type="text"), 4400, "text: 'text' must have words"),
        (pack(type="text", text=" "), 4400, "text: 'text' must have words"),
        (pack(type="text", text="Hi.", id=-1), 4400, "text: 'id' must be a whole number from 0"),
        (pack(type="text", text="Hi.", id=1 << 53), 4400, "text: 'id' must be a whole number"),
        (pack(type="text", text="Hi.", id=1.0), 4400, "text: 'id' must be a whole number"),
        (pack(type="text", text="Hi.", id=True), 4400, "text: 'id' must be a whole number"),
        (pack(type="played", token="t"), 4400, "played: 'played_ms' must be a number, 0 or more"),
        (pack(type="played", token="t", played_ms=-1), 4400, "must be a number, 0 or more"),
        (
            pack(type="audio", audio="UklGRg=="),
            4400,
            "audio: 'audio' is a string: send MessagePack",
        ),
        (pack(type="audio"), 4400, "audio: 'audio' must be MessagePack binary"),
        (pack(type="audio", audio=[0.0] * 512), 4400, "send the bytes of the float32 samples as"),
        (pack(type="audio", audio=[0.0] * 100_000), 4400, "send the bytes of the float32 samples"),
        (pack(type="audio", audio=[0.0, 0.1]), 4400, "send the bytes of the float32 samples as"),
        (pack(type="audio", audio={"0": 0.0}), 4400, "send the bytes of the float32 samples as"),
        (
            pack(type="audio", audio=msgpack.ExtType(23, b"\0" * 2048)),
            4400,
            "ext type 23 is not taken: send audio as binary, in JavaScript new Uint8Array(samples",
        ),
        (pack(type="audio", audio=msgpack.ExtType(0x74, b"\1")), 4400, "ext type 116 is not taken"),
        (pack(type="open", prompt="", turn={"preset": TIME}), 4400, "ext type -1 is not taken"),
        (pack(type="open", prompt="", events=[TIME]), 4400, "ext type -1 is not taken"),
        (pack(type="open", prompt="", unknown=TIME), 4400, "ext type -1 is not taken"),
        (
            pack(type="audio", audio=b"12345"),
            4400,
            "audio: 5 bytes is not a whole number of float32",
        ),
        (pack(type="state", state="x"), 4400, "state: the only state a client sends is 'waiting'"),
        (b"\xc6" + b"\0" * DEFAULT_FRAMES.message_bytes, 1009, "at most 1048576 are taken"),
    ],
)
def test_bad_input(frame: bytes | str, code: int, reason: str) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        decode(frame)
    assert caught.value.close_code == code
    assert reason in caught.value.reason
    assert len(caught.value.reason.encode()) <= 123, "RFC 6455: the limit of a close reason"


TOO_MUCH: dict[str, object] = {
    "prompt": "x" * (DEFAULT_FRAMES.text_bytes + 1),
    "events": ["x" * 900_000],
    "greeting": "x" * (DEFAULT_FRAMES.text_bytes + 1),
    "language": "x" * 129,
    "voice": "x" * 129,
    "sample_rate_hz": 1 << 60,
    "turn": {str(number): 0 for number in range(65)},
    "resume": "x" * 900_000,
    "resume_token": "x" * 129,
    "key": "x" * 8193,
    "played": {"token": "x" * 129, "played_ms": 0},
    "text_only": "x" * 900_000,
    "tools": "[" + " " * DEFAULT_FRAMES.text_bytes + "]",
}
"""More than each option of `open` may have. What `turn` may contain is for the conversation."""


@pytest.mark.parametrize("option", [field.name for field in fields(Open)])
def test_every_option_of_open_has_a_bound(option: str) -> None:
    with pytest.raises(ProtocolViolation):
        decode(pack(type="open", **{option: TOO_MUCH[option]}))


@pytest.mark.parametrize(
    "bomb",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\xdd\x00\x00\xea\x60" * 13_000,
        b"\x91" * 60_000,
        b"\x81\xa1a" * 60_000,
        b"\xc7\x04\x05abcd",
        b"\x81\xa4type\xd9\x02\xff\xff",
    ],
)
def test_bombs_are_only_bad_input(bomb: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        decode(bomb)


@given(st.binary(max_size=200))
def test_random_bytes_never_do_more_than_violate_the_protocol(frame: bytes) -> None:
    with suppress(ProtocolViolation):
        decode(frame)


def test_unknown_fields_are_left_alone() -> None:
    assert decode(pack(type="open", prompt="Hi.", colour="x")) == Open("Hi.")


def test_no_sample_can_poison_the_voice_activity_detection() -> None:
    wild = np.array([np.nan, np.inf, -np.inf, 1e30, 0.5], dtype="<f4")
    message = decode(pack(type="audio", audio=wild.tobytes()))
    assert isinstance(message, Audio)
    assert message.samples.tolist() == [0.0, 1.0, -1.0, 1.0, 0.5]


def test_audio_may_be_empty() -> None:
    message = decode(pack(type="audio", audio=b""))
    assert isinstance(message, Audio) and len(message.samples) == 0
