"""Sound files as text, asked for by OpenAI's own client. The decoder is real; only Whisper is a
script."""

import asyncio
import io
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
import soundfile
from openai import AsyncOpenAI
from openai.types.audio import Transcription, TranscriptionVerbose

from serve_app.errors import EngineError, EngineUnavailable
from serve_app.ingress.options import Options
from serve_app.ingress.rest import decoding
from serve_app.protocol.languages import LANGUAGES
from serve_app.settings.schema import AppConfig
from serve_app.stt.job import Heard, Request, Urgency
from tests.ingress.access.guests import ADA, BEN, guarded
from tests.ingress.replica import DEADLINE_S, Replica, replica
from tests.ingress.rest.asking import asking, plain, refused
from tests.speech import clip

pytestmark = pytest.mark.timeout(60)

PATH = "/v1/audio/transcriptions"
RATE_HZ = 16_000
SPEECH = clip("librivox_0930")


def file(samples: Any = SPEECH, **how: Any) -> tuple[str, bytes]:
    data = io.BytesIO()
    soundfile.write(data, samples, RATE_HZ, **{"format": "WAV", **how})
    return "speech", data.getvalue()


class Whisper:
    """In the place of the script's."""

    def __init__(self, server: Replica, *answers: Heard | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[Request] = []
        self.is_asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        server.script.transcribe = self.transcribe  # type: ignore[method-assign]

    async def transcribe(self, request: Request) -> Heard:
        self.asked.append(request)
        self.is_asked.set()
        await self.may_answer.wait()
        answer = self.answers.pop(0) if self.answers else Heard("Hello.", "en")
        if isinstance(answer, Exception):
            raise answer
        return answer


async def transcribe(client: AsyncOpenAI, **how: Any) -> Any:
    return await client.audio.transcriptions.create(**{"model": "any", "file": file(), **how})


@pytest.mark.parametrize("how", [{}, {"format": "FLAC"}, {"format": "OGG"}, {"format": "MP3"}])
async def test_a_file_becomes_its_text(how: Any) -> None:
    async with replica() as server, asking(server) as client:
        whisper = Whisper(server, Heard("It is noon.", "en"))
        found = await transcribe(client, file=file(**how))
        assert isinstance(found, Transcription) and found.text == "It is noon."
        assert found.usage is not None and found.usage.type == "duration"
        assert found.usage.seconds == pytest.approx(len(SPEECH) / RATE_HZ, abs=0.1)
    (request,) = whisper.asked
    assert request.urgency is Urgency.FILE
    length = min(len(request.samples), len(SPEECH))
    assert np.corrcoef(request.samples[:length], SPEECH[:length])[0, 1] > 0.97


async def test_a_long_file_is_cut_as_a_long_turn_is_and_asked_for_part_by_part() -> None:
    sound = 0.1 * np.random.default_rng(1).standard_normal(70 * RATE_HZ)
    for pause_s in (27.0, 55.0):
        sound[int(pause_s * RATE_HZ) : int((pause_s + 0.3) * RATE_HZ)] = 0
    async with replica() as server, asking(server) as client:
        whisper = Whisper(server, Heard("One", "en"), Heard(""), Heard("three.", "en"))
        found = await transcribe(client, file=file(sound), response_format="verbose_json")
    lengths_s = [len(request.samples) / RATE_HZ for request in whisper.asked]
    assert lengths_s == pytest.approx([27.15, 28, 14.85], abs=0.1)
    assert sum(len(request.samples) for request in whisper.asked) == len(sound)
    assert len({request.key for request in whisper.asked}) == 3
    assert (found.text, found.language, found.duration) == ("One three.", "english", 70.0)
    assert [(one.id, one.text) for one in found.segments] == [(0, "One"), (1, "three.")]
    assert found.segments[1].start == pytest.approx(55.15, abs=0.1)
    assert found.segments[1].end == 70.0
    assert found.segments[1].seek == pytest.approx(5515, abs=10)


async def test_the_details_are_all_that_openais_types_ask_for() -> None:
    """Its client for Python does not look; others do, and take nothing without them."""
    text = "It is noon."
    async with replica() as server:
        Whisper(server, Heard(text, "en", (1, 2, 3), -0.25, 0.125))
        answer = await plain(
            server, "POST", PATH, files={"file": file()}, data={"response_format": "verbose_json"}
        )
    found = TranscriptionVerbose.model_validate_json(answer.content, strict=True)
    assert found.segments is not None
    (segment,) = found.segments
    assert segment.tokens == [1, 2, 3]
    assert (segment.avg_logprob, segment.no_speech_prob) == (-0.25, 0.125)
    assert (segment.seek, segment.temperature) == (0, 0.0)
    assert segment.compression_ratio == len(text) / len(zlib.compress(text.encode()))


async def test_a_file_is_not_kept_once_it_is_decoded() -> None:
    """It may be large, and transcribers may take minutes."""
    form = form_of(file(np.zeros((80 * RATE_HZ, 8)))[1])
    assert len(form) > 20_000_000

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(form), 1 << 16):
            yield form[start : start + (1 << 16)]

    headers = {"content-type": "multipart/form-data; boundary=a"}
    async with replica() as server:
        whisper = Whisper(server)
        whisper.may_answer.clear()
        tracemalloc.start()
        try:
            asking = asyncio.ensure_future(
                plain(server, "POST", PATH, content=parts(), headers=headers)
            )
            async with asyncio.timeout(DEADLINE_S):
                await whisper.is_asked.wait()
            held, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        whisper.may_answer.set()
        assert (await asking).status_code == 200
    assert 80 * 32_000 <= held < 80 * 32_000 + 8_000_000  # the samples, and a segment of them
    assert most < 2 * len(form) + 8_000_000


async def test_a_text_alone() -> None:
    async with replica() as server, asking(server) as client:
        Whisper(server, Heard("It is noon.", "en"))
        assert await transcribe(client, response_format="text") == "It is noon.\n"


async def test_silence_has_no_words() -> None:
    async with replica() as server, asking(server) as client:
        Whisper(server, Heard(""))
        found = await transcribe(client, response_format="verbose_json")
        assert (found.text, found.language, found.segments) == ("", "", [])


def knows(server: Replica, *languages: str) -> None:
    """As it is where nobody stands in for the check."""

    async def known() -> list[str]:
        return list(languages)

    settings = AppConfig.model_validate({"stt": {"model": "another/whisper"}})
    services = server.ingress._services
    server.ingress._services = replace(services, check=Options(settings, known).check)


async def test_the_language_is_checked_as_that_of_a_conversation() -> None:
    async with replica() as server, asking(server) as client:
        whisper = Whisper(server)
        knows(server, *LANGUAGES)
        await transcribe(client, language="German")
        assert whisper.asked[0].language == "de"
        async with refused(400, "invalid_value") as said:
            await transcribe(client, language="Klingon")
        assert said["message"].startswith("'language': ")


@pytest.mark.parametrize(
    "how",
    [
        {"prompt": "Mister", "temperature": 0.2, "include": ["logprobs"]},
        {"timestamp_granularities": ["segment"]},
        {"chunking_strategy": "auto"},
    ],
)
async def test_what_asks_for_nothing_is_taken(how: Any) -> None:
    async with replica() as server, asking(server) as client:
        assert (await transcribe(client, **how)).text == ""


@pytest.mark.parametrize(
    ("how", "code", "param"),
    [
        ({"response_format": "srt"}, "unsupported_value", "response_format"),
        ({"timestamp_granularities": ["word"]}, "unsupported_value", "timestamp_granularities"),
        ({"stream": True}, "unsupported_value", "stream"),
        ({"known_speaker_names": ["Ada"]}, "unknown_parameter", None),
        ({"extra_body": {"speed": "2"}}, "unknown_parameter", None),
        ({"file": ("a.wav", b"no sound")}, "invalid_file", "file"),
        ({"file": file(format="AIFF")}, "invalid_file", "file"),
        ({"file": file(SPEECH[:1000])}, "invalid_file", "file"),
        ({"file": file(np.zeros(21 * RATE_HZ), format="FLAC")}, "invalid_file", "file"),
    ],
)
async def test_what_cannot_be_is_refused(how: Any, code: str, param: str | None) -> None:
    async with replica(ingress={"audio": {"file_s": 20}}) as server, asking(server) as client:
        whisper = Whisper(server)
        async with refused(400, code, param):
            await transcribe(client, **how)
        assert not whisper.asked


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ({"json": {"file": "a"}}, 400, "invalid_form"),
        ({"data": {"model": "any"}, "files": {"sound": b"a"}}, 400, "unknown_parameter"),
        ({"files": {"file": (None, b"text")}}, 400, "missing_parameter"),
        ({"files": [("file", b"a"), ("file", b"b")]}, 400, "invalid_form"),
        ({"files": [(f"f{n}", (None, b"a")) for n in range(70)]}, 400, "invalid_form"),
        ({"files": {"prompt": (None, b"a" * 20_000)}}, 400, "invalid_form"),
        ({"files": {"file": b"a" * 70_000}}, 413, "request_too_large"),
        (
            {"content": b"--", "headers": {"content-type": "multipart/form-data"}},
            400,
            "invalid_form",
        ),
    ],
    ids=["json", "name", "text", "two", "many", "prompt", "big", "boundary"],
)
async def test_a_form_that_is_none_is_refused(how: Any, status: int, code: str) -> None:
    async with replica(ingress={"audio": {"file_bytes": 1 << 16}}) as server:
        answer = await plain(server, "POST", PATH, **how)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def form_of(sound: bytes) -> bytes:
    head = b'--a\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    return head + sound + b"\r\n--a--\r\n"


PROMPT = b'--a\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nxn--Ada\r\n'


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("Multipart/Form-Data; boundary=a", 200),
        ("multipart/form-data; boundary=a; charset=undefined", 400),
        ("multipart/form-data; boundary=a; charset=idna", 400),
    ],
)
async def test_how_the_form_is_called(kind: str, status: int) -> None:
    """Python has character sets that decode nothing; which one it is, the client chooses."""
    async with replica() as server:
        form = PROMPT + form_of(file()[1])
        answer = await plain(server, "POST", PATH, content=form, headers={"content-type": kind})
        assert answer.status_code == status, answer.text
        if status == 400:
            assert answer.json()["error"]["code"] == "invalid_form"


async def test_a_body_without_a_length_is_bounded_too() -> None:
    async def parts() -> Any:
        yield b'--a\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(10):
            yield b"a" * 10_000

    headers = {"content-type": "multipart/form-data; boundary=a"}
    async with replica(ingress={"audio": {"file_bytes": 1 << 16}}) as server:
        answer = await plain(server, "POST", PATH, content=parts(), headers=headers)
        assert answer.status_code == 413


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (EngineUnavailable("stt", "nobody is there"), 503, "engine_unavailable"),
        (EngineError("stt", "MemoryError"), 500, "server_error"),
        (ValueError("it said: my secret"), 500, "server_error"),
    ],
)
async def test_a_transcriber_that_fails(failure: Exception, status: int, code: str) -> None:
    async with replica() as server, asking(server) as client:
        Whisper(server, failure)
        async with refused(status, code) as said:
            await transcribe(client)
        assert "secret" not in said["message"]


@pytest.mark.parametrize(
    ("name", "value", "status", "code"),
    [
        ("_WITHIN_S", 0.001, 503, "engine_unavailable"),
        ("_MODULE", "serve_app.decoder.gone", 500, "server_error"),
    ],
)
async def test_a_decoder_that_is_stopped_or_does_not_work(
    monkeypatch: pytest.MonkeyPatch, name: str, value: Any, status: int, code: str
) -> None:
    """The file may be a good one: the machine is busy, or not set up."""
    monkeypatch.setattr(decoding, name, value)
    async with replica() as server, asking(server) as client, refused(status, code):
        await transcribe(client)


async def test_a_file_that_takes_too_much_processor_time_is_a_bad_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """However often it comes."""
    (tmp_path / "endless.py").write_text(
        "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (1, 1))\nwhile True: pass\n"
    )
    monkeypatch.setattr(decoding, "_MODULE", "endless")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    async with (
        replica() as server,
        asking(server) as client,
        refused(400, "invalid_file", "file"),
    ):
        await transcribe(client)


async def test_it_ends_within_its_time() -> None:
    async with replica(ingress={"audio": {"timeout_s": 2}}) as server, asking(server) as client:
        whisper = Whisper(server)
        whisper.may_answer.clear()
        async with refused(503, "engine_unavailable") as said:
            await transcribe(client)
        assert "within 2 s" in said["message"] and whisper.asked


async def test_conversations_come_first() -> None:
    async with replica() as server, asking(server) as client:
        whisper = Whisper(server)
        server.script.is_at_ease = False
        async with refused(503, "at_capacity"):
            await transcribe(client)
        assert not whisper.asked


async def fills(whisper: Whisper, ask: Callable[[], Awaitable[Any]], count: int) -> list[Any]:
    """So many requests, once they are all under way."""
    whisper.may_answer.clear()
    under_way = []
    for _ in range(count):
        whisper.is_asked.clear()
        under_way.append(asyncio.ensure_future(ask()))
        async with asyncio.timeout(DEADLINE_S):
            await whisper.is_asked.wait()
    return under_way


async def test_one_client_leaves_places_to_others(keys: Path) -> None:
    async with (
        guarded(keys) as server,
        asking(server, ADA) as ada,
        asking(server, BEN) as ben,
    ):
        whisper = Whisper(server)
        under_way = await fills(whisper, lambda: transcribe(ada), 2)
        async with refused(429, "rate_limit_exceeded") as said:
            await transcribe(ada)
        assert "2 of these requests" in said["message"]
        under_way += await fills(whisper, lambda: transcribe(ben), 1)
        whisper.may_answer.set()
        assert [(await one).text for one in under_way] == ["Hello."] * 3
        assert (await transcribe(ada)).text == "Hello."


async def test_there_are_only_so_many_places() -> None:
    audio = {"transcriptions": 1}
    async with replica(ingress={"audio": audio}) as server, asking(server) as client:
        whisper = Whisper(server)
        (first,) = await fills(whisper, lambda: transcribe(client), 1)
        async with refused(429, "rate_limit_exceeded"):
            await transcribe(client)
        whisper.may_answer.set()
        assert (await first).text == "Hello."


async def test_it_counts_as_a_connection_of_its_key(keys: Path) -> None:
    limits = {"connections": 1}
    async with guarded(keys, per_principal=limits) as server, asking(server, ADA) as client:
        whisper = Whisper(server)
        (first,) = await fills(whisper, lambda: transcribe(client), 1)
        async with refused(429, "rate_limit_exceeded") as said:
            await transcribe(client)
        assert "1 connections" in said["message"]
        whisper.may_answer.set()
        await first
        assert (await transcribe(client)).text == "Hello."


async def test_without_a_key_there_is_none(keys: Path) -> None:
    async with guarded(keys) as server, asking(server, "wrong") as client:
        with pytest.raises(openai.AuthenticationError):
            await transcribe(client)
