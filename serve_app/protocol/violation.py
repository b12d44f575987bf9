"""The two errors that the protocol itself knows. The whole tree is in serve_app/errors.py."""

from serve_app.protocol.close_codes import CloseCode


class VoiceError(Exception):
    """Base of the tree. `close_code` is what the client sees when it ends the session."""

    close_code = CloseCode.FAILED


class ProtocolViolation(VoiceError):
    """The client broke the protocol; the socket is closed with `close_code` and `reason`."""

    def __init__(self, reason: str, close_code: CloseCode = CloseCode.BAD_MESSAGE) -> None:
        super().__init__(reason, close_code)
        self.reason = reason
        self.close_code = close_code

    def __str__(self) -> str:
        return self.reason
