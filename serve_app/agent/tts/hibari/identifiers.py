"""Digits that name something and are no quantity: telephone numbers, codes, versions, addresses."""

import re

from serve_app.agent.tts.hibari.rules import Rules, digit_by_digit, rule

_AMERICAN_PHONE = r"(?<![\w.-])(?:\+?1[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}(?![\w-])"
_PHONE = r"(?<![\w+])\+(\d{8,15}|\d{1,3}(?:[ .-]\(?\d{1,12}\)?){1,5})(?!\w)"
_SHORTEST_PHONE = 8
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}|\d{1,2}-\d{1,2}-\d{4}")
_IS = r"(?i:(?: number| no\.?)?(?: is| was)?:?) #?"
_CODE = rf"(?:(?i:\b(?:code|passcode|password|extension))|\bPIN|\bID){_IS}"
_REFERENCE = (
    r"(?i:\b(?:account|reference|confirmation|tracking|order|invoice|ticket|case|serial|booking))"
    rf"{_IS}"
)
"""With five digits or more: "in case 2026 is warm" has four."""
_STATES = (
    "AL|AK|AZ|AR|CA|CO|CT|DE|DC|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM"
    "|NY|NC|ND|OH|OK|OR|PA|RI|SC|SD|TN|TX|UT|VT|VA|WA|WV|WI|WY"
)
_LONGEST_NUMBER = 9
"""Nobody understands a longer one, unless it is round."""
_MARKS = {".": " dot ", "-": " dash ", "_": " underscore ", "+": " plus ", "/": " slash "}


def _international(match: re.Match[str]) -> str:
    """Not every plus is the beginning of a telephone number."""
    number = match[1]
    is_phone = sum(map(str.isdigit, number)) >= _SHORTEST_PHONE
    return f"plus {digit_by_digit(number)}" if is_phone else match[0]


def _groups(match: re.Match[str]) -> str:
    return match[0] if _DATE.fullmatch(match[0]) else digit_by_digit(match[0])


def _address(match: re.Match[str]) -> str:
    return re.sub(r"[._+-]", lambda mark: _MARKS[mark[0]], match[0])


IDENTIFIERS: Rules = (
    rule(_AMERICAN_PHONE, lambda m: digit_by_digit(m[0])),
    rule(_PHONE, _international),
    rule(r"(?<![\w-])1-(8\d\d)-(?=[A-Z])", lambda m: f"1, {digit_by_digit(m[1])}, "),
    rule(r"(?<![\w.,$€£-])(?:911|(?<=[Cc]all )\d{3}|(?<=[Dd]ial )\d{3})(?![\w%]|[.,:/-]\d)",
         lambda m: digit_by_digit(m[0])),
    rule(rf"({_CODE}(?=\d{{4}})|{_REFERENCE}(?=\d{{5}}))(\d+)(?![\w%]|[.,:/-]\d)",
         lambda m: m[1] + digit_by_digit(m[2])),
    rule(r"(?<![\w.,$€£/:-])0\d+(?![\w%]|[.,:/-]\d)", lambda m: digit_by_digit(m[0])),
    rule(r"(?<![\w.,+-])\d+(?:-\d+){2,}(?![\w.-]\w)", _groups),
    rule(r"(?<![\w.,-] )(?<![\w.,-])\d{4}(?: \d{4}){3}(?![\w-])", lambda m: digit_by_digit(m[0])),
    rule(rf"\b({_STATES}) (\d{{5}})(-\d{{4}})?(?![\w-])",
         lambda m: f"{m[1]} {digit_by_digit(m[2] + (m[3] or ''))}"),
    rule(rf"(?<![\w.,$€£])(?!\d+000(?!\d))\d{{{_LONGEST_NUMBER + 1},}}(?!\d|[.,]\d)",
         lambda m: digit_by_digit(m[0])),
    rule(r"\d{16,}", lambda m: digit_by_digit(m[0])),
    rule(r"\b([Rr]oom|[Ss]uite|[Ff]light|[Aa]pt\.|[Hh]ighway|[Rr]oute) ([1-9])0([1-9])\b",
         r"\1 \2 oh \3"),
    rule(r"\b([vV])(?=\d+\.\d)", r"\1 "),
    # "Python 3.11" and the like: the minor version is a number of its own.
    rule(r"\b(Python|Version|version|v|iOS|Java|PHP|Ruby|Go|Django|Ubuntu) (\d+)\.(\d\d?)(?![\d.])",
         r"\1 \2 point \3"),
    rule(r"(?<![\d.])\d+(?:\.\d+){3}(?![\d.]*\d)", lambda m: m[0].replace(".", " dot ")),
    rule(r"(?<![\d.])\d+\.\d+\.\d+(?![\d.]*\d)", lambda m: m[0].replace(".", " point ")),
    rule(r"(?<![\w$€£.,])([48])K\b", r"\1 K"),
    rule(r"\b(\d+)K(?= (?:run|race)\b)", r"\1 K"),
    rule(r"\b[Ww][Ww][Ww]\.(?=\w)", ""),
    rule(r"\b\w[\w.+-]*@\w[\w-]*(?:\.\w[\w-]*)+", _address),
    rule(r"(?<=[a-z0-9])(\.[a-z]{2,6})/(?=\w)", r"\1 slash "),
    rule(r"(?i:(?<=[a-z0-9])\.(?=[a-z]{2,}))", " dot "),
)  # fmt: skip
"""In this order: the first that fits takes the digits."""
