"""HTTP statuses mean the same, whichever provider answers and over whichever transport."""

import pickle
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from serve_app.agent.factory import build_llm, build_tts
from serve_app.agent.http_refusals import refusal
from serve_app.agent.tts.elevenlabs.refusals import refused, reported
from serve_app.conversation.history import ChatMessage
from serve_app.errors import EngineError, EngineRefused, EngineUnavailable
from serve_app.fakes.elevenlabs import FakeElevenLabs
from serve_app.fakes.elevenlabs import Script as VoiceScript
from serve_app.fakes.elevenlabs_http import FakeElevenLabsHttp
from serve_app.fakes.openai import FakeOpenAi, SpeechScript
from serve_app.fakes.openai import Script as ChatScript
from serve_app.settings.agent import LlmSettings, TtsSettings
from tests.agent.tts.eleven import say

STATUSES = {
    400: EngineError,
    401: EngineRefused,
    402: EngineRefused,
    403: EngineRefused,
    404: EngineRefused,
    408: EngineUnavailable,
    409: EngineError,
    422: EngineError,
    429: EngineUnavailable,
    500: EngineUnavailable,
    503: EngineUnavailable,
}
KEY = {"KEY": "hush"}

Reply = AsyncGenerator[Any, None]


@asynccontextmanager
async def chat(status: int) -> AsyncIterator[Reply]:
    async with FakeOpenAi(ChatScript(status=status)) as server:
        settings = LlmSettings(provider="openai", api_url=server.url, api_key_variable="KEY")
        llm = build_llm(settings, KEY)
        yield llm.stream([ChatMessage("user", "Hello.")])
        await llm.aclose()


@asynccontextmanager
async def speech(status: int) -> AsyncIterator[Reply]:
    async with (
        FakeOpenAi(speech=SpeechScript(status=status)) as server,
        voice(server.url, provider="openai", model="m") as reply,
    ):
        yield reply


@asynccontextmanager
async def elevenlabs(status: int, transport: str) -> AsyncIterator[Reply]:
    kind = FakeElevenLabsHttp if transport == "http" else FakeElevenLabs
    async with (
        kind(VoiceScript(status=status)) as server,
        voice(server.url, provider="elevenlabs", transport=transport) as reply,
    ):
        yield reply


@asynccontextmanager
async def voice(url: str, **settings: object) -> AsyncIterator[Reply]:
    given = {"api_url": url, "api_key_variable": "KEY", **settings}
    tts = build_tts(TtsSettings.model_validate(given), KEY)
    yield tts.speak(say("Hello."))
    await tts.aclose()


PROVIDERS: dict[str, tuple[str, Callable[[int], AbstractAsyncContextManager[Reply]]]] = {
    "chat": ("llm", chat),
    "speech": ("tts", speech),
    "elevenlabs multi-context": ("tts", lambda status: elevenlabs(status, "multi-context")),
    "elevenlabs stream-input": ("tts", lambda status: elevenlabs(status, "stream-input")),
    "elevenlabs http": ("tts", lambda status: elevenlabs(status, "http")),
}


@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
@pytest.mark.parametrize(("stage", "reply"), PROVIDERS.values(), ids=PROVIDERS)
async def test_a_status_means_the_same_to_each_provider(
    stage: str,
    reply: Callable[[int], AbstractAsyncContextManager[Reply]],
    status: int,
    kind: type[EngineError],
) -> None:
    async with reply(status) as parts:
        with pytest.raises(EngineError) as caught:
            await anext(parts)
    error = caught.value
    assert type(error) is kind
    assert error.stage == stage
    if reply.__name__ == "<lambda>" and status in (402, 403, 404):  # ElevenLabs
        assert error.message.startswith(f"HTTP {status}: ")
    else:
        hint = ": check KEY" if status in (401, 403) else ""
        assert error.message == f"HTTP {status}{hint}"
    assert error.retryable == (kind is EngineUnavailable)


def test_a_code_is_shown_if_it_looks_like_one() -> None:
    assert refusal("llm", 429, "KEY", "insufficient_quota").message == "HTTP 429 insufficient_quota"
    assert refusal("llm", 401, "KEY", "bad_key").message == "HTTP 401 bad_key: check KEY"
    assert refusal("llm", 400, "KEY", "My secret is 4711.").message == "HTTP 400"
    error = refusal("tts", 404, "KEY")
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == "tts: HTTP 404"


SAID = ["rosebud", "Rosebud", "mary-jane", "rosebud.com", "RoseBud"]


@pytest.mark.parametrize("code", [*SAID, "sk-4711abcd", "sk_0f3ab91c", "a_b" * 30])
def test_neither_a_word_that_was_said_nor_a_key_is_a_code(code: str) -> None:
    """A server that answers with a piece of the request in place of a code."""
    assert code not in refusal("llm", 400, "KEY", code, code).message
    assert code not in reported(code, "KEY", "").message
    assert code not in refused(429, {"detail": {"code": code}}, "KEY").message


@pytest.mark.parametrize("code", ["DeploymentNotFound", "3051", "length", "model_not_found"])
def test_codes_of_real_servers_are_shown(code: str) -> None:
    assert code in refusal("llm", 400, "KEY", code).message
