"""Requests for tools that a model writes as text.

Some servers send the JSON of a call as content, too, or only so, because they do not know the
model's own form of it. Nobody wants to hear that.
"""

import json
import re
from collections.abc import Sequence

from serve_app.agent.llm.tool_calls import ToolCallDelta, ToolSpec

_MAY_BE_CALL = re.compile(r"\s*(\[\s*)?(\{\s*(\".*|\}.*)?)?", re.DOTALL)
"""Whether the text may be JSON with a call, as far as it goes."""
_JSON = json.JSONDecoder()


class CallText:
    """Keeps back a text that begins like a call, until it is known whether it is one."""

    def __init__(self, tools: Sequence[ToolSpec]) -> None:
        """Without `tools` nothing is kept back."""
        self._names = {tool.name for tool in tools}
        self._kept = ""
        self._is_speech = not tools

    def push(self, text: str) -> str:
        """Takes more text; returns what can be said."""
        if self._is_speech:
            return text
        self._kept += text
        return "" if _MAY_BE_CALL.fullmatch(self._kept) else self._release()

    def flush(self, has_calls: bool) -> str | list[ToolCallDelta]:
        """The rest, at the end of the round: text, or the calls that it was. Calls that were sent
        as such as well are not repeated."""
        calls = [] if self._is_speech else self._calls()
        if not calls:
            return self._release()
        self._kept = ""
        return [] if has_calls else calls

    def _release(self) -> str:
        self._is_speech = True
        kept, self._kept = self._kept, ""
        return kept

    def _calls(self) -> list[ToolCallDelta]:
        """Those at the beginning, one value after the other or in a list. What follows them, such
        as a call that was cut off by `max_new_tokens`, is not said either."""
        calls: list[ToolCallDelta] = []
        rest = self._kept.lstrip()
        while rest:
            try:
                found, end = _JSON.raw_decode(rest)
            except (ValueError, RecursionError):
                break
            several = found if isinstance(found, list) else [found]
            if not all(map(self._is_call, several)):
                break
            calls += map(self._call, several)
            rest = rest[end:].lstrip(" \n\r\t,;")
        return calls

    def _is_call(self, call: object) -> bool:
        return isinstance(call, dict) and call.get("name") in self._names

    def _call(self, call: dict[str, object]) -> ToolCallDelta:
        arguments = call.get("arguments", call.get("parameters")) or {}
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        return ToolCallDelta(None, "", str(call["name"]), text)
