"""Short-lived keys in OpenAI's shape, made and used by OpenAI's own client."""

import time
from pathlib import Path
from typing import Any

import pytest
from openai.types.realtime.client_secret_create_response import ClientSecretCreateResponse

from tests.ingress.access.guests import ADA, guarded
from tests.ingress.access.tokens import rs256
from tests.ingress.realtime_caller import calling
from tests.ingress.replica import replica
from tests.ingress.rest.asking import asking, plain, refused

pytestmark = pytest.mark.timeout(60)

PATH = "/v1/realtime/client_secrets"


async def test_a_browser_talks_with_a_key_that_a_server_has_made(keys: Path) -> None:
    async with guarded(keys) as server:
        async with asking(server, ADA) as client:
            made = await client.realtime.client_secrets.create(
                expires_after={"anchor": "created_at", "seconds": 600},
                session={"type": "realtime", "model": "gpt-realtime"},
            )
        ClientSecretCreateResponse.model_validate(made.model_dump())
        assert made.value.startswith("ek_") and made.expires_at == pytest.approx(
            time.time() + 600, abs=5
        )
        assert made.session.type == "realtime"
        async with calling(server.address, made.value) as caller:
            await caller.until("session.created")


async def test_it_lasts_as_long_as_the_settings_say(keys: Path) -> None:
    async with guarded(keys, client_key_s=90) as server, asking(server, ADA) as client:
        made = await client.realtime.client_secrets.create()
        assert made.expires_at == pytest.approx(time.time() + 90, abs=5)


async def test_only_a_key_of_the_file_makes_others(keys: Path) -> None:
    async with guarded(keys) as server:
        async with asking(server, ADA) as client:
            made = await client.realtime.client_secrets.create()
        async with asking(server, made.value) as client, refused(403, "server_key_needed"):
            await client.realtime.client_secrets.create()
        async with asking(server, "wrong") as client, refused(401, "invalid_api_key") as said:
            await client.realtime.client_secrets.create()
        assert "wrong" not in said["message"]
        answer = await plain(server, "POST", PATH)
        assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "session",
    [
        {"type": "realtime"},
        {"type": "realtime", "model": "gpt-realtime", "audio": {"output": {"voice": "marin"}}},
        {"type": "realtime", "audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}},
        {"type": "realtime", "audio": {"input": {"transcription": {"model": "whisper-1"}}}},
        {"type": "realtime", "output_modalities": ["audio"], "tools": []},
    ],
)
async def test_what_changes_nothing_may_be_in_the_session(keys: Path, session: Any) -> None:
    async with guarded(keys) as server, asking(server, ADA) as client:
        assert (await client.realtime.client_secrets.create(session=session)).value


@pytest.mark.parametrize(
    ("session", "code", "param"),
    [
        ({"instructions": "Be rude."}, "unsupported_value", "session.instructions"),
        (
            {"audio": {"input": {"format": {"type": "audio/pcmu"}}}},
            "unsupported_value",
            "session.audio.input.format",
        ),
        (
            {"audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "low"}}}},
            "unsupported_value",
            "session.audio.input.turn_detection",
        ),
        ({"tools": [{"type": "function", "name": "a"}]}, "unsupported_value", "session.tools"),
        ({"output_modalities": ["text"]}, "unsupported_value", "session.output_modalities"),
        ({"tool_choice": "none"}, "unsupported_value", "session.tool_choice"),
        (
            {"audio": {"input": {"turn_detection": None}}},
            "unsupported_value",
            "session.audio.input.turn_detection",
        ),
        ({"type": "transcription"}, "invalid_value", "session.type"),
        ({"nonsense": 1}, "unknown_parameter", "session.nonsense"),
        ([], "invalid_type", "session"),
    ],
)
async def test_what_a_key_cannot_hold_is_refused(
    keys: Path, session: Any, code: str, param: str
) -> None:
    async with (
        guarded(keys) as server,
        asking(server, ADA) as client,
        refused(400, code, param),
    ):
        await client.realtime.client_secrets.create(session=session)


@pytest.mark.parametrize(
    ("after", "param"),
    [
        ({"anchor": "now"}, "expires_after.anchor"),
        ({"seconds": 7201}, "expires_after.seconds"),
        ({"seconds": 0}, "expires_after.seconds"),
        ({"seconds": True}, "expires_after.seconds"),
        ({"seconds": "10"}, "expires_after.seconds"),
        (600, "expires_after"),
    ],
)
async def test_a_wrong_time_is_refused(keys: Path, after: Any, param: str) -> None:
    async with guarded(keys) as server, asking(server, ADA) as client:
        code = "invalid_type" if param == "expires_after" else "invalid_value"
        async with refused(400, code, param):
            await client.realtime.client_secrets.create(expires_after=after)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b"[" * 60_000, 400, "invalid_json"),
        (b'{"expires_after": {"seconds": NaN}}', 400, "invalid_json"),
        (b'"text"', 400, "invalid_json"),
        (b'{"model": "a"}', 400, "unknown_parameter"),
        (b" " * 70_000, 413, "request_too_large"),
    ],
    ids=["cut", "deep", "no number", "text", "unknown", "big"],
)
async def test_a_wrong_body_is_refused(keys: Path, body: bytes, status: int, code: str) -> None:
    headers = {"authorization": f"Bearer {ADA}"}
    async with guarded(keys) as server:
        answer = await plain(server, "POST", PATH, headers=headers, content=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_where_nobody_is_asked_for_a_key_any_will_do() -> None:
    async with replica() as server, asking(server) as client:
        made = await client.realtime.client_secrets.create()
        async with calling(server.address, made.value) as caller:
            await caller.until("session.created")


async def test_without_a_secret_to_sign_with_none_is_made(
    keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ECHO_CLIENT_KEY_SECRET")
    async with guarded(keys) as server, asking(server, ADA) as client:
        async with refused(501, "no_client_key_secret") as said:
            await client.realtime.client_secrets.create()
        assert "ECHO_CLIENT_KEY_SECRET" in said["message"]


async def test_web_tokens_alone_make_none(pem: Path) -> None:
    jwt = {"algorithms": ["RS256"], "public_key_file": str(pem)}
    async with (
        replica(access={"jwt": jwt}) as server,
        asking(server, rs256()) as client,
        refused(501, "no_keys_file"),
    ):
        await client.realtime.client_secrets.create()


async def test_a_foreign_page_is_refused() -> None:
    async with replica() as server:
        headers = {"origin": "https://evil.example"}
        for method, path in (("POST", PATH), ("GET", "/v1/models")):
            answer = await plain(server, method, path, headers=headers)
            assert answer.status_code == 403
            assert answer.json()["error"]["code"] == "origin_refused"
