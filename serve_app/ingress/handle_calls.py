"""One call through a Serve handle, with a deadline, one retry and one kind of error."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError

from serve_app.errors import DraftDeclined, EngineError, EngineTimeout, EngineUnavailable

T = TypeVar("T")

_MOST_TRIES = 4
"""For a call that hangs."""


async def ask_within(stage: str, timeout_s: float, call: Callable[[], Any]) -> T:
    """The answer. If a replica dies or is too busy, another one is asked, within the same deadline.
    Raises EngineError."""
    try:
        async with asyncio.timeout(timeout_s):
            answer: T = await ask(stage, call)
            return answer
    except TimeoutError:
        raise EngineTimeout(stage, f"no answer within {timeout_s:g} s") from None


async def ask(stage: str, call: Callable[[], Any], tries: int = 2) -> Any:
    """The same without a deadline. Whatever the call raises becomes an EngineError: besides Ray's
    errors and its own, Serve lets RuntimeError through, and gRPC's (a message over 4 MiB is one).
    """
    while True:
        tries -= 1
        try:
            return await _cancelling(stage, call())
        except Exception as error:
            # Serve retries until a replica has accepted the call; what comes after that is ours.
            if not tries or not _is_unavailable(error):
                raise engine_error(stage, error) from None


async def hedged(make: Callable[[], Coroutine[Any, Any, T]], after_s: float | None) -> T:
    """The first answer of up to four calls: one more is made after `after_s` seconds, the next
    after twice that time, and so on; None is never. A replica may hang, which Serve notices only
    after several health checks, and Serve may choose the same replica again. If all are slow, more
    calls make them slower: so the pauses grow. The other calls are cancelled."""
    if after_s is None:
        return await make()
    tries = [asyncio.create_task(make())]
    try:
        while len(tries) < _MOST_TRIES:
            await asyncio.wait(tries, timeout=after_s, return_when=asyncio.FIRST_COMPLETED)
            if any(attempt.done() for attempt in tries):
                break
            tries.append(asyncio.create_task(make()))
            after_s *= 2
        return await _first_success(tries)
    finally:
        for attempt in tries:
            attempt.cancel()


async def _first_success(tries: list[asyncio.Task[T]]) -> T:
    """Raises the last failure if no call succeeds."""
    failure: EngineError | None = None
    for next_done in asyncio.as_completed(tries):
        try:
            return await next_done
        except EngineError as error:
            failure = error
    assert failure is not None
    raise failure


async def _cancelling(stage: str, response: Any) -> Any:
    """Cancels the call together with its caller. A call that Serve cancels by itself is an error
    here: as a cancellation it would end the caller."""
    try:
        return await response
    except asyncio.CancelledError:
        if not is_cancelled():
            raise EngineUnavailable(stage, "the call was cancelled") from None
        response.cancel()
        raise


def is_cancelled() -> bool:
    """Whether a CancelledError that was caught is meant for the task that runs here. Serve cancels
    calls by itself, too, such as those of a request that has ended."""
    task = asyncio.current_task()
    return task is None or bool(task.cancelling())


def _is_unavailable(error: Exception) -> bool:
    """Whether another replica may be able to answer."""
    cause = getattr(error, "cause", error)
    return isinstance(error, RayActorError) or isinstance(cause, EngineUnavailable)


def engine_error(stage: str, error: Exception) -> EngineError | DraftDeclined:
    """What a replica raised, without Ray's wrapping. The text of an unknown error is left out: it
    may quote the user or a provider."""
    cause = getattr(error, "cause", error)
    if isinstance(cause, EngineError | DraftDeclined):
        return cause
    if isinstance(error, RayActorError | BackPressureError):
        return EngineUnavailable(stage, type(error).__name__)
    return EngineError(stage, type(cause).__name__)
