"""Tools for the tests: functions, HTTP endpoints, servers."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from serve_app.agent.llm.tool_calls import ToolCall, ToolSpec
from serve_app.agent.tools.base import ToolSource
from serve_app.agent.tools.toolbox import Toolbox
from serve_app.settings.agent import ToolUseSettings

CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
NOTHING: dict[str, Any] = {"type": "object", "properties": {}}
DEADLINE_S = 10.0


def spec(name: str, parameters: dict[str, Any] | None = None) -> ToolSpec:
    return ToolSpec(name, f"What {name} does.", parameters or CITY)


def rome(name: str) -> ToolCall:
    return ToolCall("call_1", name, '{"city": "Rome"}')


def toolbox(*sources: ToolSource, **settings: object) -> Toolbox:
    return Toolbox(sources, ToolUseSettings.model_validate(settings))


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """Serves an ASGI application on a real socket and yields its address."""
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:  # early clients wait
        running = asyncio.create_task(server.serve([listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await asyncio.wait_for(running, DEADLINE_S)


async def no_task_is_left() -> bool:
    """Whether all other tasks end soon. Some, such as the SDK's generators, are just ending."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    _, pending = await asyncio.wait(others, timeout=1.0) if others else (set(), set())
    return not pending


# --- functions, named in settings by their paths ---


def weather(city: str) -> dict[str, str]:
    return {"city": city, "sky": "clear"}


async def weather_soon(city: str) -> str:
    await asyncio.sleep(0)
    return f"Clear in {city}."


class Station:
    async def __call__(self, city: str) -> str:
        return await weather_soon(city)


def broken(city: str) -> str:
    raise ValueError(f"no such city: {city}")


NOT_A_FUNCTION = 3
