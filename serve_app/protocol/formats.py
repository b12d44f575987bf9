"""Audio formats by the names that Echo and ElevenLabs use, such as `pcm_44100`."""

from dataclasses import dataclass

_BITS_PER_PCM_SAMPLE = 16

ELEVEN_LABS_FORMATS = frozenset(
    {"mp3_22050_32", "mp3_24000_48", "ulaw_8000", "alaw_8000"}
    | {f"mp3_44100_{kbit}" for kbit in (32, 64, 96, 128, 192)}
    | {f"pcm_{rate}" for rate in (8000, 16000, 22050, 24000, 32000, 44100, 48000)}
    | {f"opus_48000_{kbit}" for kbit in (32, 64, 96, 128, 192)}
)
"""The values of ElevenLabs' output_format, and so of Echo's ELEVEN_LABS_OUTPUT_FORMAT
(`AllowedOutputFormats` of elevenlabs 2.78)."""
NOT_OVER_WEBSOCKETS = frozenset({"mp3_24000_48", "pcm_32000", "pcm_48000"})
"""Not in `TextToSpeechOutputFormatEnum`, which lists the formats of the WebSockets."""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """An encoding of the agent's voice, always with one channel."""

    name: str
    """`pcm_16000`, `mp3_22050_32`, `ulaw_8000`, ..."""
    codec: str
    """`pcm` (signed 16-bit little-endian), `mp3`, `ulaw`, `alaw` or `opus`."""
    rate_hz: int
    bytes_per_second: float
    """Exact for pcm, ulaw and alaw; the nominal bit rate for mp3 and opus."""

    @property
    def is_pcm(self) -> bool:
        return self.codec == "pcm"

    def seconds(self, size_bytes: int) -> float:
        """The playing time of `size_bytes` of audio."""
        return size_bytes / self.bytes_per_second


def parse_format(name: str) -> AudioFormat:
    """From `codec_rate` or `codec_rate_kbit`. Raises ValueError with examples."""
    codec, *numbers = name.split("_")
    try:
        rate, *kbit = (int(n) for n in numbers)
        return AudioFormat(name, codec, rate, _bytes_per_second(codec, rate, kbit))
    except (ValueError, KeyError):
        raise ValueError(
            f"audio format {name!r} is not known; use for example pcm_16000, pcm_44100,"
            " mp3_22050_32, ulaw_8000 or opus_48000_32"
        ) from None


def _bytes_per_second(codec: str, rate_hz: int, kbit: list[int]) -> float:
    if codec in ("mp3", "opus"):
        (kbit_per_second,) = kbit
        if kbit_per_second <= 0 or rate_hz <= 0:
            raise ValueError(codec)
        return kbit_per_second * 1000 / 8
    if kbit or rate_hz <= 0:
        raise ValueError(codec)
    return rate_hz * {"pcm": _BITS_PER_PCM_SAMPLE // 8, "ulaw": 1, "alaw": 1}[codec]
