"""A server that speaks OpenAI's chat completions and speech, and fails as real ones do.

`python -m serve_app.fakes.openai --port 8780 --first-token-ms 150` runs one; give its address
to Echo Serve as TEXT_GENERATION_API_URL or TEXT_TO_SPEECH_API_URL.
"""

import argparse
import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, get_args

from serve_app.fakes.http import (
    END_OF_STREAM,
    HttpFake,
    Request,
    chunked,
    response,
    stream_head,
    write,
)
from serve_app.fakes.openai_endings import (
    Ending,
    closing,
    deltas,
    event,
    in_place_of_stream,
    opening,
)
from serve_app.fakes.openai_refusals import IN_STREAM, TOO_LONG, Refusal, Strictness, refusal
from serve_app.fakes.openai_speech import SpeechScript, answer_speech
from serve_app.fakes.speech_answers import SpeechAnswer

__all__ = ["TOO_LONG", "Ending", "FakeOpenAi", "Request", "Script", "SpeechScript"]


@dataclass(frozen=True, slots=True)
class Script:
    """How requests are answered."""

    pieces: Sequence[str] = ("Hello", " there", ".")
    ending: Ending = "done"
    piece_delay_s: float = 0.0
    """Pause before each piece."""
    keep_alive_s: float = 0.0
    """While stalling, a comment and an event without choices are sent at this interval."""
    status: int = 200
    """With any other status than 200 the answer is an error whose message quotes the request."""
    error_code: str | None = None
    retry_after_s: int | None = None
    """How long an error tells the client to wait."""
    drop_first: int = 0
    """How many requests, from the first on, lose their connection without an answer."""
    first_token_delay_s: float = 0.0
    """Pause before the first piece, if it is longer than `piece_delay_s`."""
    pieces_by_prompt: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Replaces `pieces` for a chat whose first message is the key."""
    is_mute: bool = False
    """Requests are read but not answered."""
    tool_rounds: Sequence[Sequence[Mapping[str, Any]]] = ()
    """Raw deltas that replace `pieces`: the first for a request that declares tools, the next for
    one with the results of the first, and so on."""
    tool_finish: str = "tool_calls"
    """The finish_reason of these: some servers say `stop`."""
    longest_chat: int | None = None
    """A chat of more messages is refused, by one of the names in TOO_LONG."""
    refusal_of_long_chats: str = "openai"
    strictness: Strictness = "anything"
    """Requests that are not like this are refused."""
    loads_for: int = 0
    """How many requests, from the first on, are told that the model is loading."""
    heeds_tool_choice: bool = True
    """Whether `tool_choice: none` is obeyed."""


class FakeOpenAi(HttpFake):
    """Use as `async with FakeOpenAi(script) as server`; it listens on 127.0.0.1."""

    def __init__(
        self, script: Script | None = None, port: int = 0, speech: SpeechScript | None = None
    ) -> None:
        super().__init__(port)
        self.script = script or Script()
        self.speech = speech or SpeechScript()

    @property
    def url(self) -> str:
        """The base URL for clients."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def answer(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        """By path: /chat/completions and /audio/speech."""
        if len(self.requests) <= self.script.drop_first:
            return False
        if request.path.endswith("/audio/speech"):
            return await answer_speech(self.speech, request, len(self.requests), writer)
        return await _answer(self.script, request, writer)


async def _answer(script: Script, request: Request, writer: asyncio.StreamWriter) -> bool:
    if script.is_mute:
        await asyncio.Event().wait()
    refused = _refusal(script, request)
    if refused is not None and refused[0] == IN_STREAM:
        body = f"event: error\ndata: {json.dumps({'error': refused[1]})}\n\n".encode()
        await write(writer, stream_head("text/event-stream") + chunked(body) + END_OF_STREAM)
        return True
    if refused is not None:
        body = json.dumps({"error": refused[1]}).encode()
        await write(writer, response(refused[0], body, script.retry_after_s))
        return True
    asked = _tool_round(script, request)
    pieces = asked or deltas(script.ending, _pieces(script, request))
    if (other := in_place_of_stream(script.ending, pieces)) is not None:
        await write(writer, stream_head(other[0]) + chunked(other[1]) + END_OF_STREAM)
        return True
    await write(writer, stream_head("text/event-stream"))
    await write(writer, chunked(opening(script.ending)))
    delay_s = max(script.first_token_delay_s, script.piece_delay_s)
    for delta in pieces:
        await asyncio.sleep(delay_s)
        await write(writer, chunked(event(script.ending, delta)))
        delay_s = script.piece_delay_s
    return await _end(script, writer, script.tool_finish if asked else "stop")


def _refusal(script: Script, request: Request) -> Refusal | None:
    if script.loads_for > request.number:
        return 503, {"message": "Loading model", "type": "unavailable_error", "code": 503}
    if script.longest_chat is not None and len(request.body["messages"]) > script.longest_chat:
        return TOO_LONG[script.refusal_of_long_chats]
    if script.status != 200:
        return script.status, {"message": json.dumps(request.body), "code": script.error_code}
    return refusal(script.strictness, request.body)


def _pieces(script: Script, request: Request) -> Sequence[Mapping[str, Any]]:
    prompt = request.body["messages"][0]["content"]
    pieces = script.pieces_by_prompt.get(prompt, script.pieces)
    return [{"content": piece} for piece in pieces]


def _tool_round(script: Script, request: Request) -> Sequence[Mapping[str, Any]]:
    """The deltas that ask for tools, if any do."""
    rounds_so_far = sum("tool_calls" in message for message in request.body["messages"])
    is_allowed = request.body.get("tool_choice") != "none" or not script.heeds_tool_choice
    if "tools" not in request.body or not is_allowed or rounds_so_far >= len(script.tool_rounds):
        return ()
    return script.tool_rounds[rounds_so_far]


async def _end(script: Script, writer: asyncio.StreamWriter, finish_reason: str) -> bool:
    if script.ending == "stall":
        await _stall(script, writer)
    if script.ending == "cut":
        return False
    if end := closing(script.ending, finish_reason):
        await write(writer, chunked(end))
    await write(writer, END_OF_STREAM)
    return True


async def _stall(script: Script, writer: asyncio.StreamWriter) -> None:
    while script.keep_alive_s:
        await asyncio.sleep(script.keep_alive_s)
        await write(writer, chunked(b': ping\n\ndata: {"choices":[]}\n\n'))
    await asyncio.Event().wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serve_app.fakes.openai", description=__doc__.partition("\n")[0]
    )
    add = parser.add_argument
    add("--port", type=int, default=8780)
    add("--text", default="Hello there.", help="every reply of the chat model")
    add("--first-token-ms", type=float, default=0)
    add("--token-ms", type=float, default=0, help="delay of each further word")
    add("--first-audio-ms", type=float, default=0)
    add("--ending", choices=get_args(Ending), default="done", help="what is around the text")
    add("--strict", choices=get_args(Strictness), default="anything", help="refuse other requests")
    add(
        "--speech-answer",
        choices=get_args(SpeechAnswer),
        default="asked",
        help="what /v1/audio/speech sends, whatever it is asked for",
    )
    add("--status", type=int, default=200, help="refuse with 401, 429, 500, ...")
    add("--retry-after", type=int, metavar="SECONDS", help="sent with --status")
    return parser


async def main() -> None:
    """Serves until it is cancelled."""
    arguments = _parser().parse_args()
    chat = Script(
        pieces=re.findall(r"\s*\S+", arguments.text),
        ending=arguments.ending,
        strictness=arguments.strict,
        piece_delay_s=arguments.token_ms / 1000,
        first_token_delay_s=arguments.first_token_ms / 1000,
        status=arguments.status,
        retry_after_s=arguments.retry_after,
    )
    speech = SpeechScript(
        status=arguments.status,
        retry_after_s=arguments.retry_after,
        first_audio_delay_s=arguments.first_audio_ms / 1000,
        answer=arguments.speech_answer,
    )
    async with FakeOpenAi(chat, arguments.port, speech) as server:
        print(f"{server.url}; Ctrl-C stops it", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
