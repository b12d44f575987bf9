"""Ends a server whose test is gone: `python -m tests.serve.guard PID SECONDS`.

A test that is killed cannot end what it has started: pytest-xdist kills its workers after Ctrl-C.
And a server lives on without whoever started it. So the test holds the other end of this process's
standard input, which ends when the test does.
"""

import signal
import sys
from contextlib import suppress

import psutil


def main() -> None:
    pid, patience_s = int(sys.argv[1]), float(sys.argv[2])
    with suppress(psutil.NoSuchProcess):
        server = psutil.Process(pid)
        sys.stdin.read()
        end(server, patience_s)


def end(server: psutil.Process, patience_s: float) -> list[psutil.Process]:
    """With Ctrl-C, and after that by force. Returns those that had to be killed."""
    started = [server, *server.children(recursive=True)]
    server.send_signal(signal.SIGINT)
    _, left = psutil.wait_procs(started, patience_s)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return left


if __name__ == "__main__":
    main()
