"""The diagram of states, drawn from the transition table (Mermaid, as GitHub renders it).

`python -m serve_app.conversation.diagram` prints it. docs/turn-taking.md holds a copy, which a test
compares.
"""

from collections import defaultdict
from collections.abc import Iterable

from serve_app.conversation.events import Timer
from serve_app.conversation.machine import TRANSITIONS
from serve_app.conversation.states import REPLYING, State


def diagram() -> str:
    """One arrow for each pair of states, labelled with what can lead from one to the other. Left
    out is how a conversation ends, which is possible in every state."""
    causes: dict[tuple[State, State], list[str]] = defaultdict(list)
    for state, steps in TRANSITIONS.items():
        for cause, step in steps.items():
            for target in sorted(step.targets - {state, State.ENDED}):
                causes[state, target].append(_name(cause))
    arrows = [f"    {one} --> {other}: {_joined(names)}" for (one, other), names in causes.items()]
    return "\n".join(["stateDiagram-v2", "    [*] --> closed", *_replying(), *arrows])


def _replying() -> list[str]:
    """The states that a client knows as `replying`."""
    inner = [f"        {state}" for state in State if state in REPLYING]
    return ["    state replying {", *inner, "    }"]


def _name(cause: type | Timer) -> str:
    return f"{cause} timer" if isinstance(cause, Timer) else cause.__name__


def _joined(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


if __name__ == "__main__":
    print(diagram())
