"""A reply's text, as it is written, in pieces that can be spoken: clauses."""

import re

_SENTENCE_END = re.compile(r"[.!?…]['\")\]]*\s+|\n+")
_CLAUSE_END = re.compile(r"[,;:—–]\s+")  # noqa: RUF001 - the en dash is meant
_ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|Prof|vs|etc|e\.g|i\.e|No)\.\s+$", re.IGNORECASE)
_WORD_END = re.compile(r"\s+")

_FIRST_CLAUSE_WORDS = 1
"""The first clause may end at a comma this early ("Yes, "): it decides when the agent is heard."""
_CLAUSE_WORDS = 8
_LONGEST_CLAUSE_WORDS = 30


class ClauseSplitter:
    """Cuts a stream of text. All pieces together are the text, white space included."""

    def __init__(self) -> None:
        self._text = ""
        self._is_first = True

    def push(self, text: str) -> list[str]:
        """Takes more text; returns the clauses that are complete."""
        self._text += text
        clauses = []
        while cut := self._next_cut():
            clauses.append(self._text[:cut])
            self._text = self._text[cut:]
            self._is_first = False
        return clauses

    def flush(self) -> list[str]:
        """The rest, at the end of the reply."""
        rest, self._text = self._text, ""
        return [rest] if rest.strip() else []

    def _next_cut(self) -> int:
        words = _FIRST_CLAUSE_WORDS if self._is_first else _CLAUSE_WORDS
        ends = [self._sentence_end(), self._end_after(_CLAUSE_END, words)]
        found = [end for end in ends if end] or [self._end_after(_WORD_END, _LONGEST_CLAUSE_WORDS)]
        return min(found)

    def _sentence_end(self) -> int:
        for match in _SENTENCE_END.finditer(self._text):
            head = self._text[: match.end()]
            if head.strip() and not _ABBREVIATION.search(head):
                return match.end()
        return 0

    def _end_after(self, pattern: re.Pattern[str], words: int) -> int:
        for match in pattern.finditer(self._text):
            if len(self._text[: match.end()].split()) >= words:
                return match.end()
        return 0
