"""The benchmarks' providers: an LLM and a voice with fixed delays, in their own process.

`python -m bench.providers` prints its two addresses and ends when its standard input does.
"""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def provided() -> Iterator[dict[str, str]]:
    """Runs the providers. Yields the environment that makes a server use them."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.providers"],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Ctrl-C goes to the server and the client, which end first.
        start_new_session=True,
    )
    with process:  # closes standard input and waits
        assert process.stdout is not None
        llm_url, voice_url = (process.stdout.readline().strip() for _ in range(2))
        if not voice_url:
            raise RuntimeError("the providers did not start")
        yield environment(llm_url, voice_url)
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
        await asyncio.to_thread(sys.stdin.read)


def _tokens(text: str) -> list[str]:
    """Roughly as chat models cut it: words with the space before them, and punctuation."""
    return re.findall(r"\s*\w+|[^\w\s]", text)


if __name__ == "__main__":
    asyncio.run(serve())
