import pytest
from websockets.asyncio.server import ServerConnection, serve

from serve_app.client.connection import connected, is_here
from tests.serve.conftest import free_port


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("[::1]", True),
        ("192.168.0.4", False),
        ("voice.example.com", False),
        ("localhost.example.com", False),
    ],
)
def test_what_is_on_this_machine(host: str, expected: bool) -> None:
    assert is_here(f"ws://{host}:4000/conversation") is expected


async def test_a_server_of_this_machine_is_not_looked_for_behind_a_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("http_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")

    async def answer(socket: ServerConnection) -> None:
        await socket.send("hello")

    async with serve(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with await connected(f"ws://127.0.0.1:{port}/conversation") as socket:
            assert await socket.recv() == "hello"
