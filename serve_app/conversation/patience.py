"""How long a silence has to be to end a turn: the speaker's own pauses decide."""

from serve_app.conversation.settings import TurnSettings

_FIRST_GUESS_MS = 700.0
"""Used until the speaker has paused once. Half of a hesitation that is frequent in
`make bench-turns`: a turn that is not complete is given twice this."""
_WEIGHT = 0.3
"""Weight of the newest pause in the running mean, in which about the last five count."""
_MARGIN = 2.0
"""How many usual pauses a turn is given that is not complete."""


class Patience:
    """Learns from the pauses after which the speaker went on."""

    def __init__(self, settings: TurnSettings) -> None:
        self._settings = settings
        self._pause_ms = _FIRST_GUESS_MS

    def note(self, pause_ms: float) -> None:
        """The speaker went on after a silence of `pause_ms`."""
        if pause_ms >= self._settings.judge_silence_ms:
            bounded = min(pause_ms, self._settings.max_silence_ms)
            self._pause_ms += _WEIGHT * (bounded - self._pause_ms)

    def silence_ms(self, complete: float | None) -> float:
        """Silence that ends a turn. `complete` is the probability that it is complete, if known."""
        settings = self._settings
        if complete is None:
            wanted = self._pause_ms
        elif complete >= settings.complete_threshold:
            wanted = 0.0
        else:
            wanted = _MARGIN * self._pause_ms
        return min(max(wanted, settings.end_silence_ms), settings.max_silence_ms)
