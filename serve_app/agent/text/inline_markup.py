"""Markup within a line, as it is written: what remains of it when it is read aloud."""

import re

from serve_app.agent.text.inline_rules import LONGEST_HELD, RULES

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
    """Takes one character after the other and says which text is settled by it.

    Emphasis, links and addresses, code marks, tags, emoji and emoticons. Characters that may
    belong to markup are held until one comes that decides, at most LONGEST_HELD of them.
    """

    def __init__(self) -> None:
        self._held = ""
        self._before = ""
        """The character before those that are held."""
        self._in_code = False
        self._fence = 0
        """Number of backticks that opened the code block that is being written, or 0."""

    @property
    def in_code_block(self) -> bool:
        return self._fence > 0

    def take(self, char: str) -> str:
        """Text that can be said now. A line feed ends all markup but code blocks."""
        said = ""
        waiting = [char]
        while waiting:
            char = waiting.pop()
            if not self._held and not self._opens(char):
                said += self._plain(char)
                self._before = char
            elif not self._held or self._goes_on(char):
                self._held += char
            else:
                held, self._held = self._held, ""
                words, again = self._resolve(held, char)
                said += words
                self._before = held[0] if again else held[-1]
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
        if char == "\n" or len(self._held) >= LONGEST_HELD:
            return False
        if self._held[0] == _CODE:
            return char == _CODE
        return RULES[self._held[0]].goes_on(self._held, char)

    def _resolve(self, held: str, char: str) -> tuple[str, str]:
        if held[0] != _CODE:
            return RULES[held[0]].resolve(self._before, held, char)
        if self._fence:
            self._fence = 0 if len(held) >= self._fence else self._fence
        elif len(held) >= _FENCE_LENGTH:
            self._fence = len(held)
        else:
            self._in_code = not self._in_code
        return "", ""
