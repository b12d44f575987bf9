"""The folder on disk where calls are noted while they go on, and wait until they are delivered.

    spool_dir/OWNER/lock                held as long as the replica lives
    spool_dir/OWNER/SESSION/...         one folder for each call: see `notes`

A replica owns one folder. What one that was killed has left is taken over by the next that starts
on this machine: its lock is free then.
"""

import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Sequence
from contextlib import suppress
from glob import glob
from pathlib import Path
from typing import Final

from serve_app.records.notes import AGENT, JOURNAL, USER, Note, as_pcm

_LOCK: Final = "lock"
_OWNERS_ONLY: Final = 0o700


class Spool:
    """Of one replica. All of it blocks."""

    def __init__(self, root: Path) -> None:
        """Raises OSError."""
        self._root = root
        root.mkdir(mode=_OWNERS_ONLY, parents=True, exist_ok=True)
        name = uuid.uuid4().hex
        making = root / f".{name}"
        making.mkdir(mode=_OWNERS_ONLY)
        self._lock = _locked(making)
        # Nobody sees it before its lock is held.
        self.folder = making.rename(root / name)

    def begin(self, name: str) -> Path:
        """The folder of a call. Raises OSError."""
        folder = self.folder / name
        folder.mkdir(mode=_OWNERS_ONLY)
        return folder

    def adopt(self) -> list[Path]:
        """Takes over what owners that are gone have left. Raises OSError."""
        return [
            call
            for owner in sorted(self._root.iterdir())
            if owner.is_dir() and owner != self.folder and not owner.name.startswith(".")
            for call in self._from(owner)
        ]

    def _from(self, owner: Path) -> list[Path]:
        try:
            lock = _locked(owner)
        except OSError:  # it lives, or somebody else has just taken it over
            return []
        try:
            calls = [call for call in sorted(owner.iterdir()) if call.is_dir()]
            taken = [call.rename(self.folder / call.name) for call in calls]
            shutil.rmtree(owner, ignore_errors=True)
            return taken
        finally:
            os.close(lock)

    def close(self) -> None:
        """What is left in it is for the next one. Safe to repeat."""
        lock, self._lock = self._lock, -1
        with suppress(OSError):
            os.close(lock)


def calls_of(root: Path, session: str) -> list[Path]:
    """The folders of a session's calls, whoever owns them."""
    # Not `Path.glob`: it raises FileNotFoundError where a folder goes meanwhile.
    calls = [root / path for path in glob("*/*/", root_dir=root)]
    return sorted(path for path in calls if path.name.split(".")[0] == session)


def write(folder: Path, notes: Sequence[Note]) -> None:
    """Appends to a call: the sound first, so that what a line speaks of is there. Raises
    OSError."""
    samples = [as_pcm(note.samples) for note in notes if note.samples is not None]
    _append(folder / USER, b"".join(samples))
    _append(folder / AGENT, b"".join(note.pcm for note in notes))
    lines = "".join(json.dumps(note.line) + "\n" for note in notes)
    _append(folder / JOURNAL, lines.encode())


def write_end(folder: Path, end: Note) -> None:
    """Of a call of which something could not be written: what came after that is left out, since
    the sound would be in the wrong place. Raises OSError."""
    line = json.dumps({**end.line, "is_complete": False})
    _append(folder / JOURNAL, f"\n{line}\n".encode())


def _append(path: Path, data: bytes) -> None:
    if not data:
        return
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(file, view) :]
    finally:
        os.close(file)


def _locked(folder: Path) -> int:
    """The descriptor of its lock. Raises OSError if somebody holds it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    lock = os.open(folder / _LOCK, flags, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock
