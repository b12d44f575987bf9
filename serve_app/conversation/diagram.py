"""The diagram of states, drawn from the transition table (Mermaid, as GitHub renders it).

`python -m serve_app.conversation.diagram` prints it; the README holds a copy, which a test keeps.
"""

from collections import defaultdict
from collections.abc import Iterable

from serve_app.conversation.events import Timer
from serve_app.conversation.machine import TRANSITIONS


def diagram() -> str:
    """One arrow for each pair of states, labelled with what can lead from one to the other."""
    causes: dict[tuple[str, str], list[str]] = defaultdict(list)
    for state, steps in TRANSITIONS.items():
        for cause, (_, targets) in steps.items():
            for target in sorted(targets):
                causes[state, target].append(_name(cause))
    lines = [f"    {one} --> {other}: {_joined(names)}" for (one, other), names in causes.items()]
    return "\n".join(["stateDiagram-v2", "    [*] --> closed", *lines])


def _name(cause: type | Timer) -> str:
    return f"{cause} timer" if isinstance(cause, Timer) else cause.__name__


def _joined(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


if __name__ == "__main__":
    print(diagram())
