"""Replies of OpenAiChat from a server on this machine."""

import pickle
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from serve_app.agent.llm.openai_chat import OpenAiChat
from serve_app.conversation.history import ChatMessage
from serve_app.errors import EngineError
from serve_app.fakes.openai import FakeOpenAi, Script
from serve_app.settings.agent import LlmSettings

CHAT = [ChatMessage("system", "Be brief."), ChatMessage("user", "My secret is 4711.")]
KEY = "sk-hush"


def chat_model(url: str, **settings: object) -> OpenAiChat:
    given: dict[str, object] = {"provider": "generic", "model": "m", "api_url": url, **settings}
    return OpenAiChat(LlmSettings.model_validate(given), KEY)


@asynccontextmanager
async def answering(
    script: Script | None = None, **settings: object
) -> AsyncIterator[tuple[OpenAiChat, FakeOpenAi]]:
    async with FakeOpenAi(script) as server:
        llm = chat_model(server.url, **settings)
        try:
            yield llm, server
        finally:
            await llm.aclose()


async def collect(stream: AsyncGenerator[str, None], into: list[str]) -> None:
    async for piece in stream:
        into.append(piece)  # noqa: PERF401 - an error must not lose what came before


async def said(
    script: Script, chat: Sequence[ChatMessage] = CHAT, **settings: object
) -> tuple[str, FakeOpenAi]:
    """The whole reply, and the server that has given it."""
    pieces: list[str] = []
    async with answering(script, **settings) as (llm, server):
        await collect(llm.stream(chat), pieces)
    return "".join(pieces), server


async def fails(script: Script, **settings: object) -> tuple[list[str], EngineError]:
    """What the reply gave, and the error that ended it."""
    pieces: list[str] = []
    async with answering(script, **settings) as (llm, _):
        with pytest.raises(EngineError) as caught:
            await collect(llm.stream(CHAT), pieces)
    message = str(pickle.loads(pickle.dumps(caught.value)))
    assert message == str(caught.value)
    assert caught.value.stage == "llm"
    assert "4711" not in message
    assert KEY not in message
    return pieces, caught.value
