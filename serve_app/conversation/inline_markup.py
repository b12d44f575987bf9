"""Markup within a line, as it is written: what remains of it when it is read aloud."""

import re

_LONGEST_HELD = 2000
"""A link or address longer than this many characters is none; so is a tag or the text of a link
longer than the next."""
_LONGEST_TAG = 300
_ESCAPABLE = "\\`*_{}[]()<>#+-.!|~$"

_URL_STARTS = ("http://", "https://", "www.")
_URL_END = re.compile(r"[\s<>\"'`|*\]\u2e80-\uffff]")
"""What no address contains; Chinese and Japanese text follows one without a space."""
_HOST = re.compile(r"(https?://)?+(?:[^/?#@]*@)?(?:www\.)?+([^/?#:]+)", re.IGNORECASE)
_AFTER_URL = ".,;:!?)"
_WORD_STARTS = "([{\"'“«*_~>"
_NOTE_OR_BOX = re.compile(r"\[(?:\^\w+|\d{1,3}|[ xX])\]")
"""A footnote, a reference by number, the box of a task."""
_ATTRIBUTE = r"\s+[\w:-]+=(?:\"[^\"<>]*\"|'[^'<>]*')"
_TAG = re.compile(rf"<(?:/?[a-zA-Z][\w-]*(?:{_ATTRIBUTE})*\s*/?|!--[^<>]*)>")
_TAG_BEGUN = re.compile(
    rf"<(?:/?[a-zA-Z][\w-]*(?:{_ATTRIBUTE})*(?:\s+(?:[\w:-]+(?:=(?:\"[^\"<>]*|'[^'<>]*)?)?)?)?/?"
    r"|!(?:-(?:-[^<>]*)?)?|/|(?:https?|mailto):[^\s<>]*|[\w.+-]+@[^\s<>]*)>?"
)
_ADDRESS_IN_TAG = re.compile(r"<(?:mailto:)?(https?://[^\s<>]+|[^\s<>]+@[^\s<>]+)>")
_EMOTICON = re.compile(r"[:;=]['’]?-?[()\[DPpOo3/\\|*]+")  # noqa: RUF001
_EMOTICON_BEGUN = re.compile(r"[:;=](?:['’]?-?|['’]?-?[()\[DPpOo3/\\|*]+)")  # noqa: RUF001
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
    belong to markup are held until one comes that decides, at most `_LONGEST_HELD` of them.
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
                self._before = held[: len(held) - len(again)][-1:] or self._before
                waiting += [char, *reversed(again)]
        return said

    def _opens(self, char: str) -> bool:
        if self._fence:
            return char == "`"
        if char in "hHwW:;=" and not self._is_word_start():
            return False
        return char in ("`_hHwW" if self._in_code else "`_hHwW:;=*~[!<#\\")

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
        """Whether `char` may belong to what is held."""
        held = self._held
        if char == "\n" or len(held) >= _LONGEST_HELD:
            return False
        match held[0]:
            case "`" | "*" | "_" | "~":
                return char == held[0]
            case "[":
                return _may_be_link(held, char)
            case "<":
                is_tag = len(held) < _LONGEST_TAG and _TAG_BEGUN.fullmatch(held + char)
                return held[-1] != ">" and (bool(is_tag) or held + char == "<3")
            case ":" | ";" | "=":
                return _EMOTICON_BEGUN.fullmatch(held + char) is not None
            case "h" | "H" | "w" | "W":
                return _may_be_url(held + char)
            case "\\":
                return len(held) == 1 and char in _ESCAPABLE
            case _:
                return False

    def _resolve(self, held: str, char: str) -> tuple[str, str]:
        """What is said of `held`, and the part of it that is to be taken again."""
        match held[0]:
            case "`":
                self._code_mark(len(held))
                return "", ""
            case "*":
                return _stars(held, self._before, char), ""
            case "_":
                return " " if self._before.isalnum() and char.isalnum() else "", ""
            case "~":
                return held if len(held) == 1 else "", ""
            case "#":
                is_mark = not self._before.isalnum() and (char.isalpha() or char in "#\n")
                return "" if is_mark else held, ""
            case "!":
                return "" if char == "[" else held, ""
            case "\\":
                return held[1:] or " ", ""
            case "[":
                return _link(held)
            case "<":
                return _tag(held, char)
            case ":" | ";" | "=":
                is_word_end = not char.isalnum()
                return ("", "") if _EMOTICON.fullmatch(held) and is_word_end else _literal(held)
            case _:
                return _url(held)

    def _code_mark(self, ticks: int) -> None:
        if self._fence:
            self._fence = 0 if ticks >= self._fence else self._fence
        elif ticks >= 3:
            self._fence = ticks
        else:
            self._in_code = not self._in_code


def _literal(held: str) -> tuple[str, str]:
    """No markup after all."""
    return held[0], held[1:]


def _stars(held: str, before: str, after: str) -> str:
    """A star between numbers or spaces multiplies; any other is emphasis."""
    is_apart = (not before or before.isspace()) and after.isspace()
    is_product = before.isdigit() and after.isdigit()
    return held if len(held) == 1 and (is_apart or is_product) else ""


def _may_be_link(held: str, char: str) -> bool:
    """[text](target), where the target may have brackets of its own, or [text][name]."""
    text, closing, target = held.partition("]")
    if not closing:
        return char != "[" and len(text) < _LONGEST_TAG
    return not _is_closed(target) if target else char in "(["


def _is_closed(target: str) -> bool:
    if target[0] == "[":
        return target[-1] == "]"
    return target.count("(") == target.count(")")


def _link(held: str) -> tuple[str, str]:
    text, _, target = held.partition("]")
    if target and _is_closed(target):
        return plain(text[1:]), ""
    return ("", "") if _NOTE_OR_BOX.fullmatch(held) else _literal(held)


def _tag(held: str, char: str) -> tuple[str, str]:
    if held == "<3" and not char.isalnum():
        return "", ""
    if address := _ADDRESS_IN_TAG.fullmatch(held):
        return plain(address[1]), ""
    if not _TAG.fullmatch(held):
        return _literal(held)
    return (" ", "") if held[1:3].lower() == "br" else ("", "")


def _may_be_url(held: str) -> bool:
    start = held.lower()
    if any(prefix.startswith(start) for prefix in _URL_STARTS):
        return True
    is_closing = held[-1] == ")" and "(" not in held
    return start.startswith(_URL_STARTS) and not _URL_END.match(held[-1]) and not is_closing


def _url(held: str) -> tuple[str, str]:
    """The host: "example.com" of "https://www.example.com/x?y=1"."""
    url = held.rstrip(_AFTER_URL)
    host = _HOST.match(url)
    if host is None or not (host[1] or "." in host[2]):
        return _literal(held)
    return host[2], held[len(url) :]


def plain(text: str) -> str:
    """What is said of a whole line."""
    markup = InlineMarkup()
    return "".join(markup.take(char) for char in f"{text}\n")[:-1]
