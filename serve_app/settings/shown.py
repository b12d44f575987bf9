"""Settings as they may be shown: at start, by /healthz, in an error."""

from typing import Any
from urllib.parse import urlsplit, urlunsplit


def shown_url(url: str) -> str:
    """The address without a name, a password and a query, which may be keys."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(not an address)"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def shown_value(name: str, value: Any) -> str:
    """A wrong value, for the one who has set it; empty where a key is likely to be. `name` is the
    last part of the setting's path, or a variable."""
    if "api_key" in name.lower() or not isinstance(value, str | int | float | None):
        return ""
    return repr(shown_url(value) if isinstance(value, str) and "://" in value else value)
