"""Providers outside, seen from a company's network: behind an HTTP proxy, and with a certificate
of the company's own (SSL_CERT_FILE)."""

import asyncio
import os
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from serve_app.agent.engines import LlmEngine, TtsEngine
from serve_app.agent.factory import build_llm, build_tts
from serve_app.agent.llm.tool_calls import ToolSpec
from serve_app.agent.tools.http_tool import HttpTool
from serve_app.conversation.history import ChatMessage
from serve_app.errors import EngineRefused
from serve_app.fakes.elevenlabs import FakeElevenLabs
from serve_app.fakes.elevenlabs_http import FakeElevenLabsHttp
from serve_app.fakes.openai import FakeOpenAi
from serve_app.local.proxies import go_around_proxies
from serve_app.settings.agent import LlmSettings, TtsSettings

HOST = "provider.example"
"""Nobody but the proxy can find it."""


class Proxy:
    """Takes CONNECT, as companies' proxies do, and ends the TLS of all that it lets through."""

    def __init__(self, certificate: ssl.SSLContext, port: int) -> None:
        self.asked: list[str] = []
        self._certificate, self._behind = certificate, port

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(request.split(b"\r\n")[0].decode())
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await writer.start_tls(self._certificate)
        from_provider, to_provider = await asyncio.open_connection("127.0.0.1", self._behind)
        ways = ((reader, to_provider), (from_provider, writer))
        await asyncio.gather(*(_pass_on(*way) for way in ways))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Of `HOST`, trusted because of SSL_CERT_FILE."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"),
            *("-keyout", "key.pem", "-out", "cert.pem"),
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    return context


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@asynccontextmanager
async def in_front_of(
    port: int, certificate: ssl.SSLContext, env: pytest.MonkeyPatch
) -> AsyncIterator[Proxy]:
    proxy = Proxy(certificate, port)
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
        env.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        yield proxy
        server.close()


async def reply_of(llm: LlmEngine) -> str:
    pieces = [piece async for piece in llm.stream([ChatMessage("user", "Hello!")])]
    await llm.aclose()
    return "".join(pieces)


async def audio_of(voice: TtsEngine) -> bytes:
    async def clauses() -> AsyncIterator[str]:
        yield "Hello there. "

    speeches = [speech async for speech in voice.speak(clauses())]
    await voice.aclose()
    return b"".join(speech.audio for speech in speeches)


async def test_an_llm(certificate: ssl.SSLContext, env: pytest.MonkeyPatch) -> None:
    settings = LlmSettings(provider="generic", model="m", api_url=f"https://{HOST}/v1")
    async with FakeOpenAi() as openai, in_front_of(openai.port, certificate, env) as proxy:
        assert await reply_of(build_llm(settings, {})) == "Hello there."
    assert proxy.asked == [f"CONNECT {HOST}:443 HTTP/1.1"]


async def test_speech_of_openai(certificate: ssl.SSLContext, env: pytest.MonkeyPatch) -> None:
    settings = TtsSettings(provider="generic", model="m", api_url=f"https://{HOST}/v1")
    async with FakeOpenAi() as openai, in_front_of(openai.port, certificate, env) as proxy:
        assert await audio_of(build_tts(settings, {}))
    assert proxy.asked == [f"CONNECT {HOST}:443 HTTP/1.1"]


@pytest.mark.parametrize("transport", ["", "multi-context", "stream-input", "http"])
async def test_a_certificate_that_nobody_trusts(
    transport: str, certificate: ssl.SSLContext, env: pytest.MonkeyPatch
) -> None:
    """`transport` is that of ElevenLabs; without one, an LLM is asked."""
    env.delenv("SSL_CERT_FILE")
    eleven = {"provider": "elevenlabs", "transport": transport, "api_url": f"https://{HOST}"}
    generic = LlmSettings(provider="generic", model="m", api_url=f"https://{HOST}/v1")
    async with FakeOpenAi() as server, in_front_of(server.port, certificate, env):
        with pytest.raises(EngineRefused, match="certificate is not trusted: SSL_CERT_FILE"):
            if transport:
                await audio_of(build_tts(TtsSettings.model_validate(eleven), {}))
            else:
                await reply_of(build_llm(generic, {}))


@pytest.mark.parametrize("transport", ["multi-context", "stream-input"])
async def test_elevenlabs(
    transport: str, certificate: ssl.SSLContext, env: pytest.MonkeyPatch
) -> None:
    settings = TtsSettings.model_validate(
        {"provider": "elevenlabs", "transport": transport, "api_url": f"wss://{HOST}"}
    )
    async with FakeElevenLabs() as eleven:
        port = int(eleven.url.rpartition(":")[2])
        async with in_front_of(port, certificate, env) as proxy:
            assert await audio_of(build_tts(settings, {}))
    assert proxy.asked == [f"CONNECT {HOST}:443 HTTP/1.1"]


async def test_elevenlabs_by_http(certificate: ssl.SSLContext, env: pytest.MonkeyPatch) -> None:
    settings = TtsSettings(provider="elevenlabs", transport="http", api_url=f"https://{HOST}")
    async with (
        FakeElevenLabsHttp() as eleven,
        in_front_of(eleven.port, certificate, env) as proxy,
    ):
        assert await audio_of(build_tts(settings, {}))
    assert proxy.asked == [f"CONNECT {HOST}:443 HTTP/1.1"]


async def test_a_tool(certificate: ssl.SSLContext, env: pytest.MonkeyPatch) -> None:
    spec = ToolSpec("weather", "The weather.", {"type": "object"})
    async with FakeOpenAi() as openai, in_front_of(openai.port, certificate, env) as proxy:
        tool = HttpTool(spec, f"https://{HOST}/v1/chat/completions", "", 1000)
        assert "Hello" in await tool.call("weather", {"messages": [{"content": "Hello!"}]})
        await tool.aclose()
    assert proxy.asked == [f"CONNECT {HOST}:443 HTTP/1.1"]


async def test_a_provider_of_this_machine_is_asked_without_the_proxy(
    env: pytest.MonkeyPatch,
) -> None:
    for name in ("no_grpc_proxy", "no_proxy", "NO_PROXY"):  # are unset again afterwards
        env.setenv(name, "")
    env.setenv("http_proxy", "http://127.0.0.1:9")
    go_around_proxies(os.environ)
    async with FakeOpenAi() as openai:
        settings = LlmSettings(provider="generic", model="m", api_url=openai.url)
        assert await reply_of(build_llm(settings, {})) == "Hello there."
