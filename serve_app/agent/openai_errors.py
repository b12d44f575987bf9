"""The openai package's errors as ours, for chat and speech."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from httpx2 import HTTPError
from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError, OpenAIError

from serve_app.errors import EngineError, EngineRefused, EngineTimeout, EngineUnavailable

_SAFE_CODE = re.compile(r"[\w.-]{1,64}", re.ASCII)


@contextmanager
def engine_errors(stage: str, key_variable: str) -> Iterator[None]:
    """The SDK's errors as ours; `key_variable` is where the user has put the key.

    Bodies stay out of the messages: they may quote the chat.
    """
    try:
        yield
    except APITimeoutError:
        raise EngineTimeout(stage, "no connection in time") from None
    except APIConnectionError as error:
        raise EngineUnavailable(stage, type(error.__cause__ or error).__name__) from None
    except APIStatusError as error:
        raise _refusal(stage, error, key_variable) from None
    except APIError as error:
        raise EngineError(stage, f"the provider failed{_code(error)}", retryable=True) from None
    except HTTPError as error:  # of a body that is not server-sent events
        raise EngineUnavailable(stage, type(error).__name__) from None
    except (OpenAIError, ValueError, TypeError, AttributeError) as error:
        # The SDK lets broken JSON and UTF-8 through as ValueError, and checks no shapes.
        raise EngineError(stage, f"bad answer ({type(error).__name__})", True) from None


def _refusal(stage: str, error: APIStatusError, key_variable: str) -> EngineError:
    status = error.status_code
    if status in (401, 403):
        return EngineRefused(stage, f"HTTP {status}{_code(error)}: check {key_variable}")
    if status in (402, 404):  # no money; no such model or address
        return EngineRefused(stage, f"HTTP {status}{_code(error)}")
    if status in (408, 429) or status >= 500:
        return EngineUnavailable(stage, f"HTTP {status}{_code(error)}")
    return EngineError(stage, f"HTTP {status}{_code(error)}")


def _code(error: APIError) -> str:
    """The provider's word for it, such as ` insufficient_quota`, if it is only that."""
    code = error.code or ""
    return f" {code}" if _SAFE_CODE.fullmatch(code) else ""
