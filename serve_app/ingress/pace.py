"""How fast one client may send. No clock in here: times are handed in.

Each thing that is counted has a bucket, which fills by the second. What does not fit has to wait:
the reader pauses until it does, and then TCP makes the client wait. A client that talks never
empties a bucket, and one that catches up after a stall has a burst for it.
"""

from serve_app.errors import TooFast
from serve_app.ingress.bucket import Bucket
from serve_app.protocol.limits import Rates


class Pace:
    """Of one socket. Each method returns how many seconds to wait before the thing is handed on,
    and raises TooFast when the client has been too fast for too long. `now_s` never decreases."""

    def __init__(self, rates: Rates) -> None:
        self._bytes, self._messages = Bucket(rates.bytes), Bucket(rates.messages)
        self._text_bytes, self._texts = Bucket(rates.text_bytes), Bucket(rates.texts)
        self._patience_s = rates.patience_s
        self._behind_since_s: float | None = None

    def message(self, size: int, now_s: float) -> float:
        """A message of any kind, of `size` bytes."""
        return self._spent({self._bytes: size, self._messages: 1}, now_s)

    def unpacked(self, more: int, now_s: float) -> float:
        """The audio of a message has so many bytes more than the message had, since its protocol
        packs it closely."""
        return self._spent({self._bytes: more}, now_s)

    def answered(self, size: int, now_s: float) -> float:
        """The message was answered with so many bytes: the whole session, for one that changes a
        word of it."""
        return self._spent({self._bytes: size}, now_s)

    def text(self, size: int, now_s: float) -> float:
        """A typed text of `size` bytes, which was a message before."""
        return self._spent({self._text_bytes: size, self._texts: 1}, now_s)

    def _spent(self, costs: dict[Bucket, int], now_s: float) -> float:
        wait_s = max(bucket.spend(cost, now_s) for bucket, cost in costs.items())
        if not wait_s:
            if all(bucket.is_at_ease for bucket in self._all):
                self._behind_since_s = None
            return 0.0
        if self._behind_since_s is None:
            self._behind_since_s = now_s
        if now_s + wait_s - self._behind_since_s > self._patience_s:
            raise TooFast("slow down: more audio, texts or messages than a conversation needs")
        return wait_s

    @property
    def _all(self) -> tuple[Bucket, ...]:
        return self._bytes, self._messages, self._text_bytes, self._texts
