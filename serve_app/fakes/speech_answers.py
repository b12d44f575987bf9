"""What servers with `/v1/audio/speech` send in place of the pcm that they were asked for."""

import io
import struct
from collections.abc import Callable
from typing import Literal

import numpy as np
import soundfile

from serve_app.fakes.tone import SECONDS_PER_CHAR, tone

SpeechAnswer = Literal[
    "asked", "wav", "wav-streamed", "wav-24-bit", "wav-float-stereo", "wav-each-part", "wav-mu-law",
    "l16", "l16-little-endian", "pcm-with-rate", "pcm-called-mp3", "mp3", "ogg-opus", "ogg-vorbis",
    "flac", "aac", "json", "nothing",
]  # fmt: skip
RATE_HZ = 22_050
"""Of all these answers, but Opus, which has 24 kHz."""
_UNKNOWN = 0xFFFFFFFF
_PARTS = 3


def answered(answer: str, text: str) -> tuple[bytes, str]:
    """The body and the content type of an `answer` of SpeechAnswer."""
    pcm = np.frombuffer(tone(len(text) * SECONDS_PER_CHAR, f"pcm_{RATE_HZ}"), dtype="<i2")
    body, content_type = _ANSWERS[answer](pcm)
    return body, content_type


def _wav(pcm: np.ndarray, bits: int = 16, channels: int = 1, encoding: int = 1, size: int = 0,
         ) -> bytes:  # fmt: skip
    """`pcm` is what the data chunk holds. `size`: what its header says, 0 for the truth."""
    data = pcm.tobytes()
    frame = bits // 8 * channels
    format = struct.pack("<HHIIHH", encoding, channels, RATE_HZ, RATE_HZ * frame, frame, bits)
    extra = b"LIST" + struct.pack("<I", 10) + b"INFOISFT\0\0"
    head = b"WAVEfmt " + struct.pack("<I", len(format)) + format + extra + b"data"
    body = head + struct.pack("<I", size or len(data)) + data
    return b"RIFF" + struct.pack("<I", size or len(body)) + body + (b"" if size else extra)


def _24_bit(pcm: np.ndarray) -> bytes:
    three = (pcm.astype("<i4") << 16).view(np.uint8).reshape(-1, 4)[:, 1:]
    return _wav(np.ascontiguousarray(three), bits=24)


def _float_stereo(pcm: np.ndarray) -> bytes:
    both = np.repeat(pcm.astype("<f4") / 32768, 2)
    return _wav(both, bits=32, channels=2, encoding=3)


def _file(format: str, subtype: str | None = None, rate_hz: int = RATE_HZ) -> Callable[..., bytes]:
    def written(pcm: np.ndarray) -> bytes:
        count = len(pcm) * rate_hz // RATE_HZ
        again = np.frombuffer(tone(count / rate_hz, f"pcm_{rate_hz}"), dtype="<i2")
        file = io.BytesIO()
        soundfile.write(file, again, rate_hz, format=format, subtype=subtype)
        return file.getvalue()

    return written


def _adts(pcm: np.ndarray) -> bytes:
    """Frames of AAC, with nothing in them."""
    size = 200
    head = bytes([0xFF, 0xF1, 0x5C, 0x40 | size >> 11, size >> 3 & 255, (size & 7) << 5 | 31, 0xFC])
    return (head + bytes(size - len(head))) * 10


_L16 = f"audio/L16; rate={RATE_HZ}; channels=1"
_ANSWERS: dict[str, Callable[[np.ndarray], tuple[bytes, str]]] = {
    "wav": lambda pcm: (_wav(pcm), "audio/wav"),
    "wav-streamed": lambda pcm: (_wav(pcm, size=_UNKNOWN), "audio/pcm"),
    "wav-24-bit": lambda pcm: (_24_bit(pcm), "audio/x-wav"),
    "wav-float-stereo": lambda pcm: (_float_stereo(pcm), "audio/wav"),
    "wav-each-part": lambda pcm: (
        b"".join(map(_wav, np.array_split(pcm, _PARTS))),
        "application/octet-stream",
    ),
    "wav-mu-law": lambda pcm: (_wav(pcm, bits=8, encoding=7), "audio/wav"),
    "l16": lambda pcm: (pcm.astype(">i2").tobytes(), _L16),
    "l16-little-endian": lambda pcm: (pcm.tobytes(), _L16),
    "pcm-with-rate": lambda pcm: (pcm.tobytes(), f"audio/pcm;rate={RATE_HZ}"),
    "pcm-called-mp3": lambda pcm: (_file("RAW", "PCM_16", 24_000)(pcm), "audio/mpeg"),
    "mp3": lambda pcm: (_file("MP3")(pcm), "audio/mpeg"),
    "ogg-opus": lambda pcm: (_file("OGG", "OPUS", 24_000)(pcm), "audio/ogg"),
    "ogg-vorbis": lambda pcm: (_file("OGG", "VORBIS")(pcm), "audio/ogg"),
    "flac": lambda pcm: (_file("FLAC")(pcm), "audio/flac"),
    "aac": lambda pcm: (_adts(pcm), "audio/aac"),
    "json": lambda pcm: (b'{"error": "the model is not loaded"}', "audio/pcm"),
    "nothing": lambda pcm: (b"", "audio/pcm"),
}
