"""An MCP server that quotes what it was asked everywhere: where only messages belong, in messages
that break the protocol, and on stderr. `python -m tests.agent.tools.mcp_chatty`."""

import json
import sys
from typing import Any

VERSION = "2025-06-18"
SCHEMA = {"type": "object", "properties": {"secret": {"type": "string"}}}
GOSSIP = {"name": "gossip", "description": "Says it again.", "inputSchema": SCHEMA}


def send(**fields: Any) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **fields}) + "\n")
    sys.stdout.flush()


def gossip(secret: str) -> dict[str, Any]:
    sys.stderr.write(f"asked about {secret}\n")
    sys.stdout.write(f"not JSON: {secret}\n")
    send(method="notifications/progress", params={"x": secret})
    send(method=f"notifications/{secret}", params={})
    return {"content": [{"type": "text", "text": f"I told nobody about {secret}."}]}


def result_of(request: dict[str, Any]) -> dict[str, Any]:
    match request["method"]:
        case "initialize":
            about = {"name": "chatty", "version": "1"}
            capabilities: dict[str, Any] = {"tools": {}}
            return {"protocolVersion": VERSION, "capabilities": capabilities, "serverInfo": about}
        case "tools/list":
            return {"tools": [GOSSIP]}
        case "tools/call":
            return gossip(request["params"]["arguments"]["secret"])
        case _:
            return {}


if __name__ == "__main__":
    for line in sys.stdin:
        asked = json.loads(line)
        if "id" in asked:
            send(id=asked["id"], result=result_of(asked))
