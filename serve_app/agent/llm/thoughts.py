"""What a model thinks before it speaks, taken out of the text that it writes.

Servers that know a model's template send its thoughts in a field of their own
(`serve_app/agent/llm/chunks.py`). All others leave them in the text, between tags.
"""

import re
from collections.abc import Iterable

_TAGS = {
    **{f"<{name}>": f"</{name}>" for name in ("think", "thinking", "thought", "reasoning")},
    "<seed:think>": "</seed:think>",
    "[think]": "[/think]",
    "◁think▷": "◁/think▷",
    "<|channel>thought": "<channel|>",
    "<|channel|>analysis<|message|>": "<|channel|>final<|message|>",
    "<tool_call>": "</tool_call>",
}
"""In lower case: what begins a passage that is not speech, and what ends it. Of Qwen, DeepSeek and
most others, Seed, Mistral, Kimi, Gemma, gpt-oss. The last is a request for a tool, in a text that
the server should have parsed."""
_BEGINS = "<[◁"
_ALL = (*_TAGS, *_TAGS.values())
_LONGEST = max(map(len, _ALL))


def _any_of(tags: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted(tags, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)


_ANY = _any_of(_ALL)
_ENDS = {end: _any_of([end]) for end in _TAGS.values()}
_ANY_END = _any_of(_TAGS.values())


class ThoughtFilter:
    """Takes the text piece by piece and returns what is to be said.

    A thought may be cut anywhere, come several times, in any case, and never end. An end without a
    beginning is dropped. Thoughts do not nest: one that mentions its tag would never end. White
    space before the first word is dropped, too, so that no text means that nothing was said.
    """

    def __init__(self, starts_within: bool = False) -> None:
        """`starts_within`: the first thought begins without a tag, because the model's template
        holds it."""
        self._end: re.Pattern[str] | None = _ANY_END if starts_within else None
        """What ends the thought; None outside of thoughts."""
        self._pending = ""
        """May be the beginning of a tag."""
        self._has_said = False
        self.has_thought = starts_within
        """Whether there was a thought."""
        self.lacks_beginning = False
        """Whether a thought ended that had not begun: `starts_within` would have been right."""

    @property
    def is_within(self) -> bool:
        """Whether the text so far ends in a thought."""
        return self._end is not None

    def push(self, text: str) -> str:
        """Takes more text; returns what can be said."""
        self._pending += text
        said = ""
        while (tag := (self._end or _ANY).search(self._pending)) is not None:
            if self._end is None:
                said += self._pending[: tag.start()]
            self._pending = self._pending[tag.end() :]
            self._pass(tag[0].lower())
        kept = _beginning_of_tag(self._pending)
        if self._end is None:
            said += self._pending[: len(self._pending) - kept]
        self._pending = self._pending[len(self._pending) - kept :]
        return self._spoken(said)

    def flush(self) -> str:
        """The rest, at the end of the reply."""
        rest, self._pending = self._pending, ""
        return "" if self.is_within else self._spoken(rest)

    def _pass(self, tag: str) -> None:
        if self._end is None and tag in _TAGS:
            self._end = _ENDS[_TAGS[tag]]
            self.has_thought = True
        else:
            self.lacks_beginning |= self._end is None
            self._end = None

    def _spoken(self, text: str) -> str:
        if not self._has_said:
            text = text.lstrip()
            self._has_said = bool(text)
        return text


def _beginning_of_tag(text: str) -> int:
    """How many characters at the end of `text` may be the beginning of a tag."""
    tail = text[1 - _LONGEST :]
    for start, char in enumerate(tail):
        if char in _BEGINS and any(tag.startswith(tail[start:].lower()) for tag in _ALL):
            return len(tail) - start
    return 0
