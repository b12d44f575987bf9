"""What clients write into the session.

The conversation begins with the first audio or `response.create`. Until then a client may change
everything; afterwards, what `open` has said stays.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from serve_app.protocol.limits import FrameLimits
from serve_app.protocol.realtime.options import Defaults, Options
from serve_app.protocol.realtime.refused import Refused
from serve_app.protocol.realtime.support import SESSION_FIELDS, Row, Support
from serve_app.protocol.sound import FORMATS, Format
from serve_app.protocol.tools import tools_of

_OPENAIS_VOICES: Final = frozenset(
    {"alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer"}
    | {"verse", "marin", "cedar"}
)
"""Clients send one of them because OpenAI's protocol wants one, whatever voice they reach."""
_EAGERNESS: Final = {"low": "patient", "medium": "balanced", "auto": "balanced", "high": "quick"}
_SILENCES: Final = ("end_silence_ms", "likely_silence_ms", "sentence_silence_ms", "max_silence_ms")
_MAX_NAME: Final = 128
_TURN: Final = "audio.input.turn_detection"
_PUSH_TO_TALK: Final = {"detects_turns": False, "answers_turns": False}
_NOTHING: Final = object()
_FIXED: Final = {
    "instructions": "instructions",
    "voice": "audio.output.voice",
    "language": "audio.input.transcription.language",
    "output_format": "audio.output.format",
    "turn": _TURN,
    "turn_detection": _TURN,
    "tools": "tools",
    "tool_choice": "tool_choice",
    "modality": "output_modalities",
}
"""What `open` has said: options, and where a client writes them."""
_MOST_PATH: Final = 160
"""Of a name that the client made up."""


class _Wrong(ValueError):
    """`below`: what is wrong within a field, such as `.rate`."""

    def __init__(self, message: str, below: str) -> None:
        super().__init__(message)
        self.below = below


class Editor:
    """Applies what clients write. Raises Refused, and has changed nothing then."""

    def __init__(self, defaults: Defaults, limits: FrameLimits) -> None:
        self._defaults = defaults
        self._limits = limits
        self._setters: dict[str, Callable[[Options, Any], Options]] = {
            "type": self._type,
            "instructions": self._instructions,
            "output_modalities": _modality,
            "tools": self._tools,
            "tool_choice": _tool_choice,
            "audio.input.format": lambda o, v: replace(o, input_format=_format(v)),
            "audio.output.format": lambda o, v: replace(o, output_format=_format(v)),
            "audio.output.voice": self._voice,
            "audio.input.transcription.language": lambda o, v: replace(o, language=_name(v)),
            f"{_TURN}.type": _detection_type,
            f"{_TURN}.eagerness": _eagerness,
            f"{_TURN}.silence_duration_ms": _silence,
            f"{_TURN}.interrupt_response": _interrupts,
            f"{_TURN}.create_response": _answers,
            f"{_TURN}.idle_timeout_ms": _idle,
        }

    def edited(self, options: Options, session: Any, has_begun: bool) -> Options:
        edited = options
        if not isinstance(session, dict):
            raise Refused("invalid_type", "session has to be an object", "session")
        if (detection := _detection(session)) is None:
            edited = replace(edited, turn=_PUSH_TO_TALK, turn_detection=None)
        elif detection is not _NOTHING:
            edited = replace(edited, turn={}, turn_detection={})
        for path, value in checked(session, SESSION_FIELDS, "session"):
            try:
                edited = self._setters[path](edited, value)
            except ValueError as error:
                at = path + (error.below if isinstance(error, _Wrong) else "")
                raise Refused("invalid_value", f"{at}: {error}", f"session.{at}") from None
        if has_begun:
            _check_fixed(options, edited)
        return edited

    def _type(self, options: Options, value: Any) -> Options:
        if value != "realtime":
            raise ValueError("only realtime is possible")
        return options

    def _instructions(self, options: Options, value: Any) -> Options:
        return replace(options, instructions=text(value, self._limits.text_bytes))

    def _tools(self, options: Options, value: Any) -> Options:
        tools = tools_of(value, self._limits.text_bytes)
        if tools and not self._defaults.has_tools:
            raise ValueError("the local chat model here cannot use tools")
        return replace(options, tools=tools)

    def _voice(self, options: Options, value: Any) -> Options:
        return replace(options, voice=voice_of(value, self._defaults))


def _check_fixed(options: Options, edited: Options) -> None:
    for name, path in _FIXED.items():
        if getattr(edited, name) != getattr(options, name):
            raise Refused(
                "session_has_begun",
                "the conversation has begun: of what has an effect, only audio.input.format can be"
                " changed now. Send session.update before the first audio or response.create",
                f"session.{path}",
            )


def checked(fields: Any, table: Mapping[str, Row], where: str) -> Iterator[tuple[str, Any]]:
    """The fields that have an effect, by path. Raises Refused for what cannot be, and what is not
    known. A field without a value (null) is one that is not there, but for turn detection."""
    for path, value in _leaves(fields, table, where):
        row = table[path]
        if row.support is Support.REFUSED and value not in row.harmless:
            raise Refused("unsupported_value", f"{path}: {row.note}", f"{where}.{path}")
        if row.support is Support.SUPPORTED:
            yield path, value


def _leaves(
    fields: dict[str, Any], table: Mapping[str, Row], where: str, above: str = ""
) -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        path = above + name
        if path in table:
            if value is not None:
                yield path, value
        elif not any(known.startswith(f"{path}.") for known in table):
            shown = path.encode("ascii", "backslashreplace").decode()[:_MOST_PATH]
            raise Refused("unknown_parameter", f"{shown} is not known", f"{where}.{shown}")
        elif isinstance(value, dict):
            yield from _leaves(value, table, where, f"{path}.")
        elif value is not None:
            raise Refused("invalid_type", f"{path} has to be an object", f"{where}.{path}")


def _detection(session: dict[str, Any]) -> Any:
    """What is written of it, which may be null; or _NOTHING."""
    inner: Any = session
    for name in _TURN.split("."):
        inner = inner.get(name, _NOTHING) if isinstance(inner, dict) else _NOTHING
    return inner


def voice_of(value: Any, defaults: Defaults) -> str:
    """The voice that a client asks for; empty if it is the server's own. Raises ValueError."""
    voice = _voice_id(value.get("id")) if isinstance(value, dict) else _name(value)
    if voice in ("", defaults.voice):
        return ""
    if voice in _OPENAIS_VOICES and not defaults.has_openais_voices:
        return ""
    if not defaults.has_voices:
        raise ValueError("the local voice is the only one here")
    return voice


def _voice_id(value: Any) -> str:
    try:
        return _name(value)
    except ValueError as error:
        raise _Wrong(str(error), ".id") from None


def text(value: Any, most_bytes: int) -> str:
    """Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError("it has to be a string")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise ValueError("it is not Unicode: half of a character is missing") from None
    if size > most_bytes:
        raise ValueError(f"it is longer than {most_bytes} bytes")
    return value


def _name(value: Any) -> str:
    return text(value, _MAX_NAME)


def _format(value: Any) -> Format:
    if not isinstance(value, dict):
        raise ValueError("it has to be an object")
    name = value.get("type")
    found = FORMATS.get(name) if isinstance(name, str) else None
    if found is None:
        raise _Wrong(f"it has to be one of {', '.join(FORMATS)}", ".type")
    if value.get("rate", found.rate_hz) not in (None, found.rate_hz):
        raise _Wrong(f"{found.name} has a rate of {found.rate_hz}", ".rate")
    return found


def _modality(options: Options, value: Any) -> Options:
    if value not in (["audio"], ["text"]):
        message = 'output_modalities: it has to be ["audio"] or ["text"]'
        raise Refused("unsupported_value", message, "session.output_modalities")
    return replace(options, modality=value[0])


def _tool_choice(options: Options, value: Any) -> Options:
    if value not in ("auto", "none"):
        message = "tool_choice: the model chooses: only auto and none are possible"
        raise Refused("unsupported_value", message, "session.tool_choice")
    return replace(options, tool_choice=value)


def _detected(options: Options, name: str, value: Any, **turn: Any) -> Options:
    return replace(
        options,
        turn={**options.turn, **turn},
        turn_detection={**(options.turn_detection or {}), name: value},
    )


def _detection_type(options: Options, value: Any) -> Options:
    if value not in ("server_vad", "semantic_vad"):
        raise ValueError("it has to be server_vad or semantic_vad")
    return _detected(options, "type", value)


def _eagerness(options: Options, value: Any) -> Options:
    if not isinstance(value, str) or value not in _EAGERNESS:
        raise ValueError(f"it has to be one of {', '.join(_EAGERNESS)}")
    return _detected(options, "eagerness", value, preset=_EAGERNESS[value])


def _silence(options: Options, value: Any) -> Options:
    silence_ms = _whole(value, 32, 10_000)
    turn = dict.fromkeys(_SILENCES, silence_ms)
    return _detected(options, "silence_duration_ms", silence_ms, **turn)


def _interrupts(options: Options, value: Any) -> Options:
    if not isinstance(value, bool):
        raise ValueError("it has to be true or false")
    return _detected(options, "interrupt_response", value, interruptions=value)


def _answers(options: Options, value: Any) -> Options:
    if not isinstance(value, bool):
        raise ValueError("it has to be true or false")
    return _detected(options, "create_response", value, answers_turns=value)


def _idle(options: Options, value: Any) -> Options:
    idle_ms = _whole(value, 1, 3_600_000)
    return _detected(options, "idle_timeout_ms", idle_ms, idle_prompt_ms=idle_ms)


def _whole(value: Any, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"it has to be a whole number from {least} to {most}")
    return value
