"""Speech servers that do not send what they are asked for, over real sockets."""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.agent.engines import Speech
from serve_app.agent.tts.answers.kinds import kind_of
from serve_app.agent.tts.answers.reader import AnswerReader
from serve_app.agent.tts.openai_speech import OpenAiSpeech
from serve_app.errors import EngineError, EngineRefused
from serve_app.fakes.openai import FakeOpenAi, SpeechScript
from serve_app.fakes.speech_answers import RATE_HZ, SpeechAnswer, answered
from serve_app.fakes.tone import SECONDS_PER_CHAR, TONE_HZ, tone
from serve_app.protocol.formats import parse_format
from serve_app.settings.agent import TtsSettings
from tests.agent.tts.eleven import audio, collect, joined, say

TEXT = "Whatever you ask it for, it sends something else."
REFUSED = {"wav-mu-law", "aac"}
SILENT = {"json", "nothing"}
PLAYED = [kind for kind in get_args(SpeechAnswer) if kind not in REFUSED | SILENT]
CODED = {"mp3", "ogg-opus", "ogg-vorbis"}
WANTED = parse_format("pcm_24000")


@asynccontextmanager
async def voice(script: SpeechScript, **given: object) -> AsyncIterator[OpenAiSpeech]:
    async with FakeOpenAi(speech=script) as server:
        options: dict[str, Any] = {"provider": "generic", "api_url": server.url, "model": "m"}
        tts = OpenAiSpeech(TtsSettings.model_validate({**options, "voice": "v", **given}), "")
        try:
            yield tts
        finally:
            await tts.aclose()


async def said(script: SpeechScript, **given: object) -> list[Speech]:
    speeches: list[Speech] = []
    async with voice(script, **given) as tts:
        assert tts.format == WANTED
        await collect(tts.speak(say(TEXT)), speeches)
    return speeches


def check_tone(pcm: bytes, is_coded: bool = False) -> None:
    """The tone of the fake, at its pitch and level, for as long as it lasts, without a click."""
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float64)
    seconds = len(samples) / WANTED.rate_hz
    assert seconds == pytest.approx(len(TEXT) * SECONDS_PER_CHAR, abs=0.1 if is_coded else 0.002)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    assert np.argmax(spectrum) / seconds == pytest.approx(TONE_HZ, rel=0.01)
    assert 7_000 < np.abs(samples).max() < 9_500
    steepest = 2 * np.pi * TONE_HZ / WANTED.rate_hz * 8_000
    assert np.abs(np.diff(samples)).max() < steepest * (1.5 if is_coded else 1.05)


@pytest.mark.parametrize("answer", PLAYED)
@pytest.mark.parametrize("chunk_bytes", [77, 4_096, 10**6])
async def test_whatever_the_server_sends_is_the_tone(
    answer: SpeechAnswer, chunk_bytes: int
) -> None:
    speeches = await said(SpeechScript(answer=answer, chunk_bytes=chunk_bytes))
    assert joined(speeches) == TEXT
    check_tone(audio(speeches), answer in CODED)


async def test_wav_is_played_while_it_arrives() -> None:
    body, content_type = answered("wav-streamed", TEXT)
    reader = AnswerReader(content_type, WANTED)
    assert len(reader.push(body[: len(body) // 2])) > len(body) * 0.45


@pytest.mark.parametrize("answer", sorted(REFUSED))
async def test_what_cannot_be_played_is_refused_with_the_fix(answer: SpeechAnswer) -> None:
    with pytest.raises(EngineRefused, match=r"set args\.agent\.tts\.response_format") as caught:
        await said(SpeechScript(answer=answer))
    assert "\n" not in caught.value.message


async def test_a_file_that_is_no_file_is_refused() -> None:
    reader = AnswerReader("audio/mpeg", WANTED)
    reader.push(b"ID3" + bytes(500))
    with pytest.raises(EngineRefused, match=r"sends MP3 \(it cannot be decoded\)"):
        reader.flush()


async def test_an_error_in_json_is_not_played_whatever_it_is_called() -> None:
    with pytest.raises(EngineError, match="the server's answer is not audio"):
        await said(SpeechScript(answer="json"))


@pytest.mark.parametrize("answer", ["wav", "flac"])
async def test_another_format_is_asked_for(answer: SpeechAnswer) -> None:
    speeches = await said(SpeechScript(refused_formats=("pcm",)), response_format=answer)
    check_tone(audio(speeches))


async def test_a_server_without_pcm_says_what_to_set() -> None:
    with pytest.raises(EngineRefused, match=r"no response_format pcm: set args\.agent\.tts"):
        await said(SpeechScript(refused_formats=("pcm",)))


@pytest.mark.parametrize("answer", ["wav", "flac", "aac", "ogg-vorbis"])
async def test_where_mp3_is_wanted_nothing_else_is_passed_on(answer: SpeechAnswer) -> None:
    async with voice(SpeechScript(answer=answer), output_format="mp3_24000_128") as tts:
        with pytest.raises(EngineRefused, match=r"set args\.agent\.tts\.output_format"):
            await collect(tts.speak(say(TEXT)), [])


async def test_mp3_is_passed_on_where_it_is_wanted() -> None:
    speeches: list[Speech] = []
    async with voice(SpeechScript(answer="mp3"), output_format="mp3_24000_128") as tts:
        await collect(tts.speak(say(TEXT)), speeches)
    assert audio(speeches).startswith(answered("mp3", TEXT)[0])


@pytest.mark.parametrize("order", [">i2", "<i2"])
def test_l16_is_told_from_its_samples(order: str) -> None:
    """After a silence that is the same in both orders, and passed on at once."""
    pcm = np.frombuffer(tone(1.0, "pcm_24000"), dtype="<i2")
    reader = AnswerReader("audio/l16;rate=24000", WANTED)
    assert reader.push(bytes(1_000)) == bytes(1_000)
    played = reader.push(pcm.astype(order).tobytes()) + reader.flush()
    assert played == pcm.tobytes()


def test_l16_that_names_its_order_is_believed() -> None:
    noise = np.random.default_rng(0).integers(-9_000, 9_000, 2_000).astype("<i2")
    for order, kind in (("big-endian", ">i2"), ("little-endian", "<i2")):
        reader = AnswerReader(f"audio/l16;rate=24000;endianness={order}", WANTED)
        assert reader.push(noise.astype(kind).tobytes()) + reader.flush() == noise.tobytes()


@pytest.mark.parametrize("start", [b"\xff\xfb\x90\x44", b"\xff\xf1\x50\x80", b"\xff\xff\xff\xff"])
def test_samples_that_look_like_a_frame_are_samples(start: bytes) -> None:
    pcm = start + tone(1.0, "pcm_24000")
    reader = AnswerReader("audio/pcm", WANTED)
    assert reader.push(pcm) + reader.flush() == pcm


def test_a_rate_of_nonsense_is_not_believed() -> None:
    reader = AnswerReader("audio/pcm;rate=99999999", WANTED)
    assert reader.push(bytes(100)) == bytes(100)


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_a_wav_without_a_size_lasts_until_its_end(size: int) -> None:
    pcm = tone(1.0, "pcm_24000")
    format = struct.pack("<HHIIHH", 1, 1, 24_000, 48_000, 2, 16)
    head = b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<I", 16) + format
    reader = AnswerReader("audio/wav", WANTED)
    assert reader.push(head + b"data" + struct.pack("<I", size) + pcm) + reader.flush() == pcm


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=200)
    | st.builds(lambda rest: b"RIFF\0\0\0\0WAVE" + rest, st.binary(max_size=200))
    | st.builds(lambda rest: answered("wav", "a")[0][:40] + rest, st.binary(max_size=200)),
    st.integers(1, 50),
)
def test_no_answer_breaks_the_reader(body: bytes, size: int) -> None:
    """Played or refused, and the same however it is cut."""
    assert outcome(body, size) == outcome(body, len(body) + 1)


def outcome(body: bytes, size: int) -> bytes | str:
    reader = AnswerReader("application/octet-stream", WANTED)
    try:
        played = b"".join(reader.push(body[i : i + size]) for i in range(0, len(body), size))
        return played + reader.flush()
    except EngineError as error:
        return error.message


def test_the_rate_of_the_answers_is_not_the_wanted_one() -> None:
    assert WANTED.rate_hz != RATE_HZ, "or nothing would show that it is heeded"
    assert kind_of(answered("mp3", TEXT)[0], is_complete=False) == "mp3"
