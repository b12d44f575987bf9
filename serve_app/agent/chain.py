"""The engines of one stage, in the order in which they are asked."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from serve_app.agent.breaker import Breaker
from serve_app.agent.engines import LlmEngine, TtsEngine
from serve_app.errors import EngineError, EngineRefused
from serve_app.settings.agent import BreakerSettings

E = TypeVar("E", bound=LlmEngine | TtsEngine)

log = logging.getLogger(__name__)


class Watcher(Protocol):
    """Is told how the engines are doing; metrics, for example."""

    def is_available(self, stage: str, engine: str, is_available: bool) -> None:
        """At start, and when a breaker opens or closes."""
        ...

    def has_failed(self, stage: str, engine: str) -> None:
        """An engine did not do what it was asked to."""
        ...


@dataclass(slots=True)
class Attempt:
    """One reply, or one round of it, requested from one engine."""

    has_begun: bool = False
    """Whether text or audio was passed on."""


class Link(Generic[E]):
    """An engine with its breaker."""

    def __init__(
        self,
        stage: str,
        name: str,
        engine: E,
        settings: BreakerSettings,
        watcher: Watcher,
        clock: Callable[[], float],
    ) -> None:
        self.name = name
        self.engine = engine
        self.breaker = Breaker(settings)
        self._stage = stage
        self._cool_down_s = settings.cool_down_s
        self._watcher = watcher
        self._clock = clock
        watcher.is_available(stage, name, True)

    @contextmanager
    def attempt(self, has_option: bool = False) -> Iterator[Attempt]:
        """Put this around a request: its end is the breaker's verdict on the engine.

        There is no verdict when an error concerns only this request: one that no retry can mend,
        except EngineRefused. With `has_option` (the client chose something, such as a voice) even
        EngineRefused may concern only this request. There is no verdict either when the caller
        leaves before anything was passed on.
        """
        attempt = Attempt()
        try:
            yield attempt
        except EngineError as error:
            self._watcher.has_failed(self._stage, self.name)
            self._failed(error, isinstance(error, EngineRefused) and not has_option)
            raise
        except BaseException:
            self._ended(attempt)
            raise
        else:
            self._succeeded()

    def _ended(self, attempt: Attempt) -> None:
        if attempt.has_begun:
            self._succeeded()
        else:
            self.breaker.abandoned()

    def _succeeded(self) -> None:
        was_open = self.breaker.is_open
        self.breaker.succeeded()
        if was_open:
            log.warning("%s: %s answers again", self._stage, self.name)
            self._watcher.is_available(self._stage, self.name, True)

    def _failed(self, error: EngineError, is_refused: bool) -> None:
        if not (is_refused or error.retryable):
            return self.breaker.abandoned()
        was_open = self.breaker.is_open
        self.breaker.failed(self._clock(), is_final=is_refused)
        if self.breaker.is_open and not was_open:
            left_out = "%s: %s is not asked for %g s (%s)"
            log.warning(left_out, self._stage, self.name, self._cool_down_s, error.message)
            self._watcher.is_available(self._stage, self.name, False)


class Chain(Generic[E]):
    """The engines of a stage."""

    def __init__(
        self,
        stage: str,
        engines: Mapping[str, E],
        settings: BreakerSettings,
        watcher: Watcher,
        clock: Callable[[], float],
    ) -> None:
        """`engines` by name, at least one, the first choice first. `clock` in seconds."""
        self._clock = clock
        self.links = tuple(
            Link(stage, name, engine, settings, watcher, clock) for name, engine in engines.items()
        )

    def admitted(self) -> Iterator[Link[E]]:
        """The engines to ask, one after the other, until one answers.

        If no breaker lets a call through, the engine whose trial is due first is asked anyway:
        that costs less than a reply that nobody tried to give. So an engine without an alternative
        is always asked.
        """
        anyone = False
        for link in self.links:
            if link.breaker.admits(self._clock()):
                anyone = True
                yield link
        if not anyone:
            yield min(self.links, key=lambda link: link.breaker.retry_at_s)

    async def aclose(self) -> None:
        """Closes all engines, even if one of them fails to close."""
        await asyncio.gather(*(link.engine.aclose() for link in self.links), return_exceptions=True)
