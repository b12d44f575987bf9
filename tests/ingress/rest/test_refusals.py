"""What every refusal looks like, also where there is nothing of OpenAI's API."""

import asyncio
from pathlib import Path

import pytest

from serve_app.ingress.access import anybody
from serve_app.ingress.rest import bodies
from serve_app.ingress.rest.places import Places
from serve_app.ingress.rest.refusals import HttpRefused, refusal
from tests.ingress.access.guests import guarded
from tests.ingress.replica import DEADLINE_S, Replica, replica
from tests.ingress.rest.asking import asking, plain, refused

pytestmark = pytest.mark.timeout(60)


async def test_what_is_not_here_is_refused_in_openais_shape() -> None:
    async with replica() as server, asking(server) as client:
        async with refused(404, "unknown_url") as said:
            await client.chat.completions.create(model="any", messages=[])
        assert said["type"] == "invalid_request_error"
        assert "POST /v1/chat/completions" in said["message"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/audio/speech", {"POST"}),
        ("GET", "/v1/audio/transcriptions", {"POST"}),
        ("DELETE", "/v1/models/any", {"GET", "HEAD"}),
    ],
)
async def test_so_is_another_method(method: str, path: str, allowed: set[str]) -> None:
    async with replica() as server:
        answer = await plain(server, method, path)
        assert answer.status_code == 405
        assert set(answer.headers["allow"].split(", ")) == allowed
        assert answer.json()["error"]["code"] == "method_not_supported"


async def test_elsewhere_a_page_that_is_not_there_is_said_in_a_few_words() -> None:
    async with replica() as server:
        answer = await plain(server, "GET", "/nothing")
        assert (answer.status_code, answer.text) == (404, "Not Found")


BODIES = [
    ("/v1/audio/speech", "application/json"),
    ("/v1/audio/transcriptions", "multipart/form-data; boundary=a"),
    ("/v1/realtime/client_secrets", "application/json"),
]


async def status_of_half(server: Replica, path: str, kind: str) -> int:
    """The answer to a request whose body does not come."""
    host, port = server.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {path} HTTP/1.1\r\nHost: {server.address}\r\nContent-Type: {kind}\r\n"
    writer.write(f"{head}Content-Length: 10000\r\n\r\n--".encode())
    async with asyncio.timeout(DEADLINE_S):
        line = await reader.readline()
    writer.close()
    return int(line.split()[1])


@pytest.mark.parametrize(("path", "kind"), BODIES)
async def test_a_body_that_does_not_come_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, path: str, kind: str
) -> None:
    monkeypatch.setattr(bodies, "_BODY_S", 0.2)
    async with replica() as server:
        assert await status_of_half(server, path, kind) == 408


@pytest.mark.parametrize(("path", "kind"), BODIES)
async def test_who_may_not_ask_is_refused_before_the_body_is_read(
    keys: Path, path: str, kind: str
) -> None:
    async with guarded(keys) as server:
        assert await status_of_half(server, path, kind) == 401


def test_too_much_at_once_has_the_type_of_other_limits() -> None:
    with pytest.raises(HttpRefused) as full, Places(0, 1).place(anybody()):
        pass
    assert b'"type":"rate_limit_error"' in bytes(refusal(full.value).body)
