"""The shipped stand-ins for LLM and voice, in a process that reports what happened when.

`python -m bench.agent_providers` prints its two addresses, then a report in JSON for each line of
its standard input, and ends when its input does. Times are those of the monotonic clock, which all
processes share.
"""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import IO

from serve_app.fakes import elevenlabs as elevenlabs_server
from serve_app.fakes import openai as openai_server

FIRST_TOKEN_S = 0.05
"""From the request to the first token."""
NEXT_TOKEN_S = 0.01
FIRST_AUDIO_S = 0.05
"""From the first clause to the first byte of its audio."""
CHUNK_S = 0.03
_CHUNK_BYTES = 4096
"""93 ms of pcm_22050."""
_MAX_REPLIES = 2_000
_STORY = "they went down to the sea, and there they found another ship. Then " * 20
"""More than a minute of speech."""


def prompt(number: int) -> str:
    """The prompt of this reply, whose text begins with its number."""
    return f"Reply {number}."


@dataclass(frozen=True, slots=True)
class Seen:
    """One reply, seen from a provider."""

    number: int
    begun_s: float
    """When the request came, or when the first byte of audio was sent; 0 if not yet."""
    ended_s: float
    """When the client closed the request's socket, or the context; 0 if not yet."""


@dataclass(frozen=True, slots=True)
class Sightings:
    """What the providers have seen."""

    chats: list[Seen]
    contexts: list[Seen]


class Providers:
    """The process, seen from outside."""

    def __init__(self, replies: IO[str], asks: IO[str]) -> None:
        self._replies = replies
        self._asks = asks
        self.llm_url, self.voice_url = (replies.readline().strip() for _ in range(2))
        if not self.voice_url:
            raise RuntimeError("the providers did not start")

    async def report(self) -> Sightings:
        """What they have seen so far."""
        print("report", file=self._asks, flush=True)
        raw = json.loads(await asyncio.to_thread(self._replies.readline))
        return Sightings(*([Seen(**seen) for seen in raw[key]] for key in ("chats", "contexts")))


@contextmanager
def providing() -> Iterator[Providers]:
    """Runs them."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.agent_providers"],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C goes to the benchmark, which ends first
    )
    with process:  # closes standard input and waits
        assert process.stdin is not None and process.stdout is not None
        yield Providers(process.stdout, process.stdin)


async def serve() -> None:
    """Both servers, until the end of standard input."""
    llm = openai_server.Script(
        pieces_by_prompt={prompt(n): _tokens(f"{n}, {_STORY}") for n in range(_MAX_REPLIES)},
        first_token_delay_s=FIRST_TOKEN_S,
        piece_delay_s=NEXT_TOKEN_S,
    )
    voice = elevenlabs_server.Script(
        chunk_bytes=_CHUNK_BYTES, chunk_delay_s=CHUNK_S, first_audio_delay_s=FIRST_AUDIO_S
    )
    async with (
        openai_server.FakeOpenAi(llm) as openai,
        elevenlabs_server.FakeElevenLabs(voice) as elevenlabs,
    ):
        print(openai.url, elevenlabs.url, sep="\n", flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(asdict(_report(openai, elevenlabs))), flush=True)


def _report(
    openai: openai_server.FakeOpenAi, elevenlabs: elevenlabs_server.FakeElevenLabs
) -> Sightings:
    chats = [
        Seen(
            _number(request.body["messages"][0]["content"]),
            request.arrived_at_s,
            request.disconnected_at_s,
        )
        for request in openai.requests
    ]
    contexts = [
        Seen(_number(" ".join(context.texts)), context.first_audio_at_s, context.closed_at_s)
        for connection in elevenlabs.connections
        for context in connection.contexts.values()
    ]
    return Sightings(chats, contexts)


def _number(text: str) -> int:
    """The first number in it; -1 for a context that was closed before it got any text."""
    found = re.search(r"\d+", text)
    return int(found[0]) if found else -1


def _tokens(text: str) -> list[str]:
    return re.findall(r"\s*\w+|[^\w\s]", text)


if __name__ == "__main__":
    asyncio.run(serve())
