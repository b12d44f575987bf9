"""The stand-ins as commands, as users run them."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from serve_app.agent.engines import TtsEngine
from serve_app.agent.factory import build_llm, build_tts
from serve_app.conversation.history import ChatMessage
from serve_app.errors import EngineError
from serve_app.settings.agent import LlmSettings, TtsSettings
from tests.agent.tts.eleven import audio, collect, joined, say

START_S = 30.0


@asynccontextmanager
async def running(module: str, *options: str) -> AsyncIterator[list[str]]:
    """Yields the words of the line that it prints when it is listening."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"serve_app.fakes.{module}", *options, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_S):
            line = await process.stdout.readline()
        yield line.decode().replace(";", " ").split()
    finally:
        process.terminate()
        await process.wait()


async def spoken(tts: TtsEngine) -> str:
    speeches = []
    try:
        await collect(tts.speak(say("Hello there.")), speeches)
    finally:
        await tts.aclose()
    assert audio(speeches)
    return joined(speeches)


async def test_elevenlabs_serves_each_transport() -> None:
    async with running("elevenlabs", "--port", "0", "--http-port", "0") as words:
        env = {"ELEVEN_LABS_API_KEY": "any"}
        for transport, url in (
            ("multi-context", words[0]), ("stream-input", words[0]), ("http", words[2]),
        ):  # fmt: skip
            settings = TtsSettings.model_validate(
                {"provider": "elevenlabs", "api_url": url, "transport": transport}
            )
            assert await spoken(build_tts(settings, env)) == "Hello there."


async def test_elevenlabs_fails_on_request() -> None:
    options = ("--port", "0", "--http-port", "0", "--fail-after", "1", "--error", "voice_not_found")
    async with running("elevenlabs", *options) as words:
        settings = TtsSettings(provider="elevenlabs", api_url=words[0])
        with pytest.raises(EngineError, match="voice_not_found"):
            await spoken(build_tts(settings, {"ELEVEN_LABS_API_KEY": "any"}))


async def test_openai_chats_and_speaks() -> None:
    async with running("openai", "--port", "0", "--text", "Good evening.") as words:
        llm = build_llm(LlmSettings(provider="generic", model="m", api_url=words[0]), {})
        assert (
            "".join([text async for text in llm.stream([ChatMessage("user", "Hi")])])
            == "Good evening."
        )
        await llm.aclose()
        settings = TtsSettings(provider="generic", model="m", voice="v", api_url=words[0])
        assert await spoken(build_tts(settings, {})) == "Hello there."


async def test_openai_refuses_on_request() -> None:
    options = ("--port", "0", "--status", "429", "--retry-after", "60")
    async with asyncio.timeout(START_S), running("openai", *options) as words:
        llm = build_llm(LlmSettings(provider="generic", model="m", api_url=words[0]), {})
        with pytest.raises(EngineError, match="HTTP 429"):
            await anext(llm.stream([ChatMessage("user", "Hi")]))
        await llm.aclose()


@pytest.mark.parametrize(
    "options", [("--ending", "think-tags"), ("--ending", "bom"), ("--strict", "no-system")]
)
async def test_openai_is_like_other_servers_on_request(options: tuple[str, str]) -> None:
    chat = [ChatMessage("system", "Be brief."), ChatMessage("user", "Hi")]
    async with running("openai", "--port", "0", "--text", "Good evening.", *options) as words:
        llm = build_llm(LlmSettings(provider="generic", model="m", api_url=words[0]), {})
        text = "".join([text async for text in llm.stream(chat)])
        assert text.split() == ["Good", "evening."]
        await llm.aclose()
