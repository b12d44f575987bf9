"""Reads what was noted of a call, whole or cut off."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from serve_app.protocol.close_codes import CloseCode
from serve_app.records.notes import JOURNAL
from serve_app.records.schema import CallRecord, Recording

_KILLED: Final = {"code": int(CloseCode.LOST), "reason": "the server was ended"}
"""How a call closed whose end was not noted."""


def lines(folder: Path) -> Iterator[dict[str, Any]]:
    """In order, without one that was cut off. Raises OSError."""
    with (folder / JOURNAL).open(encoding="utf-8", errors="replace") as file:
        for text in file:
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict):
                yield line


def record_of(folder: Path, recording: Recording | None) -> CallRecord:
    """Raises OSError and ValueError if there is none to be made."""
    head: dict[str, Any] = {}
    end: dict[str, Any] = {}
    numbered: dict[str, dict[int, Any]] = {"turn": {}, "tool": {}, "error": {}}
    for line in lines(folder):
        head = line.get("call", head)
        end = line if "end" in line else end
        for kind in numbered.keys() & line.keys():
            number, entry = line[kind]
            numbered[kind][number] = entry
    if not head:
        raise ValueError(f"{folder.name} does not say which call it is")
    started_s = float(head["started_s"])
    lasted_s = float(end["at_s"]) if end else max(0.0, _last_written_s(folder) - started_s)
    return CallRecord.model_validate(
        {
            **{name: head[name] for name in ("session", "socket", "protocol")},
            "started": _iso(started_s),
            "ended": _iso(started_s + lasted_s),
            "duration_s": round(lasted_s, 3),
            "turns": tuple(numbered["turn"].values()),
            "tool_calls": tuple(numbered["tool"].values()),
            "errors": tuple(numbered["error"].values()),
            "recording": recording,
            "close": end["end"] if end else _KILLED,
            "is_complete": bool(end) and bool(end["is_complete"]),
        }
    )


def _last_written_s(folder: Path) -> float:
    return max(path.stat().st_mtime for path in folder.iterdir())


def _iso(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds")
