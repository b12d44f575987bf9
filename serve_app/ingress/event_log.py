"""A session's events and effects, written down to be read and to be replayed.

One JSON object a line: first the settings, then each event with its time and its effects. What was
said is in it, so a log is written only where the configuration asks for it. Of audio, the log has
only its length in samples or bytes, unless the configuration asks for the user's audio, too.
"""

import base64
import dataclasses
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.settings import TurnSettings

log = logging.getLogger(__name__)

_MAX_BYTES = 256 << 20
"""About six hours of conversation without audio; nothing after that is written."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


class EventLog:
    """The log of one session."""

    def __init__(self, path: Path, settings: TurnSettings, has_audio: bool) -> None:
        """Makes the file, and its folder if there is none: for their owner only. Raises
        OSError."""
        self._has_audio = has_audio
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file: TextIO = os.fdopen(os.open(path, _NEW, mode=0o600), "w", encoding="utf-8")
        self._written = 0
        self._line({"settings": plain(settings)})

    def write(self, at_s: float, event: ev.Event, effects: Sequence[ef.Effect]) -> None:
        """`at_s` is the time that the conversation was given. Raises OSError."""
        if self._written < _MAX_BYTES:
            fields = plain(event)
            if self._has_audio and isinstance(event, ev.AudioReceived):
                fields["samples"] = base64.b64encode(event.samples.tobytes()).decode("ascii")
            self._line({"at_s": at_s, "event": fields, "effects": [plain(e) for e in effects]})

    def close(self) -> None:
        self._file.close()

    def _line(self, fields: dict[str, Any]) -> None:
        self._written += self._file.write(json.dumps(fields) + "\n")


class SessionLog:
    """The log of one session, where there is one. A full disk ends the log only."""

    def __init__(self, make: Callable[[str], EventLog | None]) -> None:
        """`make` makes the file with this name; None where nothing is logged."""
        self._make = make
        self._name = ""
        self._log: EventLog | None = None

    def begin(self, session: str, socket: str) -> None:
        self._name = log_name(session, socket)
        self._log = self._make(self._name)

    def write(self, at_s: float, event: ev.Event, effects: Sequence[ef.Effect]) -> None:
        if self._log is None:
            return
        try:
            self._log.write(at_s, event, effects)
        except OSError as error:
            log.warning("the event log %s ends here: %s", self._name, error)
            self.close()

    def close(self) -> None:
        """What the disk could not take yet fails again here."""
        if self._log is not None:
            with suppress(OSError):
                self._log.close()
            self._log = None


def log_name(session: str, socket: str) -> str:
    """Of the file. A session has the name of the socket at which it began; at others it has a log
    for each."""
    return f"{session}.jsonl" if session == socket else f"{session}.{socket}.jsonl"


def logs_of(folder: Path, session: str) -> list[Path]:
    """The logs of all sockets of a session."""
    return sorted(path for path in folder.glob("*.jsonl") if path.name.split(".")[0] == session)


def plain(value: Any) -> Any:
    """As JSON holds it: a dataclass is an object with its `type`, audio is its length."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        fields = {name: plain(getattr(value, name)) for name in names}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, np.ndarray | bytes):
        return len(value)
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return value
