"""Server-sent events, as servers really send them.

Neither reader among our dependencies will do. Both lose the first event after a byte order mark.
The SDK's does not tell `[DONE]` from a body that just ends; httpx2's insists on the content type.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

from serve_app.errors import EngineError

_MARK = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")
"""A \\r at the very end may be half of a \\r\\n."""
_LONGEST_EVENT = 1 << 20
"""Bytes."""


async def events(chunks: AsyncIterator[bytes]) -> AsyncGenerator[str, None]:
    """The data of each event, without comments and without events that have none.

    Raises EngineError (stage `llm`) for an event without end, and UnicodeDecodeError.
    """
    reader = _Reader()
    async for chunk in chunks:
        for data in reader.push(chunk):
            yield data
    for data in reader.push(b"\n\n"):  # an event that the body cuts off is an event
        yield data


class _Reader:
    def __init__(self) -> None:
        self._rest = b""
        """Of the line that is not complete yet."""
        self._data: list[bytes] = []
        self._size = 0
        self._is_start = True

    def push(self, chunk: bytes) -> Iterator[str]:
        self._rest += chunk
        if self._is_start and not self._passes_mark():
            return
        *lines, self._rest = _LINE_END.split(self._rest)
        for line in lines:
            if line:
                self._take(line)
            elif self._data:
                yield b"\n".join(self._data).decode()
                self._data, self._size = [], 0
        if self._size + len(self._rest) > _LONGEST_EVENT:
            raise EngineError("llm", "an event of the stream has no end", retryable=True)

    def _passes_mark(self) -> bool:
        """False while more is needed to see whether there is one."""
        if self._rest != _MARK[: len(self._rest)] or len(self._rest) >= len(_MARK):
            self._rest = self._rest.removeprefix(_MARK)
            self._is_start = False
        return not self._is_start

    def _take(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
            self._size += len(value)
