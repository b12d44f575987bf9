"""OpenAI's own client, at the HTTP API of an ingress replica."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI

from tests.ingress.replica import Replica


@asynccontextmanager
async def asking(server: Replica, key: str = "any") -> AsyncIterator[AsyncOpenAI]:
    """A client that does not ask twice."""
    base_url = f"http://{server.address}/v1"
    async with AsyncOpenAI(api_key=key, base_url=base_url, max_retries=0) as client:
        yield client


@asynccontextmanager
async def refused(
    status: int, code: str, param: str | None = None
) -> AsyncIterator[dict[str, Any]]:
    """Around a request that gets this answer; what the error says is in it afterwards."""
    said: dict[str, Any] = {}
    with pytest.raises(openai.APIStatusError) as refusal:
        yield said
    error = refusal.value
    assert (error.status_code, error.code, error.param) == (status, code, param), str(error)
    assert isinstance(error.body, dict)
    assert error.body.keys() == {"message", "type", "param", "code"}
    assert error.response.headers["cache-control"] == "no-store"
    said |= error.body


async def plain(server: Replica, method: str, path: str, **how: Any) -> httpx2.Response:
    """A request that OpenAI's client would not send."""
    async with httpx2.AsyncClient(trust_env=False) as http:
        return await http.request(method, f"http://{server.address}{path}", **how)
