"""What was said, in the shape that chat models take."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, takewhile
from typing import Final, Literal

from serve_app.conversation.calls import Call
from serve_app.conversation.open_reply import OpenReply
from serve_app.conversation.settings import LONGEST_MESSAGE
from serve_app.conversation.versions import travels

Role = Literal["system", "user", "assistant", "tool"]

PENDING: Final = "(There is no result yet.)"
"""In place of a tool's result: to providers, a call without one is a mistake."""
_WITHDRAWN = "(left out)"
"""In place of a turn that must not be sent again."""


@travels
@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of the conversation."""

    role: Role
    content: str
    calls: tuple[Call, ...] = ()
    """Of the assistant: what it asks for after its words. A message of the role `tool` follows for
    each."""
    call_id: str = ""
    """Of a tool: whose result this is."""

    @property
    def size(self) -> int:
        """In characters."""
        return len(self.content) + sum(call.size for call in self.calls)

    @property
    def is_pending(self) -> bool:
        """Whether it stands for a result that has not come."""
        return self.role == "tool" and self.content == PENDING


@travels
@dataclass(frozen=True, slots=True)
class Record:
    """What a conversation needs to go on elsewhere. As an effect: store it. Issued at each
    committed turn, before the client is told. For a client that may come back, also whenever more
    of a reply is being said than the last record tells."""

    history: tuple[ChatMessage, ...]
    generation: int
    tokens_issued: int
    reply: OpenReply | None = None
    """The reply that is being given, and is not in the history yet."""
    heard_samples: int = 0
    """Samples of the user's audio on this socket that are understood: what the user said after
    them is not in the history."""
    lasted_s: float = 0.0
    """How long the session has lasted, over all its sockets."""
    text_id: int = 0
    """The last number of a typed text that is in the history; 0 is none."""
    given: tuple[OpenReply, ...] = ()
    """The replies since the user's last turn that were sent whole. The history ends with what they
    say, although the client may not have played all of it."""
    language: str = ""
    """In which the agent answers, as a code; empty leaves it to the prompt."""


def trimmed(history: tuple[ChatMessage, ...], max_chars: int) -> tuple[ChatMessage, ...]:
    """The system prompt, and the newest turns that fit into `max_chars` together with it. The last
    message always stays; if it is too long, its beginning is cut off."""
    prompt, turns = history[:1], history[1:]
    if not turns:
        return prompt
    room = max_chars - sum(message.size for message in prompt)
    last = _last_words(turns)
    starts = (i for i, message in enumerate(turns) if i == 0 or message.role == "user")
    sizes = accumulate(message.size for message in reversed(turns))
    rests = list(sizes)[::-1]  # characters from each message to the end
    kept = turns[next((start for start in starts if rests[start] <= room), last) :]
    if rests[last] > room:
        words = turns[last].content[-max(1, room) :]
        kept = (ChatMessage(turns[last].role, words),)
    return prompt + kept


def _last_words(turns: tuple[ChatMessage, ...]) -> int:
    """The last message of the user or the assistant that can stand alone."""
    alone = (i for i, message in enumerate(turns) if message.role != "tool" and message.content)
    return max(alone, default=0)


def without_tools(chat: Sequence[ChatMessage]) -> list[ChatMessage]:
    """What was said, for models that know no tools."""
    said = (message for message in chat if message.role != "tool")
    return [replace(message, calls=()) for message in said if message.content or not message.calls]


def without_last(history: tuple[ChatMessage, ...], said: str) -> tuple[ChatMessage, ...] | None:
    """The history before the agent said that. None if it does not end with it."""
    *before, last = history
    if last.role != "assistant" or not last.content.endswith(said):
        return None
    rest = last.content[: len(last.content) - len(said)].rstrip()
    return (*before, replace(last, content=rest)) if rest else tuple(before)


def told(chat: tuple[ChatMessage, ...], line: str) -> tuple[ChatMessage, ...]:
    """The chat with a line more in its system prompt; an empty line is none."""
    if not line or not chat:
        return chat
    return (replace(chat[0], content=f"{chat[0].content}\n{line}"), *chat[1:])


class History:
    """The system prompt, then user and assistant in turn. What the assistant said is what was
    heard of it."""

    def __init__(self) -> None:
        self._messages: list[ChatMessage] = []

    def begin(self, prompt: str, greeting: str) -> None:
        """`greeting` is what the user is said to have said, so that the agent speaks first. If it
        is empty, the user speaks first."""
        self._messages = [ChatMessage("system", prompt)]
        if greeting:
            self._messages.append(ChatMessage("user", greeting))

    def keep(self, messages: tuple[ChatMessage, ...]) -> None:
        """Goes on with these, which are all or the newest of them, or what was said before."""
        self._messages = list(messages)

    def add_user(self, text: str) -> None:
        """Joins the user's last message when nothing of the answer to that was heard."""
        self._messages = list(self.with_user(text))

    def with_user(self, text: str) -> tuple[ChatMessage, ...]:
        """The chat as it would be if the user had said `text`."""
        return self._with("user", text)

    def after_words(self, said: str, prompt: str) -> tuple[ChatMessage, ...]:
        """The chat as it would be if the agent had said `said`, and the user `prompt` to that."""
        return (*self._with("assistant", said), ChatMessage("user", prompt))

    def withdraw(self) -> None:
        """The LLM's provider does not want to answer what the user said last. It would not answer
        anything else either for as long as that is in the chat."""
        if self.awaits_reply:
            self._messages[-1] = replace(self._messages[-1], content=_WITHDRAWN)

    def add_assistant(self, text: str) -> None:
        """Joins the agent's last message when the agent went on by itself."""
        self._messages = list(self._with("assistant", text))

    def _with(self, role: Role, text: str) -> tuple[ChatMessage, ...]:
        """Joined texts are as long as one message may be: their beginning is cut off."""
        last = self._messages[-1]
        if last.role != role:
            return (*self._messages, ChatMessage(role, text[-LONGEST_MESSAGE:]))
        joined = f"{last.content} {text}"[-LONGEST_MESSAGE:]
        return (*self._messages[:-1], replace(last, content=joined))

    @property
    def last_words(self) -> str:
        """What the agent said last, if nobody has spoken since."""
        said = (message for message in reversed(self._messages) if message.role != "tool")
        last = next(said)
        return last.content if last.role == "assistant" else ""

    @property
    def awaits_reply(self) -> bool:
        """Whether the user spoke last, which is so again after a reply that nobody heard; or there
        are the results of all tools that the agent has asked for last."""
        last = self._messages[-1]
        return last.role == "user" or (last.role == "tool" and not self._waits_for_tools)

    @property
    def _waits_for_tools(self) -> bool:
        after_words = takewhile(lambda message: message.role == "tool", reversed(self._messages))
        return any(message.is_pending for message in after_words)

    @property
    def chat(self) -> tuple[ChatMessage, ...]:
        return tuple(self._messages)
