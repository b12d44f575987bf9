"""`echo-serve doctor` finds what would keep a server from running, and says what to do."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from serve_app.cli import main
from serve_app.fakes.elevenlabs import FakeElevenLabs
from serve_app.fakes.elevenlabs import Script as VoiceScript
from serve_app.fakes.openai import FakeOpenAi, Script
from serve_app.local.doctor import Finding, Level, examine
from serve_app.local.server import HAPROXY_PORTS

pytestmark = pytest.mark.asyncio


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Free ports, and an empty cache."""
    monkeypatch.setenv("ECHO_CACHE_DIR", str(tmp_path / "cache"))
    return {"RAY_SERVE_ENABLE_HA_PROXY": "1"} | {n: str(free_port()) for n in HAPROXY_PORTS}


def config(folder: Path, port: int | None = None, **args: object) -> Path:
    path = folder / "serve.yaml"
    http = {"port": port or free_port()}
    path.write_text(yaml.safe_dump({"http_options": http, "applications": [{"args": args}]}))
    return path


async def findings(path: Path, env: dict[str, str], subject: str) -> list[Finding]:
    found = await asyncio.to_thread(lambda: list(examine(path, env)))
    return [finding for finding in found if finding.subject == subject]


async def test_models_that_are_not_cached_are_named(tmp_path: Path, env: dict[str, str]) -> None:
    found = await findings(config(tmp_path), env, "model")
    assert "whisper-tiny.en is not in the cache" in [finding.text for finding in found]
    assert {finding.level for finding in found} == {Level.NOTE}


async def test_a_port_in_use_is_wrong(tmp_path: Path, env: dict[str, str]) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        (first, *others) = await findings(config(tmp_path, port), env, "port")
    assert first.level is Level.WRONG and f"port {port} is in use by process" in first.text
    assert "move it with http_options.port" in first.advice
    assert {finding.level for finding in others} == {Level.OK}


async def test_a_wrong_setting_ends_the_examination(tmp_path: Path, env: dict[str, str]) -> None:
    path = config(tmp_path, stt={"modle": "x"})
    (found,) = await findings(path, env, "settings")
    assert found.level is Level.WRONG and "args.stt.modle is not a setting" in found.text
    assert not await findings(path, env, "port")


async def test_each_provider_is_asked_once(tmp_path: Path, env: dict[str, str]) -> None:
    async with FakeOpenAi() as llm, FakeElevenLabs() as voice:
        env |= {"OPENAI_API_KEY": "k", "TEXT_GENERATION_API_URL": llm.url}
        env |= {"ELEVEN_LABS_API_KEY": "k", "ELEVEN_LABS_API_URL": voice.url}
        path = config(tmp_path)
        (wrote,) = await findings(path, env, "LLM")
        assert len(llm.requests) == 1
        (spoke,) = await findings(path, env, "voice")
    assert wrote.level is Level.OK and "first word after" in wrote.text
    assert spoke.level is Level.OK and "first audio after" in spoke.text


async def test_a_key_that_is_refused_is_named(tmp_path: Path, env: dict[str, str]) -> None:
    refusing = Script(status=401)
    async with FakeOpenAi(refusing) as llm, FakeElevenLabs(VoiceScript(status=401)) as voice:
        env |= {"OPENAI_API_KEY": "k", "TEXT_GENERATION_API_URL": llm.url}
        env |= {"ELEVEN_LABS_API_KEY": "k", "ELEVEN_LABS_API_URL": voice.url}
        path = config(tmp_path)
        (wrote,) = await findings(path, env, "LLM")
        (spoke,) = await findings(path, env, "voice")
    assert wrote.level is spoke.level is Level.WRONG
    assert "OPENAI_API_KEY" in wrote.text and "ELEVEN_LABS_API_KEY" in spoke.text


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("0.0.0.0", 0)) as server:
        yield server.getsockname()[1]


async def test_the_command_fails_if_something_is_wrong(
    tmp_path: Path,
    env: dict[str, str],
    taken: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    command = ["doctor", "--config", str(config(tmp_path, taken))]
    assert await asyncio.to_thread(main, command) == 1
    lines = capsys.readouterr().out.splitlines()
    (at,) = [i for i, line in enumerate(lines) if f"port {taken} is in use" in line]
    assert lines[at].startswith("wrong") and "move it with" in lines[at + 1]
    assert await asyncio.to_thread(main, ["doctor", "--config", str(config(tmp_path))]) == 0
