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
from typing import Any, Literal, get_args

from serve_app.fakes.http import (
    END_OF_STREAM,
    HttpFake,
    Request,
    chunked,
    response,
    stream_head,
    write,
)
from serve_app.fakes.openai_speech import SpeechScript, answer_speech
from serve_app.fakes.speech_answers import SpeechAnswer

__all__ = ["FakeOpenAi", "Request", "Script", "SpeechScript"]

Ending = Literal["done", "stall", "no_finish", "cut", "bad_json", "bad_utf8", "bad_shape", "error"]
"""What follows the last piece of text:

done       finish_reason and [DONE]
stall      nothing, and the connection stays open
no_finish  a clean end of the body, without finish_reason and [DONE]
cut        the connection is lost in the middle of the body
bad_json   an event that is not JSON
bad_utf8   an event that is not text
bad_shape  an event that is JSON, but not a chunk of a reply
error      an event with an error, as providers send when they fail half way
"""


TOO_LONG: Mapping[str, tuple[int, Mapping[str, Any]]] = {
    "openai": (
        400,
        {
            "message": "This model's maximum context length is 8192 tokens. However, your messages"
            " resulted in 9000 tokens.",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "context_length_exceeded",
        },
    ),
    "vllm": (
        400,
        {
            "message": "'max_tokens' or 'max_completion_tokens' is too large: 400. This model's"
            " maximum context length is 8192 tokens and your request has 8000 input tokens.",
            "type": "BadRequestError",
            "code": 400,
        },
    ),
    "llama.cpp": (
        400,
        {
            "message": "the request exceeds the available context size, try increasing it",
            "type": "exceed_context_size_error",
            "code": 400,
        },
    ),
    "mistral": (
        400,
        {"message": "Prompt contains 9000 tokens, too large for model with 8192 maximum context"
         " length", "type": "invalid_request_prompt", "code": "3051"},
    ),
}  # fmt: skip
"""How servers say that a chat does not fit into the context of the model: status and error."""


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
    if script.longest_chat is not None and len(request.body["messages"]) > script.longest_chat:
        status, refusal = TOO_LONG[script.refusal_of_long_chats]
        await write(writer, response(status, json.dumps({"error": refusal}).encode()))
        return True
    if script.status != 200:
        error = {"message": json.dumps(request.body), "code": script.error_code}
        body = json.dumps({"error": error}).encode()
        await write(writer, response(script.status, body, script.retry_after_s))
        return True
    await write(writer, stream_head("text/event-stream"))
    await write(writer, chunked(_event({"role": "assistant", "content": ""})))
    delay_s = max(script.first_token_delay_s, script.piece_delay_s)
    asked = _tool_round(script, request)
    for delta in asked or _pieces(script, request):
        await asyncio.sleep(delay_s)
        await write(writer, chunked(_event(delta)))
        delay_s = script.piece_delay_s
    return await _end(script, writer, script.tool_finish if asked else "stop")


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
    match script.ending:
        case "stall":
            await _stall(script, writer)
        case "cut":
            return False
        case "done":
            usage = b'data: {"choices":[],"usage":{"total_tokens":3}}\n\n'
            events = _event({}, finish_reason) + usage + b"data: [DONE]\n\n"
            await write(writer, chunked(events))
        case "bad_json":
            await write(writer, chunked(b"data: {oops\n\n"))
        case "bad_utf8":
            await write(writer, chunked(b'data: {"\xff"}\n\n'))
        case "bad_shape":
            await write(writer, chunked(b'data: {"choices":[{"delta":null}]}\n\n'))
        case "error":
            await write(writer, chunked(b'data: {"error":{"code":"server_error"}}\n\n'))
    await write(writer, END_OF_STREAM)
    return True


async def _stall(script: Script, writer: asyncio.StreamWriter) -> None:
    while script.keep_alive_s:
        await asyncio.sleep(script.keep_alive_s)
        await write(writer, chunked(b': ping\n\ndata: {"choices":[]}\n\n'))
    await asyncio.Event().wait()


def _event(delta: Mapping[str, Any], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return f"data: {json.dumps({'choices': [choice]})}\n\n".encode()


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
    add("--ending", choices=get_args(Ending), default="done", help="what follows the text")
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
