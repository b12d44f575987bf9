"""Numbers with what is counted: separators, dates, ranges, money, units, fractions, sums."""

import re
import unicodedata

from serve_app.agent.tts.hibari.rules import Rules, rule

_MONEY = {
    "$": "dollars", "€": "euros", "£": "pounds", "¥": "yen", "USD": "dollars", "EUR": "euros",
    "GBP": "pounds", "JPY": "yen", "CHF": "Swiss francs", "CAD": "Canadian dollars",
    "AUD": "Australian dollars", "INR": "rupees",
}  # fmt: skip
_CODES = "|".join(code for code in _MONEY if code.isalpha())
_FRACTIONS = {
    "1/2": "one half", "1/4": "one quarter", "3/4": "three quarters", "1/3": "one third",
    "2/3": "two thirds",
}  # fmt: skip
_VULGAR = "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"
_UNITS = {
    "g": ("gram", "grams"), "L": ("liter", "liters"), "m": ("meter", "meters"),
    "tbsp": ("tablespoon", "tablespoons"), "tsp": ("teaspoon", "teaspoons"),
    "yr": ("year", "years"), "yrs": ("year", "years"), "gal": ("gallon", "gallons"),
    "kcal": ("kilocalorie", "kilocalories"), "mAh": ("milliamp hour", "milliamp hours"),
}  # fmt: skip
"""Those that hibari does not have, and `m`, which it does not read after "by"."""
_AREAS = {
    "km": "kilometer", "m": "meter", "cm": "centimeter", "mm": "millimeter", "ft": "foot",
    "in": "inch", "mi": "mile", "yd": "yard",
}  # fmt: skip
_FEW = {"foot": "feet", "inch": "inches"}
_PER = {
    "sec": "second", "s": "second", "min": "minute", "hr": "hour", "h": "hour", "mo": "month",
    "wk": "week", "yr": "year",
}  # fmt: skip
_PERIODS = "second|minute|hour|day|night|week|month|quarter|year|person|user|seat|unit|page|piece"
_DAYS = {
    "Mon": "Monday", "Tue": "Tuesday", "Tues": "Tuesday", "Wed": "Wednesday", "Thu": "Thursday",
    "Thur": "Thursday", "Thurs": "Thursday", "Fri": "Friday", "Sat": "Saturday", "Sun": "Sunday",
}  # fmt: skip
_DAY = "|".join(_DAYS)
_MONTH = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_DASH = r" ?[-–] ?"  # noqa: RUF001
_TIME = r"\d{1,2}(?::\d\d(?: ?[ap]\.?m\.?)?| ?[ap]\.?m\b\.?)"


def _fraction(fraction: str) -> str:
    plain = unicodedata.normalize("NFKC", fraction).replace("⁄", "/")  # noqa: RUF001
    return _FRACTIONS.get(plain, plain)  # hibari reads the others


def _counted(number: str, words: tuple[str, str]) -> str:
    return f"{number} {words[number != '1']}"


def _area(match: re.Match[str]) -> str:
    one = _AREAS[match[2]]
    kind = "square" if match[3] == "²" else "cubic"
    return f"{match[1]} {kind} {_counted(match[1], (one, _FEW.get(one, f'{one}s'))).split()[-1]}"


def _european_date(match: re.Match[str]) -> str:
    day, month = int(match[1]), int(match[2])
    is_date = 1 <= day <= 31 and 1 <= month <= 12
    return f"{match[3]}-{month:02}-{day:02}" if is_date else match[0]


def _inches(match: re.Match[str]) -> str:
    """Unless the mark closes a quotation."""
    is_open = match.string.count('"', 0, match.start()) % 2
    return match[0] if is_open else f"{match[1]} inch "


NUMERALS: Rules = (
    rule(r"[₀-₉]", lambda m: unicodedata.normalize("NFKC", m[0])),
    rule(r"(?<![\d.])(\d{1,2})\.(\d{1,2})\.(\d{4})(?![\d.]*\d)", _european_date),
    rule(r"(?<![\d.])\d{1,3}(?:\.\d{3})+,\d{1,2}(?!\d)",
         lambda m: m[0].replace(".", "").replace(",", ".")),
    rule(r"(?<![\d.])\d{1,3}(?:\.\d{3}){2,}(?![\d.]*\d)", lambda m: m[0].replace(".", ",")),
    rule(r"(?<![\d.,])\d{1,3}(?:['’]\d{3})+(?![\d.]*\d)",  # noqa: RUF001
         lambda m: re.sub(r"['’]", ",", m[0])),  # noqa: RUF001
    rule(r"(?<![\d.,+-])(?<!\d )\d{1,3}(?:[\u00a0\u202f]\d{3})+(?!\d)",
         lambda m: re.sub(r"\s", ",", m[0])),
    rule(r"(?<![\d.,+-])(?<!\d )\d{1,3}(?: \d{3})+ 000(?! ?\d)",
         lambda m: m[0].replace(" ", ",")),
    rule(r"(?<![\d.,])(\d+),(\d{1,2})(?= ?(?:%|€|km|kg|cm|mm|m|g|l|L|°)(?!\w))", r"\1.\2"),
)  # fmt: skip
"""How numbers are written: after these there are only English ones."""

QUANTITIES: Rules = (
    # days and times
    rule(rf"\b({_DAY})\.?{_DASH}({_DAY})\b\.?", lambda m: f"{_DAYS[m[1]]} to {_DAYS[m[2]]}"),
    rule(rf"\b({_DAY})\b\.?(?=,? (?:{_MONTH})[a-z]*\.? \d)", lambda m: _DAYS[m[1]]),
    rule(rf"({_TIME}|(?<![\w:])\d{{1,2}}){_DASH}(?={_TIME})", r"\1 to "),
    rule(r"(?<![\w:])(\d{1,2}) ?([ap])m\b(?!\.)", r"\1 \2.m."),
    # ranges, ratios
    rule(r"(?<=[\d%])[-–](?=[$€£]?\d[\d.,]*%)|(?<=\d)[-–](?=[$€£]\d)", " to "),  # noqa: RUF001
    rule(r"(?<![\d:])(\d+):(\d)(?![\d:])|(?<![\d:])(\d+) ?: ?(\d+)(?= ratio)", lambda m: (
        f"{m[1] or m[3]} to {m[2] or m[4]}")),
    # money
    rule(r"(?<=\d) ?([$€£¥])(?!\d)", lambda m: f" {_MONEY[m[1]]}"),
    rule(rf"(?<=\d) ({_CODES})\b", lambda m: f" {_MONEY[m[1]]}"),
    rule(rf"\b({_CODES}) ?(\d[\d,]*(?:\.\d+)?)", lambda m: f"{m[2]} {_MONEY[m[1]]}"),
    rule(r"(?<![\w$€£.,])(\d[\d,.]*)[kK]\b", r"\1 thousand"),
    rule(rf"(?<=\d)/({'|'.join(_PER)}|{_PERIODS})\b", lambda m: f" per {_PER.get(m[1], m[1])}"),
    # units
    rule(rf"(?<![\w.])([\d.,]+) ?({'|'.join(_AREAS)})([²³])", _area),
    rule(r"(?<=\d) ?m/s\b", " meters per second"),
    rule(r"(?<![\w.])([\d.,]*\d) ?(g|L|tbsp|tsp|yrs?|gal|kcal|mAh)\b(?![-'’])",  # noqa: RUF001
         lambda m: _counted(m[1], _UNITS[m[2]])),
    rule(r"(?<![\w.])(\d)['′’](\d{1,2})(?:[\"″”]|'')?(?!\w)", r"\1 foot \2"),  # noqa: RUF001
    rule(r"(?<![\w.])(\d[\d.]*)[\"″] (?=[a-z])", _inches),
    # fractions
    rule(rf"(\d) ?([{_VULGAR}])", lambda m: f"{m[1]} and {_fraction(m[2])}"),
    rule(r"[⅓⅔⅕-⅞]", lambda m: _fraction(m[0])),
    rule(r"(?<![\d/.])(\d+) (1/2|1/4|3/4|1/3|2/3)(?![\d/])",
         lambda m: f"{m[1]} and {_FRACTIONS[m[2]]}"),
    rule(r"(?<![\d/])(24/7|50/50|20/20)(?![\d/])", lambda m: m[0].replace("/", " ")),
    rule(r"(?<![\d/.])(\d+)/(\d{3,})(?![\d/])", r"\1 over \2"),
    # sums
    rule(r"(\d) ?x ?(?=\d+ ?=)", r"\1 times "),
    rule(r"(?<![\w.])(\d*[1-9][\d.]*|\d+\.\d+) ?x ?(?=\d)", r"\1 by "),
    rule(r"\bby ([\d.]+) ?m\b", r"by \1 meters"),
    rule(r"(?<![\w.])(\d[\d.,]*)[x×](?!\w)", r"\1 times"),  # noqa: RUF001
    rule(r"(?<=\d) ?\* ?(?=\d)", " times "),
    rule(r"(?<=\d) / (?=\d)", " divided by "),
    rule(r"(?<=\d) - (?=\d[\d.]* ?=)", " minus "),
    rule(r"(?<!\w)− ?(?=\d)|(?<!\S)–(?=\d)", "minus "),  # noqa: RUF001
    rule(r" − (?=\d)", " minus "),  # noqa: RUF001
    rule(r"(?<![\w.])(\d[\d.]*)[eE]\+?(?=-?\d)", r"\1 times ten to the power of "),
    rule(r"√ ?(?=[\w(])", "square root of "),
    rule(r"[~≈] ?(?=[$€£]?\d)", "about "),
    rule(r"(?<!\S)< ?(?=[$€£]?\d)", "less than "),
    rule(r"(?<!\S)> ?(?=[$€£]?\d)", "more than "),
    rule(r" ?≤ ?", " at most "),
    rule(r" ?≥ ?", " at least "),
)  # fmt: skip
