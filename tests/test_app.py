"""The composition root refuses what cannot run, before anything is started."""

import pytest

from serve_app.app import build
from serve_app.errors import ConfigError

WEATHER = {
    "name": "weather",
    "description": "Tells the weather.",
    "parameters": {"type": "object"},
    "python": "tests.agent.tools.nowhere:weather",
}


def test_tools_that_cannot_be_used_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    with pytest.raises(ConfigError, match=r"args\.agent\.tools\.0\.python: .* cannot be imported"):
        build({"agent": {"tools": [WEATHER]}})
