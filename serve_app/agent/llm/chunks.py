"""What the chunks of a chat completion say. Servers leave out fields, send null, or other types."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from serve_app.agent.http_refusals import shown_code
from serve_app.agent.llm.tool_calls import Opaque, ToolCallDelta
from serve_app.agent.text.characters import fit
from serve_app.errors import EngineError

_THOUGHTS = ("reasoning_content", "reasoning", "reasoning_details")
"""The fields of DeepSeek and vLLM, of Ollama and newer vLLM, and of OpenRouter."""
_KNOWN_OF_CALL = ("index", "id", "type", "function")
_UNFINISHED = ("", "null", "none")
"""In place of a missing finish_reason."""


@dataclass(frozen=True, slots=True)
class Thought:
    """A part of what the model thinks, in the provider's own fields."""

    fields: Opaque


Part = str | ToolCallDelta | Thought


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one chunk adds to the reply."""

    parts: tuple[Part, ...] = ()
    finish_reason: str = ""
    """Why the reply ends here; empty if it goes on."""
    is_usage: bool = False
    """Whether it says what the reply has cost, which comes at the end."""


class FailedInStream(EngineError):
    """The provider says in the stream that it has failed."""

    def __init__(self, message: str, text: str = "") -> None:
        super().__init__("llm", message, retryable=True)
        self.text = text
        """What the provider says. It may quote the chat."""

    def __reduce__(self) -> tuple[type[EngineError], tuple[str, str, bool]]:
        """Elsewhere it is any EngineError: the text stays here."""
        return EngineError, (self.stage, self.message, self.retryable)


def read_chunk(data: str) -> Chunk:
    """Raises FailedInStream if the provider says that it has failed, and ValueError for what is not
    JSON."""
    chunk = json.loads(data)
    if not isinstance(chunk, dict):
        return Chunk()
    if failure := chunk.get("error"):
        raise FailedInStream(f"the provider failed{_code(failure)}", json.dumps(failure))
    choices = chunk.get("choices")
    choice = _mapping(choices[0]) if isinstance(choices, list) and choices else {}
    if choice.get("index"):  # another answer to the same chat
        return Chunk()
    reason = choice.get("finish_reason")
    return Chunk(
        # A server that does not stream answers with a whole message.
        tuple(_parts(_mapping(choice.get("delta") or choice.get("message")))),
        reason if isinstance(reason, str) and reason.lower() not in _UNFINISHED else "",
        not choice and isinstance(chunk.get("usage"), dict),
    )


def _code(failure: object) -> str:
    """With a space before it, if it can be shown."""
    code = shown_code(str(_mapping(failure).get("code") or ""))
    return f" {code}" if code else ""


def _parts(delta: Mapping[str, Any]) -> Iterator[Part]:
    if thoughts := {name: delta[name] for name in _THOUGHTS if delta.get(name)}:
        yield Thought(thoughts)
    yield from _content(delta.get("content"))
    yield from _content(delta.get("refusal"))  # the model's own words
    calls = delta.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict):
            yield tool_call_delta(call)


def _content(content: object) -> Iterator[Part]:
    """Mistral sends lists of typed parts, some of which are thoughts."""
    if isinstance(content, str) and content:
        yield fit(content)
    for part in content if isinstance(content, list) else ():
        typed = _mapping(part)
        if typed.get("thinking"):
            yield Thought({"thinking": typed["thinking"]})
        elif isinstance(typed.get("text"), str):
            yield fit(typed["text"])


def tool_call_delta(call: Mapping[str, Any]) -> ToolCallDelta:
    """The number may be missing, and the arguments an object."""
    function = _mapping(call.get("function"))
    index, arguments = call.get("index"), function.get("arguments")
    if arguments and not isinstance(arguments, str):
        arguments = json.dumps(arguments)
    return ToolCallDelta(
        index if isinstance(index, int) else None,
        _text(call.get("id")),
        _text(function.get("name")),
        _text(arguments),
        {name: value for name, value in call.items() if name not in _KNOWN_OF_CALL and value},
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return fit(value) if isinstance(value, str) else ""
