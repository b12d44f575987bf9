"""The settings of the agent: LLMs, voices, fall-backs and tools. `args.agent` in the file."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from serve_app.settings.base import PACKAGED, Replicas, Seconds, Settings
from serve_app.settings.extra_body import checked_extra_body
from serve_app.settings.packaged import is_gguf
from serve_app.settings.tool_schema import checked_schema

LlmProvider = Literal["auto", "openai", "generic", "local"]
TtsProvider = Literal["auto", "elevenlabs", "openai", "generic", "local"]
JOE = "piper-en-us-joe"
"""A Piper voice that can be fetched."""
EnvironmentVariable = Annotated[str, Field(pattern=r"^\w*$")]

REMOTE_ONLY = (
    "reasoning_effort",
    "starts_within_thought",
    "temperature",
    "top_p",
    "seed",
    "stop",
    "extra_body",
    "role_order",
)
"""Settings of a chat model that the local ones do not have."""


class LlmSettings(Settings):
    provider: LlmProvider = "auto"
    """`auto`: openai if OPENAI_API_KEY is set, generic if an api_url is set, else local."""
    model: str = ""
    """Empty is the provider's default. For `local`: the name of a packaged model (`echo-serve
    models` lists them), `packaged` for the default one, the path of a .gguf file, or a Hugging Face
    id or directory."""
    api_url: str = ""
    """Base URL of an OpenAI-compatible server, such as http://localhost:8000/v1."""
    api_key_variable: EnvironmentVariable = ""
    """Environment variable with the provider's key. Empty means OPENAI_API_KEY for `openai`, and
    TEXT_GENERATION_API_KEY for `generic`; in llm_fallbacks, `generic` then has no key, because that
    one belongs to another provider."""
    max_new_tokens: int = Field(400, ge=1)
    max_sequence_length: int = Field(2048, ge=64)
    """For a local model: prompt, history and reply together, in tokens."""
    parallel_replies: int = Field(4, ge=1)
    """For a local .gguf: how many replies are written at the same time. Each one has its own
    memory of a conversation, of `max_sequence_length` tokens; further replies wait."""
    first_token_timeout_s: Seconds = 10.0
    next_token_timeout_s: Seconds = 5.0
    thinking_timeout_s: Seconds = 30.0
    """In place of the two above while the model thinks: for the text that follows."""
    reasoning_effort: str = Field("auto", pattern=r"^\w*$")
    """How much the model thinks before it answers, in the words of its provider (none, minimal,
    low, ...). `auto` is the least that OpenAI's models take, and nothing for others; empty is never
    sent. Like all settings down to `role_order`, for `openai` and `generic` only."""
    starts_within_thought: bool = False
    """Set this if thoughts are heard that end in `</think>`: the model's template holds their
    beginning, and the server leaves them in the text."""
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = None
    stop: tuple[str, ...] = ()
    """Texts before which the reply ends."""
    extra_body: Annotated[dict[str, Any], AfterValidator(checked_extra_body)] = Field({})
    """Sent along in every request as it is, such as `chat_template_kwargs: {enable_thinking:
    false}` for Qwen on vLLM. It wins over all other settings."""
    role_order: Literal["auto", "free", "alternating", "no-system"] = "auto"
    """`alternating` for servers that insist that user and assistant take turns and that the user
    begins; `no-system` for those that take no system message either. `auto` finds out: a refusal
    that says so is answered with the other order, which is kept."""
    device: str = "auto"
    """For a local model: `cpu`, `cuda` or `auto`."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """For a local model from Hugging Face."""
    threads: int = Field(0, ge=0)
    """For a local model; 0 is half of the cores for a .gguf, and all of them for others."""

    @property
    def longest_silence_s(self) -> float:
        """From a request until its first text, for a model that thinks. A local one shows what it
        thinks as it goes on."""
        if self.provider == "local":
            return self.first_token_timeout_s
        return max(self.first_token_timeout_s, self.thinking_timeout_s)


ELEVEN_V3 = "eleven_v3"
"""Models of ElevenLabs whose names begin like this have no WebSocket."""


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
    the model has none; pauses between clauses are less natural. eleven_v3 is always called like
    this."""
    voice_id: str = "21m00Tcm4TlvDq8ikWAM"
    model_id: str = "eleven_turbo_v2"
    optimize_streaming_latency: int = Field(2, ge=0, le=4)
    voice: str = PACKAGED
    """For the local voice: `packaged` (hibari), `piper-en-us-joe`, or the path of a Piper .onnx
    file. For `openai` and `generic`: the name of a voice."""
    model: str = ""
    """For `openai` and `generic`."""
    sample_rate_hz: int = Field(24_000, ge=8_000, le=192_000)
    """Of the pcm that `openai` and `generic` return, unless its content type says another rate."""
    response_format: Literal["auto", "pcm", "wav", "mp3", "flac"] = "auto"
    """What `openai` and `generic` are asked for. `auto` is the codec of output_format, which is pcm
    by default: it needs no decoding. Set it for a server that refuses pcm; what comes is recognised
    by its first bytes and made pcm. mp3 and flac are heard only when a clause is complete."""
    output_format: str = ""
    """The client format, and what ElevenLabs is asked for. Empty means pcm_44100, which Echo's
    example client plays; ElevenLabs is then asked for pcm_22050, which every plan has, and that is
    resampled. For `openai` and `generic`: pcm, or mp3 or opus with their true bit rate."""
    first_audio_timeout_s: Seconds = 10.0
    threads: int = Field(0, ge=0)
    """Of a Piper voice; 0 is one per core. The packaged voice has one."""


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
    """A replica with this many replies under way begins no drafts, whichever ingress asks."""
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
    def may_use_tools(self) -> bool:
        """Whether the chat models can, which a fall-back has to as well. What transformers runs
        cannot."""
        return all(llm.provider != "local" or is_gguf(llm.model) for llm in self.llms)

    @property
    def uses_tools(self) -> bool:
        return bool(self.tools or self.mcp_servers)
