import asyncio
import logging
import pickle
import socket
from collections.abc import AsyncGenerator, AsyncIterator

import numpy as np
import pytest

from serve_app.config import TtsSettings
from serve_app.engines.base import Speech
from serve_app.engines.elevenlabs.stream_input import StreamInputVoice
from serve_app.errors import ConfigError, EngineError, EngineTimeout, EngineUnavailable
from serve_app.fakes.elevenlabs import SECONDS_PER_CHAR, FakeElevenLabs, Script
from serve_app.protocol.formats import parse_format

CLAUSES = ["Sure,", " I can help 😀", "!?", " What is it?\n"]
SENT = ["Sure, ", "I can help 😀 ", "What is it? "]
KEY = "xi-hush"
DEADLINE_S = 5.0


def voice(url: str, **settings: object) -> StreamInputVoice:
    given = TtsSettings.model_validate(
        {"api_url": url, "output_format": "pcm_22050", "first_audio_timeout_s": 5, **settings}
    )
    return StreamInputVoice(given, KEY, parse_format(given.output_format))


async def say(*clauses: str) -> AsyncIterator[str]:
    for clause in clauses:
        yield clause


async def say_and_wait(*clauses: str) -> AsyncIterator[str]:
    """As an LLM does that takes its time over the next clause."""
    for clause in clauses:
        yield clause
    await asyncio.Event().wait()


async def collect(speeches: AsyncGenerator[Speech, None], into: list[Speech]) -> None:
    async for speech in speeches:
        into.append(speech)  # noqa: PERF401 - an error must not lose what came before


async def speak(
    script: Script, *clauses: str, output_format: str = "pcm_22050"
) -> tuple[FakeElevenLabs, list[Speech]]:
    speeches: list[Speech] = []
    async with FakeElevenLabs(script) as server:
        await collect(voice(server.url, output_format=output_format).speak(say(*clauses)), speeches)
    return server, speeches


async def fails(
    script: Script, clauses: AsyncIterator[str], **settings: object
) -> tuple[list[Speech], EngineError]:
    """What came of the reply, and the error that ended it."""
    speeches: list[Speech] = []
    async with FakeElevenLabs(script) as server:
        with pytest.raises(EngineError) as caught:
            await collect(voice(server.url, **settings).speak(clauses), speeches)
    message = str(pickle.loads(pickle.dumps(caught.value)))
    assert message == str(caught.value)
    assert "help" not in message
    assert KEY not in message
    return speeches, caught.value


def joined(speeches: list[Speech]) -> str:
    return "".join(s.text for s in speeches)


async def test_reply_is_spoken_clause_by_clause() -> None:
    server, speeches = await speak(Script(), *CLAUSES)

    (connection,) = server.connections
    assert connection.headers["xi-api-key"] == KEY
    assert connection.path == "/v1/text-to-speech/21m00Tcm4TlvDq8ikWAM/stream-input"
    assert connection.query == {
        "model_id": "eleven_turbo_v2",
        "output_format": "pcm_22050",
        "optimize_streaming_latency": "2",
        "auto_mode": "true",
        "sync_alignment": "true",
        "inactivity_timeout": "180",
    }
    assert [m["text"] for m in connection.messages] == [" ", *SENT, ""]
    audio = b"".join(s.audio for s in speeches)
    expected_s = sum(map(len, SENT)) * SECONDS_PER_CHAR
    assert len(audio) / 44_100 == pytest.approx(expected_s, abs=0.001)
    assert all(len(s.audio) % 2 == 0 for s in speeches)


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


async def test_socket_is_opened_before_the_first_clause() -> None:
    async with FakeElevenLabs() as server:
        reader = asyncio.create_task(collect(voice(server.url).speak(say_and_wait()), []))
        async with asyncio.timeout(DEADLINE_S):
            await server.opened.wait()
            reader.cancel()
            await server.connections[0].closed.wait()


async def test_audio_comes_while_the_text_is_still_written() -> None:
    async with FakeElevenLabs() as server:
        speeches = voice(server.url).speak(say_and_wait("Sure,"))
        async with asyncio.timeout(DEADLINE_S):
            first = await anext(speeches)
        assert first.audio
        await speeches.aclose()


@pytest.mark.parametrize("script", [Script(), Script(stall_after=1)])
async def test_closing_the_reply_closes_the_socket(script: Script) -> None:
    async with FakeElevenLabs(script) as server:
        speeches = voice(server.url).speak(say_and_wait("Sure,"))
        reader = asyncio.create_task(collect(speeches, []))
        async with asyncio.timeout(DEADLINE_S):
            await server.opened.wait()
            await server.connections[0].clause_arrived.wait()
            reader.cancel()
            await server.connections[0].closed.wait()
            with pytest.raises(asyncio.CancelledError):
                await reader


async def test_replies_at_the_same_time_have_a_socket_each() -> None:
    async with FakeElevenLabs() as server:
        tts = voice(server.url)
        replies: list[list[Speech]] = [[], []]
        await asyncio.gather(
            collect(tts.speak(say("First one.")), replies[0]),
            collect(tts.speak(say("Second one.")), replies[1]),
        )
    assert [joined(r) for r in replies] == ["First one.", "Second one."]
    assert len(server.connections) == 2


@pytest.mark.parametrize("status", [401, 403])
async def test_wrong_key_names_the_variable(status: int) -> None:
    _, error = await fails(Script(status=status), say(*CLAUSES))
    assert error.message == f"HTTP {status}: check ELEVEN_LABS_API_KEY"
    assert not error.retryable


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_busy_provider_is_unavailable(status: int) -> None:
    _, error = await fails(Script(status=status), say(*CLAUSES))
    assert isinstance(error, EngineUnavailable)
    assert error.message == f"HTTP {status}"


async def test_redirect_does_not_take_the_key_elsewhere() -> None:
    async with FakeElevenLabs() as other:
        location = other.url.replace("http", "ws")
        _, error = await fails(Script(status=307, location=location), say(*CLAUSES))
    assert (error.message, error.retryable) == ("HTTP 307", False)
    assert other.connections == []


async def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        tts = voice(f"ws://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(EngineUnavailable, match="ConnectionRefusedError"):
            await collect(tts.speak(say("Hello.")), [])


@pytest.mark.parametrize(
    ("code", "kind"),
    [("quota_exceeded", EngineError), ("too_many_concurrent_requests", EngineUnavailable)],
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


@pytest.mark.parametrize("code", [1000, 1011, 1012])
async def test_close_before_the_end(code: int) -> None:
    _, error = await fails(Script(fail_after=1, close_code=code), say_and_wait(*CLAUSES))
    assert isinstance(error, EngineUnavailable)
    assert error.message == f"ElevenLabs closed the connection ({code})"


async def test_normal_close_may_stand_for_the_final_message() -> None:
    _, speeches = await speak(Script(sends_final=False), *CLAUSES)
    assert joined(speeches) == "".join(CLAUSES)


@pytest.mark.parametrize("answer", ["{oops", '"word"', '{"audio": 5}', '{"audio": "!"}'])
async def test_senseless_answer(answer: str) -> None:
    _, error = await fails(Script(fail_after=1, error=answer), say(*CLAUSES))
    assert error.message.startswith("bad answer (")
    assert error.retryable


@pytest.mark.parametrize("after", [1, 2])
@pytest.mark.parametrize("source", [say, say_and_wait])
async def test_text_that_waits_for_audio_has_a_deadline(after: int, source: object) -> None:
    clauses: AsyncIterator[str] = source("Sure,", " I can help.")  # type: ignore[operator]
    speeches, error = await fails(Script(stall_after=after), clauses, first_audio_timeout_s=0.2)
    assert joined(speeches) == ("" if after == 1 else "Sure, ")
    assert isinstance(error, EngineTimeout)
    assert error.message == "no audio for 0.2 s"


async def test_slow_writer_does_not_run_into_the_deadline() -> None:
    async def slowly() -> AsyncIterator[str]:
        yield "Sure,"
        await asyncio.sleep(0.4)  # twice the deadline: the subject of the test
        yield " I can help."

    speeches: list[Speech] = []
    async with FakeElevenLabs() as server:
        tts = voice(server.url, first_audio_timeout_s=0.2)
        await collect(tts.speak(slowly()), speeches)
    assert joined(speeches) == "Sure, I can help."


async def test_error_of_the_writer_is_passed_on() -> None:
    async def breaks() -> AsyncIterator[str]:
        yield "Sure,"
        raise EngineTimeout("llm", "no text within 5 s")

    async with FakeElevenLabs() as server:
        with pytest.raises(EngineTimeout, match="llm: no text"):
            await collect(voice(server.url).speak(breaks()), [])


async def test_voice_id_cannot_leave_its_place_in_the_path() -> None:
    async with FakeElevenLabs() as server:
        await collect(voice(server.url, voice_id="../v?x=1#").speak(say("Hi.")), [])
    path = server.connections[0].path
    assert path == "/v1/text-to-speech/..%2Fv%3Fx%3D1%23/stream-input"


async def test_logs_hold_no_key_and_no_text(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with FakeElevenLabs() as server:
        caplog.clear()
        await collect(voice(server.url).speak(say("I can help.")), [])
    ours = [r.getMessage() for r in caplog.records if r.name != "websockets.server"]
    assert KEY not in str(ours)
    assert "help" not in str(ours)


@pytest.mark.parametrize("url", ["api.elevenlabs.io", "ftp://x", "ws://x:port"])
def test_bad_address_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigError, match="ELEVEN_LABS_API_URL must look like"):
        voice(url)
