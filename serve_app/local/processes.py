"""Processes that this one has started, or that are left over: ended by id, until none is left."""

import ctypes
import os
import signal
import time
from collections.abc import Callable

import psutil

Find = Callable[[], list[psutil.Process]]
_PR_SET_CHILD_SUBREAPER = 36
_AFTER_SIGNAL_S = 3.0


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


def end_all(find: Find, patience_s: float) -> list[str]:
    """Waits until none is found any more, for `patience_s` seconds, then ends the rest with SIGTERM
    and, 3 s later, SIGKILL. Returns those that had to be ended."""
    stubborn = [describe(p) for p in _wait(find, patience_s)]
    for wave in (signal.SIGTERM, signal.SIGKILL):
        for process in find():
            _signal(process, wave)
        _wait(find, _AFTER_SIGNAL_S)
    return stubborn


def describe(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {process.name()}"
    except psutil.NoSuchProcess:
        return str(process.pid)


def _wait(find: Find, timeout_s: float) -> list[psutil.Process]:
    """Waits until all are gone, including orphans that are adopted on the way. Returns the rest."""
    deadline = time.monotonic() + timeout_s
    while (alive := _not_zombies(find)) and (left := deadline - time.monotonic()) > 0:
        psutil.wait_procs(alive, timeout=min(left, 0.2))
    return alive


def _not_zombies(find: Find) -> list[psutil.Process]:
    _reap()
    return [p for p in find() if _status(p) not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)]


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
