"""The openai package's client, as chat and speech use it."""

from httpx2 import Timeout
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

OPENAI_URL = "https://api.openai.com/v1"
_CONNECT_TIMEOUT_S = 2.0


def openai_client(api_url: str, api_key: str) -> AsyncOpenAI:
    """`api_url` may be empty for OpenAI's own, and `api_key` for a server that needs none."""
    return AsyncOpenAI(
        # Without a key the SDK would send OPENAI_API_KEY to whatever server this is.
        api_key=api_key or "none",
        base_url=api_url or OPENAI_URL,
        # The callers have deadlines of their own, which keep-alive comments do not extend.
        timeout=Timeout(None, connect=_CONNECT_TIMEOUT_S, pool=_CONNECT_TIMEOUT_S),
        # Before a retry the SDK sleeps for as long as a 429 says, up to two minutes.
        max_retries=0,
        # By default the SDK follows: whoever answers could have the chat sent to any host.
        http_client=DefaultAsyncHttpxClient(follow_redirects=False),
    )
