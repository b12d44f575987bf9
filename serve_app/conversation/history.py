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
        """For the agent to speak first, `greeting` is put in the user's mouth; empty is not."""
        self._messages = [Message("system", prompt)]
        if greeting:
            self._messages.append(Message("user", greeting))

    def add_user(self, text: str) -> None:
        """Joins the last message when the agent's answer to that one was not heard at all."""
        self._messages = list(self.with_user(text))

    def with_user(self, text: str) -> tuple[Message, ...]:
        """The chat as it would be if the user had said `text`."""
        return self._with("user", text)

    def after_words(self, said: str, prompt: str) -> tuple[Message, ...]:
        """The chat as it would be if the agent had said `said`, and the user `prompt` to that."""
        return (*self._with("assistant", said), Message("user", prompt))

    def add_assistant(self, text: str) -> None:
        """Joins the last message when the agent went on by itself."""
        self._messages = list(self._with("assistant", text))

    def _with(self, role: Role, text: str) -> tuple[Message, ...]:
        last = self._messages[-1]
        if last.role != role:
            return (*self._messages, Message(role, text))
        return (*self._messages[:-1], replace(last, content=f"{last.content} {text}"))

    @property
    def awaits_reply(self) -> bool:
        """Whether the user spoke last: true again after a reply that nobody heard."""
        return self._messages[-1].role == "user"

    @property
    def chat(self) -> tuple[Message, ...]:
        return tuple(self._messages)
