"""How much of a conversation an LLM is sent: the oldest exchanges go first."""

from collections.abc import Sequence

from serve_app.conversation.calls import Call
from serve_app.conversation.history import ChatMessage

_BYTES_PER_TOKEN = 4
"""Of UTF-8, a rule of thumb for English: with SmolLM2's tokenizer the estimate is 1.21 times the
true number for the recorded sentences in tests/data. That tokenizer knows little but English: 0.65
for a German sentence, 0.46 for a Chinese one. `halved` is for what is estimated too low."""
_TOKENS_PER_MESSAGE = 4
"""What chat templates put around each message."""


def tokens(chat: Sequence[ChatMessage]) -> int:
    """An estimate of what a chat costs."""
    return sum(_cost(message) for message in chat)


def _cost(message: ChatMessage) -> int:
    size = len(message.content.encode()) + sum(_size(call) for call in message.calls)
    return -(-size // _BYTES_PER_TOKEN) + _TOKENS_PER_MESSAGE


def _size(call: Call) -> int:
    return len(call.name) + len(call.arguments.encode()) + len(call.extra)


def newest_within(chat: Sequence[ChatMessage], budget_tokens: int) -> tuple[ChatMessage, ...]:
    """The system prompt and as many of the newest exchanges as fit into the budget together with
    it. An exchange begins with the user and stays whole. The last one stays in any case."""
    prompt, rest = tuple(chat[:1]), tuple(chat[1:])
    starts = [i for i, message in enumerate(rest) if message.role == "user" and i]
    left = budget_tokens - tokens(prompt)
    kept = len(rest)
    for start in (*reversed(starts), 0):
        left -= tokens(rest[start:kept])
        if left < 0 and kept < len(rest):
            break
        kept = start
    return prompt + rest[kept:]


def halved(chat: Sequence[ChatMessage]) -> tuple[ChatMessage, ...]:
    """For a model that says that the chat is too long: half of it, the system prompt apart."""
    prompt, everything = tokens(chat[:1]), tokens(chat)
    return newest_within(chat, prompt + (everything - prompt) // 2)
