"""An MCP server that breaks the protocol and quotes what it was asked while it does:
`python -m tests.agent.tools.mcp_chatty`."""

import sys

from mcp.server.mcpserver import MCPServer

server = MCPServer("chatty")


@server.tool()
def gossip(secret: str) -> str:
    """Says it again."""
    print(f"not JSON: {secret}", flush=True)
    print('{"jsonrpc": "2.0", "method": "notifications/progress", "params": {"x": "%s"}}' % secret)
    sys.stdout.flush()
    return f"I told nobody about {secret}."


if __name__ == "__main__":
    server.run("stdio")
