"""The constants of turn taking."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from serve_app.conversation.presets import with_preset

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

    # --- who decides ---
    detects_turns: bool = True
    """Whether the server hears when a turn begins and ends. If not, the client says which audio is
    one (push-to-talk), and speech does not interrupt."""
    answers_turns: bool = True
    """Whether each turn that ends is answered. If not, the client asks for the reply."""

    # --- voice activity ---
    speech_threshold: float = 0.5
    """Voice activity at or above this is speech (0 to 1)."""
    silence_threshold: float = 0.35
    """Speech goes on until the voice activity falls below this: hysteresis against flutter."""
    min_speech_ms: int = 96
    """Shorter bursts of voice activity do not open a turn."""
    pre_roll_ms: int = 320
    """Audio kept from before the first voiced frame, so that soft onsets are not cut."""

    # --- end of turn ---
    soft_end_ms: int = 64
    """Silence after which an utterance is transcribed on the guess that it is over: the transcript
    is ready if that is so, and is thrown away if speech goes on."""
    judge_silence_ms: int = 256
    """Silence after which the end-of-turn model is asked again whether the turn is complete, if its
    first answer, soon after the speech, leaves doubt; and once more before `likely_silence_ms`:
    what it hears is clearer by then."""
    end_silence_ms: int = 416
    """Silence that ends a turn of which the model is sure; no turn ends sooner. LLM and voice
    begin at `soft_end_ms`, so a shorter wait would hardly be heard."""
    likely_silence_ms: int = 800
    """Silence that ends a turn which the model calls complete without being sure."""
    sentence_silence_ms: int = 896
    """Silence that ends a turn whose words are a whole sentence, whatever the model says."""
    max_silence_ms: int = 1600
    """Silence that ends any turn. A turn that the model calls incomplete is given twice the
    speaker's usual pause, up to this; without an answer of the model, the usual pause."""
    complete_threshold: float = 0.5
    """The model's answer (0 to 1) from which a turn counts as complete."""
    sure_threshold: float = 0.9
    """The answer from which the model is sure."""
    unfinished_threshold: float = 0.9
    """The answer that is needed where the words say that more is to come: "and", "uh", a list of
    numbers, no full stop. 1 is never."""
    max_utterance_ms: int = WHISPER_WINDOW_S * 1000
    """Whisper's window: a longer utterance is cut here and goes on as the next part."""

    # --- speculation ---
    partial_ms: int = 1000
    """How often speech is transcribed while it goes on, for clients that ask for `partial` and for
    the transcriber, which checks the final text against it. 0 is never."""
    max_drafts: int = 3
    """How many replies may be drafted for a turn before it has ended; 0 is none."""
    draft_ahead_ms: int = 400
    """How long before the expected end of a turn its reply is drafted, as long as LLM and voice
    take; a turn that the end-of-turn model calls complete has its reply drafted at once. From
    `max_silence_ms` on, that is so in each pause."""

    # --- barge-in ---
    interruptions: bool = True
    """Whether the user can interrupt the agent by speaking."""
    interruptible_greeting: bool = True
    """Whether that is true of the greeting, too."""
    silence_speech_ms: int = 160
    """Speech of this length silences the agent. What its client has not played is taken back, and
    said again if the user turns out to want nothing."""
    interrupt_speech_ms: int = 640
    """Speech of this length interrupts the agent for good, whatever is said. It should be longer
    than a backchannel."""
    interrupt_words: int = 1
    """Shorter speech interrupts when it has this many words that are not backchannels. If this is
    2 or more, length alone does not interrupt until the hold is over."""
    hold_ms: int = 1500
    """The longest that output is held while it is unclear what the user wants."""
    backchannels: tuple[str, ...] = BACKCHANNELS
    """What the user may say without interrupting the agent."""

    # --- output ---
    lead_ms: int = 1000
    """How far the output runs ahead of its playback. A hold cannot take this back; a shorter
    network hiccup is not heard."""

    # --- what the agent is sent ---
    prompt: str = (
        "You are Echo, a friendly voice assistant. Everything you write is spoken aloud, so answer"
        " in one or two short sentences, without lists, markup or emoji. If you do not know"
        " something, say so."
    )
    """The system prompt of sessions whose `open` has none. It gives the agent a name: chat models
    without one say that they are somebody else's."""
    language_prompt: str = "The user speaks {language}. Answer in {language}."
    """A line more in the system prompt once the user speaks another language than English, told by
    `open.language` or found out (`auto`); empty is none."""
    history_tokens: int = 6000
    """The most that a chat costs the LLM, by estimate (`conversation.budget`), with the system
    prompt: the oldest exchanges are left out. In English this and a reply fit into a context of
    8,192 tokens."""

    # --- greeting, failure, silence ---
    greeting: str = "Hello!"
    """What the agent is told that the user said, so that it speaks first (as Echo does)."""
    continuation: str = "(You were cut off there. Go on with the very next word.)"
    """What the agent is told that the user said, when the rest of a reply has to be asked for
    again: because it needs a tool, or because its agent died. Chat models want the last word to be
    the user's."""
    apology: str = "Sorry, something went wrong. Could you say that again?"
    """Said when a reply fails; if empty, nothing is. The `error` event is sent in either case."""
    refusal: str = "I'm sorry, I can't talk about that."
    """The same for a reply that the content filter of the LLM's provider refuses. What the user
    said is then left out of the history."""
    idle_prompt_ms: int = 0
    """Time without a word after which the agent says `idle_prompt`, once; 0 is never."""
    idle_prompt: str = "Are you still there?"
    tool_timeout_ms: int = 120_000
    """How long the agent waits for the results of tools that the client runs. What has not come by
    then is an error to the agent, which goes on with that."""
    idle_close_ms: int = 0
    """Time without a word from the user after which the session is closed; 0 is never."""
    max_session_s: int = 0
    """The longest that a session may last, over all its sockets; 0 is no limit. Clients are told a
    minute before. In the last 10 s the session is closed as soon as nobody has the floor."""

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
    "likely_silence_ms": (32, 10_000),
    "sentence_silence_ms": (32, 10_000),
    "complete_threshold": (0, 1),
    "sure_threshold": (0, 1),
    "unfinished_threshold": (0, 1),
    "end_silence_ms": (32, 10_000),
    "max_silence_ms": (32, 30_000),
    "max_utterance_ms": (1000, WHISPER_WINDOW_S * 1000),
    "partial_ms": (0, 30_000),
    "max_drafts": (0, 10),
    "draft_ahead_ms": (0, 30_000),
    "silence_speech_ms": (32, 10_000),
    "interrupt_speech_ms": (32, 10_000),
    "interrupt_words": (1, 20),
    "hold_ms": (100, 10_000),
    "lead_ms": (100, 60_000),
    "history_tokens": (200, 10_000_000),
    "idle_prompt_ms": (0, 3_600_000),
    "tool_timeout_ms": (100, 3_600_000),
    "idle_close_ms": (0, 3_600_000),
    "max_session_s": (0, 604_800),
}
CLIENT_SETTINGS: Final = frozenset(
    {
        "detects_turns",
        "answers_turns",
        "complete_threshold",
        "sure_threshold",
        "unfinished_threshold",
        "likely_silence_ms",
        "sentence_silence_ms",
        "end_silence_ms",
        "max_silence_ms",
        "interruptions",
        "interruptible_greeting",
        "silence_speech_ms",
        "interrupt_speech_ms",
        "interrupt_words",
        "backchannels",
        "idle_prompt_ms",
        "idle_prompt",
        "idle_close_ms",
    }
)
"""What a client may set for its own session, in `open.turn`. Other settings cost the server."""


LONGEST_MESSAGE: Final = 65_536
"""Characters of one message in the history. A user who types on and on, and never waits for an
answer, adds to one message."""
LONGEST_TEXT: Final = 1000
"""Characters that a client may have the server say when it likes."""
MOST_BACKCHANNELS: Final = 64
LONGEST_BACKCHANNEL: Final = 40
"""Characters. All backchannels are looked for in each transcript of an overlap."""


def with_client_settings(settings: TurnSettings, changes: Mapping[str, Any]) -> TurnSettings:
    """`settings` with what a client asked for in `open.turn`. Raises ValueError with the name."""
    kinds = {field.name: type(getattr(settings, field.name)) for field in fields(settings)}
    values = with_preset({"preset": changes.get("preset")})
    for name, value in ((n, v) for n, v in changes.items() if n != "preset"):
        if name not in CLIENT_SETTINGS:
            raise ValueError(f"{ascii(name)[:40]} is not a setting that a client can change")
        values[name] = _as(kinds[name], name, value)
    return replace(settings, **values)


def _as(kind: type, name: str, value: Any) -> Any:
    if kind is tuple and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return _phrases(name, value)
    if kind is float and type(value) is int:
        return float(value)
    if kind is str and isinstance(value, str) and len(value) > LONGEST_TEXT:
        raise ValueError(f"{name} must have at most {LONGEST_TEXT} characters")
    if type(value) is not kind:
        wanted = {tuple: "a list of strings", str: "a string", bool: "true or false"}
        raise ValueError(f"{name} must be {wanted.get(kind, 'a number')}")
    return value


def _phrases(name: str, phrases: list[str]) -> tuple[str, ...]:
    if len(phrases) > MOST_BACKCHANNELS:
        raise ValueError(f"{name} must have at most {MOST_BACKCHANNELS} phrases")
    if max(map(len, phrases), default=0) > LONGEST_BACKCHANNEL:
        raise ValueError(f"{name} must have at most {LONGEST_BACKCHANNEL} characters each")
    return tuple(phrases)
