"""Makes of what was noted what is delivered: the record and the recording."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from serve_app.records.journal import lines, record_of
from serve_app.records.notes import AGENT, JOURNAL, RECORD, RECORDING, USER
from serve_app.records.schema import Recording

_MODULE: Final = "serve_app.records.mix"
_ROOT: Final = str(Path(__file__).parents[2])
_NEEDED: Final = ("PATH", "LD_LIBRARY_PATH")
"""Of the environment, which has secrets."""
_MIXED_S: Final = 600.0


def is_empty(folder: Path) -> bool:
    """Whether there is nothing to make a record of."""
    return folder.is_dir() and not any((folder / name).exists() for name in (JOURNAL, RECORD))


def make(folder: Path) -> None:
    """Safe to do again after it was interrupted. Raises OSError and ValueError."""
    if not (folder / RECORD).exists():
        _make(folder)
    for name in (USER, AGENT, JOURNAL):
        (folder / name).unlink(missing_ok=True)


def _make(folder: Path) -> None:
    head = next(lines(folder), {}).get("call", {})
    if head.get("has_sound") and not (folder / RECORDING).exists():
        _mix(folder)
    record = record_of(folder, _recording(folder, head.get("max_s", 0.0)))
    making = folder / f"{RECORD}.part"
    making.touch(mode=0o600)
    making.write_text(record.model_dump_json(indent=2), encoding="utf-8")
    making.rename(folder / RECORD)


def _mix(folder: Path) -> None:
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
            timeout=_MIXED_S,
            check=True,
        )
    except subprocess.SubprocessError as error:
        raise OSError(f"the recording cannot be made: {type(error).__name__}") from None


def _recording(folder: Path, max_s: float) -> Recording | None:
    if not (folder / RECORDING).exists():
        return None
    import soundfile

    found = soundfile.info(str(folder / RECORDING))
    return Recording(
        file=f"{folder.name}.flac",
        rate_hz=found.samplerate,
        duration_s=round(found.duration, 3),
        is_complete=found.duration < max_s,
    )
