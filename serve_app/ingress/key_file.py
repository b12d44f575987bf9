"""The file of static keys, which may change while the server runs."""

import asyncio
import logging
import os
import time

from serve_app.access.configured import read_keys
from serve_app.access.keys import KeyRing
from serve_app.errors import ConfigError

log = logging.getLogger(__name__)

_FRESH_S = 1.0
"""A key that was just added is known this soon; strangers cannot have the file read more often."""

_Stamp = tuple[int, int, int]


class KeyFile:
    """What a file says now. While it cannot be read, what it said last holds: a full disk must not
    end every conversation."""

    def __init__(self, path: str) -> None:
        """Raises ConfigError."""
        self._path = path
        self._stamp: _Stamp | None = None
        self._looked_s = time.monotonic()
        self.ring = KeyRing()
        if path:
            self._stamp = _stamp(path)
            self.ring = read_keys(path)

    async def look(self) -> None:
        """Takes what is new. Never raises."""
        if self._path and time.monotonic() - self._looked_s > _FRESH_S:
            self._looked_s = time.monotonic()
            await asyncio.to_thread(self._look)

    def _look(self) -> None:
        try:
            stamp = _stamp(self._path)
            if stamp != self._stamp:
                self.ring = read_keys(self._path)
                self._stamp = stamp
                log.info("there are %d keys now", len(self.ring.keys))
        except (OSError, ConfigError) as error:
            log.warning("the keys that were read last hold: %s", error)


def _stamp(path: str) -> _Stamp | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)
