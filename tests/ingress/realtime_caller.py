"""A caller with OpenAI's own Realtime client, as it comes in the `openai` package."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection

from serve_app.client.speech import trim
from tests.ingress.replica import DEADLINE_S
from tests.protocol.realtime.said import event
from tests.speech import clip

SENTENCE = "librivox_0930"
_SILENCE_S = 2.0


@asynccontextmanager
async def calling(address: str, key: str = "any") -> AsyncIterator["Caller"]:
    client = AsyncOpenAI(
        api_key=key,
        base_url=f"http://{address}/v1",
        websocket_base_url=f"ws://{address}/v1",
    )
    options: Any = {"proxy": None}
    async with (
        client,
        client.realtime.connect(model="any", websocket_connection_options=options) as connection,
    ):
        yield Caller(connection)


class Caller:
    def __init__(self, connection: AsyncRealtimeConnection) -> None:
        self.send = connection
        self.events: list[dict[str, Any]] = []
        """All that came, each of which is what the package takes."""

    async def until(self, type_: str, within_s: float = DEADLINE_S) -> dict[str, Any]:
        """The next event of this type."""
        async with asyncio.timeout(within_s):
            while True:
                self.events.append(event((await self.send.recv_bytes()).decode()))
                if self.events[-1]["type"] == type_:
                    return self.events[-1]

    async def say(self, name: str = SENTENCE, is_live: bool = False) -> None:
        """A recording, then silence: as fast as the server takes it, or as a microphone."""
        silence = np.zeros(int(24_000 * _SILENCE_S), np.float32)
        speech = trim(clip(name))
        at_24_khz = np.interp(np.arange(0, len(speech), 2 / 3), np.arange(len(speech)), speech)
        pcm = (np.concatenate((at_24_khz, silence)) * 32767).astype("<i2")
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for start in range(0, len(pcm), 2400):
            if is_live:
                await asyncio.sleep(began_s + start / 24_000 - loop.time())
            audio = base64.b64encode(pcm[start : start + 2400].tobytes()).decode()
            await self.send.input_audio_buffer.append(audio=audio)

    async def write(self, text: str) -> None:
        await self.send.conversation.item.create(
            item={
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": text}],
            }
        )
        await self.send.response.create()

    @property
    def types(self) -> list[str]:
        return [found["type"] for found in self.events]

    @property
    def sound(self) -> bytes:
        """The agent's, as the client plays it."""
        return b"".join(
            base64.b64decode(found["delta"])
            for found in self.events
            if found["type"] == "response.output_audio.delta"
        )
