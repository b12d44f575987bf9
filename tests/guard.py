"""Whatever tests and benches start ends with them: `python -m tests.guard LABEL` sees to it.

A process that is killed cannot end what it has started: pytest-xdist kills its workers after
Ctrl-C, and a server lives on without whoever started it. So each of them has a guard, which holds
the other end of a pipe and finds what has inherited the label.
"""

import atexit
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

_LABEL = "ECHO_TEST_STARTED_BY"
_PATIENCE_S = float(os.environ.get("ECHO_TEST_PATIENCE_S", "60"))
"""For what is left to stop by itself after a Ctrl-C."""


def guard_this_process() -> None:
    """From now on, what this process starts ends with it. May be called again."""
    if os.environ.get(_LABEL, "").startswith(f"{os.getpid()}/"):
        return
    label = f"{os.getpid()}/{uuid.uuid4().hex}"
    # Without the label of whoever has started us: their guard would end ours with its work undone.
    environment = {name: value for name, value in os.environ.items() if name != _LABEL}
    guard = subprocess.Popen(
        [sys.executable, "-m", "tests.guard", label],
        cwd=Path(__file__).parents[1],
        env=environment,
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C in the terminal is not for it
    )
    atexit.register(guard.communicate)
    os.environ[_LABEL] = label
    os.environ["SPT_NOENV"] = "1"  # or processes of Ray overwrite their environment with titles


def bearing(label: str) -> list[psutil.Process]:
    """The processes that have inherited it, and run."""
    return [process for process in psutil.process_iter() if _label(process) == label]


def end(label: str, patience_s: float) -> list[psutil.Process]:
    """Ends all that bear the label, and names them: with Ctrl-C for those that were started first,
    and after that by force. Returns those that had to be killed."""
    found = bearing(label)
    _say("left behind", found)
    below = {process.pid for process in found}
    first = [process for process in found if _parent(process) not in below]
    _send(signal.SIGINT, first)
    psutil.wait_procs(found, patience_s)
    stubborn = bearing(label)
    _say("had to kill", stubborn)
    _send(signal.SIGKILL, stubborn)
    return stubborn


def _say(what: str, processes: Iterable[psutil.Process]) -> None:
    """To whoever may still listen: a terminal may be closed by now."""
    if names := ", ".join(map(_name, processes)):
        with suppress(OSError):
            sys.stderr.write(f"tests.guard: {what} {names}\n")
            sys.stderr.flush()


def _name(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return f"{process.pid} {process.name()}"
    return str(process.pid)


def _label(process: psutil.Process) -> str:
    with suppress(psutil.Error, OSError):
        return str(process.environ().get(_LABEL, ""))
    return ""


def _parent(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        return int(process.ppid())
    return 0


def _send(number: signal.Signals, processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


if __name__ == "__main__":
    sys.stdin.read()
    end(sys.argv[1], _PATIENCE_S)
