"""What a rule for readable text is."""

import re
from collections.abc import Callable

Replacement = str | Callable[[re.Match[str]], str]
Rules = tuple[tuple[re.Pattern[str], Replacement], ...]


def rule(pattern: str, replacement: Replacement) -> tuple[re.Pattern[str], Replacement]:
    """One rule; they are applied to a text one after the other."""
    return re.compile(pattern), replacement


def digit_by_digit(text: str) -> str:
    """The digits of `text`, with the pauses that its groups of digits have."""
    return ", ".join(" ".join(group) for group in re.findall(r"\d+", text))
