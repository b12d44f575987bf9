"""What a speech server has sent, by its first bytes.

Servers ignore `response_format`, and some label WAV as `audio/pcm` or PCM as `audio/mpeg`. So the
bytes decide, and not the content type.
"""

from typing import Literal

Kind = Literal[
    "pcm", "wav", "mp3", "ogg", "flac", "aiff", "au", "caf", "aac", "mp4", "webm", "rifx", "text"
]

_MAGIC: tuple[tuple[bytes, Kind], ...] = (
    (b"ID3", "mp3"),
    (b"OggS", "ogg"),
    (b"fLaC", "flac"),
    (b".snd", "au"),
    (b"caff", "caf"),
    (b"RIFX", "rifx"),
    (b"\x1aE\xdf\xa3", "webm"),
    (b'{"', "text"),
    (b"<!", "text"),
    (b"<html", "text"),
)
_FORM: dict[bytes, Kind] = {b"RIFFWAVE": "wav", b"RF64WAVE": "wav"}
_HEAD_BYTES = 12
"""As many as the longest of these takes."""

_KBIT_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBIT_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Of MPEG 1, 2 and 2.5, by the version's bits."""
_MPEG_1, _LAYER_3, _ADTS = 3, 1, 0
_HEADER_BYTES = 6


def kind_of(head: bytes, is_complete: bool) -> Kind | None:
    """What begins with `head`; None while more of it is needed to tell. `is_complete`: that is all
    there is."""
    if len(head) < _HEAD_BYTES and not is_complete:
        return None
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if form := _FORM.get(head[:4] + head[8:12]):
        return form
    if head[:4] == b"FORM" and head[8:11] == b"AIF":
        return "aiff"
    return "mp4" if head[4:8] == b"ftyp" else _kind_of_frames(head, is_complete)


def _kind_of_frames(head: bytes, is_complete: bool) -> Kind | None:
    """MP3 and AAC as bare frames. Samples may look like the header of one frame, so the next one
    has to begin where this one ends."""
    size = _frame_bytes(head)
    if size == 0:
        return "pcm"
    if len(head) < size + _HEADER_BYTES and not is_complete:
        return None
    if len(head) > size and not _frame_bytes(head[size:]):
        return "pcm"
    return "mp3" if _layer(head) == _LAYER_3 else "aac"


def _layer(head: bytes) -> int:
    return head[1] >> 1 & 3


def _frame_bytes(head: bytes) -> int:
    """How long the MP3 or AAC frame at the beginning is; 0 if there is none."""
    if len(head) < _HEADER_BYTES or head[0] != 0xFF or head[1] < 0xE0:
        return 0
    if _layer(head) == _LAYER_3:
        return _mp3_bytes(head)
    return _aac_bytes(head) if _layer(head) == _ADTS and head[1] >= 0xF0 else 0


def _mp3_bytes(head: bytes) -> int:
    version, bit_rate, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version not in _RATES_HZ or rate == 3 or bit_rate in (0, 15):
        return 0
    kbit = (_KBIT_1 if version == _MPEG_1 else _KBIT_2)[bit_rate]
    samples = 1152 if version == _MPEG_1 else 576
    return samples // 8 * kbit * 1000 // _RATES_HZ[version][rate] + (head[2] >> 1 & 1)


def _aac_bytes(head: bytes) -> int:
    rate = head[2] >> 2 & 15
    size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return size if rate < 13 and size > _HEADER_BYTES else 0
