"""Markup within a line, as it is written: what is left of it when it is read aloud."""

import re

from serve_app.agent.text.inline_rules import LONGEST_PENDING, RULES

_WORD_STARTS = "([{<\"'“«*_~>"
_CODE = "`"
_FENCE_LENGTH = 3
_EMOJI = re.compile(
    "[\U0001f000-\U0001faff\u2600-\u27bf\u2b05-\u2b07\u2b1b\u2b1c\u2b50\u2b55\u231a\u231b\u23e9-\u23fa"
    "\ufe0f\u20e3\U000e0020-\U000e007f]"
)
"""Emoji, dingbats and what modifies them (Unicode 16, emoji-data.txt)."""
_JOINER = "\u200d"
"""Joins emoji, but also letters of Persian and Indic scripts."""


class InlineMarkup:
    """Takes one character at a time and returns the text that can be said from then on.

    Handles emphasis, links and addresses, code marks, tags, emoji and emoticons. Characters that
    may belong to markup are pending, at most LONGEST_PENDING of them, until a later one decides.
    """

    def __init__(self) -> None:
        self._pending = ""
        self._before = ""
        """The character before the pending ones."""
        self._in_code = False
        self._fence = 0
        """How many backticks opened the current code block; 0 outside of one."""

    @property
    def in_code_block(self) -> bool:
        return self._fence > 0

    def take(self, char: str) -> str:
        """Text that can be said now. A line feed ends all markup but code blocks."""
        said = ""
        waiting = [char]
        while waiting:
            char = waiting.pop()
            if not self._pending and not self._opens(char):
                said += self._plain(char)
                self._before = char
            elif not self._pending or self._goes_on(char):
                self._pending += char
            else:
                pending, self._pending = self._pending, ""
                words, again = self._resolve(pending, char)
                said += words
                self._before = pending[0] if again else pending[-1]
                waiting += [char, *reversed(again)]
        return said

    def _opens(self, char: str) -> bool:
        rule = RULES.get(char)
        if rule is None or self._fence:
            return char == _CODE
        is_in_place = self._is_word_start() or not rule.only_at_word_start
        return is_in_place and (rule.in_code or not self._in_code)

    def _is_word_start(self) -> bool:
        return not self._before or self._before.isspace() or self._before in _WORD_STARTS

    def _plain(self, char: str) -> str:
        if char == "\n":
            self._in_code = False
        if self._fence and char != "\n":
            return ""
        is_joined = char == _JOINER and _EMOJI.match(self._before)
        return "" if is_joined or _EMOJI.match(char) else char

    def _goes_on(self, char: str) -> bool:
        if char == "\n" or len(self._pending) >= LONGEST_PENDING:
            return False
        if self._pending[0] == _CODE:
            return char == _CODE
        return RULES[self._pending[0]].goes_on(self._pending, char)

    def _resolve(self, pending: str, char: str) -> tuple[str, str]:
        if pending[0] != _CODE:
            return RULES[pending[0]].resolve(self._before, pending, char)
        if self._fence:
            self._fence = 0 if len(pending) >= self._fence else self._fence
        elif len(pending) >= _FENCE_LENGTH:
            self._fence = len(pending)
        else:
            self._in_code = not self._in_code
        return "", ""
