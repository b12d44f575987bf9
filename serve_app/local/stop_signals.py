"""SIGTERM, SIGINT and SIGHUP as a request to stop."""

import os
import signal
from types import FrameType


class StopSignals:
    """From here on, these signals only make `fileno` readable, for good, so `select` can wait for
    them. Any number of them is the same as one. To be made in the main thread, once."""

    def __init__(self) -> None:
        self._asked, self._ask = os.pipe()
        os.set_blocking(self._ask, False)
        self._numbers = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # not under nohup
            self._numbers.append(signal.SIGHUP)
        self.take()

    def take(self) -> None:
        """Takes the signals back from whoever has put other handlers in place."""
        for number in self._numbers:
            signal.signal(number, self._note)

    def fileno(self) -> int:
        return self._asked

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        try:
            os.write(self._ask, b".")
        except BlockingIOError:
            return  # The pipe is full of earlier ones.
