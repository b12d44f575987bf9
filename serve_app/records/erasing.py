"""Removes what is kept of one session's calls on this machine."""

import shutil
from pathlib import Path

from serve_app.records.spool import calls_of


def remove_records(spool: str, folder: str, session: str) -> list[str]:
    """From the spool first, so that nothing is delivered after that. `folder`: where records go, if
    that is one. Returns what was removed."""
    calls = calls_of(Path(spool), session)
    for call in calls:
        shutil.rmtree(call, ignore_errors=True)
    records = _records_of(Path(folder), session) if folder else []
    for record in records:
        record.unlink(missing_ok=True)
    return [str(path) for path in (*calls, *records)]


def _records_of(folder: Path, session: str) -> list[Path]:
    """With those that are just being written."""
    return sorted(
        path for path in folder.glob("*.*") if path.name.removeprefix(".").split(".")[0] == session
    )
