"""A token bucket. No clock in here: times are handed in."""

from serve_app.protocol.limits import Rate


class Bucket:
    """What may still be spent. Full at first, it fills by the second."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._left = rate.burst
        self._at_s: float | None = None

    def take(self, cost: float, now_s: float) -> bool:
        """Takes `cost` if it is there; returns whether it was."""
        self._fill(now_s)
        if cost > self._left:
            return False
        self._left -= cost
        return True

    def spend(self, cost: float, now_s: float) -> float:
        """Takes `cost`, also if it is not there; returns the seconds until it is."""
        self._fill(now_s)
        self._left -= cost
        return max(0.0, -self._left / self._rate.per_s)

    @property
    def is_at_ease(self) -> bool:
        """Whether there is enough for a second, or as much as there can be."""
        return self._left >= min(self._rate.per_s, self._rate.burst / 2)

    def _fill(self, now_s: float) -> None:
        since_s = 0.0 if self._at_s is None else max(0.0, now_s - self._at_s)
        self._left = min(self._rate.burst, self._left + since_s * self._rate.per_s)
        self._at_s = now_s
