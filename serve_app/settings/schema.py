"""Typed settings: the `args` of a Serve configuration file.

Secrets come from the environment only and are never stored here."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from serve_app.conversation.settings import TurnSettings
from serve_app.settings.tool_schema import checked_schema

LlmProvider = Literal["auto", "openai", "generic", "local"]
TtsProvider = Literal["auto", "elevenlabs", "openai", "generic", "local"]
PACKAGED = "packaged"
"""Stands for the small model that the project fetches from the package index by itself."""
Seconds = Annotated[float, Field(gt=0)]
_TARGET_SHARE = 0.7
"""Of an ingress replica's places: the rest is for who comes while the next one starts, and for the
sockets of one that goes."""
EnvironmentVariable = Annotated[str, Field(pattern=r"^\w*$")]


class Settings(BaseModel):
    """Base of all settings: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Replicas(Settings):
    """What one deployment asks of the cluster."""

    replicas: int = Field(1, ge=1)
    num_cpus: float = Field(0.1, ge=0)
    """Ray's logical CPUs, used for placement only; `threads` below is what really runs."""


class Pool(Replicas):
    """A deployment whose number of replicas may follow its load."""

    max_replicas: int = Field(0, ge=0)
    """Above `replicas`, there are up to this many, as the load asks; else the number is fixed."""
    upscale_delay_s: float = Field(5.0, ge=0)
    """How long more replicas have to be wanted before they are started."""
    downscale_delay_s: float = Field(300.0, ge=0)
    """How long one less has to be enough before one is stopped."""


class IngressSettings(Pool):
    max_sessions: int = Field(100, ge=1)
    """Sessions that one replica holds; one more is closed with 1013."""
    target_sessions: int = Field(0, ge=0)
    """Sessions a replica that the pool is scaled for; 0 is 70 % of `max_sessions`."""
    downscale_delay_s: float = Field(900.0, ge=0)
    """Long: each replica that goes closes its sockets, and a change of replicas makes HAProxy start
    anew. Not below the time that a replica drains, so that one goes after the other."""
    open_timeout_s: Seconds = 30.0
    """A socket that has not sent `open` by then is closed."""
    drain_timeout_s: Seconds = 30.0
    """How long a replica that is stopped waits for its sessions to finish their turn; with HAProxy
    RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S is how long."""
    event_log_dir: str = ""
    """Where each session's events are written, for `echo-serve replay`. They hold what was said."""
    event_log_audio: bool = False
    """Whether the user's audio is written, too."""

    @model_validator(mode="after")
    def _has_a_target_it_can_reach(self) -> Self:
        if self.target_sessions > self.max_sessions:
            raise ValueError("target_sessions is more than max_sessions: it would never grow")
        return self

    @property
    def sessions_wanted(self) -> int:
        """For each replica; at least 1."""
        return self.target_sessions or max(1, int(_TARGET_SHARE * self.max_sessions))


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
    hedge_s: Seconds = 0.5
    """Frames that are not judged by then are sent again, where there is another replica."""
    end_of_turn: Literal["packaged", "off"] = "packaged"
    """Whether a model (Smart Turn v3.2) hears if a turn is complete, or silence alone ends it."""


class SttSettings(Pool):
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
    """A text that takes longer is asked for again, where there is another replica."""
    target_wait_ms: float = Field(100.0, gt=0)
    """The wait of speech for a transcriber that the pool is scaled for."""


class LlmSettings(Settings):
    provider: LlmProvider = "auto"
    """`auto`: openai when OPENAI_API_KEY is set, generic when an api_url is, else local."""
    model: str = ""
    """Empty is the provider's default; for `local` a Hugging Face id, a path or `packaged`."""
    api_url: str = ""
    """Base URL of an OpenAI-compatible server, such as http://localhost:8000/v1."""
    api_key_variable: EnvironmentVariable = ""
    """Environment variable with the provider's key. Empty is OPENAI_API_KEY for `openai`; for
    `generic` it is TEXT_GENERATION_API_KEY, in llm_fallbacks no key: it is another's."""
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
    """`auto`: generic when TEXT_TO_SPEECH_API_URL is set, elevenlabs when ELEVEN_LABS_API_KEY is,
    else local. `generic` is any server with OpenAI's /v1/audio/speech, such as Kokoro-FastAPI or
    speaches."""
    api_url: str = ""
    """Empty is the provider's own; `generic` needs one, such as http://localhost:8880/v1."""
    api_key_variable: EnvironmentVariable = ""
    """Environment variable with the provider's key. Empty is ELEVEN_LABS_API_KEY or OPENAI_API_KEY;
    for `generic` it is TEXT_TO_SPEECH_API_KEY, in tts_fallbacks no key: it is another's."""
    transport: Literal["multi-context", "stream-input", "http"] = "multi-context"
    """How ElevenLabs is spoken to. `multi-context`: warm WebSockets that replies share, the
    lowest delay. `stream-input`: a WebSocket a reply, for servers and proxies without
    multi-stream-input. `http`: a request a clause, where WebSockets do not get through or a
    model (eleven_v3) has none; pauses between clauses are less natural."""
    voice_id: str = "21m00Tcm4TlvDq8ikWAM"
    model_id: str = "eleven_turbo_v2"
    optimize_streaming_latency: int = Field(2, ge=0, le=4)
    voice: str = PACKAGED
    """The local voice: path of a Piper .onnx file, or `packaged`. For `openai` and `generic`
    the name of a voice."""
    model: str = ""
    """For `openai` and `generic`."""
    sample_rate_hz: int = Field(24_000, ge=8_000, le=192_000)
    """Of the pcm that `openai` and `generic` return: nothing in their answer says it."""
    output_format: str = ""
    """What the client receives, and what ElevenLabs is asked for. Empty is pcm_44100 (what
    Echo's example client plays), for which ElevenLabs is asked for pcm_22050, open to every
    plan, and resampled. `openai` and `generic`: pcm, or mp3 or opus with their true bit rate."""
    first_audio_timeout_s: Seconds = 10.0
    threads: int = Field(0, ge=0)


ToolName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""What OpenAI's API takes."""


class ToolSettings(Settings):
    """A tool that the chat model may use. Either `python` or `url` says what it is."""

    name: ToolName
    description: str = Field(min_length=1)
    """For the model: what it does, and when to use it."""
    parameters: Annotated[dict[str, Any], AfterValidator(checked_schema)]
    """JSON schema of the arguments, `type: object`. They are validated before a call."""
    python: str = Field("", pattern=r"^([\w.]+:[\w.]+)?$")
    """`package.module:function`, called with the arguments by name, in a thread or as a
    coroutine. What it returns, as text or JSON, is the result."""
    url: str = Field("", pattern=r"^(https?://.+)?$")
    """The arguments are posted here as JSON; the body of the answer is the result."""
    api_key_variable: EnvironmentVariable = ""
    """Environment variable whose value `url` gets as a bearer token."""

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if bool(self.python) == bool(self.url):
            raise ValueError("set either python or url")
        return self


class McpServerSettings(Settings):
    """A server of tools (Model Context Protocol). Either `command` or `url` says where it is."""

    name: ToolName
    """For logs."""
    command: tuple[str, ...] = ()
    """Program and arguments of a server that each agent replica starts, and talks to by stdio."""
    url: str = Field("", pattern=r"^(https?://.+)?$")
    """A server that speaks streamable HTTP, such as http://localhost:8000/mcp."""
    api_key_variable: EnvironmentVariable = ""
    """Environment variable whose value `url` gets as a bearer token."""
    environment: tuple[EnvironmentVariable, ...] = ()
    """Environment variables that `command` gets, beside PATH, HOME and the like."""
    tools: tuple[str, ...] = ()
    """Those of its tools that may be used, by the server's names; empty is all."""

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if bool(self.command) == bool(self.url):
            raise ValueError("set either command or url")
        return self


class ToolUseSettings(Settings):
    """How tools are used in a reply."""

    timeout_s: Seconds = 10.0
    """Of one call."""
    max_steps: int = Field(3, ge=1, le=10)
    """Rounds of calls in a reply; after the last the model has to answer with what it has."""
    max_result_chars: int = Field(8000, ge=100)
    """What is longer is cut."""
    filler: str = "One moment, please."
    """Said once a reply when a tool takes longer than `filler_after_s`; empty is nothing said."""
    filler_after_s: Seconds = 1.0


class BreakerSettings(Settings):
    """When an engine that has an alternative is left out for a while."""

    failures: int = Field(3, ge=1)
    """In a row. A refusal that concerns every request, such as HTTP 401, is enough by itself."""
    cool_down_s: Seconds = 30.0
    """After this one reply tries it again."""


class AgentSettings(Replicas):
    num_gpus: float = Field(0.0, ge=0)
    """For an LLM that runs in this deployment."""
    max_ongoing_replies: int = Field(64, ge=1)
    draft_replies: int = Field(8, ge=0)
    """With so many replies going, for each replica, none is begun before its turn has ended."""
    llm: LlmSettings = LlmSettings()
    tts: TtsSettings = TtsSettings()
    llm_fallbacks: tuple[LlmSettings, ...] = ()
    """Asked in this order when those before do not begin to answer within their
    `first_token_timeout_s`. Each names its provider; environment variables set `llm` only."""
    tts_fallbacks: tuple[TtsSettings, ...] = ()
    """The same for voices, with `first_audio_timeout_s`. Clients receive the format of `tts`."""
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
