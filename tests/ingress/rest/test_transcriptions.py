"""Sound files as text, asked for by OpenAI's own client. The decoder is real; only Whisper is a
script."""

import asyncio
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from openai.types.audio import Transcription, TranscriptionVerbose

from serve_app.ingress.options import Options
from serve_app.protocol.languages import LANGUAGES
from serve_app.settings.schema import AppConfig
from serve_app.stt.job import Heard, Urgency
from tests.ingress.replica import DEADLINE_S, Replica, replica
from tests.ingress.rest.asking import asking, plain, refused
from tests.ingress.rest.whisper import PATH, RATE_HZ, SPEECH, Whisper, file, form_of, transcribe

pytestmark = pytest.mark.timeout(60)


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
