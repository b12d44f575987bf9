"""Turns the openai package's errors into ours, for chat and speech."""

from collections.abc import Iterator
from contextlib import contextmanager

from httpx2 import HTTPError
from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError, OpenAIError

from serve_app.agent.http_refusals import refusal, shown_code, unreachable
from serve_app.errors import EngineError, EngineTimeout


@contextmanager
def engine_errors(stage: str, key_variable: str) -> Iterator[None]:
    """Put this around calls to the SDK. `key_variable` is where the user has put the key.

    Bodies stay out of the messages: they may quote the chat.
    """
    try:
        yield
    except APITimeoutError:
        raise EngineTimeout(stage, "no connection in time") from None
    except APIConnectionError as error:
        raise unreachable(stage, error.__cause__ or error) from None
    except APIStatusError as error:
        code, param = str(error.code or ""), str(error.param or "")
        raise refusal(stage, error.status_code, key_variable, code, param) from None
    except APIError as error:
        raise EngineError(stage, f"the provider failed{_code(error)}", retryable=True) from None
    except HTTPError as error:  # raised by a body that is not server-sent events
        raise unreachable(stage, error) from None
    except (OpenAIError, ValueError, TypeError, AttributeError) as error:
        # The SDK raises ValueError for broken JSON and UTF-8, and does not check shapes.
        raise EngineError(stage, f"bad answer ({type(error).__name__})", True) from None


def _code(error: APIError) -> str:
    """With a space before it, if it can be shown."""
    code = shown_code(error.code or "")
    return f" {code}" if code else ""
