"""When a chat model has to have written something."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from serve_app.errors import EngineTimeout
from serve_app.settings.agent import LlmSettings

T = TypeVar("T")


class Deadlines:
    """Those of one request. Each is for the next text; what says nothing does not extend it."""

    def __init__(self, settings: LlmSettings, thinks_unseen: bool) -> None:
        """`thinks_unseen`: the model thinks, and may not show it."""
        self._settings = settings
        self._clock = asyncio.get_running_loop().time
        self._since_s = self._clock()
        self._is_thinking = thinks_unseen
        self._limit_s = settings.first_token_timeout_s
        if thinks_unseen:
            self._limit_s = settings.longest_silence_s

    @property
    def left_s(self) -> float:
        return self._since_s + self._limit_s - self._clock()

    def thinking(self) -> None:
        """The model has begun to think, or goes on. The time before the first text counts whole."""
        if not self._is_thinking:
            self._is_thinking = True
            self._limit_s = self._settings.longest_silence_s

    def wrote(self) -> None:
        """There was text, or a part of a request for a tool."""
        self._is_thinking = False
        self._since_s = self._clock()
        self._limit_s = self._settings.next_token_timeout_s

    async def wait_for(self, work: Awaitable[T]) -> T:
        """Raises EngineTimeout."""
        try:
            async with asyncio.timeout(self.left_s):
                return await work
        except TimeoutError:
            what = "nothing but thoughts" if self._is_thinking else "no text"
            raise EngineTimeout("llm", f"{what} within {self._limit_s:g} s") from None
