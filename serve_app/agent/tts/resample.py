"""Sample rate conversion of speech, as a stream."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import soxr

from serve_app.agent.engines import Speech
from serve_app.protocol.formats import AudioFormat

_BYTES_PER_SAMPLE = 2
_PCM_MIN, _PCM_MAX = -32768, 32767


class PcmResampler:
    """Converts one stream of mono pcm (signed 16-bit little-endian) to another rate.

    Uses libsoxr's `HQ` setting and keeps the filter's state between pushes, so the output does
    not depend on how the input was cut. The filter keeps a few milliseconds back until `last`.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        # float32: libsoxr dithers 16-bit output, so each cut would have its own noise.
        self._stream = (
            None
            if from_hz == to_hz
            else soxr.ResampleStream(from_hz, to_hz, num_channels=1, dtype="float32")
        )

    def push(self, pcm: bytes, last: bool = False) -> bytes:
        """Takes the next samples and returns those that are ready. `last` ends the stream.

        Raises ValueError when `pcm` is not a whole number of samples.
        """
        if len(pcm) % _BYTES_PER_SAMPLE:
            raise ValueError(f"pcm of {len(pcm)} bytes is not a whole number of 16-bit samples")
        if self._stream is None:
            return pcm
        samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32)
        resampled: npt.NDArray[np.float32] = self._stream.resample_chunk(samples, last=last)
        return np.clip(np.rint(resampled), _PCM_MIN, _PCM_MAX).astype("<i2").tobytes()


class SpeechConverter:
    """One voice's speech, in the format that is wanted.

    Pcm is resampled. Where either format is not pcm nothing is converted: the settings make sure
    that such a voice speaks in the client's format.
    """

    def __init__(self, spoken: AudioFormat, wanted: AudioFormat) -> None:
        is_pcm = spoken.is_pcm and wanted.is_pcm
        is_needed = is_pcm and spoken.rate_hz != wanted.rate_hz
        self._resampler = PcmResampler(spoken.rate_hz, wanted.rate_hz) if is_needed else None

    def push(self, speech: Speech) -> Speech:
        """The same speech with the audio that is ready."""
        if self._resampler is None:
            return speech
        return replace(speech, audio=self._resampler.push(speech.audio))

    def flush(self) -> bytes:
        """The rest of the audio, after the last speech."""
        return self._resampler.push(b"", last=True) if self._resampler else b""
