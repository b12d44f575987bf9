"""Recorded speech whose text is known, and how far a transcript is from it."""

import json
import re
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.protocol.messages import Samples

_CLIPS = Path(__file__).parent / "data" / "speech"
_DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]

TRANSCRIPTS: dict[str, str] = json.loads((_CLIPS / "transcripts.json").read_text())
"""What is said in each clip: lower case, no punctuation, numbers as words."""


def clip(name: str) -> Samples:
    """Float32 in [-1, 1], 16 kHz, shape (n,)."""
    with wave.open(str(_CLIPS / f"{name}.wav")) as file:
        assert (file.getnchannels(), file.getframerate()) == (1, SAMPLE_RATE_HZ)
        pcm = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    return pcm.astype(np.float32) / np.float32(32768)


def words(text: str) -> list[str]:
    """As in the reference texts; numbers up to ten become words."""
    spelled = re.sub(r"\bmr\b", "mister", text.lower().replace("-", " "))
    found = re.findall(r"[a-z']+|\d+", spelled)
    return [_DIGITS[int(w)] if w.isdigit() and int(w) < len(_DIGITS) else w for w in found]


def word_errors(reference: str, heard: str) -> int:
    """Words to insert, delete or replace to get from one text to the other."""
    return edits(words(reference), words(heard))


def edits(expected: Sequence[str], got: Sequence[str]) -> int:
    """What to insert, delete or replace to get from one sequence to the other (Levenshtein)."""
    row = list(range(len(got) + 1))
    for i, word in enumerate(expected, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(got, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]


def transcript(name: str) -> str:
    """What is said in a clip."""
    return TRANSCRIPTS[name]


def word_error_rate(reference: str, heard: str) -> float:
    """Errors per word of the reference."""
    return word_errors(reference, heard) / len(words(reference))


def corpus_error_rate(heard: dict[str, str]) -> float:
    """Errors per reference word over all the clips in `heard`, which has their texts."""
    errors = sum(word_errors(TRANSCRIPTS[name], text) for name, text in heard.items())
    return errors / sum(len(words(TRANSCRIPTS[name])) for name in heard)
