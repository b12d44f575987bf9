"""How the time between the user's last word and the agent's first one was spent."""

from dataclasses import dataclass, replace

from serve_app.conversation.playout import Playout
from serve_app.protocol.messages import Metrics


@dataclass(frozen=True, slots=True)
class TurnTimes:
    """When a user turn ended and was transcribed, in seconds of the conversation's clock."""

    ended_at_s: float = 0.0
    endpoint_ms: float = 0.0
    """From the end of speech to the end of the turn."""
    transcribed_at_s: float = 0.0

    @classmethod
    def from_text(cls, now_s: float) -> "TurnTimes":
        """A turn that was not spoken."""
        return cls(now_s, 0.0, now_s)

    @property
    def is_spoken(self) -> bool:
        """Whether the turn was spoken: its end took time."""
        return self.endpoint_ms > 0

    def transcribed(self, now_s: float) -> "TurnTimes":
        return replace(self, transcribed_at_s=now_s)

    def metrics(self, turn: int, reply: Playout, now_s: float) -> Metrics:
        """Called when the first audio is sent. Work that was done before the turn ended counts as
        no time."""
        text_at_s = max(reply.text_at_s or 0.0, self.transcribed_at_s)
        return Metrics(
            turn=turn,
            endpoint_ms=self.endpoint_ms,
            stt_ms=(self.transcribed_at_s - self.ended_at_s) * 1000,
            llm_ms=(text_at_s - self.transcribed_at_s) * 1000,
            tts_ms=(now_s - text_at_s) * 1000,
        )
