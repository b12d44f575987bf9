"""A session's events and effects, written down to be looked at and played again.

One JSON object a line: first the settings, then each event with its time and its effects. It
holds what was said, so it is only written where the configuration asks for it; audio is counted
in samples and bytes, and the user's is kept only where that is asked for, too.
"""

import base64
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO, get_args

import numpy as np

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.history import ChatMessage, Record
from serve_app.conversation.machine import Conversation
from serve_app.conversation.open_reply import OpenReply
from serve_app.conversation.piece import Piece
from serve_app.conversation.settings import TurnSettings
from serve_app.conversation.sound import Sound
from serve_app.errors import ConfigError

_MAX_BYTES = 256 << 20
"""About six hours of conversation without audio; what comes later is not written."""
_EVENTS = {kind.__name__: kind for kind in get_args(ev.Event)}


class EventLog:
    """Writes one session. Use it as a context manager."""

    def __init__(self, path: Path, settings: TurnSettings, has_audio: bool) -> None:
        """Raises OSError when the file cannot be made."""
        self._has_audio = has_audio
        self._file: TextIO = path.open("w", encoding="utf-8")
        self._written = 0
        self._line({"settings": _plain(settings)})

    def write(self, at_s: float, event: ev.Event, effects: Sequence[ef.Effect]) -> None:
        """`at_s` is what the conversation was told."""
        if self._written < _MAX_BYTES:
            plain = _plain(event)
            if self._has_audio and isinstance(event, ev.AudioReceived):
                plain["samples"] = base64.b64encode(event.samples.tobytes()).decode("ascii")
            self._line({"at_s": at_s, "event": plain, "effects": [_plain(e) for e in effects]})

    def close(self) -> None:
        self._file.close()

    def _line(self, fields: dict[str, Any]) -> None:
        self._written += self._file.write(json.dumps(fields) + "\n")


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """Where a replay first went another way."""

    line: int
    event: str
    logged: list[Any]
    replayed: list[Any]

    def __str__(self) -> str:
        return f"line {self.line}, {self.event}: logged {self.logged}, now {self.replayed}"


@dataclasses.dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a log."""

    events: int
    effects: int
    difference: Difference | None


def replay(path: Path) -> Replayed:
    """Gives the logged events to a new conversation. Raises ConfigError for what is no log."""
    header, *steps = _lines(path)
    try:
        settings = TurnSettings(**_settings(header["settings"]))
        tokens = _tokens(steps)
        machine = Conversation(settings, lambda: next(tokens, "????????"))
        effects = 0
        for number, step in enumerate(steps, 2):
            found = [_plain(e) for e in machine.handle(_event(step["event"]), step["at_s"])]
            effects += len(found)
            if found != step["effects"]:
                difference = Difference(number, step["event"]["type"], step["effects"], found)
                return Replayed(number - 1, effects, difference)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} is no event log of this version: {error!r}") from None
    return Replayed(len(steps), effects, None)


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is no event log: {error}") from None
    if not lines or not all(isinstance(line, dict) for line in lines):
        raise ConfigError(f"{path} is no event log: its lines are no JSON objects")
    return lines


def _plain(value: Any) -> Any:
    """As JSON holds it; audio becomes its length."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        fields = {name: _plain(getattr(value, name)) for name in names}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, np.ndarray | bytes):
        return len(value)
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


def _settings(plain: dict[str, Any]) -> dict[str, Any]:
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in plain.items()
        if name != "type"
    }


def _event(plain: dict[str, Any]) -> ev.Event:
    fields = {name: _field(name, value) for name, value in plain.items() if name != "type"}
    event: ev.Event = _EVENTS[plain["type"]](**fields)
    return event


def _field(name: str, value: Any) -> Any:
    match name:
        case "samples" if isinstance(value, str):
            return np.frombuffer(base64.b64decode(value), dtype=np.float32)
        case "samples":
            return np.zeros(value, dtype=np.float32)
        case "piece":
            return Piece(bytes(value["audio"]), value["text"], value["duration_s"])
        case "sound":
            return Sound(value["voice"], value["sample_rate_hz"])
        case "events":
            return frozenset(value)
        case "record" if isinstance(value, dict):
            history = tuple(ChatMessage(m["role"], m["content"]) for m in value["history"])
            return Record(
                history,
                value["generation"],
                value["tokens_issued"],
                _open_reply(value["reply"]),
                value["heard_samples"],
            )
        case "played" if isinstance(value, dict):
            return ev.Played(value["token"], value["played_ms"])
        case "timer":
            return ev.Timer(value)
    return value


def _open_reply(plain: dict[str, Any] | None) -> OpenReply | None:
    if plain is None:
        return None
    pieces = tuple((text, duration_s) for text, duration_s in plain["pieces"])
    return OpenReply(plain["token"], pieces, plain["is_written"], plain["played_s"])


def _tokens(steps: list[dict[str, Any]]) -> Iterator[str]:
    """Those that were announced, in order."""
    for step in steps:
        for effect in step["effects"]:
            if effect["type"] == "Send" and effect["message"]["type"] in ("Token", "Interrupt"):
                yield effect["message"]["token"]
