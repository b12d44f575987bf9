"""The stand-in for ElevenLabs bears what Pipecat's client sends to keep its socket open."""

import json
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from serve_app.fakes.elevenlabs import FakeElevenLabs

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
