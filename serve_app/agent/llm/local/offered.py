"""What a chat model in this process makes of tools that it is offered. Has no clock."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from serve_app.agent.llm.call_text import CallText
from serve_app.agent.llm.local.written import Piece
from serve_app.agent.llm.thoughts import ThoughtFilter
from serve_app.agent.llm.tool_calls import CallAssembler, ToolCall, ToolCallDelta, ToolSpec

_JSON: Final = re.compile(r"\s*(\[\s*)?\{")
"""How a text begins that is a call of a tool that does not exist, or of none."""
_FENCE: Final = re.compile(r"\s*```\w*\s*")
"""What some models write before the JSON, as if it were code to show."""
_MAY_BE_FENCE: Final = re.compile(r"\s*(`{1,2}|```\w*\s*)?")


class Offered:
    """Takes what the model writes, until that is over."""

    def __init__(self, tools: Sequence[ToolSpec]) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._thoughts = ThoughtFilter()
        self._text = CallText(tools)
        self._asked = CallAssembler()
        self._start: str | None = ""
        """May be the beginning of a fence; None once that is known."""
        self.has_said = False

    def take(self, piece: Piece) -> str:
        """What can be said of it."""
        if isinstance(piece, ToolCallDelta):
            self._asked.add(piece)
            return ""
        return self._say(self._text.push(self._without_fence(self._thoughts.push(piece))))

    def end(self) -> str:
        """What was kept back and can be said. JSON is never said."""
        left = self._without_fence(self._thoughts.flush(), is_all=True)
        said = self._text.push(left)
        rest = self._text.flush(bool(self._asked.calls))
        if isinstance(rest, str):
            return self._say(said + ("" if _JSON.match(rest) else rest))
        for call in rest:
            self._asked.add(call)
        return self._say(said)

    def calls(self, words: str | None = None) -> Iterator[ToolCallDelta]:
        """What was asked for, of tools that there are. Given the user's `words`, only what can come
        from them."""
        for number, call in enumerate(self._asked.calls):
            tool = self._tools.get(call.name)
            if tool and (words is None or comes_from(words, call, tool)):
                yield ToolCallDelta(number, call.id, call.name, call.arguments)

    def _without_fence(self, text: str, is_all: bool = False) -> str:
        if self._start is None:
            return text
        self._start += text
        if _MAY_BE_FENCE.fullmatch(self._start) and not is_all:
            return ""
        start, self._start = self._start, None
        return start[fence.end() :] if (fence := _FENCE.match(start)) else start

    def _say(self, text: str) -> str:
        self.has_said = self.has_said or bool(text.strip())
        return text


def comes_from(words: str, call: ToolCall, tool: ToolSpec) -> bool:
    """Whether each text in the arguments is in `words`, or one of the values that the schema lists.
    Small models like to call tools, and make up what they need for it."""
    try:
        arguments = json.loads(call.arguments)
    except (ValueError, RecursionError):
        return False
    if not isinstance(arguments, dict):
        return False
    properties = _mapping(tool.parameters.get("properties"))
    return all(
        value in _listed(properties.get(name)) or value.casefold() in words.casefold()
        for name, value in arguments.items()
        if isinstance(value, str)
    )


def _listed(schema: object) -> Sequence[object]:
    values = _mapping(schema).get("enum")
    return values if isinstance(values, list) else ()


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
