"""`serve run`, Serve's Python proxy, and providers in place of the local models."""

import asyncio
import sys
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from serve_app.client.session import converse
from serve_app.client.speech import trim
from serve_app.fakes import elevenlabs as elevenlabs_server
from serve_app.fakes import openai as openai_server
from serve_app.ingress.page import WEB
from serve_app.protocol.formats import parse_format
from serve_app.protocol.messages import EVENTS
from tests.agent.chains import DOWN
from tests.serve.conftest import START_S, Server, config_with, free_port, running, running_server
from tests.speech import clip

pytestmark = [pytest.mark.serve, pytest.mark.models, pytest.mark.timeout(300)]

STORY = [f"word{i} " for i in range(60)] + ["end."]


@pytest.fixture
async def providers() -> AsyncIterator[
    tuple[openai_server.FakeOpenAi, elevenlabs_server.FakeElevenLabs]
]:
    llm = openai_server.Script(pieces=["Well, ", "hello ", "there. ", *STORY], piece_delay_s=0.1)
    async with (
        openai_server.FakeOpenAi(llm) as openai,
        elevenlabs_server.FakeElevenLabs() as elevenlabs,
    ):
        yield openai, elevenlabs


@pytest.fixture
def environment(
    providers: tuple[openai_server.FakeOpenAi, elevenlabs_server.FakeElevenLabs],
) -> dict[str, str]:
    openai, elevenlabs = providers
    return {
        "OPENAI_API_KEY": "sk-test",
        "TEXT_GENERATION_API_URL": openai.url,
        "ELEVEN_LABS_API_KEY": "el-test",
        "ELEVEN_LABS_API_URL": elevenlabs.url,
        "RAY_SERVE_ENABLE_HA_PROXY": "0",
    }


async def test_serve_run_with_providers(
    tmp_path: Path,
    providers: tuple[openai_server.FakeOpenAi, elevenlabs_server.FakeElevenLabs],
    environment: dict[str, str],
) -> None:
    """The keys choose the providers, and an interrupt frees both of them."""
    openai, elevenlabs = providers
    port = free_port()
    command = [
        str(Path(sys.executable).with_name("serve")), "run", str(config_with(tmp_path, port)),
    ]  # fmt: skip
    server = running(command, port, "Submitted deploy config successfully", environment)
    started = await asyncio.to_thread(server.__enter__)
    try:
        await _answers(started)
        await asyncio.to_thread(_has_a_page, started)
        await _interrupted(started, openai, elevenlabs)
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)


# tests/agent/llm/test_chain.py and tests/agent/tts/test_chain.py have the chains,
# tests/agent/test_proxies.py the proxy that is gone around.
@pytest.mark.slow
async def test_a_dead_provider_is_replaced_by_the_next(
    tmp_path: Path,
    providers: tuple[openai_server.FakeOpenAi, elevenlabs_server.FakeElevenLabs],
) -> None:
    """Nothing listens at the address of the first chat model and the first voice. Nor does it at
    that of the proxy in the environment, which is not for calls on this machine."""
    openai, elevenlabs = providers
    port = free_port()
    openai.script = openai_server.Script(["I am ", "the other one."])
    dead = {"provider": "generic", "model": "m", "api_url": DOWN}
    agent = {
        "llm": dead,
        "llm_fallbacks": [{**dead, "api_url": openai.url}],
        "tts": {**dead, "voice": "v"},
        "tts_fallbacks": [{"provider": "elevenlabs", "api_url": elevenlabs.url}],
    }
    config = config_with(tmp_path, port, agent=agent)
    proxies = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    environment = {"ELEVEN_LABS_API_KEY": "el-test"} | dict.fromkeys(proxies, "http://127.0.0.1:9")
    server = running_server(config, port, environment)
    started = await asyncio.to_thread(server.__enter__)
    try:
        assert f"llm 2 openai api, {openai.url}" in " ".join(started.output.split())
        async with converse(started.url, parse_format("pcm_44100")) as session:
            await session.open("Be brief.", EVENTS)
            await session.next("audio")
            said = await session.next("transcript")
            assert said.fields["text"].strip() == "I am the other one."
        assert elevenlabs.texts
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)


async def _answers(server: Server) -> None:
    """`serve run` with a file does not say when the application is ready, so this asks it."""
    async with asyncio.timeout(START_S):
        while True:
            try:
                await asyncio.to_thread(server.healthz)
                return
            except OSError:
                await asyncio.sleep(0.5)


def _has_a_page(server: Server) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/", timeout=10) as answer:
        assert answer.read() == (WEB / "index.html").read_bytes()


async def _interrupted(
    server: Server,
    openai: openai_server.FakeOpenAi,
    elevenlabs: elevenlabs_server.FakeElevenLabs,
) -> None:
    async with converse(server.url, parse_format("pcm_44100")) as session:
        await session.open("Tell stories.", EVENTS)
        await session.next("audio")
        (request,), (connection,) = openai.requests, elevenlabs.connections
        assert request.headers["authorization"] == "Bearer sk-test"
        assert request.body["messages"][0] == {"role": "system", "content": "Tell stories."}
        assert connection.headers["xi-api-key"] == "el-test"
        assert connection.query["output_format"] == "pcm_22050"
        await session.say(trim(clip("go_forward")))
        await session.next("interrupt")
        async with asyncio.timeout(5):
            await request.disconnected.wait()
            (context,) = connection.contexts.values()
            await context.closed.wait()
