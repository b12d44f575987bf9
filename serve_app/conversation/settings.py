"""The constants of turn taking."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

SAMPLE_RATE_HZ = 16_000
"""Rate of everything the client sends (fixed by the Echo protocol)."""
FRAME_SAMPLES = 512
"""Silero VAD judges frames of 512 samples, 32 ms."""
FRAME_MS = FRAME_SAMPLES * 1000 // SAMPLE_RATE_HZ
WHISPER_WINDOW_S = 30
"""What Whisper was trained on: it transcribes no more at once."""
SMART_TURN_WINDOW_S = 8
"""What Smart Turn hears: the end of the turn. Earlier audio does not matter to it."""


def samples(ms: float) -> int:
    """Milliseconds as samples of the client's audio."""
    return round(ms * SAMPLE_RATE_HZ / 1000)


BACKCHANNELS: Final = (
    "ah", "aha", "alright", "cool", "good", "got it", "great", "hm", "hmm", "huh", "i see",
    "mhm", "mm", "mm hmm", "mmhmm", "nice", "oh", "ok", "okay", "really", "right", "sure",
    "uh", "uh huh", "uhhuh", "um", "wow", "yeah", "yep", "yes", "yup",
)  # fmt: skip
"""What people say to show that they listen, without wanting the floor."""


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """When a turn opens, ends and interrupts. Silence and speech are counted in received audio.

    Raises ValueError for a value out of its range.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    # --- voice activity ---
    speech_threshold: float = 0.5
    """Voice activity at or above this is speech (0 to 1)."""
    silence_threshold: float = 0.35
    """Speech goes on until the voice activity is below this: hysteresis against flutter."""
    min_speech_ms: int = 96
    """Shorter bursts of voice activity do not open a turn."""
    pre_roll_ms: int = 320
    """Audio kept from before the first voiced frame, so that soft onsets are not cut."""

    # --- end of turn ---
    soft_end_ms: int = 64
    """Silence after which an utterance is transcribed on suspicion: the transcript is ready when
    the utterance does end, and is thrown away when speech goes on."""
    judge_silence_ms: int = 192
    """Silence after which the end-of-turn model is asked whether the turn is complete."""
    complete_threshold: float = 0.5
    """The model's answer (0 to 1) from which a turn counts as complete."""
    end_silence_ms: int = 512
    """Silence after which a turn ends that the model calls complete. Without an answer the
    silence has to be as long as the speaker's usual pause, but never shorter than this."""
    max_silence_ms: int = 1600
    """Silence after which any turn ends. One that the model calls incomplete gets twice the
    speaker's usual pause, up to this."""
    max_utterance_ms: int = WHISPER_WINDOW_S * 1000
    """Whisper's window: a longer utterance is cut here and goes on as the next part."""

    # --- speculation ---
    partial_ms: int = 1000
    """How often speech that goes on is transcribed so far: for clients that ask for `partial`, and
    to have the final text sooner, which is checked against it. 0 is never."""
    max_drafts: int = 3
    """Replies that may be begun, and kept back, before a turn has ended; 0 is none."""

    # --- barge-in ---
    interruptions: bool = True
    """Whether the user can interrupt the agent by speaking."""
    interruptible_greeting: bool = True
    """Whether that holds for the greeting, too."""
    interrupt_speech_ms: int = 416
    """Speech this long, while the agent talks, interrupts it whatever is said. Longer than a
    backchannel; from the first voiced frame on, output is held back anyway."""
    interrupt_words: int = 1
    """Shorter speech interrupts with this many words that are no backchannel. With 2 or more,
    length alone does not interrupt before the hold is over."""
    hold_ms: int = 1500
    """Output is held back for this long at most while it is open what the user wants."""
    backchannels: tuple[str, ...] = BACKCHANNELS
    """What may be said while the agent talks without interrupting it."""

    # --- output ---
    lead_ms: int = 1000
    """How far output runs ahead of its playback: what a hold cannot take back, and the longest
    network hiccup that is not heard."""

    # --- greeting, failure, silence ---
    greeting: str = "Hello!"
    """What the agent is told that the user said, so that it speaks first (as Echo does)."""
    continuation: str = "(You were cut off there. Go on with the very next word.)"
    """What the agent is told that the user said, when a reply that is being spoken has to be
    asked for anew: it needs a tool, or its agent died. Chat models want the last word to be the
    user's."""
    apology: str = "Sorry, something went wrong. Could you say that again?"
    """Said when a reply fails; empty is nothing said. The `error` event comes in any case."""
    idle_prompt_ms: int = 0
    """Time without a word after which the agent says `idle_prompt`, once; 0 is never."""
    idle_prompt: str = "Are you still there?"
    idle_close_ms: int = 0
    """Time without a word of the user after which the session is closed; 0 is never."""

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must be {low:g} to {high:g}, not {value!r}")


_RANGES: Final[dict[str, tuple[float, float]]] = {
    "speech_threshold": (0, 1),
    "silence_threshold": (0, 1),
    "min_speech_ms": (32, 2000),
    "pre_roll_ms": (0, 2000),
    "soft_end_ms": (32, 10_000),
    "judge_silence_ms": (32, 10_000),
    "complete_threshold": (0, 1),
    "end_silence_ms": (32, 10_000),
    "max_silence_ms": (32, 30_000),
    "max_utterance_ms": (1000, WHISPER_WINDOW_S * 1000),
    "partial_ms": (0, 30_000),
    "max_drafts": (0, 10),
    "interrupt_speech_ms": (32, 10_000),
    "interrupt_words": (1, 20),
    "hold_ms": (100, 10_000),
    "lead_ms": (100, 60_000),
    "idle_prompt_ms": (0, 3_600_000),
    "idle_close_ms": (0, 3_600_000),
}
CLIENT_SETTINGS: Final = frozenset(
    {
        "complete_threshold",
        "end_silence_ms",
        "max_silence_ms",
        "interruptions",
        "interruptible_greeting",
        "interrupt_speech_ms",
        "interrupt_words",
        "backchannels",
        "idle_prompt_ms",
        "idle_prompt",
        "idle_close_ms",
    }
)
"""What a client may set for its own session, in `open.turn`. The rest costs the server."""


_LONGEST_TEXT: Final = 1000
"""What a client may have said at the server's cost."""


def with_client_settings(settings: TurnSettings, changes: Mapping[str, Any]) -> TurnSettings:
    """`settings` with what a client asked for in `open.turn`. Raises ValueError with the name."""
    kinds = {field.name: type(getattr(settings, field.name)) for field in fields(settings)}
    values = {}
    for name, value in changes.items():
        if name not in CLIENT_SETTINGS:
            raise ValueError(f"{ascii(name)[:40]} is not a setting that a client can change")
        values[name] = _as(kinds[name], name, value)
    return replace(settings, **values)


def _as(kind: type, name: str, value: Any) -> Any:
    if kind is tuple and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return tuple(value)
    if kind is float and type(value) is int:
        return float(value)
    if kind is str and isinstance(value, str) and len(value) > _LONGEST_TEXT:
        raise ValueError(f"{name} must have at most {_LONGEST_TEXT} characters")
    if type(value) is not kind:
        wanted = {tuple: "a list of strings", str: "a string", bool: "true or false"}
        raise ValueError(f"{name} must be {wanted.get(kind, 'a number')}")
    return value
