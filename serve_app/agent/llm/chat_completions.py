"""Chats and tools in the form of OpenAI's chat completions."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from openai import Omit, omit

from serve_app.agent.llm.dialect import Dialect
from serve_app.agent.llm.role_order import arranged
from serve_app.agent.llm.tool_calls import Opaque, ToolSpec, ToolStep, is_json
from serve_app.agent.text.characters import fit
from serve_app.conversation.history import ChatMessage
from serve_app.settings.agent import LlmSettings

Arguments = dict[str, Any]
"""What the SDK's `create` is called with."""

_NO_THOUGHT = {"reasoning_content": ""}
"""DeepSeek wants the field in each message of the assistant, but not the thoughts of former
replies."""


@dataclass(frozen=True, slots=True)
class Question:
    """What one round of a reply is asked with; see ToolLlm.step."""

    chat: Sequence[ChatMessage]
    tools: Sequence[ToolSpec] = ()
    steps: Sequence[ToolStep] = ()
    may_call: bool = True


def arguments(settings: LlmSettings, dialect: Dialect, question: Question) -> Arguments:
    """The same for the SDK, as this server takes it."""
    messages = [
        *_messages(question.chat, dialect.returns_thoughts),
        *_tool_messages(question.steps, dialect.returns_thoughts),
    ]
    return {
        "model": settings.model,
        "stream": True,
        "messages": arranged(messages, dialect.roles),
        dialect.limit: settings.max_new_tokens,
        "reasoning_effort": dialect.effort or omit,
        "temperature": _given(settings.temperature),
        "top_p": _given(settings.top_p),
        "seed": _given(settings.seed),
        "stop": list(settings.stop) or omit,
        "extra_body": settings.extra_body or None,
        **(_tools(question) if dialect.has_tools and question.tools else {}),
    }


def _tools(question: Question) -> Arguments:
    # Some servers refuse earlier requests for tools when no tools are declared.
    tools = {"tools": [tool.declaration for tool in question.tools]}
    return tools if question.may_call else {**tools, "tool_choice": "none"}


def _given(value: float | None) -> float | Omit:
    return omit if value is None else value


def _messages(chat: Sequence[ChatMessage], returns_thoughts: bool) -> Iterator[dict[str, Any]]:
    for message in chat:
        wants_thought = returns_thoughts and message.role == "assistant"
        thoughts = _NO_THOUGHT if wants_thought else {}
        yield {**thoughts, "role": message.role, **_content(message)}


def _content(message: ChatMessage) -> dict[str, Any]:
    """With what the client was asked for, and has answered."""
    if message.role == "tool":
        return {"tool_call_id": message.call_id, "content": fit(message.content)}
    if not message.calls:
        return {"content": message.content}
    calls = [
        _request(call.id, call.name, call.arguments, json.loads(call.extra or "{}"))
        for call in message.calls
    ]
    return {"content": message.content or None, "tool_calls": calls}


def _tool_messages(steps: Sequence[ToolStep], returns_thoughts: bool) -> Iterator[dict[str, Any]]:
    for step in steps:
        calls = [_request(call.id, call.name, call.arguments, call.extra) for call in step.calls]
        thoughts = {**_NO_THOUGHT, **step.thoughts} if returns_thoughts else {}
        message = {"role": "assistant", "content": step.text or None, "tool_calls": calls}
        yield {**thoughts, **message}
        for call, result in zip(step.calls, step.results, strict=True):
            yield {"role": "tool", "tool_call_id": call.id, "content": fit(result)}


def _request(id_: str, name: str, arguments: str, extra: Opaque) -> dict[str, Any]:
    # Some servers parse the arguments again, and refuse the chat if that fails.
    function = {"name": name, "arguments": arguments if is_json(arguments) else "{}"}
    return {**extra, "id": id_, "type": "function", "function": function}
