"""A real HTTP server that takes webhooks, or does not, and checks them as its owner would."""

import base64
import hmac
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = "a secret of thirty-two bytes, at least"


@dataclass
class Message:
    name: str
    type: str
    body: bytes
    is_signed: bool
    timestamp: int


@dataclass
class Hooks:
    """Made by `hooks`."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    """The status of each answer, in order; then 204."""
    messages: list[Message] = field(default_factory=list)
    came: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Released with each message."""


@contextmanager
def hooks(*answers: int) -> Iterator[Hooks]:
    found = Hooks(answers=list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            name, stamp = self.headers["webhook-id"], self.headers["webhook-timestamp"]
            signed = f"{name}.{stamp}.".encode() + body
            digest = hmac.new(SECRET.encode(), signed, sha256).digest()
            expected = f"v1,{base64.b64encode(digest).decode()}"
            is_signed = self.headers["webhook-signature"] == expected
            type_ = self.headers["content-type"]
            status = found.answers.pop(0) if found.answers else 204
            found.messages.append(Message(name, type_, body, is_signed, int(stamp)))
            self.send_response(status)
            if status == 302:
                self.send_header("location", f"{found.url}/elsewhere")
            self.end_headers()
            found.came.release()

        def log_message(self, format: str, *arguments: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
