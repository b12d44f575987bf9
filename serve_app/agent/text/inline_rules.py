"""The markup that may occur within a line: which characters belong to it, and what is said."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

LONGEST_PENDING = 2000
"""Longest link or address, in characters. The next one is for a tag and for a link's text. What is
longer counts as plain text."""
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
    """Given all that is pending: may the next character belong to it, too?"""
    resolve: Callable[[str, str, str], tuple[str, str]]
    """Takes the character before, what is pending, and the next character, which does not belong
    to it. Returns what is said, and the text to go on with in place of the rest."""
    only_at_word_start: bool = False
    in_code: bool = False
    """Whether it is markup within `code`, too."""


def _is_run(pending: str, char: str) -> bool:
    return char == pending[0]


def _is_alone(pending: str, char: str) -> bool:
    return False


def _literal(pending: str) -> tuple[str, str]:
    """It was not markup after all."""
    return pending[0], pending[1:]


def _stars(before: str, pending: str, char: str) -> tuple[str, str]:
    """Between numbers or spaces a star multiplies; anywhere else it is emphasis."""
    is_apart = (not before or before.isspace()) and char.isspace()
    is_product = before.isdigit() and char.isdigit()
    return pending if len(pending) == 1 and (is_apart or is_product) else "", ""


def _underscores(before: str, pending: str, char: str) -> tuple[str, str]:
    """Between letters they join words; anywhere else they are emphasis."""
    return " " if before.isalnum() and char.isalnum() else "", ""


def _tildes(before: str, pending: str, char: str) -> tuple[str, str]:
    return pending if len(pending) == 1 else "", ""


def _hash(before: str, pending: str, char: str) -> tuple[str, str]:
    """Said in "C#" and "#1", dropped in "#tag" and "# Title #"."""
    is_mark = not before.isalnum() and (char.isalpha() or char in "#\n")
    return "" if is_mark else pending, ""


def _bang(before: str, pending: str, char: str) -> tuple[str, str]:
    """Dropped in ![image](url)."""
    return "" if char == "[" else pending, ""


def _is_escaped(pending: str, char: str) -> bool:
    return len(pending) == 1 and char in _ESCAPABLE


def _backslash(before: str, pending: str, char: str) -> tuple[str, str]:
    return pending[1:] or " ", ""


def _may_be_link(pending: str, char: str) -> bool:
    """[text](target), where the target may have brackets of its own, or [text][name]."""
    text, closing, target = pending.partition("]")
    if not closing:
        return char != "[" and len(text) < _LONGEST_TAG
    return not _is_closed(target) if target else char in "(["


def _is_closed(target: str) -> bool:
    if target[0] == "[":
        return target[-1] == "]"
    return target.count("(") == target.count(")")


def _link(before: str, pending: str, char: str) -> tuple[str, str]:
    text, _, target = pending.partition("]")
    if target and _is_closed(target):
        return "", text[1:]
    return ("", "") if _NOTE_OR_BOX.fullmatch(pending) else _literal(pending)


def _may_be_tag(pending: str, char: str) -> bool:
    if pending[-1] == ">" or len(pending) >= _LONGEST_TAG:
        return False
    return pending + char == _HEART or _TAG_BEGUN.fullmatch(pending + char) is not None


def _tag(before: str, pending: str, char: str) -> tuple[str, str]:
    if pending == _HEART and not char.isalnum():
        return "", ""
    if address := _ADDRESS_IN_TAG.fullmatch(pending):
        return "", address[1]
    if not _TAG.fullmatch(pending):
        return _literal(pending)
    return (" ", "") if pending[1:3].lower() == "br" else ("", "")


def _may_be_emoticon(pending: str, char: str) -> bool:
    return _EMOTICON_BEGUN.fullmatch(pending + char) is not None


def _emoticon(before: str, pending: str, char: str) -> tuple[str, str]:
    return ("", "") if _EMOTICON.fullmatch(pending) and not char.isalnum() else _literal(pending)


def _may_be_url(pending: str, char: str) -> bool:
    start = (pending + char).lower()
    if any(prefix.startswith(start) for prefix in _URL_STARTS):
        return True
    is_closing = char == ")" and "(" not in pending
    return start.startswith(_URL_STARTS) and not _URL_END.match(char) and not is_closing


def _url(before: str, pending: str, char: str) -> tuple[str, str]:
    """The host: "example.com" of "https://www.example.com/x?y=1"."""
    url = pending.rstrip(_AFTER_URL)
    host = _HOST.match(url)
    if host is None or not (host[1] or "." in host[2]):
        return _literal(pending)
    return host[2], pending[len(url) :]


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
"""By first character. Code marks are not here: they switch a state on and off."""
