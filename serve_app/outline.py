"""What of an unexpected error may be logged: its kind and its place. Its text may quote what was
said, or a key."""

import os
import traceback

VARIABLE = "ECHO_LOG_ERROR_TEXTS"
"""Set to 1 while a fault is looked for: then whole errors are logged, with what they quote."""


def outline(error: BaseException) -> str:
    """The error, what it came from and, of a group, its members: as Python would print them, but
    without their texts."""
    if shows_texts():
        return "".join(traceback.format_exception(error)).rstrip()
    return "\n".join(_outlines(error))


def shows_texts() -> bool:
    return os.environ.get(VARIABLE) == "1"


def _outlines(error: BaseException) -> list[str]:
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    before = _outlines(cause) if cause is not None else []
    places = [
        f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}'
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    below = [f"    {line}" for member in members for line in _outlines(member)]
    return [*before, *places, f"{type(error).__name__} (its text may quote what was said)", *below]
