"""Errors that cross process borders."""

import pickle

import pytest

from serve_app import errors
from serve_app.protocol.close_codes import CloseCode


@pytest.mark.parametrize(
    "error",
    [
        errors.ConfigError("a key is missing"),
        errors.ProtocolViolation("bad message", CloseCode.TOO_BIG),
        errors.TooSlow("slow"),
        errors.EngineError("llm", "401", False),
        errors.EngineRefused("llm", "HTTP 401"),
        errors.EngineTimeout("tts", "late"),
        errors.EngineUnavailable("stt", "gone"),
    ],
)
def test_errors_cross_processes(error: errors.VoiceError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), vars(copy)) == (str(error), vars(error))
    assert copy.close_code is error.close_code
