"""Static keys: 256 random bits, of which the server keeps only the hash.

One round of SHA-256 is enough here. Slow hashes (bcrypt, argon2) protect passwords, which can be
guessed; nobody can try 2^256 keys, and a slow hash would let strangers keep the server busy.
"""

import hmac
import json
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Self

PREFIX = "echo_sk_"
"""So that scanners for leaked secrets find a key."""
_SECRET_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def new_secret() -> str:
    """A key that nobody can guess."""
    return PREFIX + secrets.token_urlsafe(_SECRET_BYTES)


def hashed(secret: str) -> str:
    """What is kept in place of a key."""
    return sha256(secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Key:
    """One static key, without its secret."""

    name: str
    """Also the name of the tenant."""
    sha256: str
    created_s: float
    """Unix time, as all times here."""
    expires_s: float | None = None

    def is_valid(self, now_s: float) -> bool:
        return self.expires_s is None or now_s < self.expires_s


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of a file."""

    keys: tuple[Key, ...] = ()

    @classmethod
    def read(cls, text: str) -> Self:
        """Raises ValueError, which says what is wrong."""
        data = json.loads(text)
        if not isinstance(data, dict) or not isinstance(data.get("keys"), list):
            raise ValueError('it must be {"keys": [...]}')
        return cls(tuple(_read_key(entry) for entry in data["keys"]))

    def written(self) -> str:
        """For a file that `read` takes."""
        return json.dumps({"keys": [_written_key(key) for key in self.keys]}, indent=2) + "\n"

    def find(self, secret: str) -> Key | None:
        """The key with this secret, expired or not. Looks at all of them, so that the time that it
        takes says nothing."""
        given, found = hashed(secret), None
        for key in self.keys:
            if hmac.compare_digest(key.sha256, given):
                found = key
        return found

    def holds(self, sha256: str, now_s: float) -> bool:
        """Whether there is such a key, and it is valid."""
        return any(key.sha256 == sha256 and key.is_valid(now_s) for key in self.keys)

    def with_key(self, key: Key) -> "KeyRing":
        """Raises ValueError for a name that is taken or cannot be one."""
        if not _NAME.fullmatch(key.name):
            raise ValueError(
                f"{key.name!r} is no name: 1 to 64 letters, digits, dots, dashes and underscores"
            )
        if any(key.name == other.name for other in self.keys):
            raise ValueError(f"there is a key {key.name!r}: revoke it first, or take another name")
        return KeyRing((*self.keys, key))

    def without(self, name: str) -> "KeyRing":
        """Raises ValueError for a name that is not there."""
        rest = tuple(key for key in self.keys if key.name != name)
        if len(rest) == len(self.keys):
            raise ValueError(f"there is no key {name!r}")
        return KeyRing(rest)


def _read_key(entry: Any) -> Key:
    if not isinstance(entry, dict) or set(entry) != {"name", "sha256", "created", "expires"}:
        raise ValueError("each key has name, sha256, created and expires")
    name, digest = entry["name"], entry["sha256"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a key")
    if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ValueError(f"the sha256 of {name} is not 64 hexadecimal digits")
    expires_s = None if entry["expires"] is None else _seconds(entry["expires"])
    return Key(name, digest, _seconds(entry["created"]), expires_s)


def _written_key(key: Key) -> dict[str, str | None]:
    expires = None if key.expires_s is None else shown_time(key.expires_s)
    return {
        "name": key.name,
        "sha256": key.sha256,
        "created": shown_time(key.created_s),
        "expires": expires,
    }


def shown_time(unix_s: float) -> str:
    """As people and `read` understand it, in UTC."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(time: Any) -> float:
    if not isinstance(time, str):
        raise ValueError(f"{time!r} is no time such as 2026-12-31T00:00:00Z")
    at = datetime.fromisoformat(time)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


_UNITS_S = {"m": 60.0, "h": 3600.0, "d": 86_400.0}


def parse_duration(text: str) -> float:
    """Seconds, from `90m`, `12h` or `30d`. Raises ValueError."""
    found = re.fullmatch(r"(\d{1,5})([mhd])", text)
    if not found or not int(found[1]):
        raise ValueError(f"{text!r} is no time: 90m, 12h or 30d, for instance")
    return int(found[1]) * _UNITS_S[found[2]]
