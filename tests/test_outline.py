"""Errors in logs: enough to find the fault, nothing of what was said."""

import pytest

from serve_app.outline import VARIABLE, outline


def _failed() -> Exception:
    try:
        try:
            raise KeyError("my secret is rosebud")
        except KeyError as error:
            raise ValueError("rosebud") from error
    except ValueError as error:
        return error


def test_the_kind_and_the_place_without_the_text() -> None:
    text = outline(_failed())
    assert "KeyError" in text and "ValueError" in text
    assert f'File "{__file__}"' in text and "in _failed" in text
    assert "rosebud" not in text


def _failed_together() -> BaseException:
    """A member, and the group itself, each with a cause; a group in the group."""
    members = [_failed(), ExceptionGroup("rosebud", [TypeError("rosebud")])]
    try:
        try:
            raise OSError("rosebud")
        except OSError as error:
            raise ExceptionGroup("rosebud", members) from error
    except ExceptionGroup as group:
        return group


def test_of_a_group_its_members_without_their_texts() -> None:
    """A task group raises one: it was its kind alone, and what had failed was not in the log."""
    text = outline(_failed_together())
    kinds = ("OSError", "ExceptionGroup", "KeyError", "ValueError", "TypeError")
    assert all(f"{kind} (" in text for kind in kinds)
    assert "in _failed\n" in text and "in _failed_together\n" in text
    assert text.count("ExceptionGroup (") == 2
    assert "rosebud" not in text


def test_members_are_below_their_group() -> None:
    """Each deeper than the group that it is in, as Python prints them."""
    lines = outline(_failed_together()).splitlines()
    depths = {kind: _depth(line) for line in lines for kind in [line.split()[0]]}
    assert depths["OSError"] == 0 < depths["ValueError"] < depths["TypeError"]


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def test_a_cause_that_was_left_out_is_left_out() -> None:
    try:
        try:
            raise KeyError
        except KeyError:
            raise ValueError from None
    except ValueError as error:
        assert "KeyError" not in outline(error)


def test_the_text_too_if_a_setting_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    assert "rosebud" in outline(_failed())
