"""Voice activity over time: from a probability for each frame to onset, speech and silence."""

from serve_app.conversation.settings import FRAME_MS, FRAME_SAMPLES, TurnSettings

_GAP_FRAMES = 2
"""A stop consonant is silent for 50 to 100 ms. Such a gap does not end a run of speech."""


class VoiceTracker:
    """Hysteresis over the frames of one session. Time is counted in frames judged."""

    def __init__(self, settings: TurnSettings) -> None:
        self._settings = settings
        self._frames = 0
        self._run_start: int | None = None
        self._last_voiced = 0
        self._voiced = False
        self.pause_ms = 0
        """Silence before the speech that is going on, or before the last speech."""

    def push(self, probability: float) -> None:
        """Takes the judgement (0 to 1) on the next frame."""
        threshold = (
            self._settings.silence_threshold if self._voiced else self._settings.speech_threshold
        )
        self._voiced = probability >= threshold
        if self._voiced:
            if self._run_start is None:
                self._run_start = self._frames
            if gap := self._frames - self._last_voiced:
                self.pause_ms = gap * FRAME_MS
            self._last_voiced = self._frames + 1
        elif self._frames - self._last_voiced >= _GAP_FRAMES:
            self._run_start = None
        self._frames += 1

    def end_run(self) -> None:
        """The audio has stopped: what may come later is another run of speech."""
        self._run_start = None
        self._voiced = False

    @property
    def is_voiced(self) -> bool:
        """Whether the last frame was speech."""
        return self._voiced

    @property
    def judged_at(self) -> int:
        """Samples judged so far."""
        return self._frames * FRAME_SAMPLES

    @property
    def onset_at(self) -> int | None:
        """First sample of the run of speech that is going on, if one is."""
        return None if self._run_start is None else self._run_start * FRAME_SAMPLES

    @property
    def speech_end_at(self) -> int:
        """Sample after the last voiced frame."""
        return self._last_voiced * FRAME_SAMPLES

    @property
    def speech_ms(self) -> int:
        """Length of the run of speech that is going on, short gaps included."""
        return 0 if self._run_start is None else (self._last_voiced - self._run_start) * FRAME_MS

    @property
    def silence_ms(self) -> int:
        """Since the last voiced frame."""
        return (self._frames - self._last_voiced) * FRAME_MS
