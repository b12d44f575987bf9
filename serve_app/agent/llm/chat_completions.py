"""Chats and tools in the form of OpenAI's chat completions."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from openai import APIStatusError, Omit, omit

from serve_app.agent.llm.dialect import Dialect
from serve_app.agent.llm.role_order import arranged
from serve_app.agent.llm.tool_calls import ToolSpec, ToolStep, is_json
from serve_app.agent.text.characters import fit
from serve_app.conversation.history import ChatMessage
from serve_app.settings.agent import LlmSettings

Arguments = dict[str, Any]
"""What the SDK's `create` is called with."""

_TOO_LONG = re.compile(
    r"context.?(length|size|window)|prompt is too long|context the overflows|input token count"
    r"|exceeds? the (maximum|limit).{0,40}tokens|too many (input )?tokens|reduce the length of",
    re.IGNORECASE,
)
_CONTENT = re.compile(
    r"content.?(filter|policy)|ResponsibleAI|data_inspection_failed|prohibited.content",
    re.IGNORECASE,
)
_LOADING = re.compile(r"loading|warming up|not ready|starting", re.IGNORECASE)
_LOADING_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 2.0
"""A fall-back, or the apology, is better than a longer silence."""


def arguments(
    settings: LlmSettings,
    dialect: Dialect,
    chat: Sequence[ChatMessage],
    tools: Sequence[ToolSpec],
    steps: Sequence[ToolStep],
    may_call: bool,
) -> Arguments:
    """The arguments for one round of a reply; see ToolLlm.step."""
    messages = [*_messages(chat), *_tool_messages(steps, dialect.returns_thoughts)]
    asked: Arguments = {
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
    }
    if tools and dialect.has_tools:
        asked["tools"] = [_declaration(tool) for tool in tools]
        if not may_call:
            # Some servers refuse earlier requests for tools when no tools are declared.
            asked["tool_choice"] = "none"
    return asked


def _given(value: float | None) -> float | Omit:
    return omit if value is None else value


def _messages(chat: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    return [{"role": message.role, "content": message.content} for message in chat]


def _tool_messages(steps: Sequence[ToolStep], returns_thoughts: bool) -> Iterator[dict[str, Any]]:
    for step in steps:
        calls = [
            {
                **call.extra,
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
        thoughts = {"reasoning_content": "", **step.thoughts} if returns_thoughts else {}
        message = {"role": "assistant", "content": step.text or None, "tool_calls": calls}
        yield {**thoughts, **message}
        for call, result in zip(step.calls, step.results, strict=True):
            yield {"role": "tool", "tool_call_id": call.id, "content": fit(result)}


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
    a code for it; others say it in words (`serve_app/fakes/openai_refusals.py`, TOO_LONG)."""
    is_about_request = error.status_code in (400, 413, 422)
    return is_about_request and bool(_TOO_LONG.search(f"{error.code} {error.message}"))


def is_content_refused(error: APIStatusError) -> bool:
    """Whether the provider's filter refused what was said."""
    return error.status_code in (400, 403) and bool(
        _CONTENT.search(f"{error.code} {error.message}")
    )


def pause_s(error: APIStatusError) -> float:
    """After how long it makes sense to ask again in the same reply; 0 if it does not."""
    if error.status_code not in (429, 503):
        return 0.0
    try:
        wanted_s = float(error.response.headers["retry-after"])
    except (KeyError, ValueError):
        is_loading = error.status_code == 503 and _LOADING.search(str(error.message))
        return _LOADING_PAUSE_S if is_loading else 0.0
    return wanted_s if wanted_s <= _LONGEST_PAUSE_S else 0.0
