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
