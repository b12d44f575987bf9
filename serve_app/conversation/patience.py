"""How long a silence has to be to end a turn: the end-of-turn model, the words and the speaker's
own pauses decide."""

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a turn that may be over."""

    complete: float | None = None
    """The end-of-turn model's probability that it is; None is no answer."""
    is_unfinished: bool = False
    """Its words say that more is to come."""
    is_sentence: bool = False
    """They say that it is over."""
    is_answer: bool = False
    """It is a short answer to the agent's question."""


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

    def silence_ms(self, evidence: Evidence) -> float:
        """Silence that ends the turn."""
        settings = self._settings
        return min(max(self._wanted_ms(evidence), settings.end_silence_ms), settings.max_silence_ms)

    def _wanted_ms(self, evidence: Evidence) -> float:
        settings, complete = self._settings, evidence.complete
        if evidence.is_answer:
            return settings.end_silence_ms
        if complete is None:
            return self._pause_ms
        if evidence.is_unfinished and complete < settings.unfinished_threshold:
            return self._longer_than_usual_ms
        if complete >= settings.sure_threshold:
            return settings.end_silence_ms
        if complete >= settings.complete_threshold:
            return settings.likely_silence_ms
        if evidence.is_sentence:
            return min(self._longer_than_usual_ms, settings.sentence_silence_ms)
        return self._longer_than_usual_ms

    @property
    def _longer_than_usual_ms(self) -> float:
        return max(_MARGIN * self._pause_ms, self._settings.likely_silence_ms)
