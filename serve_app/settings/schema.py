"""Typed settings: the `args` of a Serve configuration file.

Secrets come from the environment only and are never stored here."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from serve_app.conversation.settings import TurnSettings
from serve_app.settings.tool_schema import checked_schema

LlmProvider = Literal["auto", "openai", "generic", "local"]
TtsProvider = Literal["auto", "elevenlabs", "openai", "generic", "local"]
PACKAGED = "packaged"
"""Stands for the small model that this project fetches from the package index by itself."""
Seconds = Annotated[float, Field(gt=0)]
_TARGET_SHARE = 0.7
"""The share of its `max_sessions` that an ingress replica is meant to hold. The rest is for clients
that come while the next replica starts, and for the sockets of one that is stopped."""
EnvironmentVariable = Annotated[str, Field(pattern=r"^\w*$")]


class Settings(BaseModel):
    """Base of all settings: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Replicas(Settings):
    """What a deployment asks of the cluster."""

    replicas: int = Field(1, ge=1)
    num_cpus: float = Field(0.1, ge=0)
    """Ray's logical CPUs, which are for placement only; `threads` says how many really work."""


class Pool(Replicas):
    """A deployment whose number of replicas can follow its load."""

    max_replicas: int = Field(0, ge=0)
    """If this is more than `replicas`, there are up to this many, as the load requires; otherwise
    the number is fixed."""
    upscale_delay_s: float = Field(5.0, ge=0)
    """How long more replicas must be needed before they are started."""
    downscale_delay_s: float = Field(300.0, ge=0)
    """How long one replica less must be enough before one is stopped."""


class IngressSettings(Pool):
    max_sessions: int = Field(100, ge=1)
    """The most sessions that a replica holds; further sockets are closed with 1013."""
    target_sessions: int = Field(0, ge=0)
    """The sessions that each replica should hold when the number of replicas follows the load; 0 is
    70 % of `max_sessions`."""
    downscale_delay_s: float = Field(900.0, ge=0)
    """Long, because a replica that is stopped closes its sockets, and each change of replicas
    restarts HAProxy. At least the time that a replica drains, so that they stop one by one."""
    open_timeout_s: Seconds = 30.0
    """A socket that has not sent `open` after this time is closed."""
    drain_timeout_s: Seconds = 30.0
    """How long a replica that is stopped waits for its sessions to finish their turns. HAProxy goes
    by RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S instead."""
    event_log_dir: str = ""
    """The folder for each session's events, for `echo-serve replay`. What was said is in them."""
    event_log_audio: bool = False
    """Whether the user's audio is written as well."""

    @model_validator(mode="after")
    def _has_a_target_it_can_reach(self) -> Self:
        if self.target_sessions > self.max_sessions:
            raise ValueError("target_sessions is more than max_sessions: no replica would be added")
        return self

    @property
    def sessions_wanted(self) -> int:
        """The sessions that each replica should hold; at least 1."""
        return self.target_sessions or max(1, int(_TARGET_SHARE * self.max_sessions))


class SessionSettings(Settings):
    """The session actors, which keep the sessions of clients that may come back."""

    actors: int = Field(1, ge=1)
    num_cpus: float = Field(0.0, ge=0)
    window_s: float = Field(60.0, ge=5)
    """How long a session can be resumed after the loss of its socket."""
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
    """A Hugging Face id, a local path, or `packaged` (Whisper tiny.en)."""
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
    timeout_s: Seconds = 15.0
    """For one text, including second tries."""
    hedge_s: Seconds = 4.0
    """A text that takes longer is asked for again, if there is another replica."""
    target_wait_ms: float = Field(100.0, gt=0)
    """How long speech may wait for a transcriber before replicas are added."""


class LlmSettings(Settings):
    provider: LlmProvider = "auto"
    """`auto`: openai if OPENAI_API_KEY is set, generic if an api_url is set, else local."""
    model: str = ""
    """Empty is the provider's default; for `local` a Hugging Face id, a path or `packaged`."""
    api_url: str = ""
    """Base URL of an OpenAI-compatible server, such as http://localhost:8000/v1."""
    api_key_variable: EnvironmentVariable = ""
    """Environment variable with the provider's key. Empty means OPENAI_API_KEY for `openai`, and
    TEXT_GENERATION_API_KEY for `generic`; in llm_fallbacks, `generic` then has no key, because that
    one belongs to another provider."""
    max_new_tokens: int = Field(400, ge=1)
    max_sequence_length: int = Field(2048, ge=64)
    """For a local model: prompt, history and reply together, in tokens."""
    first_token_timeout_s: Seconds = 10.0
    next_token_timeout_s: Seconds = 5.0
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    threads: int = Field(0, ge=0)


class TtsSettings(Settings):
    provider: TtsProvider = "auto"
    """`auto`: generic if TEXT_TO_SPEECH_API_URL is set, elevenlabs if ELEVEN_LABS_API_KEY is set,
    else local. `generic` is any server with OpenAI's /v1/audio/speech, such as Kokoro-FastAPI or
    speaches."""
    api_url: str = ""
    """Empty means the provider's own; `generic` needs one, such as http://localhost:8880/v1."""
    api_key_variable: EnvironmentVariable = ""
    """Environment variable with the provider's key. Empty means ELEVEN_LABS_API_KEY or
    OPENAI_API_KEY, and TEXT_TO_SPEECH_API_KEY for `generic`; in tts_fallbacks, `generic` then has
    no key, because that one belongs to another provider."""
    transport: Literal["multi-context", "stream-input", "http"] = "multi-context"
    """How ElevenLabs is called. `multi-context`: warm WebSockets that replies share; the lowest
    delay. `stream-input`: a WebSocket for each reply, for servers and proxies without
    multi-stream-input. `http`: a request for each clause, where WebSockets do not get through or
    the model (eleven_v3) has none; pauses between clauses are less natural."""
    voice_id: str = "21m00Tcm4TlvDq8ikWAM"
    model_id: str = "eleven_turbo_v2"
    optimize_streaming_latency: int = Field(2, ge=0, le=4)
    voice: str = PACKAGED
    """For the local voice: path of a Piper .onnx file, or `packaged`. For `openai` and `generic`:
    the name of a voice."""
    model: str = ""
    """For `openai` and `generic`."""
    sample_rate_hz: int = Field(24_000, ge=8_000, le=192_000)
    """Of the pcm that `openai` and `generic` return; their answers do not say it."""
    output_format: str = ""
    """The client format, and what ElevenLabs is asked for. Empty means pcm_44100, which Echo's
    example client plays; ElevenLabs is then asked for pcm_22050, which every plan has, and that is
    resampled. For `openai` and `generic`: pcm, or mp3 or opus with their true bit rate."""
    first_audio_timeout_s: Seconds = 10.0
    threads: int = Field(0, ge=0)


ToolName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""The names that OpenAI's API takes."""


class ToolSettings(Settings):
    """A tool that the chat model may use. Either `python` or `url` is set."""

    name: ToolName
    description: str = Field(min_length=1)
    """Tells the model what the tool does, and when to use it."""
    parameters: Annotated[dict[str, Any], AfterValidator(checked_schema)]
    """JSON schema of the arguments, with `type: object`. Arguments are validated before a call."""
    python: str = Field("", pattern=r"^([\w.]+:[\w.]+)?$")
    """`package.module:function`, called with keyword arguments, in a thread or as a coroutine. The
    result is what it returns, as text or JSON."""
    url: str = Field("", pattern=r"^(https?://.+)?$")
    """The arguments are posted here as JSON. The result is the body of the answer."""
    api_key_variable: EnvironmentVariable = ""
    """Environment variable whose value is sent to `url` as a bearer token."""

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if bool(self.python) == bool(self.url):
            raise ValueError("set either python or url")
        return self


class McpServerSettings(Settings):
    """A server of tools (Model Context Protocol). Either `command` or `url` is set."""

    name: ToolName
    """For logs."""
    command: tuple[str, ...] = ()
    """Program and arguments of a server that each agent replica starts and talks to over stdio."""
    url: str = Field("", pattern=r"^(https?://.+)?$")
    """Address of a server that speaks streamable HTTP, such as http://localhost:8000/mcp."""
    api_key_variable: EnvironmentVariable = ""
    """Environment variable whose value is sent to `url` as a bearer token."""
    environment: tuple[EnvironmentVariable, ...] = ()
    """Environment variables that `command` gets besides PATH, HOME and the like."""
    tools: tuple[str, ...] = ()
    """The tools that may be used, by the server's names for them; empty means all."""

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if bool(self.command) == bool(self.url):
            raise ValueError("set either command or url")
        return self


class ToolUseSettings(Settings):
    """How a reply uses tools."""

    timeout_s: Seconds = 10.0
    """For one call."""
    max_steps: int = Field(3, ge=1, le=10)
    """Rounds of calls in a reply; after the last one the model must answer with what it has."""
    max_result_chars: int = Field(8000, ge=100)
    """A longer result is cut."""
    filler: str = "One moment, please."
    """Said at most once in a reply, when a tool takes longer than `filler_after_s`; empty means
    that nothing is said."""
    filler_after_s: Seconds = 1.0


class BreakerSettings(Settings):
    """When an engine that has a fall-back is left out for a while."""

    failures: int = Field(3, ge=1)
    """Failures in a row. One refusal that concerns every request, such as HTTP 401, is enough."""
    cool_down_s: Seconds = 30.0
    """After this time, one reply tries the engine again."""


class AgentSettings(Replicas):
    num_gpus: float = Field(0.0, ge=0)
    """For a chat model that runs in this deployment."""
    max_ongoing_replies: int = Field(64, ge=1)
    draft_replies: int = Field(8, ge=0)
    """With this many replies under way for each replica, no drafts are begun."""
    llm: LlmSettings = LlmSettings()
    tts: TtsSettings = TtsSettings()
    llm_fallbacks: tuple[LlmSettings, ...] = ()
    """Asked in this order, each when those before it do not begin to answer within their
    `first_token_timeout_s`. Each names its provider: environment variables set only `llm`."""
    tts_fallbacks: tuple[TtsSettings, ...] = ()
    """The same for voices, with `first_audio_timeout_s`. The client format is that of `tts`."""
    breaker: BreakerSettings = BreakerSettings()
    tools: tuple[ToolSettings, ...] = ()
    mcp_servers: tuple[McpServerSettings, ...] = ()
    tool_use: ToolUseSettings = ToolUseSettings()

    @property
    def llms(self) -> tuple[LlmSettings, ...]:
        """In the order in which they are asked."""
        return (self.llm, *self.llm_fallbacks)

    @property
    def voices(self) -> tuple[TtsSettings, ...]:
        """In the order in which they are asked."""
        return (self.tts, *self.tts_fallbacks)

    @property
    def uses_tools(self) -> bool:
        return bool(self.tools or self.mcp_servers)


class AppConfig(Settings):
    """Everything under `args` in a Serve configuration file."""

    ingress: IngressSettings = IngressSettings()
    sessions: SessionSettings = SessionSettings()
    turn: TurnSettings = TurnSettings()
    vad: VadSettings = VadSettings()
    stt: SttSettings = SttSettings()
    agent: AgentSettings = AgentSettings()
