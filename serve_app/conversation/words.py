"""What a transcript says, however it is written."""

import re
import unicodedata
from collections.abc import Iterable

_ANNOTATION = re.compile(r"\[[^\]]*\]|\([^)]*\)|\*[^*]*\*")
"""Whisper writes what it hears that is not speech as [BLANK_AUDIO], (coughing) or *sighs*."""
_APOSTROPHES = re.compile("['\u2018\u2019]")
_LAUGHTER = re.compile("(?:h[aeo]){2,}h?|h*m+|uh+m*|a+h+")
_NO_WORD = re.compile(r"[\W_]+")


def words(text: str) -> list[str]:
    """The words of a transcript in one spelling (NFKC, case folded, no punctuation)."""
    plain = unicodedata.normalize("NFKC", _ANNOTATION.sub(" ", text)).casefold()
    return _NO_WORD.sub(" ", _APOSTROPHES.sub("", plain)).split()


def same_words(one: str, other: str) -> bool:
    """Whether two transcripts differ in spelling only."""
    return words(one) == words(other)


def stable_prefix(earlier: str, later: str) -> str:
    """The words of `later`, as it writes them, up to where `earlier` differs. What two successive
    partial transcripts agree on hardly ever changes afterwards."""
    before = [words(word) for word in earlier.split()]
    after = later.split()
    agreed = 0
    for word, known in zip(after, before, strict=False):
        if words(word) != known:
            break
        agreed += 1
    return " ".join(after[:agreed])


def is_longer(text: str, start: str) -> bool:
    """Whether a text begins with all the words of `start` and goes on."""
    all_words, first = words(text), words(start)
    return len(all_words) > len(first) and all_words[: len(first)] == first


def floor_words(text: str, backchannels: Iterable[str]) -> list[str]:
    """The words without laughter and backchannels: if there are any, the user wants the floor."""
    rest = f" {' '.join(words(text))} "
    for phrase in sorted((" ".join(words(b)) for b in backchannels), key=len, reverse=True):
        # Twice, since neighbours share the space between them.
        rest = rest.replace(f" {phrase} ", " ").replace(f" {phrase} ", " ")
    return [word for word in rest.split() if not _LAUGHTER.fullmatch(word)]
