"""What is decided in the silence after speech: when the end-of-turn model is asked, when a reply is
drafted, and when the turn is over.

    speech ... soft end ... first look ........ judge ............ end of turn
____|██████████|_______________|__________________|__________________|
               transcribe      draft?             complete?          silence long enough
"""

from serve_app.conversation.endings import Ending, ending
from serve_app.conversation.patience import Patience
from serve_app.conversation.settings import TurnSettings
from serve_app.conversation.turn import Turn

_FIRST_LOOK_MS = 96
"""Silence after which the model is asked for the first time. Its answer comes about when the
transcript does, so a draft that waits for it is hardly later."""
_CLEARLY_OPEN, _CLEARLY_OVER = 0.1, 0.97
"""After a first answer outside of these, the model is not asked again before the turn can end.
Chosen on the `dev` recordings of `make bench-turns`, where that changes no cut-off."""


class EndOfTurn:
    """Judges the silences of one speaker."""

    def __init__(self, settings: TurnSettings) -> None:
        self._settings = settings
        self._patience = Patience(settings)

    def went_on_after(self, pause_ms: float) -> None:
        """The speaker went on after a silence of `pause_ms`."""
        self._patience.note(pause_ms)

    def is_judgement_due(self, turn: Turn, silence_ms: float) -> bool:
        """Whether the model should be asked now: early, for the draft; before the turn can end if
        the first answer leaves doubt; and once more before it can end if the model is not sure."""
        settings = self._settings
        later_ms = max(0, settings.likely_silence_ms - settings.end_silence_ms)
        last_ms = settings.judge_silence_ms + later_ms
        if not turn.asked_ms:
            return silence_ms >= min(_FIRST_LOOK_MS, settings.judge_silence_ms)
        if turn.asked_ms < settings.judge_silence_ms and self._is_in_doubt(turn):
            return silence_ms >= settings.judge_silence_ms
        return turn.asked_ms < last_ms <= silence_ms

    def _is_in_doubt(self, turn: Turn) -> bool:
        """The first answer is here and says little. While it is awaited, a second question would
        only wait behind it."""
        return turn.complete is not None and _CLEARLY_OPEN <= turn.complete < _CLEARLY_OVER

    def is_over(self, turn: Turn, silence_ms: float, question: str) -> bool:
        """Whether the silence is long enough to end the turn; `question` is what the agent said
        last."""
        if silence_ms < self._settings.end_silence_ms:
            return False
        return silence_ms >= self._patience.silence_ms(turn.complete, ending(turn.text, question))

    def is_draft_due(self, turn: Turn, silence_ms: float, question: str) -> bool:
        """Whether a reply should be begun, because the turn may end by the time it is ready. Most
        pauses within a turn are over before that."""
        settings, words = self._settings, ending(turn.text, question)
        if words is Ending.ANSWER:
            return True
        if turn.complete is None:
            return turn.is_judged or silence_ms >= settings.judge_silence_ms
        if words is not Ending.UNFINISHED and turn.complete >= settings.complete_threshold:
            return True
        wanted_ms = self._patience.silence_ms(turn.complete, words)
        return silence_ms >= wanted_ms - settings.draft_ahead_ms
