"""Sources of tools. To add a kind, write a class with this shape and add it to factory.py."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from serve_app.agent.llm.tool_calls import ToolSpec


class ToolSource(Protocol):
    """One tool, or a server that has several."""

    specs: Sequence[ToolSpec]
    """The tools that can be used now: none if their server is away."""

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """The result as text. `arguments` fit the schema. A cancelled call stops if it can.

        Raises ToolFailed with a message for the model.
        """
        ...

    async def aclose(self) -> None:
        """Release sockets, threads and processes."""
        ...
