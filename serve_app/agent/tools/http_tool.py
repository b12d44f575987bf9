"""A tool behind an HTTP endpoint."""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx2

from serve_app.agent.llm.tool_calls import ToolSpec
from serve_app.agent.tools.base import ToolSource
from serve_app.errors import ToolFailed

_BYTES_PER_CHAR = 4
"""At most, in UTF-8."""


class HttpTool(ToolSource):
    """Posts the arguments as JSON. The body of the answer is the result. Redirects are failures,
    since they could lead anywhere."""

    def __init__(self, spec: ToolSpec, url: str, api_key: str, max_chars: int) -> None:
        """`api_key` may be empty. No more of an answer is read than `max_chars` can take up."""
        self.specs: Sequence[ToolSpec] = (spec,)
        self._url = url
        self._max_bytes = _BYTES_PER_CHAR * max_chars
        headers = {"authorization": f"Bearer {api_key}"} if api_key else None
        # The caller has a deadline.
        self._client = httpx2.AsyncClient(headers=headers, timeout=None, follow_redirects=False)

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """See ToolSource. Any status except 2xx is a failure of the tool."""
        try:
            async with self._client.stream("POST", self._url, json=dict(arguments)) as answer:
                text = await self._text(answer)
        except httpx2.HTTPError as error:
            raise ToolFailed(f"the tool cannot be reached ({type(error).__name__})") from error
        if not answer.is_success:
            raise ToolFailed(f"HTTP {answer.status_code}: {text}")
        return text

    async def aclose(self) -> None:
        """Closes the pool of connections."""
        await self._client.aclose()

    async def _text(self, answer: httpx2.Response) -> str:
        body = b""
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > self._max_bytes:
                break
        return body[: self._max_bytes].decode(errors="replace")
