"""Chats and tools in the form of OpenAI's chat completions."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, cast

from openai import APIStatusError
from openai.types.chat.chat_completion_chunk import ChoiceDelta, ChoiceDeltaToolCall

from serve_app.agent.llm.tool_calls import ToolCallDelta, ToolSpec, ToolStep, is_json
from serve_app.conversation.history import ChatMessage

Arguments = dict[str, Any]
"""What the SDK's `create` is called with."""


_TOO_LONG = re.compile(r"context.?(length|size|window)|prompt is too long", re.IGNORECASE)


def arguments(
    chat: Sequence[ChatMessage],
    tools: Sequence[ToolSpec],
    steps: Sequence[ToolStep],
    may_call: bool,
) -> Arguments:
    """The arguments for one round of a reply; see ToolLlm.step."""
    asked: Arguments = {"messages": [*_messages(chat), *_tool_messages(steps)]}
    if tools:
        asked["tools"] = [_declaration(tool) for tool in tools]
    if tools and not may_call:
        # Some servers refuse earlier requests for tools when no tools are declared.
        asked["tool_choice"] = "none"
    return asked


def _messages(chat: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    return [{"role": message.role, "content": message.content} for message in chat]


def _tool_messages(steps: Sequence[ToolStep]) -> Iterator[dict[str, Any]]:
    for step in steps:
        calls = [
            {
                "id": call.id,
                "type": "function",
                # Some servers parse them again, and refuse the chat if that fails.
                "function": {
                    "name": call.name,
                    "arguments": call.arguments if is_json(call.arguments) else "{}",
                },
            }
            for call in step.calls
        ]
        yield {"role": "assistant", "content": step.text or None, "tool_calls": calls}
        for call, result in zip(step.calls, step.results, strict=True):
            yield {"role": "tool", "tool_call_id": call.id, "content": result}


def _declaration(tool: ToolSpec) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": dict(tool.parameters),
        },
    }


def is_too_long(error: APIStatusError) -> bool:
    """Whether a refusal means that the chat does not fit into the context of the model. OpenAI has
    a code for it; other servers say it in words (`serve_app/fakes/openai.py`, TOO_LONG)."""
    is_about_request = error.status_code in (400, 413, 422)
    return is_about_request and bool(_TOO_LONG.search(f"{error.code} {error.message}"))


def new_parts(delta: ChoiceDelta, has_tools: bool) -> Iterator[str | ToolCallDelta]:
    """What a chunk adds to the reply. Reasoning is left out, and so are requests for tools where
    none were offered."""
    if delta.content:
        yield delta.content
    for call in (delta.tool_calls or ()) if has_tools else ():
        yield _tool_call_delta(call)


def _tool_call_delta(call: ChoiceDeltaToolCall) -> ToolCallDelta:
    """The SDK checks nothing: a server may leave out the number, or send arguments as an object."""
    name, arguments = "", cast(Any, "")
    if call.function is not None:
        name, arguments = call.function.name or "", call.function.arguments or ""
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments)
    return ToolCallDelta(call.index, call.id or "", name, arguments)
