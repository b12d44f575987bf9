"""Nobody that is asked can send words or keys on to another host. ElevenLabs has a test of its
own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from serve_app.agent.factory import build_llm, build_tts
from serve_app.agent.tools.http_tool import HttpTool
from serve_app.agent.tools.mcp_server import McpServer
from serve_app.conversation.history import ChatMessage
from serve_app.errors import EngineError
from serve_app.fakes.http import HttpFake, Request, response, write
from serve_app.settings.agent import LlmSettings, McpServerSettings, TtsSettings
from tests.agent.tools.local import rome, spec, toolbox
from tests.agent.tts.eleven import say

KEY = {"KEY": "hush"}


class Elsewhere(HttpFake):
    """Must not be reached."""

    async def answer(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        await write(writer, response(200, b"{}"))
        return True


class Redirects(HttpFake):
    """Sends everybody on, with the method and the body."""

    def __init__(self, to: str) -> None:
        super().__init__(0)
        self._to = to

    async def answer(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        head = f"HTTP/1.1 307 -\r\nlocation: {self._to}{request.path}\r\ncontent-length: 0\r\n\r\n"
        await write(writer, head.encode())
        return True


@dataclass
class Hosts:
    asked: Redirects
    elsewhere: Elsewhere

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.asked.port}/v1"


@pytest.fixture
async def hosts() -> AsyncIterator[Hosts]:
    async with AsyncExitStack() as stack:
        elsewhere = await stack.enter_async_context(Elsewhere(0))
        # Another name of the same machine, as another host would have.
        asked = Redirects(f"http://localhost:{elsewhere.port}")
        yield Hosts(await stack.enter_async_context(asked), elsewhere)


async def chat(url: str) -> None:
    llm = build_llm(LlmSettings(provider="generic", model="m", api_url=url), KEY)
    try:
        with pytest.raises(EngineError, match="307"):
            await anext(llm.stream([ChatMessage("user", "Hello.")]))
    finally:
        await llm.aclose()


async def speech(url: str) -> None:
    given = {"provider": "generic", "model": "m", "voice": "v", "api_url": url}
    tts = build_tts(TtsSettings.model_validate({**given, "api_key_variable": "KEY"}), KEY)
    try:
        with pytest.raises(EngineError, match="307"):
            await anext(tts.speak(say("Hello.")))
    finally:
        await tts.aclose()


async def http_tool(url: str) -> None:
    tools = toolbox(HttpTool(spec("weather"), url, "hush", 1000))
    (result,) = await tools.call_all([rome("weather")])
    await tools.aclose()
    assert "307" in result


async def mcp_server(url: str) -> None:
    """Never gets as far as a list of tools."""
    settings = McpServerSettings(name="far", url=url, api_key_variable="KEY")
    server = McpServer(settings, KEY)
    try:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(server.is_listed.wait(), 1.0)
    finally:
        await server.aclose()


@pytest.mark.parametrize("ask", [chat, speech, http_tool, mcp_server])
async def test_a_redirect_to_another_host_is_not_followed(
    hosts: Hosts, ask: Callable[[str], Awaitable[None]]
) -> None:
    await ask(hosts.url)
    assert hosts.asked.requests
    assert not hosts.elsewhere.requests
