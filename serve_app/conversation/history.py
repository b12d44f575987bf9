"""What was said, in the shape that chat models take."""

from dataclasses import dataclass, replace
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the conversation."""

    role: Role
    content: str


class History:
    """System prompt, then user and assistant in turn; the assistant's part is what was heard."""

    def __init__(self) -> None:
        self._messages: list[Message] = []

    def begin(self, prompt: str, greeting: str) -> None:
        """The agent speaks first, so the user's first message is put in the user's mouth."""
        self._messages = [Message("system", prompt), Message("user", greeting)]

    def add_user(self, text: str) -> None:
        """Joins the last message when the agent's answer to that one was not heard at all."""
        if self.awaits_reply:
            last = self._messages[-1]
            self._messages[-1] = replace(last, content=f"{last.content} {text}")
        else:
            self._messages.append(Message("user", text))

    def add_assistant(self, text: str) -> None:
        self._messages.append(Message("assistant", text))

    @property
    def awaits_reply(self) -> bool:
        """Whether the user spoke last: true again after a reply that nobody heard."""
        return self._messages[-1].role == "user"

    @property
    def chat(self) -> tuple[Message, ...]:
        return tuple(self._messages)
