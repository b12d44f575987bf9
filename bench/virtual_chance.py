"""What is random in the server, made from a seed: a conversation is then a function of its seed, in
any process and after any other conversation."""

import random
import secrets
import string
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from random import Random
from unittest.mock import patch

_DIGITS = string.ascii_letters + string.digits


@contextmanager
def chance_of(seed: int) -> Iterator[None]:
    """Secrets, tokens and the pauses between two tries come from the seed."""
    chance = Random(f"the server's own {seed}")

    def token_urlsafe(size: int = 32) -> str:
        return "".join(chance.choices(_DIGITS, k=size))

    with (
        patch.object(secrets, "choice", chance.choice),
        patch.object(secrets, "token_urlsafe", token_urlsafe),
        patch.object(random, "uniform", chance.uniform),
    ):
        yield


class Trace:
    """All that happens in a conversation, as one number that two runs can be compared by."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=8)

    def note(self, at_s: float, what: object) -> None:
        """`what`: its `repr` must not have an address in it."""
        self._hash.update(f"{at_s!r} {what!r}\n".encode())

    def __str__(self) -> str:
        return self._hash.hexdigest()
