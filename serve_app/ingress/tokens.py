"""The tokens of one session. Each one is used once."""

import secrets
import string
from itertools import count

from serve_app.protocol.messages import TOKEN_BYTES

_DIGITS = string.digits + string.ascii_lowercase
_EPOCH_DIGITS = 2
_COUNT_DIGITS = 3
_RANDOM_DIGITS = TOKEN_BYTES - _EPOCH_DIGITS - _COUNT_DIGITS
"""So that audio which a client still has from an older session is not taken for this one's."""


class Tokens:
    """Makes tokens. The epoch changes each time the session is resumed, so no token comes twice,
    even if nobody knows how many were given out before."""

    def __init__(self) -> None:
        self.epoch = 1
        self._numbers = count(1)

    def __call__(self) -> str:
        random = "".join(secrets.choice(_DIGITS) for _ in range(_RANDOM_DIGITS))
        number = next(self._numbers)
        return _written(self.epoch, _EPOCH_DIGITS) + _written(number, _COUNT_DIGITS) + random


def _written(number: int, digits: int) -> str:
    written = ""
    for _ in range(digits):
        number, digit = divmod(number, len(_DIGITS))
        written = _DIGITS[digit] + written
    return written
