"""No key is shown, wherever its owner has put it."""

from typing import Any

import pytest

from serve_app.errors import ConfigError
from serve_app.settings.environment import load
from serve_app.settings.plan import stages
from serve_app.settings.resolve import resolve
from serve_app.settings.shown import shown_url

KEY = "sk-rosebud"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://gpu:8000/v1", "http://gpu:8000/v1"),
        (f"https://me:{KEY}@gpu:8000/v1?key={KEY}#{KEY}", "https://gpu:8000/v1"),
        ("", ""),
        (f"http://[{KEY}", "(not an address)"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert shown_url(url) == shown


def test_the_plan_shows_no_password() -> None:
    """It is printed at start, and /healthz tells it."""
    url = f"http://me:{KEY}@gpu:8000/v1"
    agent = {
        "llm": {"provider": "generic", "model": "m", "api_url": url},
        "tts": {"provider": "generic", "model": "m", "voice": "v", "api_url": url},
    }
    rows = stages(resolve(load({"agent": agent}, {}), {}, 0))
    assert "gpu:8000" in str(rows)
    assert KEY not in str(rows)


@pytest.mark.parametrize(
    "args",
    [
        {"agent": {"llm": {"api_key_variable": KEY}}},
        {"agent": {"llm": {"api_key": KEY}}},
        {"agent": {"tools": [{"name": "t", "url": f"ftp://me:{KEY}@host"}]}},
        {"agent": {"mcp_servers": [{"name": "t", "command": [KEY], "url": "http://h"}]}},
        {"agent": {"llm": {"extra_body": [KEY]}}},
    ],
)
def test_a_wrong_setting_is_named_and_no_key_quoted(args: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        load(args, {})
    assert "args.agent." in str(caught.value)
    assert KEY not in str(caught.value)


def test_other_wrong_values_are_quoted() -> None:
    with pytest.raises(ConfigError, match=r"\(found 'many'\)"):
        load({"ingress": {"max_sessions": "many"}}, {})
