"""What a server has left behind that was killed before it could stop.

Every process of a server has inherited the marker in its environment: which process started the
server. When that one is gone, whatever still bears the marker is left over.
"""

import os
from collections.abc import Callable
from pathlib import Path

import psutil

from serve_app.local import processes

MARKER = "ECHO_SERVE_STARTED_BY"


def bearing_marker() -> dict[str, str]:
    """What the environment of a server needs that this process starts."""
    # Without the second one, processes of Ray overwrite their environment with their titles.
    return {MARKER: f"{os.getpid()}/{_start_time(os.getpid())}", "SPT_NOENV": "1"}


def starter(process: psutil.Process) -> str | None:
    """The marker that a process bears; None if it has none or if we may not know."""
    try:
        environment: dict[str, str] = process.environ()
        return environment.get(MARKER)
    except (psutil.Error, OSError):
        return None


def end_leftovers(report: Callable[[str], None]) -> None:
    """Ends what is left of servers that were killed, after saying so in one line."""
    if found := leftovers():
        names = ", ".join(processes.describe(p) for p in found)
        report(f"ending what a server that was killed has left behind: {names}")
        processes.end_all(leftovers, patience_s=0.0)


def leftovers() -> list[psutil.Process]:
    """The processes whose server was started by a process that is gone, apart from those that this
    one descends from."""
    ours = psutil.Process()
    here = namespace(ours.pid)
    above = {ours.pid, *(parent.pid for parent in ours.parents())}
    return [
        p
        for p in psutil.process_iter()
        if (by := starter(p))
        and not is_running(by)
        and p.pid not in above
        and namespace(p.pid) == here
    ]


def is_running(marker: str) -> bool:
    """Whether the process of this marker is there."""
    pid, _, start = marker.partition("/")
    return pid.isdigit() and _start_time(int(pid)) == start


def _start_time(pid: int) -> str:
    """A process id is given out again, but not with the same start. Empty if there is no such
    process. In ticks since boot where there is /proc: no change of the clock moves it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        pass
    try:
        return str(psutil.Process(pid).create_time())
    except psutil.Error:
        return ""


def namespace(pid: int) -> str:
    """In which process ids mean something: in a container, they are other ones. Empty where there
    are no namespaces."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""
