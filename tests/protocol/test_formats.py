"""Audio formats by name."""

import typing

import pytest
from elevenlabs.types import AllowedOutputFormats, TextToSpeechOutputFormatEnum

from serve_app.protocol.formats import ELEVEN_LABS_FORMATS, NOT_OVER_WEBSOCKETS, parse_format

BYTES_PER_SECOND = {
    "mp3_22050_32": 4_000, "mp3_24000_48": 6_000, "mp3_44100_32": 4_000, "mp3_44100_64": 8_000,
    "mp3_44100_96": 12_000, "mp3_44100_128": 16_000, "mp3_44100_192": 24_000,
    "pcm_8000": 16_000, "pcm_16000": 32_000, "pcm_22050": 44_100, "pcm_24000": 48_000,
    "pcm_32000": 64_000, "pcm_44100": 88_200, "pcm_48000": 96_000,
    "ulaw_8000": 8_000, "alaw_8000": 8_000,
    "opus_48000_32": 4_000, "opus_48000_64": 8_000, "opus_48000_96": 12_000,
    "opus_48000_128": 16_000, "opus_48000_192": 24_000,
}  # fmt: skip


@pytest.mark.parametrize(("name", "rate"), BYTES_PER_SECOND.items())
def test_seconds_of_every_format_of_elevenlabs(name: str, rate: int) -> None:
    parsed = parse_format(name)
    assert parsed.name == name
    assert (parsed.codec, str(parsed.rate_hz)) == tuple(name.split("_")[:2])
    assert parsed.is_pcm == name.startswith("pcm")
    assert parsed.seconds(rate * 3) == pytest.approx(3)


def literals(union: object) -> set[str]:
    """The SDK writes such types as Union[Literal[...], Any]."""
    return {name for part in typing.get_args(union) for name in typing.get_args(part)}


def test_the_lists_are_those_of_the_installed_sdk() -> None:
    assert literals(AllowedOutputFormats) == ELEVEN_LABS_FORMATS == BYTES_PER_SECOND.keys()
    over_websockets = literals(TextToSpeechOutputFormatEnum)
    assert over_websockets == ELEVEN_LABS_FORMATS - NOT_OVER_WEBSOCKETS


@pytest.mark.parametrize(
    "name", ["", "wav", "pcm", "pcm_0", "pcm_16000_32", "mp3_22050", "mp3_22050_0", "mp3_-1_32"]
)
def test_other_names_are_refused_with_examples(name: str) -> None:
    with pytest.raises(ValueError, match="use for example pcm_16000"):
        parse_format(name)
