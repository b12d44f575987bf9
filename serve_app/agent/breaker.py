"""A circuit breaker: decides whether an engine that failed is asked again. Has no clock."""

from serve_app.settings.agent import BreakerSettings


class Breaker:
    """While closed, it lets every call through. After `failures` in a row it opens and lets no call
    through for `cool_down_s`. Then it lets one through, the trial: success closes the breaker,
    failure opens it again.

    Calls that began before it opened may end later: a success closes it, a failure changes
    nothing.
    """

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._failures = 0
        self._retry_at_s: float | None = None
        self._is_trying = False

    @property
    def is_open(self) -> bool:
        """Also during the trial."""
        return self._retry_at_s is not None

    @property
    def retry_at_s(self) -> float:
        """When the trial is due; 0 while closed."""
        return self._retry_at_s or 0.0

    def admits(self, now_s: float) -> bool:
        """Whether a call may be made now. If so, its end has to be reported with one of the
        methods below."""
        if self._retry_at_s is None:
            return True
        if self._is_trying or now_s < self._retry_at_s:
            return False
        self._is_trying = True
        return True

    def succeeded(self) -> None:
        """A call did what it was asked to."""
        self._failures = 0
        self._retry_at_s = None
        self._is_trying = False

    def failed(self, now_s: float, is_final: bool = False) -> None:
        """`is_final`: waiting alone will not help, so one failure is enough to open."""
        self._failures += 1
        is_enough = is_final or self._failures >= self._settings.failures
        if self._is_trying or (not self.is_open and is_enough):
            self._retry_at_s = now_s + self._settings.cool_down_s
        self._is_trying = False

    def abandoned(self) -> None:
        """A call ended without a verdict."""
        self._is_trying = False
