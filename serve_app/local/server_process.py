"""The process that Ray runs in, seen from the one that started it."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from serve_app.local import processes
from serve_app.local.exposure import Exposure
from serve_app.local.leftovers import bearing_marker
from serve_app.local.stop_signals import StopSignals

READY = b"."


class ServerProcess:
    """Runs `serve_app.local.cluster`, which stops when its standard input ends.

    It is in a session of its own, so what is sent to a terminal or to a group of processes reaches
    only us, and Ray's processes are stopped in order. When we are killed, it stops all the same.
    """

    def __init__(
        self,
        path: Path,
        port: int,
        exposed: Exposure,
        report: Callable[[str], None],
        patience_s: float,
    ) -> None:
        """`patience_s`: how long it may take to stop before it is killed."""
        self._report = report
        self._patience_s = patience_s
        self._status: int | None = None
        processes.adopt_orphans()
        self._progress, progress = os.pipe()
        arguments = ["--config", str(path), "--port", str(port), "--progress", str(progress)]
        arguments += ["--exposed", json.dumps(asdict(exposed))]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "serve_app.cli", "cluster", *arguments],
            env={**os.environ, **bearing_marker()},
            stdin=subprocess.PIPE,
            pass_fds=[progress],
            start_new_session=True,
        )
        os.close(progress)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def wait(self, *stop: StopSignals) -> bool:
        """Waits until the server is ready, has ended, or is to stop. Whether it has become ready:
        the second time, it can only end."""
        files: list[int | StopSignals] = [self._progress, *stop]
        readable, _, _ = select.select(files, [], [])
        return self._progress in readable and os.read(self._progress, 1) == READY

    def stop(self) -> int:
        """Ends the server and all that it has started. Returns its exit status; 1 if it died."""
        if self._status is None:
            self._status = self._stop()
        return self._status

    def _stop(self) -> int:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            status = self._process.wait(self._patience_s)
        except subprocess.TimeoutExpired:
            self._report(f"the server does not stop in {self._patience_s:.0f} s: it is killed")
            self._process.kill()
            status = self._process.wait()
        if status < 0:
            self._report(f"the server's process was ended by signal {-status}")
        processes.end_all(processes.descendants, patience_s=0.0)
        return status if status >= 0 else 1
