"""What an HTTP status and a failed connection mean, the same for all providers."""

import re
import ssl

from serve_app.errors import EngineError, EngineRefused, EngineUnavailable

_CODE = re.compile(r"(?=[a-z.-]*_)[a-z]+(?:[_.-][a-z]+)+|(?:[A-Z][a-z]+){3,}|\d{1,4}")
"""The shapes of codes: insufficient_quota, DeploymentNotFound, 3051. No key has one of them, and of
what is said only short numbers do: "twenty-one", "example.com" and "YouTube" are words."""
_PLAIN_CODES = frozenset({
    "cancelled", "error", "failed", "internal", "length", "messages", "model", "prompt",
    "recitation", "safety", "stop", "temperature", "timeout", "tools", "unauthorized", "voice",
})  # fmt: skip
"""Codes, reasons and names of parameters that are one plain word."""
_LONGEST_CODE = 64


def refusal(
    stage: str, status: int, key_variable: str, code: str = "", param: str = ""
) -> EngineError:
    """The error for a `status` that is no success.

    `key_variable` is where the user has put the key. `code` is the provider's own word for what
    went wrong, such as `insufficient_quota`, and `param` for what in the request is meant. Bodies
    stay out of the message: they may quote what was said.
    """
    shown = "" if code == str(status) else shown_code(code)
    about = f" ({param})" if shown_code(param) else ""
    answer = f"HTTP {status} {shown}".rstrip() + about
    if status in (401, 403):
        return EngineRefused(stage, f"{answer}: check {key_variable}")
    if status in (402, 404):  # no money; no such model, voice or address
        return EngineRefused(stage, answer)
    if status in (408, 429) or status >= 500:
        return EngineUnavailable(stage, answer)
    return EngineError(stage, answer)


def unreachable(stage: str, error: BaseException) -> EngineError:
    """The error for a connection that could not be made, or broke."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            advice = "SSL_CERT_FILE can name a file with that of your authority"
            return EngineRefused(stage, f"the server's certificate is not trusted: {advice}")
        cause = cause.__cause__ or cause.__context__
    return EngineUnavailable(stage, type(error).__name__)


def shown_code(code: str) -> str:
    """`code` if it looks like one; else empty: it may then quote what was said, or a key."""
    is_code = code.lower() in _PLAIN_CODES or _CODE.fullmatch(code)
    return code if is_code and len(code) <= _LONGEST_CODE else ""
