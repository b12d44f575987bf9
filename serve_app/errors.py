"""Every error that Echo Serve raises on purpose.

    VoiceError                     close code   may the client come back
    ├── ConfigError                (at start)   the message says what to set
    ├── ProtocolViolation          1002, 1003,  no: the client sent something wrong
    │                              1007, 1009,
    │                              4400, 4429
    ├── KeyRefused                 4401         no: the message says what to do
    ├── LimitReached               4402         no: the message says what has to happen first
    ├── OriginRefused              4403         no: the page's origin has to be listed
    ├── KeyEnded                   4511         yes, with another key: the session is kept
    ├── SessionUnknown             4404         no: the conversation is over
    ├── SessionTaken               4409         no: it goes on at another socket
    ├── SessionsUnavailable        4503         yes: the session may be found a little later
    ├── TooSlow                    4508         yes: the session is kept
    ├── TooFast                    4429         no: it sends more than a conversation needs
    ├── AtCapacity                 1013         yes: a place may be free a little later
    ├── DraftDeclined              (inside)     the reply is asked for when the turn has ended
    ├── ToolFailed                 (inside)     the chat model decides what to do
    └── EngineError                1011         yes: the session is kept
        ├── EngineRefused          1011         yes, but a key or an account has to be changed
        ├── ReplyRefused           1011         yes, but this chat gets no answer
        ├── EngineTimeout          1011         yes
        └── EngineUnavailable      1011         yes

What the codes mean is in `serve_app/protocol/close_codes.py`. Errors cross process borders, so each
one passes all its arguments to `Exception.__init__`: pickle makes it again from these.
"""

from serve_app.protocol.close_codes import CloseCode
from serve_app.protocol.violation import ProtocolViolation, VoiceError

__all__ = [
    "AtCapacity",
    "ConfigError",
    "DraftDeclined",
    "EngineError",
    "EngineRefused",
    "EngineTimeout",
    "EngineUnavailable",
    "KeyEnded",
    "KeyRefused",
    "LimitReached",
    "OriginRefused",
    "ProtocolViolation",
    "ReplyRefused",
    "SessionTaken",
    "SessionUnknown",
    "SessionsUnavailable",
    "TooFast",
    "TooSlow",
    "ToolFailed",
    "VoiceError",
]


class ConfigError(VoiceError):
    """A setting is wrong or missing. The message is one line and names the setting."""


class KeyRefused(VoiceError):
    """The client has no key, or one that is wrong, expired or revoked. Never quotes the key."""

    close_code = CloseCode.KEY_REFUSED


class KeyEnded(VoiceError):
    """The client's key has expired or was revoked while it was connected."""

    close_code = CloseCode.KEY_ENDED


class OriginRefused(VoiceError):
    """A web page whose origin may not connect."""

    close_code = CloseCode.ORIGIN_REFUSED


class LimitReached(VoiceError):
    """A key or an address has used what it may use."""

    close_code = CloseCode.LIMIT_REACHED


class SessionUnknown(VoiceError):
    """A resume token that was never given out, was used before or has expired."""

    close_code = CloseCode.SESSION_UNKNOWN


class SessionTaken(VoiceError):
    """The session was resumed at another socket, which is now the only one."""

    close_code = CloseCode.SESSION_TAKEN


class SessionsUnavailable(VoiceError):
    """The actors that keep the sessions cannot be asked, or have only just started again."""

    close_code = CloseCode.SESSIONS_UNAVAILABLE


class TooSlow(VoiceError):
    """The client does not keep up with what it is sent, or its events pile up."""

    close_code = CloseCode.TOO_SLOW


class TooFast(VoiceError):
    """The client sends more audio, texts or messages than a conversation needs, and went on when it
    was slowed down."""

    close_code = CloseCode.TOO_FAST


class AtCapacity(VoiceError):
    """There is no place for one more session, or for one more socket that waits; or who is here
    already waits too long for answers."""

    close_code = CloseCode.AT_CAPACITY


class DraftDeclined(VoiceError):
    """A draft, which is begun before the user's turn has ended, is not made. Either the agent has
    enough to do, or the reply needs a tool, and tools are used only after the turn; what the model
    wrote until then has been passed on."""


class ToolFailed(VoiceError):
    """A tool did not do what it was asked. The message is for the chat model."""


class EngineError(VoiceError):
    """A model or a provider failed. `stage` is vad, stt, llm, tts, agent, sessions or
    access.

    `retryable`: whether the same call may succeed a little later."""

    def __init__(self, stage: str, message: str, retryable: bool = False) -> None:
        super().__init__(stage, message, retryable)
        self.stage = stage
        self.message = message
        self.retryable = retryable

    def __str__(self) -> str:
        return f"{self.stage}: {self.message}"


class EngineRefused(EngineError):
    """A provider refuses whatever it is asked: a key, an account or a model is wrong. Any other
    error that is not retryable may concern this one request only."""


class ReplyRefused(EngineError):
    """A provider does not answer this chat, because of what was said in it: its content filter."""


class EngineTimeout(EngineError):
    """A call to a model or a provider passed its deadline."""

    def __init__(self, stage: str, message: str, retryable: bool = True) -> None:
        super().__init__(stage, message, retryable)


class EngineUnavailable(EngineError):
    """A model or a provider cannot be reached or refuses work for now."""

    def __init__(self, stage: str, message: str, retryable: bool = True) -> None:
        super().__init__(stage, message, retryable)
