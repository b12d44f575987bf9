"""`echo-serve replay`: gives the events of a log to a new conversation and compares the effects."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Union, get_args

import numpy as np
from pydantic import ConfigDict, Discriminator, Tag, TypeAdapter, ValidationError

from serve_app.conversation import events as ev
from serve_app.conversation.machine import Conversation
from serve_app.conversation.settings import TurnSettings
from serve_app.errors import ConfigError
from serve_app.ingress.event_log import plain

_SETTINGS = TypeAdapter(TurnSettings)
_TAGGED: Any = Union[tuple(Annotated[kind, Tag(kind.__name__)] for kind in get_args(ev.Event))]  # noqa: UP007
_EVENT: TypeAdapter[Any] = TypeAdapter(
    Annotated[_TAGGED, Discriminator(lambda fields: fields["type"])],
    config=ConfigDict(arbitrary_types_allowed=True),  # numpy's arrays
)


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where a replay gave other effects."""

    line: int
    event: str
    logged: list[Any]
    replayed: list[Any]

    def __str__(self) -> str:
        return f"line {self.line}, {self.event}: logged {self.logged}, now {self.replayed}"


@dataclass(frozen=True, slots=True)
class Replayed:
    """How far the replay came. Without a difference, to the end of the log."""

    events: int
    effects: int
    difference: Difference | None


def replay(path: Path) -> Replayed:
    """Raises ConfigError for a file that is not an event log of this version."""
    header, *steps = _lines(path)
    try:
        return _replayed(header, steps)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} is no event log of this version: {_why(error)}") from None


def _replayed(header: dict[str, Any], steps: list[dict[str, Any]]) -> Replayed:
    tokens = _tokens(steps)
    settings = _SETTINGS.validate_python(_untyped(header["settings"]))
    conversation = Conversation(settings, lambda: next(tokens, "????????"))
    effects = 0
    for number, step in enumerate(steps, 2):
        found = [plain(e) for e in conversation.handle(_event(step["event"]), step["at_s"])]
        effects += len(found)
        if found != step["effects"]:
            difference = Difference(number, step["event"]["type"], step["effects"], found)
            return Replayed(number - 1, effects, difference)
    return Replayed(len(steps), effects, None)


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is no event log: {error}") from None
    if not lines or not all(isinstance(line, dict) for line in lines):
        raise ConfigError(f"{path} is no event log: its lines are not JSON objects")
    return lines


def _untyped(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "type"}


def _event(fields: dict[str, Any]) -> ev.Event:
    """Audio that was not logged is silence of the same length."""
    match fields:
        case {"samples": str(encoded)}:
            samples = np.frombuffer(base64.b64decode(encoded), dtype=np.float32)
            fields = {**fields, "samples": samples}
        case {"samples": int(length)}:
            fields = {**fields, "samples": np.zeros(length, dtype=np.float32)}
        case {"piece": {"audio": int(length)} as piece}:
            fields = {**fields, "piece": {**piece, "audio": bytes(length)}}
    event: ev.Event = _EVENT.validate_python(fields)
    return event


def _tokens(steps: list[dict[str, Any]]) -> Iterator[str]:
    """The tokens that the client was told, in order."""
    for step in steps:
        for effect in step["effects"]:
            if effect["type"] == "Send" and effect["message"]["type"] in ("Token", "Interrupt"):
                yield effect["message"]["token"]


def _why(error: Exception) -> str:
    """In one line."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return repr(error)
