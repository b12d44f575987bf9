"""The replies that an agent replica is making, for whichever ingress."""

from collections.abc import Iterator
from contextlib import contextmanager

from serve_app.errors import DraftDeclined


class RepliesUnderWay:
    """Drafts are optional work: a replica that has enough to do declines them."""

    def __init__(self, enough: int) -> None:
        """With `enough` replies under way, no draft is begun."""
        self._enough = enough
        self.count = 0

    @contextmanager
    def reply(self) -> Iterator[None]:
        """Around the making of a reply."""
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1

    @contextmanager
    def draft(self) -> Iterator[None]:
        """Around the making of a draft. Raises DraftDeclined."""
        if self.count >= self._enough:
            raise DraftDeclined("the agent has enough to do")
        with self.reply():
            yield
