"""A server of tools that speaks the Model Context Protocol."""

import asyncio
import json
import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext, suppress
from pathlib import Path
from typing import Any, TextIO

from httpx2 import AsyncClient, Timeout
from mcp import Client, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent, Tool

from serve_app.agent.llm.tool_calls import ToolSpec
from serve_app.agent.tools.base import ToolSource
from serve_app.errors import ToolFailed
from serve_app.outline import shows_texts
from serve_app.settings.agent import McpServerSettings
from serve_app.settings.tool_schema import checked_schema

log = logging.getLogger(__name__)
_MCPS_LOGGERS = ("mcp", "client")
"""Of mcp 2's client. They log messages that are not understood, and so what tools are asked."""

_ANSWER_S = 30.0
"""A server that has just started may take long to load. Calls have their own deadline."""
_LOOK_S = 60.0
"""How often the server is asked for its tools, which also shows whether it is still there."""
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
"""Between attempts to connect. Each pause is twice the one before, until a connection lasts."""
_STREAM_TIMEOUT_S = 300.0
"""How long a stream of streamable HTTP may be silent. This is mcp's own default."""
_MAX_PAGES = 100
_CLOSE_TIMEOUT_S = 8.0
"""mcp kills a process that does not end within 4 s."""
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]")


class McpServer(ToolSource):
    """Keeps a connection, and connects again when it is lost. Without a connection it offers no
    tools."""

    def __init__(self, settings: McpServerSettings, env: Mapping[str, str]) -> None:
        """Connects in its own task, so it needs a running event loop."""
        for name in () if shows_texts() else _MCPS_LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._settings = settings
        self._env = env
        self._client: Client | None = None
        self._tools: dict[str, str] = {}
        self._said: tuple[str, ...] = ()
        self.specs: Sequence[ToolSpec] = ()
        self.is_listed = asyncio.Event()
        """Set while the server is connected and its tools are known."""
        self._look = asyncio.Event()
        self._is_closing = False
        # One task has to both enter and leave a connection.
        self._owner = asyncio.create_task(self._stay_connected())

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """See ToolSource. Of results that are not text only the type is mentioned."""
        if self._client is None:
            raise ToolFailed("the server of this tool is away")
        try:
            result = await self._client.call_tool(self._tools[name], dict(arguments))
        except Exception as error:
            self._look.set()
            raise ToolFailed(f"the server of this tool failed ({type(error).__name__})") from error
        if result.is_error:
            raise ToolFailed(_text(result))
        return _text(result)

    async def aclose(self) -> None:
        """Ends the connection, and the server if it was started here."""
        self._is_closing = True
        self._look.set()
        if self._client is not None:
            await asyncio.wait({self._owner}, timeout=_CLOSE_TIMEOUT_S)
        self._owner.cancel()
        await asyncio.gather(self._owner, return_exceptions=True)

    async def _stay_connected(self) -> None:
        clock = asyncio.get_running_loop().time
        pause_s = _FIRST_PAUSE_S
        while not self._is_closing:
            began_s = clock()
            try:
                async with AsyncExitStack() as stack:
                    await self._use(await self._connect(stack))
            except Exception as error:
                log.warning("MCP server %s: %s", self._settings.name, _kind(error))
            self._withdraw()
            if clock() - began_s > _LONGEST_PAUSE_S:
                pause_s = _FIRST_PAUSE_S
            await self._pause(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _connect(self, stack: AsyncExitStack) -> Client:
        settings = self._settings
        if settings.command:
            program, *arguments = settings.command
            variables = {name: self._env[name] for name in settings.environment}
            server = StdioServerParameters(command=program, args=arguments, env=variables)
            transport = stdio_client(server, stack.enter_context(_stderr()))
            client = Client(transport, read_timeout_seconds=_ANSWER_S)
        else:
            key = self._env.get(settings.api_key_variable, "")
            http = AsyncClient(
                headers={"authorization": f"Bearer {key}"} if key else None,
                timeout=Timeout(_ANSWER_S, read=_STREAM_TIMEOUT_S),
            )
            await stack.enter_async_context(http)
            transport = streamable_http_client(settings.url, http_client=http)
            client = Client(transport, read_timeout_seconds=_ANSWER_S)
        return await stack.enter_async_context(client)

    async def _use(self, client: Client) -> None:
        """Returns when the server is not needed any more; raises when it does not answer."""
        while not self._is_closing:
            self._offer(await _listed(client))
            self._client = client
            self.is_listed.set()
            await self._pause(_LOOK_S)

    async def _pause(self, seconds: float) -> None:
        """Ends early if the server is to be checked or closed."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._look.wait(), seconds)
        if not self._is_closing:
            self._look.clear()

    def _offer(self, tools: Sequence[Tool]) -> None:
        allowed = self._settings.tools
        specs: dict[str, ToolSpec] = {}
        self._tools = {}
        for tool in tools:
            if allowed and tool.name not in allowed:
                continue
            name = _NOT_IN_A_NAME.sub("_", tool.name)[:64]
            try:
                schema = checked_schema(tool.input_schema)
            except ValueError as error:
                log.warning("MCP server %s: tool %s: %s", self._settings.name, name, error)
                continue
            self._tools[name] = tool.name
            specs[name] = ToolSpec(name, tool.description or "", schema)
        self._say_what_is_offered(tuple(specs))
        self.specs = tuple(specs.values())

    def _say_what_is_offered(self, names: tuple[str, ...]) -> None:
        """A server may have more tools tomorrow. Without a list of those that are wanted, its owner
        is told what the LLM may call, whenever that changes."""
        if names != self._said and not self._settings.tools:
            all_of_them = (
                "MCP server %s: the LLM may call all of its tools (%s): `tools` limits them"
            )
            log.warning(all_of_them, self._settings.name, ", ".join(names))
        self._said = names

    def _withdraw(self) -> None:
        self._client = None
        self.specs = ()
        self.is_listed.clear()


def _stderr() -> AbstractContextManager[TextIO]:
    """Of a server that is started here. It would be in Ray's logs, and may quote what it was
    asked."""
    return nullcontext(sys.stderr) if shows_texts() else Path(os.devnull).open("w")


async def _listed(client: Client) -> list[Tool]:
    """All tools, page by page. Raises if the server does not answer."""
    tools: list[Tool] = []
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        page = await client.list_tools(cursor=cursor, cache_mode="refresh")
        tools += page.tools
        cursor = page.next_cursor
        if cursor is None:
            break
    return tools


def _text(result: CallToolResult) -> str:
    texts = [
        block.text if isinstance(block, TextContent) else f"({block.type})"
        for block in result.content
    ]
    if not texts and result.structured_content is not None:
        return json.dumps(result.structured_content)
    return "\n".join(texts)


def _kind(error: Exception) -> str:
    """The type of the error, which anyio may have put into groups."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return type(error).__name__
