"""All tools of an agent, and their calls, each of which is sure to end."""

import asyncio
import json
import logging
import re
from collections.abc import Coroutine, Sequence
from typing import Any

from serve_app.agent.llm.tool_calls import ToolCall, ToolSpec
from serve_app.agent.tools.arguments import complaint
from serve_app.agent.tools.base import ToolSource
from serve_app.errors import ToolFailed
from serve_app.settings.agent import ToolUseSettings

log = logging.getLogger(__name__)

MOST_TOOLS = 128
"""The limit of OpenAI's API."""
MOST_CALLS = 8
"""In one round. They run at the same time."""
TOO_MANY = f"Not called: only {MOST_CALLS} calls at a time are allowed."
"""The result of a call after those."""
_CLOSE_TIMEOUT_S = 5.0
_UNREADABLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"
    r"\U000e0000-\U000e0fff]"
)
"""Control characters, and those that make text look like another or hide it (the last ones are
letters that only a model sees): a result is data for the model, and what is in it should be what a
reader of it sees."""


class Toolbox:
    """Owns the sources of tools and the calls in progress."""

    def __init__(self, sources: Sequence[ToolSource], settings: ToolUseSettings) -> None:
        self._sources = sources
        self._settings = settings
        self._running: set[asyncio.Task[str]] = set()

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools that can be used now. Of two tools with the same name, the first."""
        return tuple(spec for spec, _ in list(self._offers().values())[:MOST_TOOLS])

    @property
    def running(self) -> int:
        """Number of calls in progress."""
        return len(self._running)

    async def call_all(self, calls: Sequence[ToolCall]) -> tuple[str, ...]:
        """The results of one round, in order. A failure is a result, too."""
        results = await asyncio.gather(*(self._call(call) for call in calls[:MOST_CALLS]))
        return (*results, *(TOO_MANY for _ in calls[MOST_CALLS:]))

    async def aclose(self) -> None:
        """Ends all calls, then closes the sources."""
        running = list(self._running)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=_CLOSE_TIMEOUT_S)
        for source in self._sources:
            await source.aclose()

    async def _call(self, call: ToolCall) -> str:
        try:
            result = await self._checked_call(call)
        except Exception as error:
            # Names and messages from the model may quote what was said.
            known = call.name if call.name in self._offers() else "that does not exist"
            log.warning("tool %s: %s", known, type(error.__cause__ or error).__name__)
            result = f"Error: {error}" if isinstance(error, ToolFailed) else "Error: it failed"
        limit = self._settings.max_result_chars
        result = _UNREADABLE.sub("", result)
        return result if len(result) <= limit else f"{result[:limit]} (cut off here)"

    async def _checked_call(self, call: ToolCall) -> str:
        offer = self._offers().get(call.name)
        if offer is None:
            raise ToolFailed("there is no such tool")
        spec, source = offer
        arguments = _arguments(call)
        if wrong := complaint(spec.parameters, arguments):
            raise ToolFailed(f"wrong arguments: {wrong}")
        return await self._within_deadline(source.call(call.name, arguments))

    async def _within_deadline(self, work: Coroutine[Any, Any, str]) -> str:
        """Does not wait for a call that ignores its cancellation."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._forget)
        try:
            done, _ = await asyncio.wait({task}, timeout=self._settings.timeout_s)
        finally:
            task.cancel()
        if not done:
            raise ToolFailed(f"no result within {self._settings.timeout_s:g} s")
        if task.cancelled():
            raise ToolFailed("the call was cancelled")
        return task.result()

    def _forget(self, task: asyncio.Task[str]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # perhaps nobody else asks for it

    def _offers(self) -> dict[str, tuple[ToolSpec, ToolSource]]:
        offers: dict[str, tuple[ToolSpec, ToolSource]] = {}
        for source in self._sources:
            for spec in source.specs:
                offers.setdefault(spec.name, (spec, source))
        return offers


def _arguments(call: ToolCall) -> dict[str, Any]:
    try:
        arguments = json.loads(call.arguments)
    except (ValueError, RecursionError):
        raise ToolFailed("the arguments are not valid JSON") from None
    if not isinstance(arguments, dict):
        raise ToolFailed("the arguments are not a JSON object")
    return arguments
