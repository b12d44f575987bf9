"""Settings and environment decide everything, and every mistake is one line."""

import pytest

from serve_app.agent.factory import eleven_labs_format
from serve_app.errors import ConfigError
from serve_app.protocol.formats import ELEVEN_LABS_FORMATS
from serve_app.settings.environment import load
from serve_app.settings.plan import stages
from serve_app.settings.resolve import client_format
from tests.settings.resolved import FALLBACKS, plan


def test_echos_variables_win_over_the_file() -> None:
    config = plan(
        args={"stt": {"model": "file/model"}, "agent": {"llm": {"max_new_tokens": 7}}},
        SPEECH_TO_TEXT_MODEL="distil-whisper/distil-medium.en",
        TEXT_GENERATION_PROVIDER="generic",
        TEXT_GENERATION_MODEL="llama",
        TEXT_GENERATION_API_URL="http://localhost:8000",
        TEXT_GENERATION_MAX_NEW_TOKENS="50",
        ELEVEN_LABS_API_KEY="k",
        ELEVEN_LABS_VOICE_ID="voice",
        ELEVEN_LABS_MODEL_ID="eleven_flash_v2_5",
        ELEVEN_LABS_OPTIMIZE_STREAMING_LATENCY="3",
        ELEVEN_LABS_OUTPUT_FORMAT="mp3_22050_32",
        ELEVEN_LABS_API_URL="ws://localhost:9",
    )
    llm, tts = config.agent.llm, config.agent.tts
    assert config.stt.model == "distil-whisper/distil-medium.en"
    assert (llm.provider, llm.model, llm.max_new_tokens) == ("generic", "llama", 50)
    assert llm.api_url == "http://localhost:8000/v1"
    assert (tts.voice_id, tts.model_id, tts.optimize_streaming_latency) == (
        "voice", "eleven_flash_v2_5", 3,
    )  # fmt: skip
    assert tts.api_url == "ws://localhost:9"
    assert client_format(tts).name == "mp3_22050_32"


def test_an_address_of_a_speech_server_chooses_it() -> None:
    config = plan(
        TEXT_TO_SPEECH_API_URL="http://localhost:8880",
        TEXT_TO_SPEECH_MODEL="kokoro",
        TEXT_TO_SPEECH_VOICE="af_heart",
        ELEVEN_LABS_API_KEY="k",
    )
    tts = config.agent.tts
    assert (tts.provider, tts.api_url, tts.model, tts.voice) == (
        "generic", "http://localhost:8880/v1", "kokoro", "af_heart",
    )  # fmt: skip
    assert stages(config)[3].engine == "openai api, http://localhost:8880/v1"
    assert stages(config)[3].model == "kokoro, voice af_heart"


def test_openai_speaks_when_it_is_chosen() -> None:
    config = plan(
        args={
            "agent": {"tts": {"provider": "openai", "model": "gpt-4o-mini-tts", "voice": "coral"}}
        },
        OPENAI_API_KEY="k",
    )
    assert stages(config)[3].engine == "openai api, api.openai.com"


@pytest.mark.parametrize(
    ("tts", "message"),
    [
        ({"provider": "openai"}, "the voice is openai, but OPENAI_API_KEY is not set"),
        ({"provider": "generic"}, "the voice is generic, but TEXT_TO_SPEECH_API_URL is not set"),
        (
            {"provider": "generic", "api_url": "http://x"},
            "the voice is generic, but TEXT_TO_SPEECH_MODEL is not set",
        ),
        (
            {"provider": "generic", "api_url": "http://x", "model": "m"},
            "the voice is generic, but TEXT_TO_SPEECH_VOICE is not set",
        ),
        (
            {
                "provider": "generic",
                "api_url": "http://x",
                "model": "m",
                "voice": "v",
                "output_format": "ulaw_8000",
            },
            "is ulaw_8000, but the generic voice speaks pcm, mp3 and opus only",
        ),
    ],
)
def test_a_speech_server_needs_its_settings(tts: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(args={"agent": {"tts": tts}})


@pytest.mark.parametrize("transport", ["multi-context", "stream-input", "http"])
@pytest.mark.parametrize("name", sorted(ELEVEN_LABS_FORMATS))
def test_each_format_of_elevenlabs_is_asked_for_where_it_is_offered(
    name: str, transport: str
) -> None:
    args = {"agent": {"tts": {"output_format": name, "transport": transport}}}
    if name == "mp3_24000_48" and transport != "http":
        with pytest.raises(ConfigError, match="over HTTP only"):
            plan(args=args, ELEVEN_LABS_API_KEY="k")
        return
    tts = plan(args=args, ELEVEN_LABS_API_KEY="k").agent.tts
    is_resampled = name in ("pcm_32000", "pcm_48000") and transport != "http"
    assert client_format(tts).name == name
    assert eleven_labs_format(tts).name == ("pcm_24000" if is_resampled else name)


@pytest.mark.parametrize(
    ("name", "asked"), [("", "pcm_22050"), ("pcm_11025", "pcm_24000"), ("pcm_44100", "pcm_44100")]
)
def test_pcm_that_elevenlabs_does_not_offer_is_resampled(name: str, asked: str) -> None:
    args = {"agent": {"tts": {"output_format": name}}}
    assert eleven_labs_format(plan(args=args, ELEVEN_LABS_API_KEY="k").agent.tts).name == asked


def test_other_formats_that_elevenlabs_does_not_offer_are_refused() -> None:
    args = {"agent": {"tts": {"output_format": "opus_48000_33"}}}
    with pytest.raises(ConfigError, match="ElevenLabs has no such format"):
        plan(args=args, ELEVEN_LABS_API_KEY="k")


def test_an_empty_variable_counts_as_unset() -> None:
    assert plan(SPEECH_TO_TEXT_MODEL="", OPENAI_API_KEY="").agent.llm.provider == "local"


def test_bumblebee_means_a_model_in_the_server() -> None:
    config = plan(TEXT_GENERATION_PROVIDER="bumblebee", TEXT_GENERATION_MODEL="HF/model")
    assert (config.agent.llm.provider, config.agent.llm.model) == ("local", "HF/model")


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://host:8000", "http://host:8000/v1"),
        ("http://host:8000/v1/", "http://host:8000/v1"),
        ("http://host/api/v1/chat/completions", "http://host/api/v1"),
    ],
)
def test_every_usual_form_of_the_api_url_works(url: str, base: str) -> None:
    config = plan(TEXT_GENERATION_API_URL=url, TEXT_GENERATION_MODEL="m")
    assert (config.agent.llm.provider, config.agent.llm.api_url) == ("generic", base)


def test_the_stt_pool_takes_a_gpu_where_there_is_one() -> None:
    assert (plan(gpus=0).stt.num_gpus, plan(gpus=0).stt.device) == (0.0, "cpu")
    assert (plan(gpus=2).stt.num_gpus, plan(gpus=2).stt.device) == (1.0, "cuda")
    fixed = plan(gpus=0, args={"stt": {"num_gpus": 0.5}})
    assert (fixed.stt.num_gpus, fixed.stt.device) == (0.5, "cuda")


@pytest.mark.parametrize(
    ("args", "env", "message"),
    [
        ({}, {"TEXT_GENERATION_PROVIDER": "openai"}, "OPENAI_API_KEY is not set"),
        ({}, {"TEXT_GENERATION_PROVIDER": "generic"}, "TEXT_GENERATION_API_URL is not set"),
        ({}, {"TEXT_GENERATION_API_URL": "http://x"}, "TEXT_GENERATION_MODEL is not set"),
        ({"agent": {"tts": {"provider": "elevenlabs"}}}, {}, "ELEVEN_LABS_API_KEY is not set"),
        ({}, {"TEXT_GENERATION_PROVIDER": "gpt"}, "TEXT_GENERATION_PROVIDER: Input should be"),
        ({}, {"TEXT_GENERATION_MAX_NEW_TOKENS": "many"}, "TEXT_GENERATION_MAX_NEW_TOKENS: "),
        ({}, {"ELEVEN_LABS_OUTPUT_FORMAT": "wav"}, "audio format 'wav' is not known"),
        ({}, {"ELEVEN_LABS_OUTPUT_FORMAT": "mp3_22050_32"}, "the local voice speaks pcm only"),
        ({"sst": {}}, {}, "args.sst is not a setting"),
        ({"stt": {"modle": "x"}}, {}, "args.stt.modle is not a setting"),
        ({"turn": {"min_speach_ms": 1}}, {}, "args.turn.min_speach_ms is not a setting"),
        ({"vad": {"replicas": 0}}, {}, "args.vad.replicas: "),
        ({"stt": {"language": "xx"}}, {}, "args.stt.language: "),
        ({"stt": {"language": "de"}}, {}, "knows en only; set model to whisper-base"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(
    args: dict[str, object], env: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        plan(args=args, **env)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_key_of_the_first_goes_to_no_fall_back() -> None:
    config = plan(
        args=FALLBACKS,
        TEXT_GENERATION_MODEL="m",
        TEXT_GENERATION_API_URL="http://a",
        TEXT_GENERATION_API_KEY="k",
    )
    assert [llm.api_key_variable for llm in config.agent.llms] == [
        "TEXT_GENERATION_API_KEY",
        "",
        "",
    ]


def test_a_fall_back_may_have_a_key_of_its_own() -> None:
    given = {"provider": "generic", "model": "m", "api_url": "http://a", "api_key_variable": "MINE"}
    args: dict[str, object] = {"agent": {"llm_fallbacks": [given]}}
    assert plan(args=args, MINE="k").agent.llms[1].api_key_variable == "MINE"
    with pytest.raises(
        ConfigError, match=r"llm_fallbacks\.0\.provider is generic, but MINE is not"
    ):
        plan(args=args)


@pytest.mark.parametrize(
    ("agent", "message"),
    [
        ({"llm_fallbacks": [{}]}, r"llm_fallbacks\.0\.provider is not set: a fall-back has no"),
        (
            {"llm_fallbacks": [{"provider": "local"}, {"provider": "generic"}]},
            r"llm_fallbacks\.1\.provider is generic, but args\.agent\.llm_fallbacks\.1\.api_url is",
        ),
        ({"tts_fallbacks": [{"provider": "elevenlabs"}]}, "but ELEVEN_LABS_API_KEY is not set"),
        (
            {"tts_fallbacks": [{"provider": "local", "output_format": "pcm_8000"}]},
            r"tts_fallbacks\.0\.output_format: leave it out",
        ),
    ],
)
def test_what_is_wrong_with_a_fall_back_is_said(agent: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(args={"agent": agent})


def test_a_fall_back_has_to_speak_the_client_format() -> None:
    args = {
        "agent": {
            "tts": {"output_format": "mp3_44100_128"},
            "tts_fallbacks": [{"provider": "local"}],
        }
    }
    with pytest.raises(ConfigError, match="the local voice speaks pcm only"):
        plan(args=args, ELEVEN_LABS_API_KEY="k")


@pytest.mark.parametrize(
    "setting", [{"temperature": 0.5}, {"extra_body": {"a": 1}}, {"stop": ["x"]}]
)
def test_settings_that_the_local_model_does_not_have_are_refused(
    setting: dict[str, object],
) -> None:
    (name,) = setting
    with pytest.raises(ConfigError, match=rf"args\.agent\.llm\.{name} is set, but the local model"):
        plan(args={"agent": {"llm": setting}})
    llm = plan(args={"agent": {"llm": setting}}, OPENAI_API_KEY="k").agent.llm
    assert llm.model_dump(include={name}, mode="json") == setting


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"extra_body": {"stream": False}}, "must not hold stream"),
        ({"extra_body": {"a": float("nan")}}, "must be JSON"),
        ({"temperature": 3}, "less than or equal to 2"),
        ({"role_order": "strict"}, "'auto', 'free', 'alternating' or 'no-system'"),
    ],
)
def test_settings_of_requests_are_checked(setting: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(args={"agent": {"llm": setting}}, OPENAI_API_KEY="k")


def test_a_preset_of_turn_taking_can_be_named_and_changed() -> None:
    config = load({"turn": {"preset": "patient", "max_silence_ms": 1800}}, {})
    assert (config.turn.end_silence_ms, config.turn.max_silence_ms) == (512, 1800)


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="preset must be quick, balanced, patient, not 'hasty'"):
        load({"turn": {"preset": "hasty"}}, {})
