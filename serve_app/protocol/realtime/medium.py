"""What the agent's words are in OpenAI's events: said, or written."""

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Medium:
    """The names of events and fields."""

    modality: str
    words: str
    """Of the events with the words."""
    part: str
    """The type of a part of an item that comes about."""
    content: str
    """The same once it is there."""
    field: str
    """Of both, where the words are."""

    def part_of(self, words: str) -> dict[str, Any]:
        return {"type": self.part, self.field: words}

    def content_of(self, words: str) -> dict[str, Any]:
        return {"type": self.content, self.field: words}


SAID: Final = Medium("audio", "output_audio_transcript", "audio", "output_audio", "transcript")
WRITTEN: Final = Medium("text", "output_text", "text", "output_text", "text")
