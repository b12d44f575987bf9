"""The proxies of docs/deployment.md, as they stand there, pass a WebSocket on over TLS, with what
the check of `Origin` needs. They listen at an unusual port, which `Host` has to name."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Origin

from serve_app.access.origins import OriginRules
from tests.docs.pages import ROOT, Page
from tests.serve.conftest import free_port

_WITHIN_S = 20.0


def block(language: str) -> str:
    page = Page(ROOT, "docs/deployment.md", (ROOT / "docs/deployment.md").read_text())
    (found,) = [b.text for b in page.blocks if b.language == language]
    return found


@asynccontextmanager
async def server() -> AsyncIterator[int]:
    """Sends back whatever it is sent by a page of its own host, as the ingress checks that."""
    rules = OriginRules(listed=())

    async def answer(socket: ServerConnection) -> None:
        assert socket.request is not None
        headers = socket.request.headers
        rules.check(headers.get("Origin"), headers.get("Host"))
        async for message in socket:
            await socket.send(message)

    async with serve(answer, "127.0.0.1", 0) as listening:
        yield listening.sockets[0].getsockname()[1]


@contextmanager
def running(*command: str) -> Iterator[None]:
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(_WITHIN_S)


async def echoed(port: int) -> bytes | str:
    """Tries until the proxy listens."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    site = f"voice.example.com:{port}"
    url, origin = f"wss://{site}/conversation", Origin(f"https://{site}")
    async with asyncio.timeout(_WITHIN_S):
        while True:
            try:
                async with connect(
                    url, ssl=trusting, host="127.0.0.1", port=port, origin=origin
                ) as there:
                    await there.send(b"hello")
                    return await there.recv()
            except OSError:
                await asyncio.sleep(0.1)


def certificate(folder: Path) -> None:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=voice.example.com", "-keyout", "privkey.pem", "-out", "fullchain.pem"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )


@pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed")
async def test_nginx(tmp_path: Path) -> None:
    certificate(tmp_path)
    port = free_port()
    async with server() as behind:
        site = (
            block("nginx")
            .replace("listen 443", f"listen {port}")
            .replace("127.0.0.1:4000", f"127.0.0.1:{behind}")
            .replace("/etc/letsencrypt/live/voice.example.com", str(tmp_path))
        )
        config = tmp_path / "nginx.conf"
        head = f"daemon off; pid {tmp_path}/pid; events {{}}\n"
        config.write_text(f"{head}http {{ access_log off;\n{site}}}\n")
        with running("nginx", "-p", str(tmp_path), "-c", str(config)):
            assert await echoed(port) == b"hello"


@pytest.mark.skipif(not shutil.which("caddy"), reason="caddy is not installed")
async def test_caddy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    port = free_port()
    async with server() as behind:
        site = (
            block("caddyfile")
            .replace("voice.example.com {", f"voice.example.com:{port} {{\n    tls internal")
            .replace("127.0.0.1:4000", f"127.0.0.1:{behind}")
        )
        own = "{\n    admin off\n    auto_https disable_redirects\n    skip_install_trust\n}\n"
        (tmp_path / "Caddyfile").write_text(own + site)
        config = str(tmp_path / "Caddyfile")
        with running("caddy", "run", "--adapter", "caddyfile", "--config", config):
            assert await echoed(port) == b"hello"
