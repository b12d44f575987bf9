"""What one client may send. The defaults leave room for every client that talks: a microphone sends
64 kB of audio a second, in 4 to 50 messages."""

from pydantic import Field

from serve_app.protocol.limits import FrameLimits, Rate, Rates
from serve_app.settings.base import Seconds, Settings

AUDIO_BYTES_PER_S = 64_000
"""Float32 at 16 kHz."""


class MessageLimits(Settings):
    """What is over a rate is read later, so that TCP slows the client down; one that goes on for
    `patience_s` is closed with 4429."""

    message_bytes: int = Field(1 << 20, ge=4096, le=16 << 20)
    """The largest message; 1 MiB is 16 s of audio. More is closed with 1009."""
    text_bytes: int = Field(32 << 10, ge=256, le=1 << 20)
    """The longest prompt, greeting or typed text. More is closed with 4400."""
    real_time: float = Field(3.5, ge=1)
    """Audio that is taken in a second, in seconds. More than 1, so that clients catch up, and a
    microphone of 48 kHz is told of its rate and not closed."""
    burst_s: Seconds = 30.0
    """Audio that is taken at once, after a stall of the network or a resume, in seconds. The VAD
    may be behind by 32 s."""
    messages_per_s: float = Field(200.0, gt=0)
    """Of any kind. An AudioWorklet that sends each of its blocks sends 125."""
    messages_burst: int = Field(4000, ge=1)
    """Messages that are taken at once: 30 s of them."""
    texts_per_s: float = Field(2.0, gt=0)
    """Typed texts: each one may cost a reply."""
    texts_burst: int = Field(64, ge=1)
    """Typed texts that are taken at once: as many as a client sends again after a resume."""
    text_bytes_per_s: float = Field(4096.0, gt=0)
    """Typed text. Nobody types more than 20 bytes a second, but people paste."""
    text_burst_bytes: int = Field(128 << 10, ge=1)
    """Typed text that is taken at once."""
    patience_s: Seconds = 10.0
    """How long a client may go on sending more than is taken."""

    @property
    def frames(self) -> FrameLimits:
        """What one message may be."""
        return FrameLimits(self.message_bytes, self.text_bytes)

    @property
    def rates(self) -> Rates:
        """What a client may send in a second."""
        audio = AUDIO_BYTES_PER_S * self.real_time
        burst = max(AUDIO_BYTES_PER_S * self.burst_s, self.message_bytes)
        return Rates(
            bytes=Rate(audio, burst),
            messages=Rate(self.messages_per_s, self.messages_burst),
            text_bytes=Rate(self.text_bytes_per_s, max(self.text_burst_bytes, self.text_bytes)),
            texts=Rate(self.texts_per_s, self.texts_burst),
            patience_s=self.patience_s,
        )


class DelayBudgets(Settings):
    """How long answers may take. Over `busy`, nothing is done that may be for nothing: text so far
    and drafts. Over `full`, no new session is let in: it is closed with 1013 and told why. Clients
    that come back are always let in."""

    transcript_busy_s: Seconds = 1.5
    transcript_full_s: Seconds = 5.0
    """From the end of a turn to its text."""
    first_audio_busy_s: Seconds = 4.0
    first_audio_full_s: Seconds = 12.0
    """From the question to the agent to the first audio of its answer. To be raised for models that
    think for long."""
