"""Sample rate conversion of speech, as a stream."""

import numpy as np
import numpy.typing as npt
import soxr

_BYTES_PER_SAMPLE = 2
_PCM_MIN, _PCM_MAX = -32768, 32767


class PcmResampler:
    """Converts one stream of mono pcm (signed 16-bit little-endian) to another rate.

    libsoxr's `HQ` setting, with the filter's state kept between pushes: the output does not
    depend on how the input was cut. The filter holds back a few milliseconds until `last`.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        # float32, because libsoxr dithers 16-bit output: other noise for every cut.
        self._stream = (
            None
            if from_hz == to_hz
            else soxr.ResampleStream(from_hz, to_hz, num_channels=1, dtype="float32")
        )

    def push(self, pcm: bytes, last: bool = False) -> bytes:
        """The next samples in, those that are ready out; `last` flushes and ends the stream.

        Raises ValueError when `pcm` is not a whole number of samples.
        """
        if len(pcm) % _BYTES_PER_SAMPLE:
            raise ValueError(f"pcm of {len(pcm)} bytes is not a whole number of 16-bit samples")
        if self._stream is None:
            return pcm
        samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32)
        resampled: npt.NDArray[np.float32] = self._stream.resample_chunk(samples, last=last)
        return np.clip(np.rint(resampled), _PCM_MIN, _PCM_MAX).astype("<i2").tobytes()
