"""What a client asks for and does not get: it is told so by an `error` event, and the session goes
on."""


class Refused(Exception):
    """`code` and `param` are those of the event. Nothing of the client's event takes effect."""

    def __init__(self, code: str, message: str, param: str = "") -> None:
        super().__init__(code, message, param)
        self.code = code
        self.message = message
        self.param = param

    def __str__(self) -> str:
        return self.message
