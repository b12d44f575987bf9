"""The session, and the `open` that it comes to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from serve_app.protocol import tools
from serve_app.protocol.messages import Open
from serve_app.protocol.sound import PCM, Format
from serve_app.protocol.tools import Tool

_EVENTS: Final = frozenset({"transcript", "caption", "state", "metrics", "error"})


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a client that says nothing gets."""

    voice: str = ""
    """For who looks at the session; the server's own name for it."""
    has_voices: bool = True
    """Whether the provider has more than one."""
    has_openais_voices: bool = False
    has_tools: bool = True
    """Whether the chat models can use a client's."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a client has set. What is empty is left to the server."""

    instructions: str = ""
    voice: str = ""
    language: str = ""
    input_format: Format = PCM
    output_format: Format = PCM
    turn: Mapping[str, Any] = field(default_factory=dict)
    turn_detection: Mapping[str, Any] | None = field(default_factory=dict)
    """As the client has written it; None is push-to-talk."""
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    modality: str = "audio"
    """Of the agent: or `text`."""

    @property
    def answers_turns(self) -> bool:
        """Whether the agent does so by itself."""
        return bool(self.turn.get("answers_turns", True))

    def open(self, greeting: str | None) -> Open:
        return Open(
            prompt=self.instructions,
            events=_EVENTS,
            greeting=greeting,
            language=self.language,
            voice=self.voice,
            sample_rate_hz=self.output_format.rate_hz,
            turn=self.turn,
            text_only=self.modality == "text",
            tools=self.tools if self.tool_choice == "auto" else (),
        )

    def shown(self, defaults: Defaults) -> dict[str, Any]:
        """The session as it is, not as it was asked for."""
        detection = {"type": "semantic_vad", "create_response": True, "interrupt_response": True}
        written = self.turn_detection
        transcription = {"language": self.language} if self.language else {}
        return {
            "type": "realtime",
            "object": "realtime.session",
            "instructions": self.instructions,  # the server's own are its owner's
            "output_modalities": [self.modality],
            "max_output_tokens": "inf",
            "tools": tools.shown(self.tools),
            "tool_choice": self.tool_choice,
            "audio": {
                "input": {
                    "format": self.input_format.shown(),
                    "noise_reduction": None,
                    "transcription": transcription,
                    "turn_detection": None if written is None else detection | dict(written),
                },
                "output": {
                    "format": self.output_format.shown(),
                    "voice": self.voice or defaults.voice,
                    "speed": 1.0,
                },
            },
        }
