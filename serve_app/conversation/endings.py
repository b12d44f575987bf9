"""Whether what the user has said so far can be the end of a turn, by its words. English; of other
languages only the punctuation counts."""

from enum import Enum, auto
from typing import Final

from serve_app.conversation.words import words

_UNFINISHED: Final = frozenset({
    "a", "an", "the", "my", "your", "our", "their", "his", "its", "and", "or", "but", "so",
    "because", "if", "which", "who", "where", "when", "than", "then", "as", "while", "to", "of",
    "for", "with", "from", "at", "into", "i", "we", "they", "he", "she", "am", "im", "were",
    "going", "gonna", "uh", "um", "er", "erm", "hmm", "well", "like", "very",
})  # fmt: skip
"""Words after which more is bound to come."""
_NUMBERS: Final = frozenset({
    "zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
    "hundred", "thousand", "double", "triple",
})  # fmt: skip
_SHORT_ANSWERS: Final = frozenset({
    "yes", "no", "yeah", "yep", "yup", "nope", "nah", "sure", "okay", "ok", "right", "correct",
    "exactly", "absolutely", "definitely", "maybe", "please", "thanks", "thank", "you", "not",
    "of", "course", "alright", "fine", "never", "always",
})  # fmt: skip
_LONGEST_ANSWER: Final = 3
"""Words."""
_TAIL: Final = 200
"""Characters at the end of a text that are looked at: this is asked with each frame of silence."""
_QUESTION_MARKS: Final = ("?", "\uff1f", "\u061f")
_SENTENCE_ENDS: Final = (".", "!", "\u3002", "\uff01", "\u0964", *_QUESTION_MARKS)
"""With those of Chinese, Japanese, Arabic and Hindi."""
_CLOSING: Final = "\"')\u201d\u2019 "


class Ending(Enum):
    """What the words of a turn say about its end."""

    UNKNOWN = auto()
    """There are none."""
    UNFINISHED = auto()
    """More is to come."""
    SENTENCE = auto()
    """It may be over: a whole sentence."""
    ANSWER = auto()
    """It is over: a short answer to what the agent has just asked."""


def ending(text: str, question: str) -> Ending:
    """The ending of a turn that has said `text` so far; `question` is what the agent said last."""
    tail = text[-_TAIL:]
    if not words(tail):
        return Ending.UNKNOWN
    if len(text) <= _TAIL and _is_answer(tail, question):
        return Ending.ANSWER
    return Ending.UNFINISHED if _is_unfinished(tail) else Ending.SENTENCE


def _is_unfinished(text: str) -> bool:
    """Whether the text breaks off, or dictates numbers, of which there may be more. Whisper ends
    a phrase that sounds unfinished with a comma, with dots, or with nothing."""
    said = text.rstrip(_CLOSING)
    if said.endswith(_QUESTION_MARKS):
        return False
    breaks_off = said.endswith(("...", "\u2026")) or not said.endswith(_SENTENCE_ENDS)
    return breaks_off or words(text)[-1] in _UNFINISHED or _is_dictated(text)


def _is_dictated(text: str) -> bool:
    """Whether it ends with two numbers or single letters: a telephone number, a list, a name that
    is spelled."""
    last = words(text)[-2:]
    return len(last) == 2 and all(_is_item(word) for word in last)


def _is_item(word: str) -> bool:
    return word.isdigit() or word in _NUMBERS or (len(word) == 1 and word not in {"a", "i"})


def _is_answer(text: str, question: str) -> bool:
    if not question.rstrip().endswith(_QUESTION_MARKS):
        return False
    said = words(text)
    return len(said) <= _LONGEST_ANSWER and all(word in _SHORT_ANSWERS for word in said)
