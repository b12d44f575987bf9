"""Every code with which a conversation's socket closes, and what it means to the client.

`python -m serve_app.protocol.close_codes` prints the table; the docs hold a copy, and a test keeps
the two the same. Codes below 4000 are those of RFC 6455 section 7.4. Of our own, 44xx is the last
word, and after 45xx a client may always come back.
"""

from enum import IntEnum


class CloseCode(IntEnum):
    """A close code; as an int, its number."""

    meaning: str
    """For who reads it: a sentence without its full stop."""
    may_come_back: bool
    """Whether the client may open another socket. If the session was opened with `resume`, it is
    kept for that client until the window of `session` ends; after any other code it is over."""

    def __new__(cls, number: int, meaning: str, may_come_back: bool) -> "CloseCode":
        code = int.__new__(cls, number)
        code._value_ = number
        code.meaning = meaning
        code.may_come_back = may_come_back
        return code

    CLOSED = 1000, "the client sent `close`", False
    GONE = 1001, "the client left, or something between it and the server goes away", True
    BAD_FRAME = (
        1002,
        "a frame that breaks RFC 6455: reserved bits, no mask, an unexpected continuation,"
        " a control frame in parts or over 125 bytes, a wrong close code",
        False,
    )
    NOT_BINARY = 1003, "a text frame", False
    LOST = 1006, "the connection was lost: there was no close frame", True
    NOT_MSGPACK = (
        1007,
        "a frame that is not MessagePack, or has a list or map of more than 64 items, or a text"
        " that is not UTF-8",
        False,
    )
    TOO_BIG = 1009, "a message over 1 MiB (`args.ingress.limits.message_bytes`)", False
    FAILED = (
        1011,
        "the server failed, or something that it has to ask does not answer, such as the VAD for"
        " 32 s",
        True,
    )
    STOPPING = 1012, "the server is about to stop: another one takes over at once", True
    AT_CAPACITY = (
        1013,
        "all sessions are taken, answers take too long, or too many sockets wait without an `open`:"
        " try again later",
        True,
    )
    BAD_MESSAGE = (
        4400,
        "unknown type, wrong field or option, or audio that is not a whole number of samples",
        False,
    )
    KEY_REFUSED = 4401, "no key, or one that is not valid: the reason says what to do", False
    LIMIT_REACHED = (
        4402,
        "a limit of this key or address is reached: the reason says when there is more, or that"
        " another connection has to end first",
        False,
    )
    ORIGIN_REFUSED = 4403, "a web page whose origin is not allowed (`args.access.origins`)", False
    SESSION_UNKNOWN = (
        4404,
        "no session has this resume token: it was used before, or has expired",
        False,
    )
    NOT_OPENED = (
        4408,
        "no `open` in time (`args.ingress.open_timeout_s`; if a key is needed and the handshake had"
        " none, `args.access.key_timeout_s`)",
        False,
    )
    SESSION_TAKEN = 4409, "the conversation was resumed at another socket", False
    IDLE = 4410, "nothing was said for `idle_close_ms`", False
    TIME_IS_UP = 4411, "the session has lasted for `max_session_s`: open a new one", False
    TOO_FAST = (
        4429,
        "more audio, texts, messages, frames or pings than a conversation needs"
        " (`args.ingress.limits`, `args.ingress.socket`)",
        False,
    )
    SESSIONS_UNAVAILABLE = 4503, "the sessions cannot be reached, or are being restored", True
    TOO_SLOW = 4508, "the client does not read what it is sent, or answers no ping", True
    KEY_ENDED = 4511, "the key has expired or was revoked: come back with one that is valid", True


_AFTER_THESE = frozenset(code for code in CloseCode if code.may_come_back)


def may_come_back(number: int) -> bool:
    """Whether a client may open another socket after any code, including those of proxies."""
    return number in _AFTER_THESE or 4500 <= number < 4600


def table() -> str:
    """The codes as a table in Markdown."""
    rows = [
        f"| {code.value} | {code.meaning} | {'yes' if code.may_come_back else 'no'} |"
        for code in CloseCode
    ]
    return "\n".join(["| code | why | may the client come back |", "|---|---|---|", *rows])


if __name__ == "__main__":
    print(table())
