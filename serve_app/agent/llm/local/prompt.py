"""What a chat model in this process is asked with.

Small models make nothing of the messages in which calls and results are written elsewhere: the
default one repeats the call for ever. It understands results that are told in plain words.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Any, Final

from serve_app.agent.llm.tool_calls import ToolSpec, ToolStep
from serve_app.conversation import budget
from serve_app.conversation.history import ChatMessage

_SPARE: Final = 0.9
"""The share of the room that a shortened chat is meant to take: its length is an estimate."""
_PARAGRAPH: Final = "\n\n"
_CUT: Final = " (cut off here)"
_CALL_OR_TALK: Final = ChatMessage(
    "system",
    "You are a voice assistant. Call a tool if the user asks for what it does, and answer with"
    " words otherwise.",
)
"""Chosen with bench/local_tools.py. Conversations with the same tools have it in common, so it is
read once for all of them."""


@dataclass(frozen=True)
class Prompt:
    """A chat without calls, and the tools that are offered."""

    chat: Sequence[ChatMessage]
    tools: Sequence[ToolSpec] = ()

    @cached_property
    def declared(self) -> str:
        """The tools, as the model's template puts them into the system prompt."""
        return json.dumps(self._declarations) if self.tools else ""

    @property
    def estimate(self) -> int:
        """Of its length in tokens."""
        return budget.tokens(self._with_declarations)

    @property
    def body(self) -> dict[str, Any]:
        """Its part of a request."""
        messages = [{"role": m.role, "content": m.content} for m in self.chat]
        return {"messages": messages, **({"tools": self._declarations} if self.tools else {})}

    def shortened(self, estimate: float) -> "Prompt":
        """If its estimated length is more than this, without the oldest exchanges."""
        if self.estimate <= estimate:
            return self
        kept = budget.newest_within(self._with_declarations, int(_SPARE * estimate))
        return replace(self, chat=(*self.chat[:1], *kept[1:]))

    @property
    def _declarations(self) -> list[Mapping[str, Any]]:
        return [tool.declaration for tool in self.tools]

    @property
    def _with_declarations(self) -> tuple[ChatMessage, ...]:
        """The chat as it is counted."""
        first, *rest = self.chat
        return (replace(first, content=first.content + self.declared), *rest)


def in_plain_words(
    chat: Sequence[ChatMessage], steps: Sequence[ToolStep], longest_result: int
) -> tuple[ChatMessage, ...]:
    """The chat, and the rounds of its last reply, with the results of tools in the user's words.
    They are cut at `longest_result` characters."""
    said = [*_without_calls(chat, longest_result), *_rounds(steps, longest_result)]
    grouped = groupby(said, key=lambda message: message.role)
    return tuple(ChatMessage(role, _PARAGRAPH.join(m.content for m in ms)) for role, ms in grouped)


def alone(chat: Sequence[ChatMessage]) -> tuple[ChatMessage, ...]:
    """The user's last words, for the question whether they need a tool."""
    return _CALL_OR_TALK, chat[-1]


def _without_calls(chat: Sequence[ChatMessage], longest: int) -> Iterator[ChatMessage]:
    names = {call.id: call.name for message in chat for call in message.calls}
    for message in chat:
        if message.role == "tool":
            yield _result(names.get(message.call_id, "a tool"), message.content, longest)
        elif message.content or not message.calls:
            yield ChatMessage(message.role, message.content)


def _rounds(steps: Sequence[ToolStep], longest: int) -> Iterator[ChatMessage]:
    for step in steps:
        if step.text.strip():
            yield ChatMessage("assistant", step.text)
        for call, result in zip(step.calls, step.results, strict=True):
            yield _result(call.name, result, longest)


def _result(name: str, result: str, longest: int) -> ChatMessage:
    shown = result if len(result) <= longest else result[:longest] + _CUT
    return ChatMessage("user", f"What {name} says: {shown}")
