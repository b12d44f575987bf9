"""What a save carries: what is new since the one before, so that a save of a long call is no bigger
than one of a short call."""

from dataclasses import dataclass, replace

from serve_app.conversation.history import ChatMessage, Record

_Chat = tuple[ChatMessage, ...]

_NEAR = 8
"""How many of the last messages may differ. More have never changed at once, and would only cost
the size of one whole entry."""


@dataclass(frozen=True, slots=True)
class Update:
    """Turns what an actor holds of a session into what its owner has."""

    epoch: int
    base: int
    """Number of the save that this one builds on."""
    number: int
    """Its own number."""
    record: Record
    """The newest; of its history only the new messages."""
    replaced: int
    """How many of the last messages of the base are replaced by the new ones."""
    length: int
    """Messages of the whole history. The oldest that are too many go; the system prompt stays."""
    is_confirmed: bool
    """The client has its new token: the former one ends."""

    def history(self, base: _Chat) -> _Chat:
        """The whole history. `base` may lack its oldest messages."""
        rest = base[1 : max(1, len(base) - self.replaced)] + self.record.history
        return base[:1] + rest[max(0, len(rest) - self.length + 1) :]


def update_since(
    base: Record, record: Record, *, epoch: int, numbers: tuple[int, int], is_confirmed: bool
) -> Update | None:
    """`numbers`: of the base and of the update. None if the two have too little in common."""
    before, after = base.history, record.history
    found = _common(before, after)
    if found is None:
        return None
    replaced, kept = found
    news = replace(record, history=after[kept:])
    return Update(epoch, *numbers, news, replaced, len(after), is_confirmed)


def _common(before: _Chat, after: _Chat) -> tuple[int, int] | None:
    """How many of the last messages of `before` are gone, and how many of the first ones of `after`
    were there already. None if that cannot be found at their ends. Messages are never changed, only
    replaced: what is the same is the same object, so this costs next to nothing."""
    if not before or not after or before[0] is not after[0]:
        return None
    for replaced in range(min(_NEAR, len(before))):
        end = len(before) - replaced
        for kept in range(len(after), max(0, len(after) - _NEAR), -1):
            if after[kept - 1] is before[end - 1]:
                is_same = kept <= end and after[1:kept] == before[end - kept + 1 : end]
                return (replaced, kept) if is_same else None
    return None
