"""What users may add to the requests to a chat model."""

import json
from typing import Any

_OURS = ("messages", "stream")
"""These are made for each request."""


def checked_extra_body(fields: dict[str, Any]) -> dict[str, Any]:
    """Raises ValueError for what is no JSON, and for fields that cannot be replaced."""
    try:
        json.dumps(fields, allow_nan=False)
    except (TypeError, ValueError):
        raise ValueError("must be JSON") from None
    if ours := [name for name in _OURS if name in fields]:
        raise ValueError(f"must not hold {ours[0]}")
    return fields
