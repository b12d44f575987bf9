"""`echo-serve keys`: the file of static keys, written so that a server which reads it meanwhile
sees either the old or the new one."""

import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from serve_app.access.configured import read_keys
from serve_app.access.keys import Key, KeyRing, hashed, new_secret, parse_duration, shown_time
from serve_app.errors import ConfigError
from serve_app.local.server import read_file
from serve_app.settings.environment import load

Report = Callable[[str], None]
_LOCK_S = 10.0


def keys_file(config: Path, env: Mapping[str, str]) -> Path:
    """The file that a server with this configuration reads. Raises ConfigError."""
    if found := load(read_file(config).args, env).access.keys_file:
        return Path(found)
    raise ConfigError("where are the keys? Set ECHO_KEYS_FILE, args.access.keys_file or --file")


def add(path: Path, name: str, expires: str | None, report: Report) -> None:
    """Adds a key, and prints it: it is kept nowhere. Raises ConfigError."""
    secret, now_s = new_secret(), time.time()
    with _changing(path) as ring:
        expires_s = None if expires is None else now_s + parse_duration(expires)
        _write(path, ring.with_key(Key(name, hashed(secret), now_s, expires_s)))
    report(secret)


def revoke(path: Path, name: str, report: Report) -> None:
    """Raises ConfigError."""
    with _changing(path) as ring:
        _write(path, ring.without(name))
    report(f"{name} is revoked: servers that read {path} end its sessions within some seconds")


def listing(path: Path, report: Report) -> None:
    """Raises ConfigError."""
    now_s = time.time()
    for key in read_keys(str(path)).keys:
        end = "never" if key.expires_s is None else shown_time(key.expires_s)
        note = "" if key.is_valid(now_s) else "  (has expired)"
        report(f"{key.name:<24} made {shown_time(key.created_s)}  ends {end}{note}")


@contextmanager
def _changing(path: Path) -> Iterator[KeyRing]:
    """What the file holds now, while nobody else changes it. Raises ConfigError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=_LOCK_S):
            yield read_keys(str(path)) if path.exists() else KeyRing()
    except (OSError, ValueError) as error:  # a lock that is not got in time is an OSError
        raise ConfigError(str(error)) from None


def _write(path: Path, ring: KeyRing) -> None:
    """Only its owner may read it: it holds no key, but names. If there is one already, whoever may
    read that may read the new one: a server that may not would go on with the former keys."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            if path.exists():
                former = path.stat()
                os.fchown(handle, former.st_uid, former.st_gid)
                os.fchmod(handle, stat.S_IMODE(former.st_mode))
            file.write(ring.written())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
