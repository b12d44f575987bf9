"""How a chat model asks for tools: what it is told about them, and how its requests arrive."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast, runtime_checkable

from serve_app.agent.engines import LlmEngine
from serve_app.conversation.history import ChatMessage

Opaque = Mapping[str, Any]
"""JSON whose meaning only the provider knows."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """What a model is told about a tool."""

    name: str
    """At most 64 letters, digits, `_` and `-`: what OpenAI's API takes."""
    description: str
    parameters: Mapping[str, Any]
    """JSON schema of the arguments, which are an object."""

    @property
    def declaration(self) -> dict[str, Any]:
        """In the form of OpenAI's chat completions."""
        function = {"name": self.name, "description": self.description}
        return {
            "type": "function",
            "function": {**function, "parameters": dict(self.parameters)},
        }


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A part of a request for a tool, as it is streamed. What is missing is empty."""

    index: int | None
    id: str
    name: str
    arguments: str
    extra: Opaque = field(default_factory=dict)
    """See ToolCall."""
    thoughts: Opaque = field(default_factory=dict)
    """See ToolStep."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A request for a tool."""

    id: str
    name: str
    arguments: str
    """JSON, unless the model made a mistake."""
    extra: Opaque = field(default_factory=dict)
    """What the provider adds to the call, such as Gemini's signature of a thought. It wants that
    back as it is."""


@dataclass(frozen=True, slots=True)
class ToolStep:
    """One round of a reply: what the model said, what it asked for, and the results."""

    text: str
    calls: tuple[ToolCall, ...]
    results: tuple[str, ...]
    """One per call."""
    thoughts: Opaque = field(default_factory=dict)
    """What the model thought before the calls, in the provider's own fields. Only providers that
    insist on it get it back (DeepSeek, Kimi), and only until the reply is over."""


@runtime_checkable
class ToolLlm(LlmEngine, Protocol):
    """A chat model that can ask for tools."""

    def stream(self, chat: Sequence[ChatMessage]) -> AsyncGenerator[str, None]:
        """See LlmEngine: a reply without tools. Raises what `step` does."""
        return cast(AsyncGenerator[str, None], self.step(chat))

    def step(
        self,
        chat: Sequence[ChatMessage],
        tools: Sequence[ToolSpec] = (),
        steps: Sequence[ToolStep] = (),
        may_call: bool = True,
    ) -> AsyncGenerator[str | ToolCallDelta, None]:
        """The next round of a reply: text and requests for tools, as they are written. Without
        `tools` there is nothing but text.

        `steps` are the rounds before this one. Without `may_call` the model is asked for text
        alone. Closing the generator and errors are as for LlmEngine.stream.
        """
        ...

    async def try_tools(self) -> None:
        """Finds out whether the model takes tools, and logs it if not. Called at start, if there
        are any. Must not fail because of the provider: the first reply will report that."""
        return None


class CallAssembler:
    """Puts requests together from their parts. Servers cut them in different ways.

    Most number them and send id and name once. Some send whole calls, all with the same number
    or with none; some repeat id and name with each part; some send no ids, and some a different
    id with each part.
    """

    def __init__(self) -> None:
        self._calls: list[_OpenCall] = []
        self._numbered: dict[int | None, _OpenCall] = {}
        self.thoughts: dict[str, Any] = {}
        """See ToolStep."""

    def add(self, delta: ToolCallDelta) -> None:
        call = self._numbered.get(delta.index)
        if call is None and delta.index is None and self._calls:
            call = self._calls[-1]
        if call is None or call.is_followed_by(delta):
            call = _OpenCall(delta.id, delta.name)
            self._calls.append(call)
        self._numbered[delta.index] = call
        call.id = call.id or delta.id
        call.name = call.name or delta.name
        call.arguments += delta.arguments
        call.extra.update(delta.extra)
        self.thoughts.update(delta.thoughts)

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """All requests, in the order in which they began."""
        return tuple(
            ToolCall(call.id or f"call_{number}", call.name, call.arguments or "{}", call.extra)
            for number, call in enumerate(self._calls)
        )


@dataclass(slots=True)
class _OpenCall:
    id: str
    name: str
    arguments: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def is_followed_by(self, delta: ToolCallDelta) -> bool:
        """Whether `delta`, which has the same number, begins another call: only a name can."""
        if not (delta.name and self.name):
            return False
        if delta.id and self.id:
            return delta.id != self.id
        return delta.name != self.name or bool(delta.arguments and is_json(self.arguments))


def is_json(text: str) -> bool:
    """Whether `text` is a whole JSON value."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
