"""English that hibari can say: what its own normaliser leaves out or misreads is put into words.

Covers only what hibari 0.2.1 was found to get wrong (tests/agent/tts/test_hibari.py). It knows
prices, percentages, dates, clock times, units, ordinals, fractions, titles and abbreviations. The
text that is recorded as said does not change.
"""

import re
from collections.abc import Callable

_Replacement = str | Callable[[re.Match[str]], str]

_CURRENCIES = {"$": "dollars", "€": "euros", "£": "pounds", "¥": "yen"}
_FRACTIONS = {
    "½": "one half", "¼": "one quarter", "¾": "three quarters", "⅓": "one third", "⅔": "two thirds",
    "1/2": "one half", "1/4": "one quarter", "3/4": "three quarters", "1/3": "one third",
    "2/3": "two thirds",
}  # fmt: skip
_PHONE = r"(?<![\w.-])(?:\+?1[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}(?![\w-])"
_LONGEST_NUMBER = 15
"""hibari knows words up to 10^36. Nobody understands half of that."""

_LATIN = r"A-Za-z\u00c0-\u024f\u1e00-\u1eff"
_OTHER_SCRIPT = rf"[^\W\d_{_LATIN}]+"
"""Hibari would spell such words. Fractions and the like match, too: they are no letters."""
_GREEK = re.compile(r"[\u0370-\u03ff]")
"""A single Greek letter has a name."""

_RULES: tuple[tuple[re.Pattern[str], _Replacement], ...] = (
    (re.compile(_OTHER_SCRIPT), lambda m: m[0] if _is_sayable(m[0]) else " "),
    (re.compile(r"\]\("), "] ("),  # hibari's own markup for phonemes
    (re.compile(_PHONE), lambda m: _digit_by_digit(m[0])),
    (re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{3}){2,}(?![\d.]*\d)"), lambda m: m[0].replace(".", ",")),
    (re.compile(r"(?<![\d.])\d+(?:\.\d+){3}(?![\d.]*\d)"), lambda m: m[0].replace(".", " dot ")),
    (re.compile(r"(?<![\d.])\d+\.\d+\.\d+(?![\d.]*\d)"), lambda m: m[0].replace(".", " point ")),
    (re.compile(rf"\d{{{_LONGEST_NUMBER + 1},}}"), lambda m: _digit_by_digit(m[0])),
    (re.compile(r"(?<=\d) ?([$€£¥])(?!\d)"), lambda m: f" {_CURRENCIES[m[1]]}"),
    (re.compile(r"(?<![\w$€£])(\d[\d,.]*)[kK]\b"), r"\1 thousand"),
    (re.compile(r"(\d) ?([½¼¾⅓⅔])"), lambda m: f"{m[1]} and {_FRACTIONS[m[2]]}"),
    (re.compile(r"[⅓⅔]"), lambda m: _FRACTIONS[m[0]]),
    (
        re.compile(r"(?<![\d/.])(\d+) (1/2|1/4|3/4|1/3|2/3)(?![\d/])"),
        lambda m: f"{m[1]} and {_FRACTIONS[m[2]]}",
    ),
    (re.compile(r"(?<![\d/])(24/7|50/50|20/20)(?![\d/])"), lambda m: m[0].replace("/", " ")),
    (re.compile(r"(?<=\d) ?m/s\b"), " meters per second"),
    (re.compile(r"\b([Nn])o\. ?(?=\d)"), r"\1umber "),
    (re.compile(r"\b([CF])#"), r"\1 sharp"),
    (re.compile(r"\bCO2\b"), "C O 2"),
    (re.compile(r"(?<=\d) ?\* ?(?=\d)"), " times "),
    (re.compile(r"(?<!\w)− ?(?=\d)"), "minus "),  # noqa: RUF001
    (re.compile(r" − (?=\d)"), " minus "),  # noqa: RUF001
    (re.compile(r"[~≈] ?(?=[$€£]?\d)"), "about "),
    (re.compile(r" ?≤ ?"), " at most "),
    (re.compile(r" ?≥ ?"), " at least "),
    (re.compile(r" ?(?:->|=>) ?"), ", "),
    (re.compile(r"\bwww\.(?=\w)", re.IGNORECASE), ""),
    (re.compile(r"(?<=[a-z0-9])\.(?=[a-z]{2,})", re.IGNORECASE), " dot "),
)


def readable(text: str) -> str:
    """`text` with words in place of what hibari would not say."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def _is_sayable(text: str) -> bool:
    return not any(map(str.isalpha, text)) or _GREEK.fullmatch(text) is not None


def plain_words(text: str) -> str:
    """The words of `text`, without everything that may puzzle hibari."""
    return " ".join(re.findall(rf"[{_LATIN}']+", text))


def _digit_by_digit(text: str) -> str:
    """With the pauses that its groups of digits have."""
    groups = re.findall(r"\d+", text)
    return ", ".join(" ".join(group) for group in groups)
