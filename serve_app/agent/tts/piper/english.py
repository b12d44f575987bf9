"""English that gruut can say: symbols that it leaves out or misreads are replaced by words.

Covers only what gruut 2.4 was found to get wrong (tests/agent/tts/test_english.py). It knows
prices, percentages, dates, clock times, ordinals and titles. The text that is recorded as said
does not change.
"""

import re
from collections.abc import Callable

_Replacement = str | Callable[[re.Match[str]], str]

_UNITS = {
    "km/h": "kilometers per hour", "m/s": "meters per second", "mph": "miles per hour",
    "km": "kilometers", "cm": "centimeters", "mm": "millimeters", "kg": "kilograms",
    "mg": "milligrams", "ml": "milliliters", "lb": "pounds", "lbs": "pounds", "oz": "ounces",
    "ft": "feet", "kB": "kilobytes", "KB": "kilobytes", "MB": "megabytes", "GB": "gigabytes",
    "TB": "terabytes", "Hz": "hertz", "kHz": "kilohertz", "MHz": "megahertz", "GHz": "gigahertz",
    "ms": "milliseconds", "kW": "kilowatts", "kWh": "kilowatt hours",
}  # fmt: skip
_MAGNITUDES = {"k": "thousand", "m": "million", "b": "billion", "bn": "billion", "t": "trillion"}
_CURRENCIES = {"$": "dollars", "€": "euros", "£": "pounds", "¥": "yen", "₹": "rupees"}
_FRACTIONS = {
    "½": "one half", "¼": "one quarter", "¾": "three quarters", "⅓": "one third", "⅔": "two thirds",
    "1/2": "one half", "1/4": "one quarter", "3/4": "three quarters", "1/3": "one third",
    "2/3": "two thirds",
}  # fmt: skip
_NUMBER = r"(?<![\d,.])\d[\d,]*(?:\.\d+)?"
_UNIT = "|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True))

_RULES: tuple[tuple[re.Pattern[str], _Replacement], ...] = (
    (
        re.compile(
            rf"([$€£¥₹])({_NUMBER}) ?(k|m|bn|b|t|thousand|million|billion|trillion)\b", re.I
        ),
        lambda m: f"{m[2]} {_magnitude(m[3])} {_CURRENCIES[m[1]]}",
    ),
    (re.compile(rf"([¥₹])({_NUMBER})"), lambda m: f"{m[2]} {_CURRENCIES[m[1]]}"),
    (re.compile(rf"({_NUMBER}) ?%"), r"\1 percent"),
    (re.compile(r" ?° ?C\b"), " degrees Celsius"),
    (re.compile(r" ?° ?F\b"), " degrees Fahrenheit"),
    (re.compile(r" ?°"), " degrees"),
    (re.compile(rf"\b({_NUMBER}) ?({_UNIT})\b(?!/)"), lambda m: f"{m[1]} {_UNITS[m[2]]}"),
    (re.compile(rf"\b({_NUMBER})K\b"), r"\1 thousand"),
    (re.compile(r"(\d ?)?([½¼¾⅓⅔])"), lambda m: _fraction(m[1], m[2])),
    (
        re.compile(r"(?<![\d/])(\d )?(1/2|1/4|3/4|1/3|2/3)(?![\d/])"),
        lambda m: _fraction(m[1], m[2]),
    ),
    (re.compile(r"(?<![\d/])(\d+)/(\d+)(?![\d/])"), r"\1 \2"),
    (re.compile(r"(?<![\d-])(\d{1,3})[-–](\d{1,3})(?![\d-])"), r"\1 to \2"),  # noqa: RUF001
    (re.compile(r"#(?=\d)"), "number "),
    (re.compile(r"[~≈](?=[$€£]?\d)"), "about "),
    (re.compile(r"(?<=\d) ?[*×] ?(?=\d)"), " times "),  # noqa: RUF001
    (re.compile(r"(?<=\d) ?÷ ?(?=\d)"), " divided by "),
    (re.compile(r" = "), " equals "),
    (re.compile(r" \+ |(?<=\d)\+(?=\d)"), " plus "),
    (re.compile(r"(?<=\d)\+(?!\w)"), " plus"),
    (re.compile(r" [−-] (?=\d)"), " minus "),  # noqa: RUF001
    (re.compile(r" < "), " less than "),
    (re.compile(r" > "), " greater than "),
    (re.compile(r" ?≤ ?"), " at most "),
    (re.compile(r" ?≥ ?"), " at least "),
    (re.compile(r" ?(?:→|->|=>) ?"), ", "),
    (re.compile(r"\b([A-Z]+)&([A-Z]+)\b"), lambda m: f"{_spelt(m[1])} and {_spelt(m[2])}"),
    (re.compile(r"(?<=\w)@(?=\w)"), " at "),
    (re.compile(r"(?<=[a-z])\.(?=[a-z]{2,})", re.IGNORECASE), " dot "),
    (re.compile(r"(?<=[A-Za-z])/(?=[A-Za-z])"), " "),
)


def readable(text: str) -> str:
    """`text` with words in place of what gruut would not say."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def _magnitude(name: str) -> str:
    return _MAGNITUDES.get(name.lower(), name)


def _fraction(whole: str | None, fraction: str) -> str:
    return f"{whole.strip()} and {_FRACTIONS[fraction]}" if whole else _FRACTIONS[fraction]


def _spelt(letters: str) -> str:
    return " ".join(letters)
