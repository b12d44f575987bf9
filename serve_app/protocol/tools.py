"""Tools that a client runs: what it says of them in JSON, checked. In the shape of OpenAI's
function definitions, which is that of `args.agent.tools`, too."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

MOST_TOOLS: Final = 64
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What OpenAI's API takes."""
_NO_PARAMETERS: Final = {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True)
class Tool:
    """What a model is told about one."""

    name: str
    description: str
    parameters: str
    """JSON schema of the arguments, which are an object: as JSON, since it only passes through."""


def tools_of(found: object, most_bytes: int) -> tuple[Tool, ...]:
    """Raises ValueError, which says what is wrong. `most_bytes`: of all of them."""
    if not isinstance(found, list) or len(found) > MOST_TOOLS:
        raise ValueError(f"it has to be a list of at most {MOST_TOOLS} tools")
    tools = tuple(_tool(number, one) for number, one in enumerate(found))
    if len({tool.name for tool in tools}) < len(tools):
        raise ValueError("two tools have the same name")
    if sum(map(_size, tools)) > most_bytes:
        raise ValueError(f"all of them have more than {most_bytes} bytes")
    return tools


def tools_in(text: str, most_bytes: int) -> tuple[Tool, ...]:
    """The same from JSON; none in an empty text."""
    if not text:
        return ()
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("it is not valid JSON") from None
    return tools_of(found, most_bytes)


def shown(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """As OpenAI's protocol has them."""
    return [
        {
            "type": "function",
            "name": tool.name,
            "description": tool.description,
            "parameters": json.loads(tool.parameters),
        }
        for tool in tools
    ]


def _tool(number: int, found: object) -> Tool:
    if not isinstance(found, dict):
        raise ValueError(f"[{number}] has to be an object")
    if found.get("type", "function") != "function":
        raise ValueError(f"[{number}].type: only function is possible")
    name, description = found.get("name"), found.get("description") or ""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"[{number}].name has to be 1 to 64 letters, digits, _ and -")
    if not isinstance(description, str):
        raise ValueError(f"[{number}].description has to be a string")
    schema = found.get("parameters") or _NO_PARAMETERS
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise ValueError(f"[{number}].parameters has to be a JSON schema of the type object")
    return Tool(name, _unicode(number, description), _unicode(number, _json(number, schema)))


def _json(number: int, schema: dict[str, Any]) -> str:
    try:
        return json.dumps(schema, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        raise ValueError(f"[{number}].parameters is not JSON") from None


def _unicode(number: int, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"[{number}] is not Unicode: half of a character is missing") from None
    return text


def _size(tool: Tool) -> int:
    return sum(len(part.encode()) for part in (tool.name, tool.description, tool.parameters))
