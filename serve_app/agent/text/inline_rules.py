"""The markup that may occur within a line: what belongs to it, and what is said of it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

LONGEST_HELD = 2000
"""A link or address longer than this many characters is none; so is a tag or the text of a link
longer than the next."""
_LONGEST_TAG = 300
_ESCAPABLE = "\\`*_{}[]()<>#+-.!|~$"

_URL_STARTS = ("http://", "https://", "www.")
_URL_END = re.compile(r"[\s<>\"'`|*\]\u2e80-\uffff]")
"""What no address contains; Chinese and Japanese text follows one without a space."""
_HOST = re.compile(r"(https?://)?+(?:[^/?#@]*@)?(?:www\.)?+([^/?#:]+)", re.IGNORECASE)
_AFTER_URL = ".,;:!?)"
_NOTE_OR_BOX = re.compile(r"\[(?:\^\w+|\d{1,3}|[ xX])\]")
"""A footnote, a reference by number, the box of a task."""
_ATTRIBUTE = r"\s+[\w:-]+=(?:\"[^\"<>]*\"|'[^'<>]*')"
_TAG = re.compile(rf"<(?:/?[a-zA-Z][\w-]*(?:{_ATTRIBUTE})*\s*/?|!--[^<>]*)>")
_TAG_BEGUN = re.compile(
    rf"<(?:/?[a-zA-Z][\w-]*(?:{_ATTRIBUTE})*(?:\s+(?:[\w:-]+(?:=(?:\"[^\"<>]*|'[^'<>]*)?)?)?)?/?"
    r"|!(?:-(?:-[^<>]*)?)?|/|(?:https?|mailto):[^\s<>]*|[\w.+-]+@[^\s<>]*)>?"
)
_ADDRESS_IN_TAG = re.compile(r"<(?:mailto:)?(https?://[^\s<>]+|[^\s<>]+@[^\s<>]+)>")
_HEART = "<3"
_EMOTICON = re.compile(r"[:;=]['’]?-?[()\[DPpOo3/\\|*]+")  # noqa: RUF001
_EMOTICON_BEGUN = re.compile(r"[:;=](?:['’]?-?|['’]?-?[()\[DPpOo3/\\|*]+)")  # noqa: RUF001


@dataclass(frozen=True, slots=True)
class Rule:
    """Markup that begins with a certain character."""

    goes_on: Callable[[str, str], bool]
    """Whether, after all that is held, the next character may belong to it."""
    resolve: Callable[[str, str, str], tuple[str, str]]
    """Takes what stands before, what is held, and the next character, which does not belong to
    it. Returns what is said, and the text that is to be taken in the place of the rest."""
    only_at_word_start: bool = False
    in_code: bool = False
    """Whether it counts within `code` too."""


def _is_run(held: str, char: str) -> bool:
    return char == held[0]


def _is_alone(held: str, char: str) -> bool:
    return False


def _literal(held: str) -> tuple[str, str]:
    """No markup after all."""
    return held[0], held[1:]


def _stars(before: str, held: str, char: str) -> tuple[str, str]:
    """A star between numbers or spaces multiplies; any other is emphasis."""
    is_apart = (not before or before.isspace()) and char.isspace()
    is_product = before.isdigit() and char.isdigit()
    return held if len(held) == 1 and (is_apart or is_product) else "", ""


def _underscores(before: str, held: str, char: str) -> tuple[str, str]:
    """Between letters they join words; any other is emphasis."""
    return " " if before.isalnum() and char.isalnum() else "", ""


def _tildes(before: str, held: str, char: str) -> tuple[str, str]:
    return held if len(held) == 1 else "", ""


def _hash(before: str, held: str, char: str) -> tuple[str, str]:
    """That of "C#" and "#1" is a word; not that of "#tag" and "# Title #"."""
    is_mark = not before.isalnum() and (char.isalpha() or char in "#\n")
    return "" if is_mark else held, ""


def _bang(before: str, held: str, char: str) -> tuple[str, str]:
    """The one of ![image](url) is dropped."""
    return "" if char == "[" else held, ""


def _is_escaped(held: str, char: str) -> bool:
    return len(held) == 1 and char in _ESCAPABLE


def _backslash(before: str, held: str, char: str) -> tuple[str, str]:
    return held[1:] or " ", ""


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


def _link(before: str, held: str, char: str) -> tuple[str, str]:
    text, _, target = held.partition("]")
    if target and _is_closed(target):
        return "", text[1:]
    return ("", "") if _NOTE_OR_BOX.fullmatch(held) else _literal(held)


def _may_be_tag(held: str, char: str) -> bool:
    if held[-1] == ">" or len(held) >= _LONGEST_TAG:
        return False
    return held + char == _HEART or _TAG_BEGUN.fullmatch(held + char) is not None


def _tag(before: str, held: str, char: str) -> tuple[str, str]:
    if held == _HEART and not char.isalnum():
        return "", ""
    if address := _ADDRESS_IN_TAG.fullmatch(held):
        return "", address[1]
    if not _TAG.fullmatch(held):
        return _literal(held)
    return (" ", "") if held[1:3].lower() == "br" else ("", "")


def _may_be_emoticon(held: str, char: str) -> bool:
    return _EMOTICON_BEGUN.fullmatch(held + char) is not None


def _emoticon(before: str, held: str, char: str) -> tuple[str, str]:
    return ("", "") if _EMOTICON.fullmatch(held) and not char.isalnum() else _literal(held)


def _may_be_url(held: str, char: str) -> bool:
    start = (held + char).lower()
    if any(prefix.startswith(start) for prefix in _URL_STARTS):
        return True
    is_closing = char == ")" and "(" not in held
    return start.startswith(_URL_STARTS) and not _URL_END.match(char) and not is_closing


def _url(before: str, held: str, char: str) -> tuple[str, str]:
    """The host: "example.com" of "https://www.example.com/x?y=1"."""
    url = held.rstrip(_AFTER_URL)
    host = _HOST.match(url)
    if host is None or not (host[1] or "." in host[2]):
        return _literal(held)
    return host[2], held[len(url) :]


_URL_RULE = Rule(_may_be_url, _url, only_at_word_start=True, in_code=True)
_EMOTICON_RULE = Rule(_may_be_emoticon, _emoticon, only_at_word_start=True)

RULES: Mapping[str, Rule] = {
    "*": Rule(_is_run, _stars),
    "_": Rule(_is_run, _underscores, in_code=True),
    "~": Rule(_is_run, _tildes),
    "#": Rule(_is_alone, _hash),
    "!": Rule(_is_alone, _bang),
    "\\": Rule(_is_escaped, _backslash),
    "[": Rule(_may_be_link, _link),
    "<": Rule(_may_be_tag, _tag),
    **dict.fromkeys(":;=", _EMOTICON_RULE),
    **dict.fromkeys("hHwW", _URL_RULE),
}
"""By first character. Code marks are not among them: they open and close a state."""
