"""A caller who types, and only wants to know which words were taken."""

import msgpack
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

SERVICE_RESTART = 1012
_WITHIN_S = 120.0


class Call:
    """One session."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        options = {"prompt": "", "greeting": False, "events": ["transcript"]}
        self.socket.send(msgpack.packb({"type": "open"} | options))

    def takes(self, text: str) -> bool:
        """Whether a turn is taken; False if the socket was closed."""
        try:
            self.socket.send(msgpack.packb({"type": "text", "text": text}))
            while True:
                message = msgpack.unpackb(self.socket.recv(timeout=_WITHIN_S))
                if message["type"] == "transcript" and message["text"] == text:
                    return True
        except ConnectionClosed:
            return False
