"""An MCP server for tests: `python -m tests.agent.tools.mcp_weather`."""

import asyncio
import os

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("weather")


@server.tool()
def forecast(city: str, days: int = 1) -> str:
    """The weather of the next days."""
    return f"{city}: clear for {days} days, says {os.environ.get('STATION', 'nobody')}"


@server.tool(name="air.quality")
def air_quality(city: str) -> dict[str, int]:
    """How good the air is, from 1 to 5."""
    return {"quality": len(city)}


@server.tool()
def storm(city: str) -> str:
    """Fails."""
    raise ToolError(f"no such city: {city}")


@server.tool()
async def climate() -> str:
    """Takes too long."""
    await asyncio.sleep(60)
    return "warmer"


@server.tool()
def quit_at_once() -> str:
    """The server is gone without a word."""
    os._exit(1)


if __name__ == "__main__":
    server.run("stdio")
