"""Typed settings: the `args` of a Serve configuration file.

Secrets come from the environment only and are never stored here."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from serve_app.conversation.settings import TurnSettings

LlmProvider = Literal["auto", "openai", "generic", "local"]
TtsProvider = Literal["auto", "elevenlabs", "local"]
PACKAGED = "packaged"
"""Stands for the small model that the project fetches from the package index by itself."""
Seconds = Annotated[float, Field(gt=0)]


class Settings(BaseModel):
    """Base of all settings: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Replicas(Settings):
    """What one deployment asks of the cluster."""

    replicas: int = Field(1, ge=1)
    num_cpus: float = Field(0.1, ge=0)
    """Ray's logical CPUs, used for placement only; `threads` below is what really runs."""


class IngressSettings(Replicas):
    max_sessions: int = Field(100, ge=1)
    """Sessions that one replica holds; one more is closed with 1013."""
    open_timeout_s: Seconds = 30.0
    """A socket that has not sent `open` by then is closed."""
    drain_timeout_s: Seconds = 30.0
    """How long a replica that is stopped waits for its sessions to finish their turn; with HAProxy
    RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S is how long."""
    event_log_dir: str = ""
    """Where each session's events are written, for `echo-serve replay`. They hold what was said."""
    event_log_audio: bool = False
    """Whether the user's audio is written, too."""


class SessionSettings(Settings):
    """The pool of session actors, which keep the sessions of clients that may come back."""

    actors: int = Field(1, ge=1)
    num_cpus: float = Field(0.0, ge=0)
    window_s: float = Field(60.0, ge=5)
    """How long after the loss of its socket a session can be resumed."""
    max_sessions: int = Field(10_000, ge=1)
    """That one actor keeps; the one that is away for longest makes room."""
    max_history_chars: int = Field(100_000, ge=1000)
    """Of a session; the oldest turns are left out, the system prompt is not."""
    redis_url_variable: str = "ECHO_REDIS_URL"
    """Names the environment variable with the address of a Redis, where each commit is written as
    well. Sessions then survive the loss of all processes here. Unset: memory only."""


class VadSettings(Replicas):
    threads: int = Field(1, ge=1)
    timeout_s: Seconds = 5.0
    end_of_turn: Literal["packaged", "off"] = "packaged"
    """Whether a model (Smart Turn v3.2) hears if a turn is complete, or silence alone ends it."""


class SttSettings(Replicas):
    model: str = PACKAGED
    """A Hugging Face id, a local path, or `packaged` (Whisper tiny.en)."""
    device: str = "auto"
    """`cpu`, `cuda`, `cuda:1` or `auto`."""
    dtype: Literal["auto", "int8", "float32", "bfloat16", "float16"] = "auto"
    """`int8` is dynamic quantisation, on CPU only."""
    task: Literal["transcribe", "translate"] = "transcribe"
    """`translate` writes English, whatever is spoken; for a multilingual model."""
    num_gpus: float | Literal["auto"] = "auto"
    """GPUs a replica is pinned to; `auto` is 1 where the cluster has a GPU, else 0."""
    threads: int = Field(0, ge=0)
    """CPU threads; 0 is one per core."""
    max_batch: int = Field(8, ge=1)
    """Utterances that are transcribed together at most; they go together only when they wait."""
    max_waiting: int = Field(64, ge=1)
    """A replica refuses more: partial transcripts first, then guesses, then the rest."""
    timeout_s: Seconds = 15.0
    """Of one text, second tries included."""
    hedge_s: Seconds = 4.0
    """A final text that takes longer is also asked of another replica, where there is one."""
    max_replicas: int = Field(0, ge=0)
    """Above `replicas`, the pool grows up to this when speech waits; else it does not scale."""
    target_wait_ms: float = Field(100.0, gt=0)
    """The wait of speech for a transcriber that the pool is scaled for."""
    upscale_delay_s: float = Field(5.0, ge=0)
    downscale_delay_s: float = Field(300.0, ge=0)


class LlmSettings(Settings):
    provider: LlmProvider = "auto"
    """`auto`: openai when OPENAI_API_KEY is set, generic when an api_url is, else local."""
    model: str = ""
    """Empty is the provider's default; for `local` a Hugging Face id, a path or `packaged`."""
    api_url: str = ""
    """Base URL of an OpenAI-compatible server, such as http://localhost:8000/v1."""
    max_new_tokens: int = Field(400, ge=1)
    max_sequence_length: int = Field(2048, ge=64)
    """Of a local model: prompt, history and reply, in tokens."""
    first_token_timeout_s: Seconds = 10.0
    next_token_timeout_s: Seconds = 5.0
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    threads: int = Field(0, ge=0)


class TtsSettings(Settings):
    provider: TtsProvider = "auto"
    """`auto`: elevenlabs when ELEVEN_LABS_API_KEY is set, else local."""
    api_url: str = "wss://api.elevenlabs.io"
    voice_id: str = "21m00Tcm4TlvDq8ikWAM"
    model_id: str = "eleven_turbo_v2"
    optimize_streaming_latency: int = Field(2, ge=0, le=4)
    voice: str = PACKAGED
    """The local voice: path of a Piper .onnx file, or `packaged`."""
    output_format: str = ""
    """What the client receives, and what ElevenLabs is asked for. Empty is pcm_44100 (what
    Echo's example client plays), for which ElevenLabs is asked for pcm_22050, open to every
    plan, and resampled."""
    first_audio_timeout_s: Seconds = 10.0
    threads: int = Field(0, ge=0)


class AgentSettings(Replicas):
    num_gpus: float = Field(0.0, ge=0)
    """For an LLM that runs in this deployment."""
    max_ongoing_replies: int = Field(64, ge=1)
    draft_replies: int = Field(8, ge=0)
    """With so many replies going, for each replica, none is begun before its turn has ended."""
    llm: LlmSettings = LlmSettings()
    tts: TtsSettings = TtsSettings()


class AppConfig(Settings):
    """Everything under `args` in a Serve configuration file."""

    ingress: IngressSettings = IngressSettings()
    sessions: SessionSettings = SessionSettings()
    turn: TurnSettings = TurnSettings()
    vad: VadSettings = VadSettings()
    stt: SttSettings = SttSettings()
    agent: AgentSettings = AgentSettings()
