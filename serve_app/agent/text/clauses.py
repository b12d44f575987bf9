"""A reply's text, as it is written, cut into clauses: pieces that can be spoken."""

import unicodedata
from dataclasses import dataclass

from serve_app.agent.text.stops import (
    Pause,
    clings,
    is_wide_pause,
    pause_after,
    starts_phrase,
    starts_sentence,
)

_WIDE_LETTERS = 3
"""A Chinese or Japanese character takes about as long to say as three Latin letters do."""


@dataclass(frozen=True, slots=True)
class ClauseLengths:
    """After how many letters a clause may end that is not a sentence. 15 letters take about 1 s."""

    comma: int
    phrase: int
    """Before a word such as "and" or "because"."""
    longest: int
    """Between any two words, or within the word if there is only one."""


@dataclass(frozen=True, slots=True)
class ReplyLengths:
    """The lengths of a reply's clauses, chosen with `make bench-speech`."""

    first: ClauseLengths = ClauseLengths(comma=1, phrase=30, longest=120)
    """Decides how soon the agent is heard, so "Yes, " is enough."""
    early: ClauseLengths = ClauseLengths(comma=20, phrase=50, longest=120)
    """While so little is playing that playback may run dry before a long clause is spoken."""
    later: ClauseLengths = ClauseLengths(comma=40, phrase=110, longest=180)
    """Spoken while others play, so prosody comes first."""
    head_start: int = 30
    """After this many letters, clauses are no longer early."""


class ClauseSplitter:
    """Cuts a stream of text at the ends of sentences, at commas and before conjunctions.

    Joined, the clauses are the text with all its white space, except at its end. They do not
    depend on how the stream was cut, since each character is judged by those before it. White
    space after a plain stop, or the end of a line, completes a clause at once; a stop that may
    belong to an abbreviation waits for the next word.
    """

    def __init__(self, lengths: ReplyLengths | None = None) -> None:
        self._all_lengths = lengths or ReplyLengths()
        self._lengths = self._all_lengths.first
        self._letters_done = 0
        self._done: list[str] = []
        self._begin("")

    def push(self, text: str) -> list[str]:
        """Takes more text; returns the clauses that are complete."""
        for char in text:
            self._take(char)
        done, self._done = self._done, []
        return done

    def flush(self) -> list[str]:
        """The rest, at the end of the reply."""
        rest = self._text
        self._begin("")
        return [rest] if rest.strip() else []

    def _begin(self, rest: str) -> None:
        """A new clause, which begins with `rest`."""
        self._text = ""
        self._size = 0
        self._has_words = False
        self._word_at = 0
        self._pause = Pause.NONE
        """Before the current word."""
        for char in rest:
            self._take(char)

    def _take(self, char: str) -> None:
        after_space = not self._text or self._text[-1].isspace()
        self._text += char
        self._size += _WIDE_LETTERS if unicodedata.east_asian_width(char) in "WF" else 1
        if cut := self._cut(char, after_space):
            clause, rest = self._text[:cut], self._text[cut:]
            self._done.append(clause)
            self._letters_done += cut
            is_early = self._letters_done < self._all_lengths.head_start
            self._lengths = self._all_lengths.early if is_early else self._all_lengths.later
            self._begin(rest)
        elif char.isalnum():
            self._has_words = True

    def _cut(self, char: str, after_space: bool) -> int:
        """Where the clause ends now that `char` is there; 0 if it goes on."""
        if not self._has_words:
            self._word_at = len(self._text) - 1 if after_space else self._word_at
            return 0 if char.isspace() else self._too_long()
        if char.isspace():
            cut = 0 if after_space else self._word_ends()
            return len(self._text) if char == "\n" and not cut else cut
        cut = self._word_begins(char) if after_space else self._after_wide_pause(char)
        return cut or self._too_long()

    def _word_begins(self, char: str) -> int:
        self._word_at = len(self._text) - 1
        return self._word_at if self._ends_before(char) else 0

    def _ends_before(self, char: str) -> bool:
        if self._pause is Pause.COMMA_OR_STOP and not char.islower():
            return True
        is_number = char.isdigit() and self._text[: self._word_at].rstrip(" ,")[-1:].isdigit()
        has_comma = self._pause in (Pause.COMMA, Pause.COMMA_OR_STOP) and not is_number
        return has_comma and self._size > self._lengths.comma

    def _word_ends(self) -> int:
        """The last character is the space after a word."""
        word = self._text[self._word_at : -1]
        begins_sentence = self._pause is Pause.STOP_OR_ABBREVIATION and starts_sentence(word)
        if begins_sentence or (self._word_at >= self._lengths.phrase and starts_phrase(word)):
            return self._word_at
        self._pause = pause_after(self._text[:-1])
        return len(self._text) if self._pause is Pause.STOP else 0

    def _after_wide_pause(self, char: str) -> int:
        head = self._text[:-1]
        if clings(char) or not is_wide_pause(head):
            return 0
        pause = pause_after(head)
        is_long = self._size > self._lengths.comma
        return len(head) if pause is Pause.STOP or (pause is not Pause.NONE and is_long) else 0

    def _too_long(self) -> int:
        if self._size <= self._lengths.longest:
            return 0
        has_words_before = any(map(str.isalnum, self._text[: self._word_at]))
        return self._word_at if has_words_before else len(self._text) - 1
