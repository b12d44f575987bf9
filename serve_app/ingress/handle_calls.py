"""One call through a Serve handle: a deadline, one retry, one kind of error."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError

from serve_app.errors import DraftDeclined, EngineError, EngineTimeout, EngineUnavailable

T = TypeVar("T")

_MOST_TRIES = 4
"""Of a call that hangs."""


async def ask_within(stage: str, timeout_s: float, call: Callable[[], Any]) -> T:
    """The answer; a replica that dies or is too busy is followed by another. Both tries share the
    deadline. Raises EngineError."""
    try:
        async with asyncio.timeout(timeout_s):
            answer: T = await ask(stage, call)
            return answer
    except TimeoutError:
        raise EngineTimeout(stage, f"no answer within {timeout_s:g} s") from None


async def ask(stage: str, call: Callable[[], Any], tries: int = 2) -> Any:
    """The same without a deadline. Whatever the call raises is an EngineError: beside its own
    errors and Ray's, Serve lets grpc's through (a message over 4 MiB is one) and RuntimeError."""
    while True:
        tries -= 1
        try:
            return await _cancelling(stage, call())
        except Exception as error:
            # Serve retries only until a replica has accepted; dying with it is ours.
            if not tries or not _is_unavailable(error):
                raise engine_error(stage, error) from None


async def hedged(make: Callable[[], Coroutine[Any, Any, T]], after_s: float | None) -> T:
    """Makes the call again when it takes longer: its replica may hang, which Serve finds out only
    after several health checks, and may choose for the next call, too. None is never. The first
    answer counts; the other calls are cancelled."""
    tries = [asyncio.create_task(make())]
    try:
        while after_s is not None and len(tries) < _MOST_TRIES:
            await asyncio.wait(tries, timeout=after_s, return_when=asyncio.FIRST_COMPLETED)
            if any(attempt.done() for attempt in tries):
                break
            tries.append(asyncio.create_task(make()))
        return await _first_success(tries)
    finally:
        for attempt in tries:
            attempt.cancel()


async def _first_success(tries: list[asyncio.Task[T]]) -> T:
    """The last failure when there is no success."""
    failure: EngineError | None = None
    for next_done in asyncio.as_completed(tries):
        try:
            return await next_done
        except EngineError as error:
            failure = error
    assert failure is not None
    raise failure


async def _cancelling(stage: str, response: Any) -> Any:
    """Cancels the call with its caller. A call that Serve cancelled by itself, as it does with
    those of a request that ended, must not look like that: it would end the caller's task."""
    try:
        return await response
    except asyncio.CancelledError:
        caller = asyncio.current_task()
        if caller is not None and not caller.cancelling():
            raise EngineUnavailable(stage, "the call was cancelled") from None
        response.cancel()
        raise


def _is_unavailable(error: Exception) -> bool:
    """Whether another replica may do better."""
    cause = getattr(error, "cause", error)
    return isinstance(error, RayActorError) or isinstance(cause, EngineUnavailable)


def engine_error(stage: str, error: Exception) -> EngineError | DraftDeclined:
    """Ray wraps what a replica raised; provider and user text stay out of the message."""
    cause = getattr(error, "cause", error)
    if isinstance(cause, EngineError | DraftDeclined):
        return cause
    if isinstance(error, RayActorError | BackPressureError):
        return EngineUnavailable(stage, type(error).__name__)
    return EngineError(stage, type(cause).__name__)
