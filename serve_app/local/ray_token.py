"""Ray's token: who has it can run code in every process of the server."""

import os
import secrets
import tempfile
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path

_MODE = "RAY_AUTH_MODE"
_TOKEN = "RAY_AUTH_TOKEN"
_TOKEN_PATH = "RAY_AUTH_TOKEN_PATH"


def ensure_token(env: MutableMapping[str, str], home: Path) -> None:
    """Sees to it that there is a token that only this user can read, before Ray makes one for all
    to read. A token that the user has set, or a mode without one, is left alone.

    It is in the file where Ray's commands look for it; where there can be no file, as in a
    container that is read-only, in `env`, which the server's processes inherit.
    """
    if env.get(_MODE) != "token" or env.get(_TOKEN) or env.get(_TOKEN_PATH):
        return
    path = _file(home)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.read_text().strip():
            path.unlink(missing_ok=True)
        if not path.exists():
            _make(path, secrets.token_hex(32))
        path.chmod(0o600)
    except OSError:
        env[_TOKEN] = secrets.token_hex(32)


def use_token(env: MutableMapping[str, str], home: Path) -> None:
    """For a command that asks a server: has it show the token, if there is one. Before Ray is
    imported, which reads `env` then."""
    if env.get(_TOKEN) or env.get(_TOKEN_PATH) or _file(home).exists():
        env.setdefault(_MODE, "token")


def _file(home: Path) -> Path:
    return home / ".ray" / "auth_token"


def _make(path: Path, token: str) -> None:
    """Of two servers that start at once, both have the token of the first: another one in the file
    would lock a server out of its own Ray. Nobody sees a part of it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent)  # mode 600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(token)
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        os.unlink(temporary)
