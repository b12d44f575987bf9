"""English that hibari can say: what its own normaliser leaves out or misreads is put into words.

Covers only what hibari 0.2.1 was found to get wrong (tests/agent/tts/test_spoken_english.py). It
knows prices, percentages, dates, clock times, units, ordinals, fractions, titles and abbreviations.
The text that is recorded as said does not change.
"""

import re

from serve_app.agent.tts.hibari.identifiers import IDENTIFIERS
from serve_app.agent.tts.hibari.quantities import NUMERALS, QUANTITIES
from serve_app.agent.tts.hibari.rules import Rules, rule

_LATIN = r"A-Za-z\u00c0-\u024f\u1e00-\u1eff"
_OTHER_SCRIPT = rf"[^\W\d_{_LATIN}]+"
"""Hibari would spell such words. Fractions and the like match, too: they are no letters."""
_GREEK = re.compile(r"[\u0370-\u03ff]")
"""A single Greek letter has a name."""


def _is_sayable(text: str) -> bool:
    return not any(map(str.isalpha, text)) or _GREEK.fullmatch(text) is not None


_LETTERS: Rules = (
    rule(_OTHER_SCRIPT, lambda m: m[0] if _is_sayable(m[0]) else " "),
    rule(r"\]\(", "] ("),  # hibari's own markup for phonemes
    rule("ß", "ss"),
)
_SHORT_FORMS: Rules = (
    rule(r"\b([Nn])o\. ?(?=\d)", r"\1umber "),
    rule(r"\b([CF])#", r"\1 sharp"),
    rule(r"\b([A-F])-(?=[.,;:!?]*(?:\s|$))", r"\1 minus"),
    rule(r"\bCO2\b", "C O 2"),
    rule(r"\bJSON\b", "Jason"),
    rule(r" ?(?:->|=>) ?", ", "),
)
_RULES: Rules = (*_LETTERS, *NUMERALS, *IDENTIFIERS, *QUANTITIES, *_SHORT_FORMS)


def readable(text: str) -> str:
    """`text` with words in place of what hibari would not say."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def plain_words(text: str) -> str:
    """The words of `text`, without everything that may puzzle hibari."""
    return " ".join(re.findall(rf"[{_LATIN}']+", text))
