"""Typed settings: the `args` of a Serve configuration file.

Secrets come from the environment only and are never stored here."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from serve_app.conversation.presets import with_preset
from serve_app.conversation.settings import TurnSettings
from serve_app.protocol.languages import AUTO, ENGLISH, LANGUAGES, LATER_LANGUAGES, known_language
from serve_app.settings.access import AccessSettings
from serve_app.settings.agent import AgentSettings
from serve_app.settings.audio_limits import AudioLimits
from serve_app.settings.base import PACKAGED, Pool, Replicas, Seconds, Settings
from serve_app.settings.limits import DelayBudgets, MessageLimits
from serve_app.settings.records import RecordSettings
from serve_app.settings.socket_limits import SocketLimits

WHISPER_TINY_EN, WHISPER_BASE = "whisper-tiny.en", "whisper-base"
"""The Whisper models that can be fetched, by their names in models.json."""
_TARGET_SHARE = 0.7
"""The share of its `max_sessions` that an ingress replica is meant to hold. The rest is for clients
that come while the next replica starts, and for the sockets of one that is stopped."""


class IngressSettings(Pool):
    max_sessions: int = Field(100, ge=1)
    """The most sessions that a replica holds; further sockets are closed with 1013."""
    target_sessions: int = Field(0, ge=0)
    """The sessions that each replica should hold when the number of replicas follows the load; 0 is
    70 % of `max_sessions`."""
    downscale_delay_s: float = Field(900.0, ge=0)
    """Long, because a replica that is stopped closes its sockets, and each change of replicas
    restarts HAProxy. At least the time that a replica drains, so that they stop one by one."""
    open_timeout_s: Seconds = 3600.0
    """A socket that has not sent `open` after this time is closed with 4408. It has no place among
    the sessions until then (`socket.waiting`)."""
    socket: SocketLimits = SocketLimits()
    """What each socket may do."""
    drain_timeout_s: Seconds = 30.0
    """How long a replica that is stopped waits for its sessions to finish their turns. HAProxy goes
    by RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S instead."""
    limits: MessageLimits = MessageLimits()
    """What one client may send."""
    delays: DelayBudgets = DelayBudgets()
    """How long answers may take before less is done, and nobody new is let in."""
    audio: AudioLimits = AudioLimits()
    """What the routes for files and texts take that are not part of a conversation."""
    event_log_dir: str = ""
    """The folder for each session's events, for `echo-serve replay`. What was said is in them."""
    event_log_audio: bool = False
    """Whether the user's audio is written as well."""
    records: RecordSettings | None = None
    """What is kept of each call. By default nothing is."""

    @model_validator(mode="after")
    def _has_a_target_it_can_reach(self) -> Self:
        if self.target_sessions > self.max_sessions:
            raise ValueError("target_sessions is more than max_sessions: no replica would be added")
        return self

    @model_validator(mode="after")
    def _takes_its_largest_message(self) -> Self:
        if self.limits.message_bytes > self.socket.bytes:
            raise ValueError("limits.message_bytes is more than socket.bytes: it would never fit")
        return self

    @property
    def max_sockets(self) -> int:
        """Those of sessions, and those that wait for their `open`."""
        return self.max_sessions + self.socket.waiting

    @property
    def max_requests(self) -> int:
        """All that may take long."""
        return self.max_sockets + self.audio.transcriptions + self.audio.speeches

    @property
    def sessions_wanted(self) -> int:
        """The sessions that each replica should hold; at least 1."""
        return self.target_sessions or max(1, int(_TARGET_SHARE * self.max_sessions))


class SessionSettings(Settings):
    """The session actors, which keep the sessions of clients that may come back."""

    actors: int = Field(1, ge=1)
    num_cpus: float = Field(0.0, ge=0)
    window_s: float = Field(60.0, ge=5)
    """How long a session can be resumed after the server has noticed the loss of its socket."""
    max_sessions: int = Field(10_000, ge=1)
    """The most sessions that an actor keeps; the one whose client is away longest makes room."""
    max_history_chars: int = Field(100_000, ge=1000)
    """Of a session. The oldest turns are left out first, the system prompt never."""
    redis_url_variable: str = "ECHO_REDIS_URL"
    """Name of the environment variable with the address of a Redis. If it is set, each commit is
    written there as well, and sessions survive the loss of all processes here."""


class VadSettings(Replicas):
    threads: int = Field(1, ge=1)
    timeout_s: Seconds = 5.0
    hedge_s: Seconds = 0.5
    """Frames without an answer after this time are sent again, if there is another replica."""
    end_of_turn: Literal["packaged", "off"] = "packaged"
    """Whether a model (Smart Turn v3.2) hears if a turn is complete; otherwise silence ends it."""


class SttSettings(Pool):
    model: str = PACKAGED
    """`packaged` (Whisper tiny.en), `whisper-base` (packaged, too: 99 languages, about twice the
    work), a Hugging Face id, or a local path."""
    language: Annotated[str, AfterValidator(known_language)] = ENGLISH
    """What users speak whose client does not say it: a code or a name, or `auto`, with which
    Whisper finds out the language of each utterance."""
    device: str = "auto"
    """`cpu`, `cuda`, `cuda:1` or `auto`."""
    dtype: Literal["auto", "int8", "float32", "bfloat16", "float16"] = "auto"
    """`int8` is dynamic quantisation, for CPUs only."""
    task: Literal["transcribe", "translate"] = "transcribe"
    """`translate` writes English, whatever is spoken, and needs a multilingual model."""
    num_gpus: float | Literal["auto"] = "auto"
    """GPUs that each replica is pinned to; `auto` is 1 if the cluster has a GPU, else 0."""
    threads: int = Field(0, ge=0)
    """CPU threads; 0 is one per core."""
    max_batch: int = Field(8, ge=1)
    """The most utterances in one batch. They share a batch only if they wait."""
    max_waiting: int = Field(64, ge=1)
    """A replica refuses more: partial transcripts first, then speculative ones, then the rest."""
    timeout_s: Seconds = 35.0
    """For one text, with all tries. The samples are kept until then, so that a transcriber which is
    away for half a minute costs no words."""
    hedge_s: Seconds = 4.0
    """A text that takes longer is asked for again, if there is another replica."""
    target_wait_ms: float = Field(100.0, gt=0)
    """How long speech may wait for a transcriber before replicas are added."""

    @model_validator(mode="after")
    def _knows_the_language(self) -> Self:
        if self.knows_english_only and self.language not in (ENGLISH, AUTO):
            raise ValueError(
                f"language is {self.language}, but model {self.model} knows {ENGLISH} only;"
                f" set model to {WHISPER_BASE} or to another multilingual Whisper"
            )
        return self

    @property
    def fetched_model(self) -> str:
        """The name in models.json of the model that has to be fetched; empty if it is not ours."""
        name = WHISPER_TINY_EN if self.model == PACKAGED else self.model
        return name if name in (WHISPER_TINY_EN, WHISPER_BASE) else ""

    @property
    def languages(self) -> tuple[str, ...]:
        """The codes that the model knows, if its name says so; else empty."""
        if self.knows_english_only:
            return (ENGLISH,)
        known = tuple(code for code in LANGUAGES if code not in LATER_LANGUAGES)
        return known if self.fetched_model else ()

    @property
    def knows_english_only(self) -> bool:
        """By its name: OpenAI's end in .en."""
        return (self.fetched_model or self.model).endswith(".en")


class AppConfig(Settings):
    """Everything under `args` in a Serve configuration file."""

    ingress: IngressSettings = IngressSettings()
    access: AccessSettings = AccessSettings()
    sessions: SessionSettings = SessionSettings()
    turn: TurnSettings = TurnSettings()
    vad: VadSettings = VadSettings()
    stt: SttSettings = SttSettings()
    agent: AgentSettings = AgentSettings()

    @field_validator("turn", mode="before")
    @classmethod
    def _with_preset(cls, turn: Any) -> Any:
        return with_preset(turn) if isinstance(turn, Mapping) else turn
