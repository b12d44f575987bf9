"""Chats for servers that are strict about the order of roles."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

RoleOrder = Literal["free", "alternating", "no-system"]
"""`alternating`: after the system prompt user and assistant take turns, and the user begins (the
templates of Mistral, Anthropic's endpoint). `no-system`: the same, without a system message (Gemma,
the first Mistral and Mixtral)."""

Message = dict[str, Any]

_SILENT_USER = "(says nothing)"
"""What the user says before an assistant who speaks first."""
_SILENT_AGENT = "(is interrupted)"
"""What the assistant says between the result of a tool and the user."""
_BETWEEN = "\n\n"


def arranged(messages: Sequence[Message], order: RoleOrder) -> list[Message]:
    """The same chat in this order. Nothing that was said is lost."""
    if order == "free":
        return list(messages)
    prompt = _BETWEEN.join(m["content"] for m in messages if m["role"] == "system")
    turns = list(_answered(_merged(m for m in messages if m["role"] != "system")))
    if not turns or turns[0]["role"] != "user":
        turns.insert(0, {"role": "user", "content": _SILENT_USER})
    if not prompt:
        return turns
    if order == "alternating":
        return [{"role": "system", "content": prompt}, *turns]
    first = {**turns[0], "content": f"{prompt}{_BETWEEN}{turns[0]['content']}"}
    return [first, *turns[1:]]


def _answered(messages: Iterator[Message]) -> Iterator[Message]:
    """No user follows the result of a tool, which Mistral refuses."""
    last = ""
    for message in messages:
        if (last, message["role"]) == ("tool", "user"):
            yield {"role": "assistant", "content": _SILENT_AGENT}
        last = message["role"]
        yield message


def _merged(messages: Iterator[Message]) -> Iterator[Message]:
    """Messages that follow each other with the same role become one, requests for tools apart."""
    last: Message | None = None
    for message in messages:
        if last is not None and _are_one(last, message):
            last = {**last, "content": f"{last['content']}{_BETWEEN}{message['content']}"}
            continue
        if last is not None:
            yield last
        last = message
    if last is not None:
        yield last


def _are_one(first: Message, second: Message) -> bool:
    is_same = first["role"] == second["role"] in ("user", "assistant")
    return is_same and "tool_calls" not in first and "tool_calls" not in second
