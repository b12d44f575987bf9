"""The pool of transcribers, as the ingress sees it. It keeps the samples until it has the text."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from serve_app.errors import EngineError, EngineTimeout
from serve_app.ingress.handle_calls import ask, hedged
from serve_app.settings.schema import SttSettings
from serve_app.stt.job import Heard, Request, Urgency

_RETRY_S = 0.5
"""Between two calls, the first of which failed."""

Call = Callable[[Request], Any]
"""Asks any replica; what it returns can be awaited and cancelled."""


class TranscriberPool:
    """Any replica may be asked. A replica does a request only once, however often it is asked: it
    knows requests by their keys."""

    def __init__(self, settings: SttSettings, call: Call) -> None:
        self._call = call
        self._timeout_s = settings.timeout_s
        self._hedge_s = settings.hedge_s
        self._has_others = max(settings.replicas, settings.max_replicas) > 1

    async def transcribe(self, request: Request) -> Heard:
        """What one segment says. Raises EngineError."""
        try:
            async with asyncio.timeout(request.due_in_s + self._timeout_s):
                if request.urgency is Urgency.PARTIAL:
                    return await self._hedged(request)
                return await self._until_it_is_done(request)
        except TimeoutError:
            raise EngineTimeout("stt", f"no answer within {self._timeout_s:g} s") from None

    async def _until_it_is_done(self, request: Request) -> Heard:
        """Whoever is away or refuses for now is asked again. A speculative request that was refused
        is made again when the turn has ended."""
        clock = asyncio.get_running_loop().time
        due_at_s = clock() + request.due_in_s
        while True:
            try:
                return await self._hedged(request)
            except EngineError as error:
                if not error.retryable:
                    raise
            await asyncio.sleep(max(_RETRY_S, due_at_s - clock()))
            if request.urgency is Urgency.SPECULATIVE:
                request = replace(request, urgency=Urgency.FINAL, due_in_s=0.0)

    async def _hedged(self, request: Request) -> Heard:
        # A file that waits behind conversations would only wait twice.
        is_hedged = self._has_others and request.urgency is not Urgency.FILE
        after_s = request.due_in_s + self._hedge_s if is_hedged else None
        return await hedged(lambda: self._ask(request), after_s)

    def _ask(self, request: Request) -> Coroutine[Any, Any, Heard]:
        # A partial is not asked for twice: the next one comes soon.
        tries = 1 if request.urgency is Urgency.PARTIAL else 2
        return ask("stt", lambda: self._call(request), tries)
