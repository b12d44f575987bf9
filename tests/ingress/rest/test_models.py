"""What is configured, for who may know it."""

from pathlib import Path

import pytest

from tests.ingress.access.guests import ADA, guarded
from tests.ingress.replica import replica
from tests.ingress.rest.asking import asking, plain, refused

pytestmark = pytest.mark.timeout(60)

SECRETS = {
    "llm": {
        "provider": "generic",
        "api_url": "http://user:pass@llm.internal:8000/v1",
        "model": "org/chat",
    },
    "llm_fallbacks": [{"provider": "local", "model": "/home/ada/secret/small.gguf"}],
    "tts": {"provider": "elevenlabs", "voice_id": "a-private-voice"},
}


async def test_the_models_have_their_names(keys: Path) -> None:
    access = {"keys_file": str(keys)}
    async with replica(access=access, agent=SECRETS) as server, asking(server, ADA) as client:
        found = [(model.id, model.owned_by) async for model in client.models.list()]
        assert found == [
            ("org/chat", "generic"),
            ("small.gguf", "local"),
            ("whisper-tiny.en", "local"),
            ("eleven_turbo_v2", "elevenlabs"),
        ]
        one = await client.models.retrieve("org/chat")
        assert (one.id, one.object) == ("org/chat", "model")
        async with refused(404, "model_not_found", "model"):
            await client.models.retrieve("gpt-5")
        headers = {"authorization": f"Bearer {ADA}"}
        text = (await plain(server, "GET", "/v1/models", headers=headers)).text
        for secret in ("pass", "internal", "/home", "a-private-voice"):
            assert secret not in text


async def test_without_a_key_a_server_that_asks_for_one_says_nothing(keys: Path) -> None:
    async with guarded(keys) as server:
        answer = await plain(server, "GET", "/v1/models")
        assert answer.status_code == 401 and "data" not in answer.json()


async def test_a_stranger_is_not_told_more_than_by_healthz(monkeypatch: pytest.MonkeyPatch) -> None:
    async with replica(agent=SECRETS) as server:
        async with asking(server) as client:
            assert "org/chat" in [model.id async for model in client.models.list()]
        headers = {"x-forwarded-for": "203.0.113.7"}
        answer = await plain(server, "GET", "/v1/models", headers=headers)
        names = [model["id"] for model in answer.json()["data"]]
        assert names == ["chat", "transcriber", "voice"]
        assert (await plain(server, "GET", "/healthz", headers=headers)).json() == {"status": "ok"}
