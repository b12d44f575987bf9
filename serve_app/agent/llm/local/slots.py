"""Which of llama.cpp's slots a chat is sent to.

A slot keeps what the model has computed of one conversation. The next turn of the same conversation
needs only its new words there, and everything anywhere else.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from serve_app.conversation.history import ChatMessage


@dataclass(eq=False, slots=True)
class Slot:
    """A place for one conversation."""

    number: int
    prompt: str = ""
    tools: str = ""
    """Those that were offered, which come before what was said."""
    chat: frozenset[ChatMessage] = frozenset()
    """What was said in the conversation that it remembers."""
    taken_at: int = 0
    """How many chats had been given a slot before this one was taken."""
    is_taken: bool = False
    is_closing: bool = False
    """Its reply was stopped, so it is free within a token."""
    tokens_per_estimate: float = 1.0
    """How long the chat was, by the model's own count, for each token of `budget.tokens`."""

    def shares(self, said: frozenset[ChatMessage], tools: str) -> int:
        """How many messages it knows of a chat; 0 if that is another conversation, or has other
        tools.

        Half of what it knows is enough: the last message may be a draft of what the user said, and
        of a long chat the oldest messages are left out.
        """
        shared = len(self.chat & said) if self.tools == tools else 0
        return shared if 2 * shared >= len(self.chat) else 0

    def is_beginning(self, prompt: str, tools: str) -> bool:
        """Whether it knows hardly more than this system prompt and these tools, which others can
        use, too."""
        return len(self.chat) <= 1 and (self.prompt, self.tools) == (prompt, tools)


class Slots:
    """For one event loop. Those who wait are as many as `agent.max_ongoing_replies` admits."""

    def __init__(self, count: int) -> None:
        self._slots = [Slot(number) for number in range(count)]
        self._waiting: list[asyncio.Future[None]] = []
        self._taken = 0

    async def take(self, chat: Sequence[ChatMessage], tools: str = "") -> Slot:
        """The slot of this conversation, or else the one that has not been used for longest. Waits
        while all are taken, and for the slot of a reply to the same conversation that was stopped.
        """
        said = frozenset(message for message in chat if message.role != "system")
        prompt = "".join(message.content for message in chat if message.role == "system")
        while (slot := self._best(said, prompt, tools)) is None or slot.is_taken:
            await self._change()
        if not slot.shares(said, tools):
            slot.tokens_per_estimate = 1.0
        self._taken += 1
        slot.prompt, slot.tools, slot.chat, slot.taken_at = prompt, tools, said, self._taken
        slot.is_taken = True
        return slot

    def close(self, slot: Slot, taken_at: int) -> None:
        """The reply for which it was taken has been told to stop. It may have ended by itself, and
        the slot have been given to another one."""
        if slot.is_taken and slot.taken_at == taken_at:
            slot.is_closing = True
            self._wake()

    def give_back(self, slot: Slot) -> None:
        """Its reply has ended."""
        slot.is_taken = slot.is_closing = False
        self._wake()

    def _best(self, said: frozenset[ChatMessage], prompt: str, tools: str) -> Slot | None:
        """One that is taken is worth waiting for: it is closing."""

        def merits(slot: Slot) -> tuple[int, bool, bool, int]:
            is_free = not slot.is_taken
            begins = slot.is_beginning(prompt, tools)
            return slot.shares(said, tools), begins, is_free, -slot.taken_at

        open_slots = (slot for slot in self._slots if not slot.is_taken or slot.is_closing)
        return max(open_slots, key=merits, default=None)

    async def _change(self) -> None:
        changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(changed)
        try:
            await changed
        finally:
            if changed in self._waiting:
                self._waiting.remove(changed)

    def _wake(self) -> None:
        for changed in self._waiting:
            if not changed.done():
                changed.set_result(None)
        self._waiting.clear()
