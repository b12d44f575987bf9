"""Real MCP servers, by stdio and by streamable HTTP."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.agent.llm.tool_calls import ToolCall
from serve_app.agent.tools.mcp_server import McpServer
from serve_app.agent.tools.toolbox import Toolbox
from serve_app.settings.agent import McpServerSettings
from tests.agent.tools import mcp_weather
from tests.agent.tools.local import DEADLINE_S, no_task_is_left, rome, serving, toolbox

COMMAND = (sys.executable, "-m", "tests.agent.tools.mcp_weather")
STDIO = {"name": "weather", "command": COMMAND}

pytestmark = pytest.mark.timeout(60)


@asynccontextmanager
async def connected(
    settings: Mapping[str, Any], env: Mapping[str, str] | None = None, **use: object
) -> AsyncIterator[tuple[Toolbox, McpServer]]:
    server = McpServer(McpServerSettings.model_validate(settings), env or {})
    tools = toolbox(server, **use)
    try:
        async with asyncio.timeout(2 * DEADLINE_S):
            await server.is_listed.wait()
        yield tools, server
    finally:
        await tools.aclose()


def started_servers() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if "tests.agent.tools.mcp_weather" in child.cmdline()
    ]


async def test_tools_of_a_server_that_was_started() -> None:
    settings = {**STDIO, "environment": ["STATION"]}
    async with connected(settings, {"STATION": "Ciampino", "SECRET": "4711"}) as (tools, _):
        assert [spec.name for spec in tools.specs] == [
            "forecast", "air_quality", "storm", "climate", "quit_at_once",
        ]  # fmt: skip
        assert tools.specs[0].description == "The weather of the next days."
        assert tools.specs[0].parameters["required"] == ["city"]
        results = await tools.call_all([rome("forecast"), rome("air_quality")])
        assert results[0] == "Rome: clear for 1 days, says Ciampino"
        assert '"quality": 4' in results[1]
        assert len(started_servers()) == 1
    assert not started_servers()


async def test_only_the_tools_that_are_allowed() -> None:
    async with connected({**STDIO, "tools": ["air.quality"]}) as (tools, _):
        assert [spec.name for spec in tools.specs] == ["air_quality"]
        assert await tools.call_all([rome("forecast")]) == ("Error: there is no such tool",)


async def test_what_goes_wrong_is_a_result() -> None:
    async with connected(STDIO, timeout_s=1.0) as (tools, server):
        wrong = ToolCall("1", "forecast", '{"city": "Rome", "days": "many"}')
        slow = ToolCall("2", "climate", "{}")
        results = await tools.call_all([wrong, rome("storm"), slow])
        assert results[0] == "Error: wrong arguments: $.days: 'many' is not of type 'integer'"
        assert results[1].startswith("Error: ")
        assert "no such city: Rome" in results[1]
        assert results[2] == "Error: no result within 1 s"
        assert server.is_listed.is_set()
        (result,) = await tools.call_all([rome("forecast")])
        assert result.startswith("Rome: clear")
    assert tools.running == 0


async def test_a_server_that_dies_is_started_again() -> None:
    async with connected(STDIO) as (tools, server):
        (result,) = await tools.call_all([ToolCall("1", "quit_at_once", "{}")])
        assert result.startswith("Error: the server of this tool failed")
        async with asyncio.timeout(2 * DEADLINE_S):
            while not (result.startswith("Rome: clear")):
                await server.is_listed.wait()
                (result,) = await tools.call_all([rome("forecast")])
    assert not started_servers()


async def test_a_server_that_is_not_there_offers_nothing() -> None:
    server = McpServer(McpServerSettings(name="none", command=("no-such-program",)), {})
    tools = toolbox(server)
    assert await tools.call_all([rome("forecast")]) == ("Error: there is no such tool",)
    assert tools.specs == ()
    async with asyncio.timeout(DEADLINE_S):
        await tools.aclose()
    assert await no_task_is_left()


async def test_a_server_that_never_answers_is_ended(tmp_path: Path) -> None:
    os.mkfifo(here := tmp_path / "here")
    program = "import sys, time; open(sys.argv[1], 'w').close(); time.sleep(60)"
    command = (sys.executable, "-c", program, str(here))
    others = psutil.Process().children()
    server = McpServer(McpServerSettings(name="mute", command=command), {})
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.to_thread(here.read_bytes)  # ends when the program runs
        (child,) = (child for child in psutil.Process().children() if child not in others)
        await server.aclose()
    assert not child.is_running()
    assert await no_task_is_left()


async def test_a_server_by_its_address() -> None:
    seen: list[Mapping[bytes, bytes]] = []
    app = _recording(mcp_weather.server.streamable_http_app(), seen)
    async with serving(app) as url:
        settings = {"name": "weather", "url": f"{url}/mcp", "api_key_variable": "WEATHER_KEY"}
        async with connected(settings, {"WEATHER_KEY": "secret"}) as (tools, _):
            (result,) = await tools.call_all([rome("forecast")])
            assert result == "Rome: clear for 1 days, says nobody"
    assert all(headers[b"authorization"] == b"Bearer secret" for headers in seen)
    assert seen


def _recording(app: ASGIApp, seen: list[Mapping[bytes, bytes]]) -> ASGIApp:
    async def recording(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            seen.append(dict(scope["headers"]))
        await app(scope, receive, send)

    return recording


async def test_what_a_tool_is_asked_is_in_no_log(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A server that quotes it on stderr, between the messages, and in messages that are wrong."""
    command = (sys.executable, "-m", "tests.agent.tools.mcp_chatty")
    async with connected({"name": "chatty", "command": command}) as (tools, _):
        call = ToolCall("1", "gossip", '{"secret": "rosebud"}')
        assert await tools.call_all([call]) == ("I told nobody about rosebud.",)
    assert "rosebud" not in caplog.text + "".join(capfd.readouterr())


@pytest.mark.parametrize(("listed", "is_said"), [([], True), (["forecast"], False)])
async def test_what_the_llm_may_call_is_said_unless_it_is_listed(
    listed: list[str], is_said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected({**STDIO, "tools": listed}) as (tools, _):
        assert {spec.name for spec in tools.specs} >= {"forecast"}
    told = "the LLM may call all of its tools (forecast, air_quality, storm, climate, quit_at_once)"
    assert caplog.text.count(told) == is_said
