"""What an LLM writes, as it is written, turned into text that can be read aloud."""

import re
import unicodedata

from serve_app.agent.text.inline_markup import InlineMarkup
from serve_app.agent.text.stops import CLOSERS

_MARKS_ONLY = re.compile(r"[ \t>]*[-*_=|:+\s#~]*")
"""A blank line, a rule, or the line between a table's head and its rows."""
_MAY_BE_MARKER = re.compile(r"[ \t>]*(?:[-*_=|:+\s#~]*|[•‣◦▪·–—]\s*|\d{1,3}[.)]?\s*)")  # noqa: RUF001
_MARKER = re.compile(
    r"[ \t>]*(?:(?P<heading>#{1,6})[ \t]+|(?P<bullet>[-*+–—][ \t]|[•‣◦▪·])[ \t]*"  # noqa: RUF001
    r"|(?P<number>\d{1,3})[.)][ \t]+|(?P<row>\|)[ \t]*)?"
)
_PAUSES = ".!?…:;,。！？：、"  # noqa: RUF001
_NO_SPACE_BEFORE = ",!?;:，。！？：；"  # noqa: RUF001
_SPACED_STOP = " ."
"""The space is dropped where an emoji left it ("Fine 😀."), and kept before a number (".5")."""
_TAIL = 8
"""How many characters of what was said are remembered."""


class Speakable:
    """Takes a reply's text piece by piece and returns the text for the voice.

    Markdown and HTML lose their marks and keep their text: of a link its text, of an address its
    host. Headings, list items and table rows become sentences, and table cells parts of one.
    Emoji and emoticons are dropped. A code block is skipped without a word: the sentence before it
    ("Run this:") announces it in the language of the conversation, which this module does not
    know. For the same reason symbols ("%", "$5") stay; the voice decides how to read them.

    The result does not depend on how the text was cut, since characters are taken one by one.
    Plain text passes at once. White space becomes single spaces and line feeds.
    """

    def __init__(self) -> None:
        self._inline = InlineMarkup()
        self._said = _Said()
        self._line_start: str | None = ""
        """What may be a marker at the start of a line; None after the start."""
        self._is_sentence = False
        """Whether its marker makes the line a sentence."""

    def push(self, text: str) -> str:
        """Takes more text; returns what can be said."""
        for char in text:
            self._take(char)
        return self._said.pop()

    def flush(self) -> str:
        """The rest, at the end of the reply."""
        if self._line_start and not _MARKS_ONLY.fullmatch(self._line_start):
            self._begin_line(self._line_start)
        self._say("\n")
        self._said.end(self._is_sentence)
        return self._said.pop()

    def _take(self, char: str) -> None:
        if self._inline.in_code_block:
            self._in_code_block(char)
        elif self._line_start is None:
            self._in_line(char)
        elif char == "\n" and _MARKS_ONLY.fullmatch(self._line_start):
            self._line_start = ""
            self._said.end_line(is_sentence=False)
        elif char != "\n" and _MAY_BE_MARKER.fullmatch(self._line_start + char):
            self._line_start += char
        else:
            self._begin_line(self._line_start)
            self._in_line(char)

    def _in_code_block(self, char: str) -> None:
        self._say(char)
        if char == "\n":
            self._begin_next_line()

    def _begin_line(self, start: str) -> None:
        marker = _MARKER.match(start)
        self._line_start = None
        self._is_sentence = bool(marker and marker.lastgroup)
        if marker and marker["number"]:
            self._say(f"{marker['number']}. ")
        self._say(start[marker.end() if marker else 0 :])

    def _in_line(self, char: str) -> None:
        self._say(char)
        if char == "\n":
            self._begin_next_line()

    def _begin_next_line(self) -> None:
        self._said.end_line(self._is_sentence)
        self._line_start = ""
        self._is_sentence = False

    def _say(self, text: str) -> None:
        for char in text:
            for said in self._inline.take(char).replace("\n", ""):
                self._said.put(said)


class _Said:
    """What is said, with tidy white space, and a stop after each line that is a sentence."""

    def __init__(self) -> None:
        self._ready: list[str] = []
        self._tail = ""
        self._gap = ""
        """What goes before the next character, unless that is punctuation."""

    def pop(self) -> str:
        ready, self._ready = "".join(self._ready), []
        return ready

    def put(self, char: str) -> None:
        if self._gap == _SPACED_STOP:
            self._write_stop(char)
        is_fresh = not self._tail or self._tail[-1].isspace()
        if char == "|":
            self._gap = "" if is_fresh else " " if self._has_pause() else ", "
        elif char == "." and self._gap == " ":
            self._gap = _SPACED_STOP
        elif not char.isspace():
            self._emit("" if self._gap == " " and char in _NO_SPACE_BEFORE else self._gap)
            self._gap = ""
            self._emit(char)
        elif not is_fresh and self._has_pause():
            # At once, so that a sentence is complete as soon as it is written.
            self._emit(" ")
        elif not is_fresh and not self._gap:
            self._gap = " "

    def end_line(self, is_sentence: bool) -> None:
        """After a blank line, the line before it is a sentence."""
        self._write_stop("\n")
        has_ended = self._gap == "\n"
        self._gap = ""
        if not self._tail or self._tail[-1] == "\n":
            return
        if self._has_pause():
            self._emit("\n")
        elif is_sentence or has_ended:
            self._emit(f"{self._stop()}\n")
        else:
            self._gap = "\n"

    def end(self, is_sentence: bool) -> None:
        """The end of the reply."""
        self._write_stop("\n")
        self._gap = ""
        if is_sentence and self._tail.strip() and self._tail[-1] != "\n" and not self._has_pause():
            self._emit(self._stop())

    def _write_stop(self, after: str) -> None:
        if self._gap == _SPACED_STOP:
            self._gap = ""
            self._emit(_SPACED_STOP if after.isalnum() else ".")

    def _emit(self, text: str) -> None:
        self._ready.append(text)
        self._tail = (self._tail + text)[-_TAIL:]

    def _has_pause(self) -> bool:
        return self._tail.rstrip().rstrip(CLOSERS)[-1:] in tuple(_PAUSES)

    def _stop(self) -> str:
        return "。" if unicodedata.east_asian_width(self._tail[-1]) in "WF" else "."
