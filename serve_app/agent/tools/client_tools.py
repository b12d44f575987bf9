"""The tools that a client runs, as far as the agent has to do with them."""

import json
from collections.abc import Collection, Sequence
from typing import Final

from serve_app.agent.llm.tool_calls import ToolCall, ToolSpec, ToolStep
from serve_app.agent.parts import Called
from serve_app.agent.tools.toolbox import MOST_CALLS, TOO_MANY
from serve_app.conversation.calls import Call, Offer, Step

_LONGEST_EXTRA: Final = 20_000
"""Characters of what a provider adds to a call, and wants back."""


class ClientTools:
    """Of one reply."""

    def __init__(self, offer: Offer) -> None:
        self._specs = [
            ToolSpec(tool.name, tool.description, json.loads(tool.parameters))
            for tool in offer.tools
        ]
        self._names = {spec.name for spec in self._specs}

    def specs_besides(self, own: Collection[ToolSpec]) -> list[ToolSpec]:
        """Of two tools with the same name, the server's is used."""
        taken = {spec.name for spec in own}
        return [spec for spec in self._specs if spec.name not in taken]

    def told_apart(
        self, calls: Sequence[ToolCall], own: Collection[ToolSpec]
    ) -> tuple[list[ToolCall], list[ToolCall]]:
        """The calls of the server's tools, and of those that do not exist; and the client's."""
        names = self._names - {spec.name for spec in own}
        mine = [call for call in calls if call.name not in names]
        return mine, [call for call in calls if call.name in names]

    def called(
        self,
        before: Sequence[ToolStep],
        calls: Sequence[ToolCall],
        mine: Sequence[ToolCall],
        results: Sequence[str],
    ) -> Called:
        """What is to be asked of the client: in the last round, all that is not in `mine`, of which
        the results are there."""
        known = iter(results)
        last = [next(known) if call in mine else None for call in calls]
        rounds = [Step(tuple(map(_call, step.calls)), step.results) for step in before]
        return Called((*rounds, Step(tuple(map(_call, calls)), tuple(_within_bounds(last)))))


def _within_bounds(results: Sequence[str | None]) -> list[str | None]:
    waiting = 0
    bounded: list[str | None] = []
    for result in results:
        waiting += result is None
        bounded.append(TOO_MANY if result is None and waiting > MOST_CALLS else result)
    return bounded


def _call(call: ToolCall) -> Call:
    extra = json.dumps(dict(call.extra)) if call.extra else ""
    return Call(call.id, call.name, call.arguments, extra if len(extra) <= _LONGEST_EXTRA else "")
