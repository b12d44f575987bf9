"""What Chromium's fake microphone plays."""

import wave
from pathlib import Path

import numpy as np

from serve_app.client.speech import trim
from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.protocol.messages import Samples
from tests.speech import clip

_RATE_HZ = 48_000


Part = float | str | tuple[str, float]
"""Silence in seconds, a clip by its name, or the first seconds of one."""


def recording(path: Path, *parts: Part) -> str:
    """Writes them to a file; returns the browser's flag for it. Silence follows."""
    audio = np.concatenate([_part(part) for part in parts])
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE_HZ)
        file.writeframes((audio * 32767).astype("<i2").tobytes())
    return f"--use-file-for-fake-audio-capture={path}%noloop"


def _part(part: Part) -> Samples:
    if isinstance(part, tuple):
        name, seconds = part
        return _part(name)[: int(seconds * _RATE_HZ)]
    if isinstance(part, str):
        return np.repeat(trim(clip(part)), _RATE_HZ // SAMPLE_RATE_HZ)
    return np.zeros(int(part * _RATE_HZ), dtype=np.float32)
