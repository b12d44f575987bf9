"""What was said, in the shape that chat models take."""

from dataclasses import dataclass, replace
from typing import Literal

from serve_app.conversation.open_reply import OpenReply

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of the conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Record:
    """What a conversation needs to go on elsewhere. As an effect: store it. Issued at each
    committed turn, before the client is told of that, and where the client may come back as soon
    as more of a reply is being said than the last one tells."""

    history: tuple[ChatMessage, ...]
    generation: int
    tokens_issued: int
    reply: OpenReply | None = None
    """What is not in the history yet."""
    heard_samples: int = 0
    """Of the user's audio on this socket: what the user has said since is not in the history."""


def trimmed(history: tuple[ChatMessage, ...], max_chars: int) -> tuple[ChatMessage, ...]:
    """The system prompt, and the newest turns that fit into `max_chars` together with it.
    The last message always stays, cut at its beginning if need be."""
    prompt, turns = history[:1], history[1:]
    room = max_chars - sum(len(message.content) for message in prompt)
    while len(turns) > 1 and sum(len(message.content) for message in turns) > room:
        kept = next((i for i, m in enumerate(turns) if i and m.role == "user"), len(turns) - 1)
        turns = turns[kept:]
    if len(turns) == 1 and len(turns[0].content) > room:
        turns = (replace(turns[0], content=turns[0].content[-max(1, room) :]),)
    return prompt + turns


class History:
    """System prompt, then user and assistant in turn; the assistant's part is what was heard."""

    def __init__(self) -> None:
        self._messages: list[ChatMessage] = []

    def begin(self, prompt: str, greeting: str) -> None:
        """For the agent to speak first, `greeting` is put in the user's mouth; empty is not."""
        self._messages = [ChatMessage("system", prompt)]
        if greeting:
            self._messages.append(ChatMessage("user", greeting))

    def resume(self, messages: tuple[ChatMessage, ...]) -> None:
        """Goes on with what was said before."""
        self._messages = list(messages)

    def add_user(self, text: str) -> None:
        """Joins the last message when the agent's answer to that one was not heard at all."""
        self._messages = list(self.with_user(text))

    def with_user(self, text: str) -> tuple[ChatMessage, ...]:
        """The chat as it would be if the user had said `text`."""
        return self._with("user", text)

    def after_words(self, said: str, prompt: str) -> tuple[ChatMessage, ...]:
        """The chat as it would be if the agent had said `said`, and the user `prompt` to that."""
        return (*self._with("assistant", said), ChatMessage("user", prompt))

    def add_assistant(self, text: str) -> None:
        """Joins the last message when the agent went on by itself."""
        self._messages = list(self._with("assistant", text))

    def _with(self, role: Role, text: str) -> tuple[ChatMessage, ...]:
        last = self._messages[-1]
        if last.role != role:
            return (*self._messages, ChatMessage(role, text))
        return (*self._messages[:-1], replace(last, content=f"{last.content} {text}"))

    @property
    def awaits_reply(self) -> bool:
        """Whether the user spoke last: true again after a reply that nobody heard."""
        return self._messages[-1].role == "user"

    @property
    def chat(self) -> tuple[ChatMessage, ...]:
        return tuple(self._messages)
