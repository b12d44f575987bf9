"""What offers tools. Add a kind by writing a class with this shape; name it in factory.py."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from serve_app.agent.llm.tool_calls import ToolSpec


class ToolSource(Protocol):
    """One tool, or a server of several."""

    specs: Sequence[ToolSpec]
    """What can be used now: a server that is away offers nothing."""

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """The result, as text. `arguments` fit the schema. A cancelled call stops if it can.

        Raises ToolFailed with a message for the model.
        """
        ...

    async def aclose(self) -> None:
        """Give back sockets, threads and processes."""
        ...
