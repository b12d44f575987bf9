"""Ray's token: who has it can run code in every process of the server."""

import os
import secrets
from collections.abc import MutableMapping
from pathlib import Path

_TOKEN = "RAY_AUTH_TOKEN"
_TOKEN_PATH = "RAY_AUTH_TOKEN_PATH"


def ensure_token(env: MutableMapping[str, str], home: Path) -> None:
    """Sees to it that there is a token that only this user can read, before Ray makes one for all
    to read. A token that the user has set, or a mode without one, is left alone.

    It is in the file where Ray's commands look for it; where there can be no file, as in a
    container that is read-only, in `env`, which the server's processes inherit.
    """
    if env.get("RAY_AUTH_MODE") != "token" or env.get(_TOKEN) or env.get(_TOKEN_PATH):
        return
    path = home / ".ray" / "auth_token"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not (path.exists() and path.read_text().strip()):
            _write(path, secrets.token_hex(32))
        path.chmod(0o600)
    except OSError:
        env[_TOKEN] = secrets.token_hex(32)


def _write(path: Path, token: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(token)
