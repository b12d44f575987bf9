"""Dataclasses that travel between processes of different versions of this server."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar

C = TypeVar("C", bound=type)


def travels(cls: C) -> C:
    """For a frozen dataclass with slots, above `@dataclass`. Such a class is pickled as the list of
    its values. A field that is added has to be the last one and to have a default: then an older
    version ignores it, and one that comes from an older version has the default."""
    cls.__setstate__ = _take_state  # type: ignore[attr-defined]
    return cls


def _take_state(self: Any, values: Sequence[Any]) -> None:
    for position, field in enumerate(fields(self)):
        value = values[position] if position < len(values) else field.default
        object.__setattr__(self, field.name, value)
