"""Transcriptions that are not made: what fails, what takes too long, and what is too much."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from serve_app.errors import EngineError, EngineUnavailable
from serve_app.ingress.rest import decoding
from tests.ingress.access.guests import ADA, BEN, guarded
from tests.ingress.replica import DEADLINE_S, replica
from tests.ingress.rest.asking import asking, refused
from tests.ingress.rest.whisper import Whisper, transcribe

pytestmark = pytest.mark.timeout(60)


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
