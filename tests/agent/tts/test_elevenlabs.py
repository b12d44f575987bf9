"""What both of ElevenLabs' WebSocket voices have in common, over real sockets."""

import asyncio
import logging
import pickle
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import numpy as np
import pytest

from serve_app.agent.engines import Speech, TtsEngine
from serve_app.conversation.sound import Sound
from serve_app.errors import (
    ConfigError,
    EngineError,
    EngineRefused,
    EngineTimeout,
    EngineUnavailable,
)
from serve_app.fakes.elevenlabs import SECONDS_PER_CHAR, FakeElevenLabs, Script
from serve_app.protocol.formats import parse_format
from tests.agent.tts import eleven
from tests.agent.tts.eleven import CLAUSES, DEADLINE_S, KEY, collect, joined, say, say_and_wait

kind = ""
"""The voice that the current test uses."""


@pytest.fixture(autouse=True, params=["stream_input", "multi_context"])
def _each_kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.kind", request.param)


def voice(url: str, **settings: object) -> AbstractAsyncContextManager[TtsEngine]:
    made: AbstractAsyncContextManager[TtsEngine] = getattr(eleven, kind)(url, **settings)
    return made


async def speak(
    script: Script, *clauses: str, output_format: str = "pcm_22050"
) -> tuple[FakeElevenLabs, list[Speech]]:
    speeches: list[Speech] = []
    async with (
        FakeElevenLabs(script) as server,
        voice(server.url, output_format=output_format) as tts,
    ):
        await collect(tts.speak(say(*clauses)), speeches)
    return server, speeches


async def fails(
    script: Script, clauses: AsyncIterator[str], **settings: object
) -> tuple[list[Speech], EngineError]:
    """What the reply gave, and the error that ended it."""
    speeches: list[Speech] = []
    async with FakeElevenLabs(script) as server, voice(server.url, **settings) as tts:
        with pytest.raises(EngineError) as caught:
            await collect(tts.speak(clauses), speeches)
    message = str(pickle.loads(pickle.dumps(caught.value)))
    assert message == str(caught.value)
    assert "help" not in message
    assert KEY not in message
    return speeches, caught.value


@pytest.mark.parametrize("has_alignment", [True, False])
@pytest.mark.parametrize("chunk_bytes", [999, 4096, 10**6])
async def test_texts_joined_are_what_was_put_in(has_alignment: bool, chunk_bytes: int) -> None:
    script = Script(chunk_bytes=chunk_bytes, has_alignment=has_alignment)
    _, speeches = await speak(script, *CLAUSES)
    assert joined(speeches) == "".join(CLAUSES)


@pytest.mark.parametrize("has_alignment", [True, False])
async def test_text_keeps_pace_with_the_audio(has_alignment: bool) -> None:
    clause = "one two three four five six seven eight nine ten eleven twelve"
    script = Script(chunk_bytes=4410, has_alignment=has_alignment)
    _, speeches = await speak(script, clause)

    half = joined(speeches[: len(speeches) // 2])
    assert 0.3 < len(half) / len(clause) < 0.9


async def test_alignment_ends_a_piece_before_the_next_word() -> None:
    _, speeches = await speak(Script(chunk_bytes=10**6), *CLAUSES)
    assert [s.text for s in speeches] == ["Sure, ", "I can help 😀!? ", "What is it?\n"]


async def test_samples_are_never_split() -> None:
    _, whole = await speak(Script(), "A sentence that is cut.")
    _, pieces = await speak(Script(chunk_bytes=333), "A sentence that is cut.")

    assert len(pieces) > 10
    assert all(len(s.audio) % 2 == 0 for s in pieces)
    assert b"".join(s.audio for s in pieces) == b"".join(s.audio for s in whole)
    samples = np.frombuffer(b"".join(s.audio for s in pieces), dtype="<i2")
    assert 7_900 < np.abs(samples).max() <= 8_000


@pytest.mark.parametrize(
    ("output_format", "silence"),
    [("mp3_22050_32", b"\0"), ("ulaw_8000", b"\xff"), ("alaw_8000", b"\xd5")],
)
async def test_other_codecs_end_on_an_even_byte(output_format: str, silence: bytes) -> None:
    script = Script(chunk_bytes=333, extra_bytes=1)
    _, speeches = await speak(script, "Sure.", output_format=output_format)

    audio = b"".join(s.audio for s in speeches)
    spoken_s = len("Sure. ") * SECONDS_PER_CHAR
    assert len(audio) == round(spoken_s * parse_format(output_format).bytes_per_second) + 2
    assert all(len(s.audio) % 2 == 0 for s in speeches)
    assert audio.endswith(b"\0" + silence)


@pytest.mark.parametrize("clauses", [(), ("", " "), (" 😀 ", "...")])
async def test_nothing_to_say_is_no_error(clauses: tuple[str, ...]) -> None:
    server, speeches = await speak(Script(), *clauses)
    assert b"".join(s.audio for s in speeches) == b""
    assert joined(speeches) == "".join(clauses)
    assert server.connections[0].texts == []


async def test_audio_comes_while_the_text_is_still_written() -> None:
    async with FakeElevenLabs() as server, voice(server.url) as tts:
        speeches = tts.speak(say_and_wait("Sure,"))
        async with asyncio.timeout(DEADLINE_S):
            first = await anext(speeches)
        assert first.audio
        await speeches.aclose()


async def test_redirect_does_not_take_the_key_elsewhere() -> None:
    async with FakeElevenLabs() as other:
        location = other.url.replace("http", "ws")
        _, error = await fails(Script(status=307, location=location), say(*CLAUSES))
    assert (error.message, error.retryable) == ("HTTP 307", False)
    assert other.connections == []


async def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with voice(f"ws://127.0.0.1:{unused.getsockname()[1]}") as tts:
            with pytest.raises(EngineUnavailable, match="ConnectionRefusedError"):
                await collect(tts.speak(say("Hello.")), [])


@pytest.mark.parametrize(
    ("code", "kind"),
    [("quota_exceeded", EngineRefused), ("too_many_concurrent_requests", EngineUnavailable)],
)
async def test_error_of_the_provider(code: str, kind: type[EngineError]) -> None:
    said = {"message": "cannot say: I can help", "error": code, "code": 1008}
    _, error = await fails(Script(fail_after=1, error=said), say(*CLAUSES))
    assert type(error) is kind
    assert code in error.message
    assert error.retryable == (kind is EngineUnavailable)


async def test_error_half_way_comes_after_the_audio_before_it() -> None:
    script = Script(fail_after=2, error={"error": "internal", "message": ""})
    speeches, error = await fails(script, say(*CLAUSES))
    assert joined(speeches) == "Sure, "
    assert error.message == "ElevenLabs reported an error (internal)"


@pytest.mark.parametrize(
    ("reason", "shown"),
    [("input_timeout_exceeded", "input_timeout_exceeded"), ("I can help", "without a code")],
)
async def test_policy_close(reason: str, shown: str) -> None:
    _, error = await fails(Script(fail_after=1, close_reason=reason), say(*CLAUSES))
    assert error.message == f"ElevenLabs reported an error ({shown})"
    assert not error.retryable


@pytest.mark.parametrize("answer", ["{oops", '"word"', '{"audio": 5}', '{"audio": "!"}'])
async def test_senseless_answer(answer: str) -> None:
    _, error = await fails(Script(fail_after=1, error=answer), say(*CLAUSES))
    assert error.message.startswith("bad answer (")
    assert error.retryable


@pytest.mark.parametrize("after", [1, 2])
@pytest.mark.parametrize("source", [say, say_and_wait])
async def test_text_that_waits_for_audio_has_a_deadline(after: int, source: object) -> None:
    clauses: AsyncIterator[str] = source("Sure,", " I can help.")  # type: ignore[operator]
    speeches, error = await fails(Script(stall_after=after), clauses, first_audio_timeout_s=1.0)
    assert joined(speeches) == ("" if after == 1 else "Sure, ")
    assert isinstance(error, EngineTimeout)
    assert error.message == "no audio for 1 s"


async def test_slow_writer_does_not_run_into_the_deadline() -> None:
    async def slowly() -> AsyncIterator[str]:
        yield "Sure,"
        await asyncio.sleep(2.0)  # twice the deadline: the subject of the test
        yield " I can help."

    speeches: list[Speech] = []
    async with FakeElevenLabs() as server, voice(server.url, first_audio_timeout_s=1.0) as tts:
        await collect(tts.speak(slowly()), speeches)
    assert joined(speeches) == "Sure, I can help."


async def test_error_of_the_writer_is_passed_on() -> None:
    async def breaks() -> AsyncIterator[str]:
        yield "Sure,"
        raise EngineTimeout("llm", "no text within 5 s")

    async with FakeElevenLabs() as server, voice(server.url) as tts:
        with pytest.raises(EngineTimeout, match="llm: no text"):
            await collect(tts.speak(breaks()), [])


async def test_voice_id_cannot_leave_its_place_in_the_path() -> None:
    async with FakeElevenLabs() as server, voice(server.url, voice_id="../v?x=1#") as tts:
        await collect(tts.speak(say("Hi.")), [])
    path = server.connections[0].path
    assert path.startswith("/v1/text-to-speech/..%2Fv%3Fx%3D1%23/")


@pytest.mark.parametrize("voice_id", [".", ".."])
async def test_a_client_cannot_choose_another_address_as_its_voice(voice_id: str) -> None:
    """Dots go up, and cannot be written in another way."""
    async with FakeElevenLabs() as server, voice(server.url) as tts:
        with pytest.raises(EngineError, match="no such voice"):
            await collect(tts.speak(say("Hi."), Sound(voice_id)), [])
    assert not any(".." in connection.path for connection in server.connections)


async def test_logs_hold_no_key_and_no_text(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with FakeElevenLabs() as server, voice(server.url) as tts:
        caplog.clear()
        await collect(tts.speak(say("I can help.")), [])
    ours = [r.getMessage() for r in caplog.records if r.name != "websockets.server"]
    assert KEY not in str(ours)
    assert "help" not in str(ours)


@pytest.mark.parametrize("url", ["api.elevenlabs.io", "ftp://x", "ws://x:port"])
async def test_bad_address_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigError, match="ELEVEN_LABS_API_URL must look like"):
        async with voice(url):
            pass


@pytest.mark.parametrize(
    ("model", "language", "told"),
    [
        ("eleven_flash_v2_5", "de", "de"),
        ("eleven_flash_v2_5", "", None),
        ("eleven_flash_v2_5", "tl", "fil"),
        ("eleven_flash_v2_5", "cy", None),
        ("eleven_multilingual_v2", "de", None),
    ],
)
async def test_a_model_that_has_to_be_told_the_language_is_told(
    model: str, language: str, told: str | None
) -> None:
    async with FakeElevenLabs(Script()) as server, voice(server.url, model_id=model) as tts:
        await collect(tts.speak(say("Guten Tag."), Sound(language=language)), [])
    assert server.connections[-1].query.get("language_code") == told
