"""Makes of what was noted what is delivered: the record and the recording."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from serve_app.records.journal import lines, record_of
from serve_app.records.notes import AGENT, JOURNAL, RECORD, USER
from serve_app.records.schema import Recording

_MODULE: Final = "serve_app.records.mix"
_ROOT: Final = str(Path(__file__).parents[2])
_NEEDED: Final = ("PATH", "LD_LIBRARY_PATH")
"""Of the environment, which has secrets."""
_MADE_S: Final = 600.0


def is_empty(folder: Path) -> bool:
    """Whether there is nothing to make a record of."""
    return folder.is_dir() and not any((folder / name).exists() for name in (JOURNAL, RECORD))


def make(folder: Path) -> None:
    """Safe to do again after it was interrupted. Raises OSError and ValueError."""
    if not (folder / RECORD).exists():
        if next(lines(folder), {}).get("call", {}).get("has_sound"):
            _make_apart(folder)
        else:
            write_record(folder)
    for name in (USER, AGENT, JOURNAL):
        (folder / name).unlink(missing_ok=True)


def write_record(folder: Path, recording: Recording | None = None) -> None:
    """Raises OSError and ValueError."""
    record = record_of(folder, recording)
    making = folder / f"{RECORD}.part"
    making.touch(mode=0o600)
    making.write_text(record.model_dump_json(indent=2), encoding="utf-8")
    making.rename(folder / RECORD)


def _make_apart(folder: Path) -> None:
    """In a process of its own, the record too: a call with sound has thirty notes a second, and to
    read those of an hour here would keep the event loop waiting."""
    environment = {name: os.environ[name] for name in _NEEDED if name in os.environ}
    try:
        subprocess.run(
            [sys.executable, "-m", _MODULE, str(folder)],
            cwd=_ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            umask=0o077,
            timeout=_MADE_S,
            check=True,
        )
    except subprocess.SubprocessError as error:
        raise OSError(f"the recording cannot be made: {type(error).__name__}") from None
