"""A call with OpenAI's Agents SDK for Python, as its users write it.

Run with the address of a server and two recordings of 16-bit samples at 24 kHz: the second one
interrupts the answer to the first. Prints what happens, a JSON object a line.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from agents import function_tool
from agents.realtime import RealtimeAgent, RealtimeRunner, RealtimeSession

_CHUNK_BYTES = 4800
_BYTES_PER_S = 48_000
_SILENCE_S = 2.0
_AGENT_TALKS_S = 2.0


def tell(kind: str, **fields: Any) -> None:
    print(json.dumps({"kind": kind, **fields}), flush=True)


@function_tool
def get_weather(city: str) -> str:
    """Tells the weather in a city."""
    tell("tool", city=city)
    return f"It is sunny in {city}."


async def speak(session: RealtimeSession, recording: bytes) -> None:
    """In real time, and silence after it."""
    sound = recording + bytes(int(_SILENCE_S * _BYTES_PER_S))
    clock = asyncio.get_running_loop().time
    began_s = clock()
    for at in range(0, len(sound), _CHUNK_BYTES):
        await asyncio.sleep(began_s + at / _BYTES_PER_S - clock())
        await session.send_audio(sound[at : at + _CHUNK_BYTES])


class Listener:
    def __init__(self) -> None:
        self.hears_agent = asyncio.Event()
        self.was_interrupted = asyncio.Event()

    async def listen(self, session: RealtimeSession) -> None:
        async for event in session:
            if event.type == "audio":
                self.hears_agent.set()
            elif event.type == "audio_interrupted":
                self.was_interrupted.set()
                self.hears_agent.clear()
                tell("interrupted")
            elif event.type == "error":
                tell("error", text=str(event.error))
            elif event.type == "raw_model_event":
                data = event.data
                if data.type == "input_audio_transcription_completed":
                    tell("heard", text=data.transcript)


async def main(url: str, first: bytes, second: bytes) -> None:
    agent = RealtimeAgent(name="Agent", instructions="Use your tools.", tools=[get_weather])
    session = await RealtimeRunner(agent).run(model_config={"url": url, "api_key": "any"})
    listener = Listener()
    async with session, asyncio.timeout(90):
        listening = asyncio.create_task(listener.listen(session))
        await speak(session, first)
        await listener.hears_agent.wait()
        await asyncio.sleep(_AGENT_TALKS_S)
        await speak(session, second)
        await listener.was_interrupted.wait()
        await listener.hears_agent.wait()
        tell("answered")
        listening.cancel()


if __name__ == "__main__":
    address, *recordings = sys.argv[1:]
    asyncio.run(main(address, *(Path(path).read_bytes() for path in recordings)))
