"""The benchmarks' providers: an LLM and a voice with fixed delays, in their own process.

`python -m bench.providers` prints its two addresses, then for each line of its standard input what
the LLM was asked so far, and ends when its input does.
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

FIRST_TOKEN_S = 0.15
"""From the request to the first token."""
NEXT_TOKEN_S = 0.01
FIRST_AUDIO_S = 0.12
"""From the first clause to the first byte of its audio."""
_CHUNK_BYTES = 4096
"""93 ms of pcm_22050."""
_CHUNK_S = 0.03
REAL_TIME_FACTOR = _CHUNK_BYTES / 2 / 22_050 / _CHUNK_S
"""Seconds of audio per second, about 3."""

PROMPT = "You are a helpful voice assistant. Answer briefly."
STORY_PROMPT = "You are a storyteller. Go on until you are interrupted."
ANSWER = "Yes, I can help you with that. What should I do next?"
STORY = "Then they went down to the sea, and there they found another ship. " * 20
"""More than a minute of speech, which takes the voice more than 20 s to deliver."""


def call_prompt(call: str) -> str:
    """The prompt of one call. It is answered as `PROMPT` is, and tells the call's requests from
    others."""
    return f"{PROMPT} This is call {call}."


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to the LLM."""

    prompt: str
    at_s: float
    """time.monotonic(), which all processes share."""
    users: tuple[str, ...]
    """The user's messages in it, oldest first."""


class Providers:
    """The process, seen from outside."""

    def __init__(self, answers: IO[str], asks: IO[str]) -> None:
        self._answers = answers
        self._asks = asks
        self.llm_url, self.voice_url = (answers.readline().strip() for _ in range(2))
        if not self.voice_url:
            raise RuntimeError("the providers did not start")

    @property
    def environment(self) -> dict[str, str]:
        """It makes a server use them."""
        return environment(self.llm_url, self.voice_url)

    def asked(self) -> list[Asked]:
        """What the LLM was asked since they started."""
        print("asked", file=self._asks, flush=True)
        found = json.loads(self._answers.readline())
        return [Asked(each["prompt"], each["at_s"], tuple(each["users"])) for each in found]


@contextmanager
def provided() -> Iterator[dict[str, str]]:
    """Runs the providers. Yields the environment that makes a server use them."""
    with providing() as running:
        yield running.environment


@contextmanager
def providing() -> Iterator[Providers]:
    """Runs the providers."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.providers"],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Ctrl-C goes to the server and the client, which end first.
        start_new_session=True,
    )
    with process:  # closes standard input and waits
        assert process.stdin is not None and process.stdout is not None
        yield Providers(process.stdout, process.stdin)
    if process.returncode:
        raise RuntimeError(f"the providers ended with {process.returncode}")


def environment(llm_url: str, voice_url: str) -> dict[str, str]:
    """The environment that makes a server use the two."""
    return {
        "OPENAI_API_KEY": "sk-bench",
        "TEXT_GENERATION_API_URL": llm_url,
        "ELEVEN_LABS_API_KEY": "el-bench",
        "ELEVEN_LABS_API_URL": voice_url,
    }


def scripts() -> tuple[openai_server.Script, elevenlabs_server.Script]:
    """What they say, and how fast."""
    llm = openai_server.Script(
        pieces=_tokens(ANSWER),
        pieces_by_prompt={STORY_PROMPT: _tokens(STORY)},
        piece_delay_s=NEXT_TOKEN_S,
        first_token_delay_s=FIRST_TOKEN_S,
    )
    voice = elevenlabs_server.Script(
        chunk_bytes=_CHUNK_BYTES, chunk_delay_s=_CHUNK_S, first_audio_delay_s=FIRST_AUDIO_S
    )
    return llm, voice


async def serve() -> None:
    """Both servers, until the end of standard input."""
    llm, voice = scripts()
    async with (
        openai_server.FakeOpenAi(llm) as openai,
        elevenlabs_server.FakeElevenLabs(voice) as elevenlabs,
    ):
        print(openai.url, elevenlabs.url, sep="\n", flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            found = [asdict(_asked(request)) for request in openai.requests]
            print(json.dumps(found), flush=True)


def _asked(request: openai_server.Request) -> Asked:
    messages = request.body["messages"]
    users = tuple(str(m["content"]) for m in messages if m["role"] == "user")
    return Asked(str(messages[0]["content"]), request.arrived_at_s, users)


def _tokens(text: str) -> list[str]:
    """Roughly as chat models cut it: words with the space before them, and punctuation."""
    return re.findall(r"\s*\w+|[^\w\s]", text)


if __name__ == "__main__":
    asyncio.run(serve())
