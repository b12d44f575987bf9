"""One round of a reply, from the chunks of its stream to what is said and asked for."""

from collections.abc import Iterator, Sequence
from typing import Any

from serve_app.agent.http_refusals import shown_code
from serve_app.agent.llm.call_text import CallText
from serve_app.agent.llm.chunks import Chunk, Thought
from serve_app.agent.llm.thoughts import ThoughtFilter
from serve_app.agent.llm.tool_calls import ToolCallDelta, ToolSpec, ToolStep
from serve_app.agent.text.reply_text import MAX_REPLY_CHARS
from serve_app.errors import EngineError, ReplyRefused

_LONGEST_THOUGHT = 200_000
"""Characters. A few providers want it back, together with the results of tools."""


class Round:
    """Takes chunks, and says when the round is over. Has no clock."""

    def __init__(
        self,
        tools: Sequence[ToolSpec] = (),
        steps: Sequence[ToolStep] = (),
        starts_within_thought: bool = False,
    ) -> None:
        """`steps`: the rounds before this one. Without `tools`, requests for them are left out."""
        self._has_tools = bool(tools)
        self._text = ThoughtFilter(starts_within_thought)
        self._call_text = CallText(tools)
        self._thoughts: dict[str, Any] = {}
        self._has_thought = False
        self._has_said = any(step.text.strip() for step in steps)
        self._has_calls = False
        self._size = 0
        self._thought_size = 0
        self.finish_reason = ""
        """What the server gave as reason for the end of the round."""
        self.is_thinking = False
        """Whether the last chunk that said anything was a thought."""

    @property
    def is_over(self) -> bool:
        """Whether the server says that there is no more."""
        return bool(self.finish_reason)

    @property
    def lacks_beginning(self) -> bool:
        """Whether a thought was said, because it began without a tag."""
        return self._text.lacks_beginning

    def take(self, chunk: Chunk) -> Iterator[str | ToolCallDelta]:
        """What the chunk adds. Raises EngineError for a reply that is too long."""
        for part in chunk.parts:
            if isinstance(part, Thought):
                self._think(part)
            elif isinstance(part, ToolCallDelta):
                yield from self._ask(part)
            else:
                yield from self._say(part)
        self.finish_reason = chunk.finish_reason
        if chunk.is_usage and (self._has_said or self._has_calls):
            self.finish_reason = "stop"  # some servers say nothing else at the end

    def end(self) -> Iterator[str | ToolCallDelta]:
        """What was kept back. Raises EngineError if the round has added nothing to a reply in which
        nothing was said before: nobody would know whether the agent has heard."""
        rest = self._call_text.push(self._text.flush())
        yield from self._spoken(rest)
        kept = self._call_text.flush(self._has_calls)
        if isinstance(kept, str):
            yield from self._spoken(kept)
        else:
            for call in kept:
                yield from self._ask(call)
        if self.finish_reason == "content_filter":
            raise ReplyRefused("llm", "the provider's content filter stopped the reply")
        if not (self._has_said or self._has_calls):
            raise EngineError("llm", self._why_empty(), retryable=True)

    def _think(self, thought: Thought) -> None:
        self.is_thinking = self._has_thought = True
        for name, value in thought.fields.items():
            self._thought_size += len(value) if isinstance(value, str) else len(str(value))
            if self._thought_size > _LONGEST_THOUGHT:
                return
            known = self._thoughts.get(name)
            is_joined = known is not None and type(known) is type(value)
            self._thoughts[name] = known + value if is_joined else value

    def _say(self, text: str) -> Iterator[str]:
        said = self._text.push(text)
        self.is_thinking = self._text.is_within
        yield from self._spoken(self._call_text.push(said) if said else "")

    def _spoken(self, text: str) -> Iterator[str]:
        if text:
            self._count(len(text))
            self._has_said = self._has_said or not text.isspace()
            yield text

    def _ask(self, call: ToolCallDelta) -> Iterator[ToolCallDelta]:
        self.is_thinking = False
        if not self._has_tools:
            return
        self._count(len(call.name) + len(call.arguments))
        self._has_calls = True
        thoughts, self._thoughts = self._thoughts, {}
        yield ToolCallDelta(call.index, call.id, call.name, call.arguments, call.extra, thoughts)

    def _count(self, chars: int) -> None:
        self._size += chars
        if self._size > MAX_REPLY_CHARS:
            raise EngineError("llm", f"the reply exceeds {MAX_REPLY_CHARS} characters")

    def _why_empty(self) -> str:
        if not (self._has_thought or self._text.has_thought):
            return f"the model answered with nothing{self._shown_reason}"
        if self.finish_reason == "length":
            return "all tokens went into thoughts: raise max_new_tokens or lower reasoning_effort"
        return f"the model thought, but said nothing{self._shown_reason}"

    @property
    def _shown_reason(self) -> str:
        return f" ({shown_code(self.finish_reason)})" if shown_code(self.finish_reason) else ""
