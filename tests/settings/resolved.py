"""Resolved settings, from a file's `args` and the environment."""

from serve_app.settings.environment import load
from serve_app.settings.resolve import resolve
from serve_app.settings.schema import AppConfig


def plan(gpus: float = 0, args: dict[str, object] | None = None, **env: str) -> AppConfig:
    return resolve(load(args or {}, env), env, gpus)


FALLBACKS: dict[str, object] = {
    "agent": {
        "llm_fallbacks": [
            {"provider": "generic", "model": "llama", "api_url": "http://gpu:8000"},
            {"provider": "local"},
        ],
        "tts_fallbacks": [{"provider": "local"}],
    }
}
