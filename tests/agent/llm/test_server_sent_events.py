"""Server-sent events, however they are written and cut."""

from collections.abc import AsyncIterator

import pytest

from serve_app.agent.llm.server_sent_events import events
from serve_app.errors import EngineError

BODY = (
    b'\xef\xbb\xbf: hi\ndata: {"a":\ndata: 1}\n\nevent: x\ndata:2\n\n\n:\n\nid: 7\n\n'
    b"data: caf\xc3\xa9 \xe2\x80\xa8"
)
WANTED = ['{"a":\n1}', "2", "caf\u00e9 \u2028"]


async def cut(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_the_same_events_however_they_are_written(line_end: bytes, size: int) -> None:
    body = BODY.replace(b"\n", line_end)
    assert [data async for data in events(cut(body, size))] == WANTED


async def test_an_event_without_end_is_an_error() -> None:
    with pytest.raises(EngineError, match="no end"):
        _ = [data async for data in events(cut(b"data: " + b"x" * 3_000_000, 65_536))]
