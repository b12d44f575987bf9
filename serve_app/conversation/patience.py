"""How long a silence has to be to end a turn: the end-of-turn model, the words and the speaker's
own pauses decide."""

from serve_app.conversation.endings import Ending
from serve_app.conversation.settings import TurnSettings

_FIRST_GUESS_MS = 700.0
"""Used until the speaker has paused once. Half of a hesitation that is frequent in
`make bench-turns`: a turn that is not complete is given twice this."""
_WEIGHT = 0.3
"""Weight of the newest pause in the running mean, in which about the last five count."""
_MARGIN = 2.0
"""How many usual pauses a turn is given that is not complete."""
_SHORTEST_PAUSE_MS = 192
"""Shorter silences are within words."""


class Patience:
    """Learns from the pauses after which the speaker went on."""

    def __init__(self, settings: TurnSettings) -> None:
        self._settings = settings
        self._pause_ms = _FIRST_GUESS_MS

    def note(self, pause_ms: float) -> None:
        """The speaker went on after a silence of `pause_ms`."""
        if pause_ms >= _SHORTEST_PAUSE_MS:
            bounded = min(pause_ms, self._settings.max_silence_ms)
            self._pause_ms += _WEIGHT * (bounded - self._pause_ms)

    def silence_ms(self, complete: float | None, ending: Ending) -> float:
        """Silence that ends a turn. `complete` is the model's probability that it is complete, if
        there is an answer."""
        settings = self._settings
        wanted_ms = self._wanted_ms(complete, ending)
        return min(max(wanted_ms, settings.end_silence_ms), settings.max_silence_ms)

    def _wanted_ms(self, complete: float | None, ending: Ending) -> float:
        settings = self._settings
        if ending is Ending.ANSWER:
            return settings.end_silence_ms
        if complete is None:
            return self._pause_ms
        if ending is Ending.UNFINISHED and complete < settings.unfinished_threshold:
            return self._longer_than_usual_ms
        if complete >= settings.sure_threshold:
            return settings.end_silence_ms
        if complete >= settings.complete_threshold:
            return settings.likely_silence_ms
        if ending is Ending.SENTENCE:
            return min(self._longer_than_usual_ms, settings.sentence_silence_ms)
        return self._longer_than_usual_ms

    @property
    def _longer_than_usual_ms(self) -> float:
        return max(_MARGIN * self._pause_ms, self._settings.likely_silence_ms)
