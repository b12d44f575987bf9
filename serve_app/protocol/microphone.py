"""Notices a microphone that sends the wrong format or rate. Costs next to nothing: a look at a few
blocks of sound, then nothing more; and a count of samples."""

from typing import Final

from serve_app.protocol.sample_format import CLIPPED, format_advice, is_clipped

_WANTED_HZ = 16_000
_RATES_HZ = (8000, 11_025, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000)
"""What microphones and files have, and two channels of them."""
_TOLERANCE = 0.04
"""Less than half of what lies between 44.1 and 48 kHz."""
_WINDOW_S = 2.5
_ALIKE = 3
"""So many windows in a row have to have the same wrong rate: a client that catches up, or that
sends a recording as fast as it can, has none that stays."""
_LONGEST_GAP_S = 1.5
"""After a longer one the client has paused, and counting begins again."""
_WINDOWS = 12
"""A client whose rate has been right or unsteady for so long is left alone."""
_BLOCK_BYTES = 64_000
_BLOCKS = 10
"""Of sound, that are looked at."""
_CLIPPED_BLOCKS = 3
"""So many of them have to be clipped: a knock at the microphone is one."""


class Microphone:
    """The audio of one socket."""

    def __init__(self) -> None:
        self._blocks_left = _BLOCKS
        self._clipped_blocks = 0
        self._block = bytearray()
        self._rate = ArrivalRate()
        self._has_advised = False

    def hear(self, data: bytes, now_s: float) -> str:
        """Takes an audio message as it came. Returns what to tell the client, once; else an empty
        text. `now_s` never decreases."""
        if self._has_advised:
            return ""
        advice = self._format_advice(data) or self._rate.advice(len(data) // 4, now_s)
        self._has_advised = bool(advice)
        return advice

    def _format_advice(self, data: bytes) -> str:
        if not self._blocks_left:
            return ""
        self._block += data[:_BLOCK_BYTES]
        if len(self._block) < _BLOCK_BYTES:
            return ""
        block = bytes(self._block)
        self._block.clear()
        if block.strip(b"\0"):
            self._blocks_left -= 1
            self._clipped_blocks += is_clipped(block)
        return format_advice(block) or self._clipping_advice()

    def _clipping_advice(self) -> str:
        """When all else has been looked for: a wrong rate is worse."""
        is_known = not self._blocks_left and self._clipped_blocks >= _CLIPPED_BLOCKS
        return CLIPPED if is_known else ""


class ArrivalRate:
    """Samples by the clock: a microphone sends as many in a second as it takes."""

    def __init__(self) -> None:
        self._began_s = self._last_s = float("-inf")
        self._samples = 0
        self._windows_left = _WINDOWS
        self._rate_hz = 0
        """Of the last windows; 0 if it was right, or none that is known."""
        self._alike = 0

    def advice(self, samples: int, now_s: float) -> str:
        """Takes the number of samples of a message. Returns what to tell the client if the rate has
        been a wrong one for long enough."""
        if not self._windows_left:
            return ""
        if now_s - self._last_s > _LONGEST_GAP_S:
            self._begin(now_s)
            self._alike = 0
        else:
            self._samples += samples
        self._last_s = now_s
        if now_s - self._began_s < _WINDOW_S:
            return ""
        self._judge(self._samples / (now_s - self._began_s))
        self._begin(now_s)
        return _rate_advice(self._rate_hz) if self._alike >= _ALIKE else ""

    def _begin(self, now_s: float) -> None:
        """The samples of the message that is here now were taken before this."""
        self._began_s = now_s
        self._samples = 0

    def _judge(self, measured_hz: float) -> None:
        self._windows_left -= 1
        near = (hz for hz in _RATES_HZ if abs(measured_hz - hz) <= _TOLERANCE * hz)
        rate_hz = next(near, 0)
        self._alike = self._alike + 1 if rate_hz == self._rate_hz else 1
        self._alike *= rate_hz > 0
        self._rate_hz = rate_hz


_OTHERWISE: Final = {
    8000: ", or send float32 if these are int16",
    32_000: ", or send one channel if these are two",
    96_000: ", and send one channel if these are two",
    88_200: ", and send one channel if these are two",
}


def _rate_advice(rate_hz: int) -> str:
    return (
        f"{rate_hz} samples of audio arrive in a second, in place of {_WANTED_HZ}: resample to"
        f" 16 kHz{_OTHERWISE.get(rate_hz, '')}"
    )
