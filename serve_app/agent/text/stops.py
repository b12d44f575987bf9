"""Where a speaker may pause in written text, judged by how each word ends.

Why not a library? pysbd 0.3.4 and syntok 1.4.4 segment a complete text. On a growing one they
revise their answers ("J." is a sentence until "Smith" comes), and a reply would have to be
segmented again at each token. stream2sentence 1.1.0 works on streams and knows as much as this
module, but it pulls from an iterator, waits for 12 characters after a stop before it releases a
sentence, takes a list for one sentence, and strips the white space. We want each clause as soon as
one character completes it, and the text unchanged.
"""

import re
from enum import Enum, auto


class Pause(Enum):
    """What the end of a word allows."""

    NONE = auto()
    COMMA = auto()
    """A pause within a sentence."""
    COMMA_OR_STOP = auto()
    """A stop inside quotes, or an ellipsis. It ends a sentence unless the next word begins with a
    small letter."""
    STOP_OR_ABBREVIATION = auto()
    """The end of a sentence if the next word is a common first word."""
    STOP = auto()
    """The end of a sentence."""


CLOSERS = "\"')]}»”’」』）】》"  # noqa: RUF001 - as they are written
_WIDE_STOPS = "。！？｡"  # noqa: RUF001
_WIDE_COMMAS = "、，；："  # noqa: RUF001
_CLOSING = f"[{re.escape(CLOSERS)}]"
_OPENING = "\"'([{«“‘„¿¡*_"  # noqa: RUF001

_STRONG = re.compile(rf"[!?؟।۔{_WIDE_STOPS}]({_CLOSING}*)$")  # noqa: RUF001
_ELLIPSIS = re.compile(rf"(?:\.\.+|…){_CLOSING}*$")
_FULL_STOP = re.compile(rf"\.({_CLOSING}*)$")
_COMMA = re.compile(rf"[,;:،؛{_WIDE_COMMAS}]{_CLOSING}*$|(?:^|\s)[–—-]$|\w[—]$")  # noqa: RUF001
_WIDE_PAUSE = re.compile(rf"(?:[{_WIDE_STOPS}{_WIDE_COMMAS}]|[…—]){_CLOSING}*$")

_NEVER_LAST = re.compile(
    r"mrs?|ms|dr|prof|sra?|mme|mlle|hr|e\.g|i\.e|z\.b|d\.h|u\.a|bzw|ca|cf|vs|fig|nr|approx",
    re.IGNORECASE,
)
"""Abbreviations that never end a sentence: English ones, and common German, French and Spanish
ones."""
_SOMETIMES_LAST = re.compile(
    r"etc|usw|inc|ltd|co|corp|jr|dept|est|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|min|max"
    r"|hrs?|ft|lbs?|oz|tel|avg|st|mt|lt|sgt|capt|col|gen|gov|sen|rep|rev|hon|al|ed|no|nos|vol|pp|eq"
    r"|ph\.d|\w|\w(?:\.\w)+|\d\d",
    re.IGNORECASE,
)
"""Other abbreviations, initials ("J."), acronyms ("U.S.", "p.m.") and ordinals ("3. Mai"). They may
end a sentence."""
_LIST_NUMBER = re.compile(r"(?:^|\n)\s*\d{1,3}[.)]$")

_SENTENCE_STARTER = re.compile(
    r"an?|the|th(?:is|at|ese|ose|ere)|it|its|s?he|they|we|you|i|his|her|their|our|my|your|here|in"
    r"|on|at|for|if|when|while|after|before|because|since|although|however|but|and|so|then|also"
    r"|what|who|where|why|how|do|does|did|is|are|was|were|can|could|would|should|will|yes|please"
    r"|thanks|sure|let(?:'s)?|(?:it|that|there|here)'s|(?:i|you|we|they)'(?:m|re|ll|ve|d)",
    re.IGNORECASE,
)
"""Common first words of a sentence, looked for after an abbreviation. A sentence that begins with
another word is spoken in one breath with the one before it, which only makes the clause longer."""
_PHRASE_STARTER = re.compile(
    r"and|but|or|because|which|who|where|while|when|if|since|although|though|until|unless|before|after"
    r"|und|aber|oder|weil|wenn|et|mais|ou|parce|pero|porque",
    re.IGNORECASE,
)
"""Words before which a speaker may take a breath without a comma."""


def pause_after(text: str) -> Pause:
    """Which pause is possible after `text`, which ends with a word and the punctuation on it."""
    if match := _STRONG.search(text):
        return Pause.COMMA_OR_STOP if match[1] else Pause.STOP
    if _ELLIPSIS.search(text):
        return Pause.COMMA_OR_STOP
    if match := _FULL_STOP.search(text):
        return _after_full_stop(text[: match.start()], bool(match[1]))
    return Pause.COMMA if _is_comma(text) else Pause.NONE


def is_wide_pause(text: str) -> bool:
    """Whether `text` ends with punctuation that no space follows: Chinese, Japanese, "—"."""
    return _WIDE_PAUSE.search(text) is not None


def clings(char: str) -> bool:
    """Whether `char` belongs to the punctuation before it."""
    return char in CLOSERS or char in _WIDE_STOPS or char in _WIDE_COMMAS or char in ".…!?,;:"


def starts_sentence(word: str) -> bool:
    """Whether `word`, after an abbreviation, begins a sentence."""
    bare = word.lstrip(_OPENING)
    return bare[:1].isupper() and _SENTENCE_STARTER.fullmatch(_plain(bare)) is not None


def starts_phrase(word: str) -> bool:
    return _PHRASE_STARTER.fullmatch(_plain(word)) is not None


def _after_full_stop(head: str, is_closed: bool) -> Pause:
    if _LIST_NUMBER.search(f"{head}."):
        return Pause.NONE
    last = head.split()[-1].lstrip(_OPENING) if head.strip() else ""
    if _NEVER_LAST.fullmatch(last):
        return Pause.NONE
    if _SOMETIMES_LAST.fullmatch(last):
        return Pause.STOP_OR_ABBREVIATION
    return Pause.COMMA_OR_STOP if is_closed else Pause.STOP


def _is_comma(text: str) -> bool:
    """Not the comma of "e.g.," or "5.,": the abbreviation would be a clause by itself."""
    return _COMMA.search(text) is not None and not text.rstrip(CLOSERS)[:-1].endswith(".")


def _plain(word: str) -> str:
    return word.strip(".,;:!?").replace("’", "'")  # noqa: RUF001
