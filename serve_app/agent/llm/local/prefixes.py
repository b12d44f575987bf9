"""What a chat model has already computed of the current conversations."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from transformers import DynamicCache


class PrefixMemory:
    """Keys and values of the latest prompts and replies, found by their tokens.

    The prompt of a turn begins with that of the turn before, so only the new tokens have to be
    computed. For one thread at a time.
    """

    def __init__(self, capacity: int) -> None:
        """`capacity`: tokens in all entries together. The least recently used entries go first."""
        self._capacity = capacity
        self._entries: OrderedDict[tuple[int, ...], DynamicCache] = OrderedDict()

    def recall(self, tokens: Sequence[int]) -> DynamicCache:
        """A new cache with the longest known beginning of `tokens`.

        It never includes the last token: the model has to read at least one.
        """
        wanted = tokens[:-1]
        best = max(self._entries, key=lambda known: _shared(known, wanted), default=())
        shared = _shared(best, wanted)
        if not shared:
            return DynamicCache()
        self._entries.move_to_end(best)
        return _beginning(self._entries[best], shared)

    def store(self, tokens: Sequence[int], cache: DynamicCache) -> None:
        """Keeps `cache`, which has the first of `tokens` and must not change any more."""
        known = tuple(tokens[: cache.get_seq_length()])
        for entry in [entry for entry in self._entries if entry == known[: len(entry)]]:
            del self._entries[entry]
        self._entries[known] = cache
        while sum(map(len, self._entries)) > self._capacity:
            self._entries.popitem(last=False)


def _shared(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the common beginning."""
    pairs = enumerate(zip(a, b, strict=False))
    return next((i for i, (x, y) in pairs if x != y), min(len(a), len(b)))


def _beginning(cache: DynamicCache, length: int) -> DynamicCache:
    beginning = DynamicCache()
    layer: Any  # the library's base class does not declare keys and values
    for i, layer in enumerate(cache.layers):
        beginning.update(layer.keys[..., :length, :], layer.values[..., :length, :], i)
    return beginning
