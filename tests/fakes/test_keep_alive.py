"""The stand-ins bear what clients do to a connection that they keep."""

import asyncio
import json
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from serve_app.fakes.elevenlabs import FakeElevenLabs
from serve_app.fakes.openai import FakeOpenAi, Script

_PATH = "/v1/text-to-speech/voice/multi-stream-input?model_id=m&output_format=pcm_16000"


async def say(socket: ClientConnection, context: str) -> bool:
    """Whether a context was spoken to its end."""
    for fields in ({"text": " "}, {"text": "Yes."}, {"flush": True}, {"close_context": True}):
        await send(socket, **fields, context_id=context)
    has_audio = False
    while True:
        message = json.loads(await socket.recv())
        has_audio = has_audio or bool(message.get("audio"))
        if message.get("isFinal"):
            return has_audio


async def send(socket: ClientConnection, **fields: Any) -> None:
    await socket.send(json.dumps(fields))


async def test_a_socket_is_kept_alive_without_a_context() -> None:
    async with FakeElevenLabs() as fake, connect(fake.url.replace("http", "ws") + _PATH) as socket:
        await send(socket, text="")
        assert await say(socket, "a")


async def test_a_context_may_be_kept_alive_too_late() -> None:
    async with FakeElevenLabs() as fake, connect(fake.url.replace("http", "ws") + _PATH) as socket:
        assert await say(socket, "a")
        await send(socket, text="", context_id="a")
        assert await say(socket, "b")


async def test_a_client_that_hangs_up_in_the_middle_of_a_request_is_no_error() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    async with FakeOpenAi(Script(["Hello."])) as fake:
        port = int(fake.url.rpartition(":")[2].partition("/")[0])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 195\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    assert not told
