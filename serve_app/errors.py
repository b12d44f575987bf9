"""Every error that Echo Serve raises on purpose.

    VoiceError                     close code   a retry helps
    ├── ConfigError                (at start)   no: the message says what to set
    ├── ProtocolViolation          1003, 1007,  no: the client sent something wrong
    │                              1009, 4400
    ├── AtCapacity                 1013         yes, after a pause
    ├── TooSlow                    4508         yes: the client does not keep up
    ├── DraftDeclined              (inside)     yes: when the user's turn has ended
    ├── ToolFailed                 (inside)     the chat model decides
    └── EngineError                1011         as `retryable` says
        ├── EngineRefused          1011         no: somebody has to change a key or an account
        ├── EngineTimeout          1011         yes
        └── EngineUnavailable      1011         yes

Close codes follow RFC 6455 section 7.4; 44xx is final, 45xx may be retried.
Errors cross Ray process borders, so each one passes all its arguments to
`Exception.__init__`: that is what pickle calls again on the other side.
"""


class VoiceError(Exception):
    """Base of the tree. `close_code` is what the client sees when it ends the session."""

    close_code = 1011
    retryable = False


class ConfigError(VoiceError):
    """A setting is wrong or missing. The message is one line and names the setting."""


class ProtocolViolation(VoiceError):
    """The client broke the protocol; the socket is closed with `close_code` and `reason`."""

    def __init__(self, close_code: int, reason: str) -> None:
        super().__init__(close_code, reason)
        self.close_code = close_code
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class AtCapacity(VoiceError):
    """No room for another session on this replica."""

    close_code = 1013
    retryable = True


class TooSlow(VoiceError):
    """The client reads slower than real time and its outgoing queue is full."""

    close_code = 4508
    retryable = True


class DraftDeclined(VoiceError):
    """A reply that was begun before the user's turn has ended needs a tool, which is not used
    before. What was written until then has been given out."""


class ToolFailed(VoiceError):
    """A tool did not do what it was asked. The message is for the chat model."""


class EngineError(VoiceError):
    """A model or a provider failed. `stage` is vad, stt, llm or tts."""

    def __init__(self, stage: str, message: str, retryable: bool = False) -> None:
        super().__init__(stage, message, retryable)
        self.stage = stage
        self.message = message
        self.retryable = retryable

    def __str__(self) -> str:
        return f"{self.stage}: {self.message}"


class EngineRefused(EngineError):
    """A provider does not work for us at all, whatever it is asked: a key, an account or a model
    is wrong. Other errors that no retry mends may be about the one request."""


class EngineTimeout(EngineError):
    """A call to a model or a provider passed its deadline."""

    def __init__(self, stage: str, message: str, retryable: bool = True) -> None:
        super().__init__(stage, message, retryable)


class EngineUnavailable(EngineError):
    """A model or a provider cannot be reached or refuses work for now."""

    def __init__(self, stage: str, message: str, retryable: bool = True) -> None:
        super().__init__(stage, message, retryable)
