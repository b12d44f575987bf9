"""The constants of turn taking."""

from dataclasses import dataclass

SAMPLE_RATE_HZ = 16_000
"""Rate of everything the client sends (fixed by the Echo protocol)."""
FRAME_SAMPLES = 512
"""Silero VAD judges frames of 512 samples, 32 ms."""
FRAME_MS = FRAME_SAMPLES * 1000 // SAMPLE_RATE_HZ


def samples(ms: float) -> int:
    """Milliseconds as samples of the client's audio."""
    return round(ms * SAMPLE_RATE_HZ / 1000)


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """When a turn opens, ends and interrupts. All durations are of received audio."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    speech_threshold: float = 0.5
    """Voice activity at or above this is speech (0 to 1)."""
    silence_threshold: float = 0.35
    """Speech goes on until the voice activity is below this: hysteresis against flutter."""
    min_speech_ms: int = 96
    """Shorter bursts of voice activity do not open a turn."""
    interrupt_speech_ms: int = 224
    """Voice activity this long, while the agent talks, interrupts it."""
    soft_end_ms: int = 64
    """Silence after which an utterance is transcribed on suspicion: the transcript is ready when
    the utterance does end, and is thrown away when speech goes on."""
    end_silence_ms: int = 256
    """Silence after which an utterance ends. Short, since who goes on talking before the agent is
    heard is not cut off: the reply is withdrawn and the words join."""
    pre_roll_ms: int = 320
    """Audio kept from before the first voiced frame, so that soft onsets are not cut."""
    max_utterance_ms: int = 30_000
    """Whisper's window: a longer utterance is cut here and goes on as the next part."""
    greeting: str = "Hello!"
    """What the agent is told that the user said, so that it speaks first (as Echo does)."""
