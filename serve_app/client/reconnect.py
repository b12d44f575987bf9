"""When a client tries to connect again, and when it does not."""

import random
import time
from dataclasses import dataclass, field

from serve_app.protocol.close_codes import may_come_back

_FIRST_S = 0.2
_LONGEST_S = 5.0


def may_retry(close_code: int | None) -> bool:
    """`close_code` is None for a connection that was never established."""
    return close_code is None or may_come_back(close_code)


@dataclass(slots=True)
class Backoff:
    """Exponential, with full jitter, so that the clients of a server that died do not all come
    back at once (AWS Architecture Blog, "Exponential Backoff And Jitter")."""

    window_s: float = 60.0
    """How long after the loss of the connection it is tried."""
    _tries: int = 0
    _lost_s: float = field(default_factory=time.monotonic)

    def next_s(self) -> float | None:
        """Pause before the next try, in seconds; None when there is no next try."""
        if time.monotonic() - self._lost_s > self.window_s:
            return None
        longest_s = min(_LONGEST_S, _FIRST_S * 2.0**self._tries)
        self._tries = min(self._tries + 1, 10)
        return random.uniform(0.0, longest_s)
