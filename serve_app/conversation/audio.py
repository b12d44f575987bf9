"""The user's audio by absolute sample numbers: sample 0 is the first one received."""

import numpy as np

from serve_app.conversation.settings import FRAME_SAMPLES, SAMPLE_RATE_HZ
from serve_app.protocol.messages import Samples

_QUIET_SAMPLES = SAMPLE_RATE_HZ // 5
"""200 ms, so that the closure of a "p" or "t" within a word does not count as quiet."""
_CUT_WITHIN = 6
"""What is too long is cut within the last sixth of what a segment may have: within 5 s of 30 there
is a pause between words."""
_SHORTEST_STORE = SAMPLE_RATE_HZ
"""In samples: what a session has that waits for speech. After a long utterance it is so again."""


class AudioBuffer:
    """Keeps what may still be transcribed, and cuts what arrives into frames for the VAD."""

    def __init__(self) -> None:
        self._store: Samples = np.empty(_SHORTEST_STORE, dtype=np.float32)
        self._start = 0
        self._end = 0
        self._framed = 0

    @property
    def end(self) -> int:
        """Number of samples received so far: the clock of a conversation."""
        return self._end

    def append(self, samples: Samples) -> None:
        kept = self._end - self._start
        if kept + len(samples) > len(self._store):
            # Doubling, so that a long utterance is not copied at every chunk.
            grown = np.empty(2 * (kept + len(samples)), dtype=np.float32)
            grown[:kept] = self._store[:kept]
            self._store = grown
        self._store[kept : kept + len(samples)] = samples
        self._end += len(samples)

    def take_frames(self) -> Samples:
        """The whole frames that arrived since the last call, end to end."""
        count = (self._end - self._framed) // FRAME_SAMPLES * FRAME_SAMPLES
        frames = self.cut(self._framed, self._framed + count)
        self._framed += count
        return frames

    def cut(self, start: int, end: int) -> Samples:
        """A copy of samples `start` to `end`, as far as they are here."""
        first, last = max(start, self._start), min(end, self._end)
        return self._store[first - self._start : max(first, last) - self._start].copy()

    def segment_end(self, start: int, longest: int) -> int:
        """Where to cut what begins at `start` and is longer than `longest`: where there is least
        sound, which is between two words if it can be."""
        last = start + longest
        return self.quietest(last - longest // _CUT_WITHIN, last)

    def quietest(self, start: int, end: int) -> int:
        """The sample between `start` and `end` around which there is least sound."""
        sound = np.square(self.cut(start, end)).cumsum(dtype=np.float64)
        if len(sound) <= _QUIET_SAMPLES:
            return end
        levels = sound[_QUIET_SAMPLES:] - sound[:-_QUIET_SAMPLES]
        return start + int(levels.argmin()) + _QUIET_SAMPLES // 2

    def forget_before(self, sample: int) -> None:
        """Frees what is older. Samples that were not cut into frames yet are always kept."""
        first = max(self._start, min(sample, self._framed))
        kept = self._end - first
        left = self._store[first - self._start : self._end - self._start]
        if len(self._store) > max(_SHORTEST_STORE, 4 * kept):
            self._store = np.empty(max(_SHORTEST_STORE, 2 * kept), dtype=np.float32)
        self._store[:kept] = left
        self._start = first
