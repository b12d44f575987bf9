"""The text of one reply: an LLM writes it, voices read it."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from serve_app.agent.text.characters import fit
from serve_app.agent.text.clauses import ClauseSplitter
from serve_app.agent.text.speakable import Speakable
from serve_app.errors import EngineError

MAX_REPLY_CHARS = 20_000
"""Longer replies fail. This much takes over 20 minutes to say; some servers ignore the limit on
tokens that they are sent."""
_SHOWN_CHARS = 1_000


class ReplyText:
    """Takes what an LLM writes, as it is written, and keeps it as clauses that can be spoken.

    All clauses are kept until the reply is over, so that another voice can go on in the middle.
    MAX_REPLY_CHARS and one piece bound their memory, whichever LLM writes. The LLM never waits for
    the voice.
    """

    def __init__(self, splitter: ClauseSplitter | None = None) -> None:
        """To be called in the event loop."""
        self._speakable = Speakable()
        self._splitter = splitter or ClauseSplitter()
        self._size = 0
        self._raw = ""
        """The beginning of what was written, until there is a clause."""
        self._clauses: list[str] = []
        self._is_complete = False
        self._has_grown = asyncio.Event()
        self.begun: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Done when it is known whether there is a clause."""
        self.failure: Exception | None = None
        """Why the text ends where it does, if it should not."""

    @property
    def has_begun(self) -> bool:
        """Whether there is a clause."""
        return bool(self._clauses)

    @property
    def is_empty(self) -> bool:
        """Whether the text has ended without a clause."""
        return self._is_complete and not self._clauses

    @property
    def unsayable(self) -> str:
        """What was written, if there is nothing in it to be said: emoji, or code. The beginning of
        it, if it is long."""
        return self._raw.strip() if self.is_empty else ""

    def write(self, text: str) -> None:
        """The next piece. It may have any size, since a client's greeting comes in one piece.

        Raises EngineError (stage `llm`) when MAX_REPLY_CHARS or more were written before it.
        """
        if self._size >= MAX_REPLY_CHARS:
            raise EngineError("llm", f"the reply exceeds {MAX_REPLY_CHARS} characters")
        self._size += len(text)
        text = fit(text)
        if not self._clauses:
            self._raw = (self._raw + text)[:_SHOWN_CHARS]
        self._add(self._splitter.push(self._speakable.push(text)))

    def end(self, failure: Exception | None = None) -> None:
        """There will be no more text. What was written before a failure is still read."""
        self.failure = failure
        self._is_complete = True
        self._add([*self._splitter.push(self._speakable.flush()), *self._splitter.flush()])

    def after(self, position: int = 0) -> "ClauseReader":
        """Reads the clauses as they are written, without the first `position` characters."""
        return ClauseReader(self, position)

    async def clause(self, number: int) -> str | None:
        """The clause with this number, from 0, once it is written; None if there is none."""
        while number >= len(self._clauses) and not self._is_complete:
            self._has_grown.clear()
            await self._has_grown.wait()
        return self._clauses[number] if number < len(self._clauses) else None

    def _add(self, clauses: Iterable[str]) -> None:
        self._clauses += clauses
        self._has_grown.set()
        if (self.has_begun or self._is_complete) and not self.begun.done():
            self.begun.set_result(self.has_begun)


class ClauseReader(AsyncIterator[str]):
    """One voice's place in a text. It is no generator: a voice may cancel a wait for the next
    clause and ask again, which would end a generator."""

    def __init__(self, text: ReplyText, position: int) -> None:
        self._text = text
        self._skip = position
        self._number = 0

    async def __anext__(self) -> str:
        while (clause := await self._text.clause(self._number)) is not None:
            self._number += 1
            rest, self._skip = clause[self._skip :], max(0, self._skip - len(clause))
            if rest:
                return rest
        raise StopAsyncIteration
