"""How soon a turn ends, by name: three points on the curve that `make bench-turns` draws."""

from collections.abc import Mapping
from typing import Any, Final

PRESETS: Final[Mapping[str, Mapping[str, float]]] = {
    "quick": {
        "judge_silence_ms": 192,
        "end_silence_ms": 352,
        "likely_silence_ms": 800,
        "sentence_silence_ms": 800,
        "max_silence_ms": 1600,
        "complete_threshold": 0.5,
        "sure_threshold": 0.7,
        "unfinished_threshold": 0.7,
    },
    "balanced": {
        "judge_silence_ms": 256,
        "end_silence_ms": 416,
        "likely_silence_ms": 800,
        "sentence_silence_ms": 896,
        "max_silence_ms": 1600,
        "complete_threshold": 0.5,
        "sure_threshold": 0.9,
        "unfinished_threshold": 0.9,
    },
    "patient": {
        "judge_silence_ms": 416,
        "end_silence_ms": 512,
        "likely_silence_ms": 1024,
        "sentence_silence_ms": 1600,
        "max_silence_ms": 2000,
        "complete_threshold": 0.7,
        "sure_threshold": 0.98,
        "unfinished_threshold": 1.0,
    },
}
"""`balanced` is what TurnSettings has without one."""


def with_preset(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes of settings, on top of those of the `preset` that they name, if they do.

    Raises ValueError if there is no such preset.
    """
    rest = dict(changes)
    name = rest.pop("preset", None)
    if name is None:
        return rest
    if not isinstance(name, str) or name not in PRESETS:
        raise ValueError(f"preset must be {', '.join(PRESETS)}, not {ascii(name)[:40]}")
    return {**PRESETS[name], **rest}
