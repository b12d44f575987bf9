"""How much the objects of a session hold, counted object by object."""

import gc
import sys
from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np

_PLAIN = (
    list, tuple, dict, set, frozenset, deque, str, bytes, bytearray, int, float, bool, np.ndarray,
)  # fmt: skip


def held_bytes(roots: Iterable[Any]) -> int:
    """The bytes of the roots and of all that they lead to through our own objects and plain
    containers. Classes, functions and what belongs to asyncio are not followed."""
    seen: set[int] = set()
    waiting = list(roots)
    total = 0
    while waiting:
        each = waiting.pop()
        if id(each) in seen or not _is_ours(each):
            continue
        seen.add(id(each))
        total += sys.getsizeof(each)
        waiting += gc.get_referents(each)
    return total


def _is_ours(each: Any) -> bool:
    kind = type(each)
    if kind is type or isinstance(each, type):
        return False
    return kind in _PLAIN or kind.__module__.startswith("serve_app.")
