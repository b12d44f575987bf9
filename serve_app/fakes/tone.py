"""The voice of the stand-ins: a tone that lasts as long as the text would take to say."""

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

TONE_HZ = 440.0
SECONDS_PER_CHAR = 0.05


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of the audio and the characters that it says."""

    audio: bytes
    chars: str


def spoken(text: str, format: str, chunk_bytes: int, extra_bytes: int = 0) -> Iterator[Chunk]:
    """The audio of `text` in parts of `chunk_bytes`, with `extra_bytes` of zeros at the end."""
    audio = tone(len(text) * SECONDS_PER_CHAR, format) + bytes(extra_bytes)
    for start in range(0, len(audio), chunk_bytes):
        end = min(start + chunk_bytes, len(audio))
        chars = text[len(text) * start // len(audio) : len(text) * end // len(audio)]
        yield Chunk(audio[start:end], chars)


@lru_cache(maxsize=64)
def tone(seconds: float, format: str) -> bytes:
    """A sine for pcm; for other codecs, as many bytes as their bit rate gives."""
    codec, *numbers = format.split("_")
    rate_hz = int(numbers[0])
    if codec == "pcm":
        step = 2 * math.pi * TONE_HZ / rate_hz
        count = round(seconds * rate_hz)
        return array("h", (round(8000 * math.sin(step * i)) for i in range(count))).tobytes()
    bytes_per_second = int(numbers[1]) * 125 if numbers[1:] else rate_hz
    return bytes(i % 251 for i in range(round(seconds * bytes_per_second)))
