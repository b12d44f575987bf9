"""What Silero remembers of one session, which fades while nobody speaks.

Silero's recurrent state has no bound: it grows as long as a sound goes on. After ten minutes of
loud hum, or of nothing but quiet noise, the next word is noticed late or not at all.
"""

from typing import Final

import numpy as np

from serve_app.conversation.settings import FRAME_MS
from serve_app.vad.jobs import Floats, VadAnswer, VadRow, new_row

_SPEECH: Final = 0.35
"""Voice activity from which the memory is of use: a pause between two words keeps what was learnt
of the speaker."""
_FADES_AFTER_FRAMES: Final = 2000 // FRAME_MS
"""Two seconds without speech. After one, the pauses of ordinary turns would change where the next
words begin (measured)."""
_FADE: Final = float(np.exp(-FRAME_MS / 500))
"""By frame: to 37 % in half a second. To begin with an empty memory every few seconds does as well
on average, but a word that comes between two of those times, or just then, is noticed late."""


class VadMemory:
    """The row of one session, from call to call."""

    def __init__(self) -> None:
        self.row = new_row()
        """For the next job."""
        self._quiet_frames = 0

    def take(self, answer: VadAnswer) -> None:
        """The answer to the last job."""
        self._quiet_frames = self._quiet_after(answer.probabilities)
        fading = min(self._quiet_frames - _FADES_AFTER_FRAMES, len(answer.probabilities))
        self.row = _faded(answer.row, fading) if fading > 0 else answer.row

    def _quiet_after(self, probabilities: Floats) -> int:
        """Frames without speech, up to the last one."""
        (spoken,) = np.nonzero(probabilities >= _SPEECH)
        if len(spoken):
            return len(probabilities) - 1 - int(spoken[-1])
        return self._quiet_frames + len(probabilities)


def _faded(row: VadRow, frames: int) -> VadRow:
    """The end of the last frame is no memory: it stays."""
    return VadRow(row.state * np.float32(_FADE**frames), row.context)
