"""How many may ask for something at the same time."""

import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from serve_app.ingress.access import Guest
from serve_app.ingress.rest.refusals import HttpRefused


class Places:
    """Whoever finds none is refused and not kept waiting: requests that wait hold their bodies."""

    def __init__(self, most: int, most_of_client: int) -> None:
        self._most = most
        self._most_of_client = most_of_client
        self._taken: Counter[str] = Counter()

    @contextmanager
    def place(self, guest: Guest) -> Iterator[None]:
        """For one request, which counts as a connection of its guest. Raises HttpRefused and
        LimitReached."""
        who = guest.tenant or guest.address
        self._check(who)
        guest.begin(uuid.uuid4().hex, is_new=False)
        self._taken[who] += 1
        try:
            yield
        finally:
            self._taken -= Counter([who])
            guest.leave()

    def _check(self, who: str) -> None:
        """Clients that nobody can tell apart share the places only."""
        if self._taken.total() >= self._most:
            raise _full("too many of these requests are under way")
        if who and self._taken[who] >= (most := self._most_of_client):
            raise _full(f"{most} of these requests are under way already: wait for one to end")


def _full(message: str) -> HttpRefused:
    return HttpRefused(429, "rate_limit_exceeded", message)
