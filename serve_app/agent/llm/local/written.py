"""What a thread of llama.cpp writes and the event loop reads."""

import asyncio
from typing import Any

from serve_app.agent.llm.chunks import tool_call_delta
from serve_app.agent.llm.tool_calls import ToolCallDelta
from serve_app.errors import EngineError

Piece = str | ToolCallDelta


class TooLong(Exception):
    """The prompt leaves too little room for a reply."""

    def __init__(self, tokens: int, longest: int) -> None:
        super().__init__(tokens, longest)
        self._tokens = tokens
        self.longest = longest
        self.can_be_shorter = False

    def as_engine_error(self) -> EngineError:
        return EngineError(
            "llm",
            f"the prompt has {self._tokens} tokens; {self.longest} are left by"
            " llm.max_sequence_length and llm.max_new_tokens",
        )


class Written:
    """One answer of the model. Thread and loop may end it."""

    def __init__(self, longest_prompt: int, longest_reply: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[Piece | Exception | None] = asyncio.Queue()  # one answer
        self._longest_prompt = longest_prompt
        self._longest_reply = longest_reply
        self._is_stopped = False
        self.tokens = 0
        """Of the prompt; 0 until that is known."""
        self.read_tokens = 0
        """Those of them that the model had to read."""

    async def next(self) -> Piece | None:
        """None at the end. Raises EngineError and TooLong."""
        piece = await self._pieces.get()
        if isinstance(piece, Exception):
            raise piece
        return piece

    def stop(self) -> None:
        """The thread ends after the token, or the part of the prompt, that it is at."""
        self._is_stopped = True

    # From here on: on the thread.

    def take(self, chunk: dict[str, Any]) -> bool:
        """What llama.cpp's server sends: chunks of OpenAI's API, and its own about the prompt.
        Returns whether the answer has to end here."""
        if failure := chunk.get("error"):
            self.end(self._failure(failure))
        elif progress := chunk.get("prompt_progress"):
            self._read(progress)
        else:
            for choice in chunk["choices"]:
                self._add(choice["delta"])
        return self._is_stopped

    def end(self, failure: Exception | None = None) -> None:
        self._put(failure)

    def _add(self, delta: dict[str, Any]) -> None:
        if thought := delta.get("reasoning_content"):
            self._put(f"<think>{thought}</think>")  # see `spoken`
        if text := delta.get("content"):
            self._put(text)
        for call in delta.get("tool_calls") or ():
            self._put(tool_call_delta(call))

    def _read(self, progress: dict[str, int]) -> None:
        """Sent before the first token is read, and after each part."""
        self.tokens = progress["total"]
        if self.tokens > self._longest_prompt:
            self.end(TooLong(self.tokens, self._longest_prompt))
            self.stop()
            return
        self.read_tokens = progress["processed"] - progress["cache"]

    def _failure(self, failure: dict[str, Any]) -> Exception:
        if failure.get("type") == "exceed_context_size_error":
            self.tokens = failure["n_prompt_tokens"]
            # The model's own context may be smaller than llm.max_sequence_length.
            context = failure["n_ctx"]
            room = max(context - self._longest_reply, context // 2)
            return TooLong(self.tokens, min(self._longest_prompt, room))
        return EngineError("llm", f"the model failed ({failure.get('type')})")

    def _put(self, piece: Piece | Exception | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._pieces.put_nowait, piece)
        except RuntimeError:  # the loop has been closed
            self.stop()
