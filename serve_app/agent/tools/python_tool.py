"""A tool that is a function in the user's code."""

import asyncio
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from operator import attrgetter
from typing import Any

from serve_app.agent.llm.tool_calls import ToolSpec
from serve_app.agent.tools.base import ToolSource
from serve_app.errors import ConfigError, ToolFailed

_THREADS = 8
"""For calls of one function, unless it is a coroutine function. Python cannot stop a thread: a call
that hangs keeps its thread. If all hang, further calls fail at their deadline."""


class PythonTool(ToolSource):
    """Calls a function with keyword arguments."""

    def __init__(self, spec: ToolSpec, function: Callable[..., Any]) -> None:
        self.specs: Sequence[ToolSpec] = (spec,)
        self._function = function
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=f"tool-{spec.name}")

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """See ToolSource. Any exception of the function is a failure of the tool."""
        try:
            result = await self._result(arguments)
            return result if isinstance(result, str) else json.dumps(result, default=str)
        except Exception as error:
            raise ToolFailed(f"{type(error).__name__}: {error}") from error

    async def aclose(self) -> None:
        """Does not wait for calls that still run."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _result(self, arguments: Mapping[str, Any]) -> Any:
        call = partial(self._function, **arguments)
        if inspect.iscoroutinefunction(self._function):
            return await call()
        result = await asyncio.get_running_loop().run_in_executor(self._threads, call)
        return await result if inspect.isawaitable(result) else result


def load_function(path: str) -> Callable[..., Any]:
    """The function at `package.module:function`. Raises ConfigError."""
    module, _, name = path.partition(":")
    try:
        function = attrgetter(name)(import_module(module))
    except Exception as error:  # importing runs the user's code
        raise ConfigError(f"{path!r} cannot be imported: {type(error).__name__}: {error}") from None
    if not callable(function):
        raise ConfigError(f"{path!r} is not a function")
    loaded: Callable[..., Any] = function
    return loaded
