"""Recorded speech: reads and writes WAV files."""

import wave
from pathlib import Path

import numpy as np

from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.protocol.messages import Samples

_VOICED_SHARE = 0.1
"""A 10 ms window belongs to the speech when it reaches this share of the clip's loudest level."""


def read_wav(path: Path) -> Samples:
    """16-bit mono at 16 kHz. Raises ValueError for anything else."""
    with wave.open(str(path)) as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (
            SAMPLE_RATE_HZ,
            1,
            2,
        ):
            raise ValueError(f"{path} is not 16-bit mono at {SAMPLE_RATE_HZ} Hz")
        pcm = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    return (pcm / 32768).astype(np.float32)


def write_wav(path: Path, pcm: bytes, rate_hz: int) -> None:
    """16-bit mono."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(pcm)


def trim(samples: Samples) -> Samples:
    """The clip without the silence around the speech, so that it ends when the speech does."""
    window = SAMPLE_RATE_HZ // 100
    whole = samples[: len(samples) // window * window].reshape(-1, window)
    level = np.sqrt((whole**2).mean(axis=1))
    voiced = np.flatnonzero(level >= _VOICED_SHARE * level.max())
    return samples[voiced[0] * window : (voiced[-1] + 1) * window]
