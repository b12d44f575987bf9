"""Where Ray writes what happens, and why it has not started."""

import os
from pathlib import Path

_RAY = Path("/tmp/ray")
LOGS = f"{_RAY}/session_latest/logs/serve"
"""Of the replicas. It is there once Serve has started, and of the server that started last."""


def too_slow_twice(said: str) -> str:
    """One line for the user. `said`: Ray's own words, which lead nowhere."""
    return (
        "Ray did not start in the 15 s that it gives itself, twice: this machine is too busy. End"
        f" other work and try again. Ray says: {' '.join(said.split())} Why is in {_why()}"
    )


def _why() -> str:
    """The file in which the Ray that this process has started last says why it ended: Ray names its
    session after the process."""
    ours = sorted(_RAY.glob(f"session_*_{os.getpid()}"))
    return f"{ours[-1] if ours else _RAY / 'session_latest'}/logs/raylet.err"
