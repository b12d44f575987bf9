"""Audio files that are decoded whole: MP3, Ogg (Vorbis, Opus), FLAC, AIFF."""

import io

import numpy as np
import soundfile

from serve_app.agent.tts.resample import PcmResampler

_LONGEST_BYTES = 16 * 2**20
"""Of one clause: several minutes, however it is encoded."""


class WholeFile:
    """Takes a file piece by piece; returns pcm (mono, signed 16-bit little-endian) at its end."""

    def __init__(self, wanted_hz: int) -> None:
        self._wanted_hz = wanted_hz
        self._data = bytearray()

    def push(self, data: bytes) -> bytes:
        """Raises ValueError when it gets too long."""
        self._data += data
        if len(self._data) > _LONGEST_BYTES:
            raise ValueError("a clause is longer than 16 MiB")
        return b""

    def flush(self) -> bytes:
        """Takes some milliseconds. Raises ValueError for a file that cannot be decoded."""
        try:
            samples, rate_hz = soundfile.read(io.BytesIO(self._data), dtype="float32")
        except soundfile.SoundFileError:
            raise ValueError("it cannot be decoded") from None
        mono = samples if samples.ndim == 1 else samples.mean(axis=1)
        pcm = np.clip(np.rint(mono * 32768), -32768, 32767).astype("<i2")
        return PcmResampler(rate_hz, self._wanted_hz).push(pcm.tobytes(), last=True)
