"""What OpenAI-compatible servers refuse, and in which words. From public reports."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

Strictness = Literal[
    "anything", "alternating", "no-system", "template", "completion-tokens", "no-effort",
    "least-effort", "none-with-tools", "no-tools", "signatures", "thoughts", "filter",
]  # fmt: skip
"""What requests have to be like:

anything           nothing is refused
alternating        after the system prompt user and assistant take turns (Mistral on vLLM)
template           the same, as llama.cpp and Ollama say it: 500
no-system          the same, without a system message (Gemma)
completion-tokens  no max_tokens (Azure, with a reasoning model)
no-effort          no reasoning_effort
least-effort       no reasoning_effort but none, low, medium and high (gpt-5.1)
none-with-tools    reasoning_effort none, if there are tools (gpt-5.6)
no-tools           no tools (Ollama)
signatures         calls come back with their extra_content (Gemini)
thoughts           calls come back with their reasoning_content (DeepSeek)
filter             no prompt with the word "poison" (Azure)
"""

Refusal = tuple[int, Any]
"""Status, and the error in the body."""

IN_STREAM = 200
"""The status of an error that is the first event of a stream."""

TOO_LONG: Mapping[str, Refusal] = {
    "openai": (
        400,
        {
            "message": "This model's maximum context length is 8192 tokens. However, your messages"
            " resulted in 9000 tokens.",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "context_length_exceeded",
        },
    ),
    "vllm": (
        400,
        {
            "message": "'max_tokens' or 'max_completion_tokens' is too large: 400. This model's"
            " maximum context length is 8192 tokens and your request has 8000 input tokens.",
            "type": "BadRequestError",
            "code": 400,
        },
    ),
    "llama.cpp": (
        400,
        {
            "message": "the request exceeds the available context size, try increasing it",
            "type": "exceed_context_size_error",
            "code": 400,
        },
    ),
    "mistral": (
        400,
        {"message": "Prompt contains 9000 tokens, too large for model with 8192 maximum context"
         " length", "type": "invalid_request_prompt", "code": "3051"},
    ),
    "gemini": (
        400,
        {"message": "The input token count (9000) exceeds the maximum number of tokens allowed"
         " (8192).", "code": 400, "status": "INVALID_ARGUMENT"},
    ),
    "groq": (
        400,
        {"message": "Please reduce the length of the messages or completion.",
         "type": "invalid_request_error", "param": "messages", "code": "context_length_exceeded"},
    ),
    "lm studio": (
        IN_STREAM,
        {"message": "Trying to keep the first 9000 tokens when context the overflows. However, the"
         " model is loaded with context length of only 8192 tokens, which is not enough."},
    ),
    "anthropic": (
        400,
        {"message": "prompt is too long: 9000 tokens > 8192 maximum",
         "type": "invalid_request_error", "code": "invalid_request_error"},
    ),
}  # fmt: skip
"""How servers say that a chat does not fit into the context of the model: status and error."""


def refusal(strictness: Strictness, body: Mapping[str, Any]) -> Refusal | None:
    """What a request is refused with, if it is."""
    check = _CHECKS.get(strictness)
    return check(body) if check else None


def _alternating(body: Mapping[str, Any]) -> Refusal | None:
    roles = [message["role"] for message in body["messages"] if message["role"] != "tool"]
    spoken = roles[1:] if roles[0] == "system" else roles
    wanted = ["user" if i % 2 == 0 else "assistant" for i in range(len(spoken))]
    if "tools" in body or spoken == wanted:
        return None
    return 400, {
        "message": "After the optional system message, conversation roles must alternate"
        " user/assistant/user/assistant/...",
        "type": "BadRequestError", "param": None, "code": 400,
    }  # fmt: skip


def _template(body: Mapping[str, Any]) -> Refusal | None:
    refused = _alternating(body)
    return (
        (500, {"code": 500, "message": f"Jinja Exception: {refused[1]['message']}"})
        if refused
        else None
    )


def _no_system(body: Mapping[str, Any]) -> Refusal | None:
    if body["messages"][0]["role"] == "system":
        return 400, {"message": "System role not supported", "type": "BadRequestError", "code": 400}
    return _alternating(body)


def _completion_tokens(body: Mapping[str, Any]) -> Refusal | None:
    message = (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use"
        " 'max_completion_tokens' instead."
    )
    return _unsupported(message, "max_tokens") if "max_tokens" in body else None


def _no_effort(body: Mapping[str, Any]) -> Refusal | None:
    message = "Unrecognized request argument supplied: reasoning_effort"
    return _unsupported(message, "") if "reasoning_effort" in body else None


def _least_effort(body: Mapping[str, Any]) -> Refusal | None:
    if body.get("reasoning_effort", "none") in ("none", "low", "medium", "high"):
        return None
    message = (
        f"Unsupported value: 'reasoning_effort' does not support '{body['reasoning_effort']}' with"
        " this model. Supported values are: 'none', 'low', 'medium', and 'high'."
    )
    return _unsupported(message, "reasoning_effort")


def _none_with_tools(body: Mapping[str, Any]) -> Refusal | None:
    message = (
        "Function tools with reasoning_effort are not supported for m in /v1/chat/completions. To"
        " use function tools, use /v1/responses or set reasoning_effort to 'none'."
    )
    is_right = "tools" not in body or body.get("reasoning_effort") == "none"
    return None if is_right else _unsupported(message, "reasoning_effort")


def _unsupported(message: str, param: str) -> Refusal:
    error = {"message": message, "type": "invalid_request_error", "param": param}
    return 400, {**error, "code": "unsupported_parameter"}


def _no_tools(body: Mapping[str, Any]) -> Refusal | None:
    message = "registry.ollama.ai/library/gemma3:4b does not support tools"
    return (400, {"message": message, "type": "api_error"}) if "tools" in body else None


def _signatures(body: Mapping[str, Any]) -> Refusal | None:
    message = (
        "Function call is missing a thought_signature in functionCall parts. Additional data,"
        " function call `default_api:weather` , position 2."
    )
    is_right = all(call.get("extra_content") == SIGNATURE for call in _calls(body))
    return None if is_right else (400, {"message": message, "code": 400})


def _thoughts(body: Mapping[str, Any]) -> Refusal | None:
    asking = [message for message in body["messages"] if "tool_calls" in message]
    message = "The `reasoning_content` in the thinking mode must be passed back to the API."
    is_right = all(message.get("reasoning_content") for message in asking)
    return None if is_right else (400, {"message": message, "code": "invalid_request_error"})


def _filter(body: Mapping[str, Any]) -> Refusal | None:
    if not any("poison" in (message["content"] or "") for message in body["messages"]):
        return None
    message = "The response was filtered due to the prompt triggering a content management policy."
    return 400, {"message": message, "param": "prompt", "code": "content_filter", "status": 400}


def _calls(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [call for message in body["messages"] for call in message.get("tool_calls", ())]


SIGNATURE = {"google": {"thought_signature": "c2lnbmF0dXJl"}}
"""The `extra_content` of a call."""

_CHECKS: Mapping[str, Callable[[Mapping[str, Any]], Refusal | None]] = {
    "alternating": _alternating,
    "template": _template,
    "no-system": _no_system,
    "completion-tokens": _completion_tokens,
    "no-effort": _no_effort,
    "least-effort": _least_effort,
    "none-with-tools": _none_with_tools,
    "no-tools": _no_tools,
    "signatures": _signatures,
    "thoughts": _thoughts,
    "filter": _filter,
}
