"""The processes that this process has started: found among all others, and ended by id."""

import ctypes
import os
import signal
import time

import psutil

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """From now on, a descendant whose parent dies becomes a child of this process, so none is lost.

    An actor starts Ray's HAProxy, which would otherwise outlive it (prctl(2), Linux only).
    """
    try:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (OSError, AttributeError):
        return


def descendants() -> list[psutil.Process]:
    """All processes that this one has started, directly or indirectly, and that still run."""
    return [p for p in psutil.Process().children(recursive=True) if p.is_running()]


def end_descendants(patience_s: float = 10.0) -> list[str]:
    """Waits for the descendants to end, then ends the rest. Returns those that had to be ended."""
    _, alive = _wait(patience_s)
    stubborn = [_describe(p) for p in alive]
    for wave in (signal.SIGTERM, signal.SIGKILL):
        for process in descendants():
            _signal(process, wave)
        _wait(3.0)
    return stubborn


def _wait(timeout_s: float) -> tuple[list[psutil.Process], list[psutil.Process]]:
    """Waits until all are gone, including orphans that are adopted on the way."""
    deadline = time.monotonic() + timeout_s
    gone: list[psutil.Process] = []
    while (alive := _not_zombies()) and (left := deadline - time.monotonic()) > 0:
        gone += psutil.wait_procs(alive, timeout=min(left, 0.2))[0]
    return gone, alive


def _not_zombies() -> list[psutil.Process]:
    _reap()
    return [p for p in descendants() if _status(p) != psutil.STATUS_ZOMBIE]


def _reap() -> None:
    for process in psutil.Process().children():
        if _status(process) == psutil.STATUS_ZOMBIE:
            try:
                os.waitpid(process.pid, os.WNOHANG)
            except ChildProcessError:
                continue


def _status(process: psutil.Process) -> str:
    try:
        return str(process.status())
    except psutil.NoSuchProcess:
        return str(psutil.STATUS_DEAD)


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _describe(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {process.name()}"
    except psutil.NoSuchProcess:
        return str(process.pid)
