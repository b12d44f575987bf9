"""The plan that settings make, and what clients may ask of it."""

import pytest

from serve_app.errors import ProtocolViolation
from serve_app.models.manifest import MANIFEST
from serve_app.protocol.languages import LANGUAGES
from serve_app.protocol.messages import Open
from serve_app.protocol.tools import Tool
from serve_app.settings.environment import load
from serve_app.settings.packaged import DEFAULT_LLM, LLMS
from serve_app.settings.plan import checked_options, packaged_models, stages
from serve_app.settings.resolve import resolve
from serve_app.settings.schema import AppConfig
from tests.settings.resolved import FALLBACKS, plan


def check(config: AppConfig, message: Open) -> Open:
    return checked_options(config, message, config.stt.languages or LANGUAGES)


def test_without_keys_everything_is_local() -> None:
    config = plan()
    assert [row.engine for row in stages(config)] == [
        "silero (onnx)", "transformers", "llama.cpp", "hibari (onnx)",
    ]  # fmt: skip
    assert {row.device for row in stages(config)} == {"cpu"}
    assert packaged_models(config) == [
        "smart-turn-v3.2",
        "whisper-tiny.en",
        DEFAULT_LLM,
    ]


@pytest.mark.parametrize(
    ("model", "engine", "needed"),
    [
        ("packaged", "llama.cpp", [DEFAULT_LLM]),
        ("qwen2.5-coder-1.5b-instruct", "llama.cpp", ["qwen2.5-coder-1.5b-instruct"]),
        ("smollm2-135m-instruct", "llama.cpp", ["smollm2-135m-instruct"]),
        ("/models/mine.gguf", "llama.cpp", []),
        ("HuggingFaceTB/SmolLM2-360M-Instruct", "transformers", []),
    ],
)
def test_the_name_of_a_local_model_says_what_runs_it(
    model: str, engine: str, needed: list[str]
) -> None:
    config = plan(TEXT_GENERATION_MODEL=model)
    assert stages(config)[2].engine == engine
    assert [name for name in packaged_models(config) if name in LLMS] == needed


def test_a_chat_model_that_transformers_runs_uses_no_tools_of_a_client() -> None:
    message = Open("", tools=(Tool("look", "", "{}"),))
    with pytest.raises(ProtocolViolation, match="the local chat model cannot use tools"):
        check(plan(TEXT_GENERATION_MODEL="org/model"), message)
    assert check(plan(OPENAI_API_KEY="k"), message).tools == message.tools
    assert check(plan(), message).tools == message.tools
    assert check(plan(TEXT_GENERATION_MODEL="/models/a.gguf"), message).tools == message.tools


def test_the_packaged_llms_are_those_that_can_be_fetched() -> None:
    assert set(LLMS) == {name for name, model in MANIFEST.items() if model.stage == "llm"}
    assert DEFAULT_LLM in LLMS
    assert all(MANIFEST[name].title.startswith(title) for name, title in LLMS.items())


def test_a_key_chooses_its_provider() -> None:
    config = plan(OPENAI_API_KEY="k", ELEVEN_LABS_API_KEY="k")
    assert config.agent.llm.provider == "openai"
    assert config.agent.tts.provider == "elevenlabs"
    assert packaged_models(config) == ["smart-turn-v3.2", "whisper-tiny.en"]


@pytest.mark.parametrize(
    ("end_of_turn", "model", "is_needed"),
    [("packaged", "silero-vad 6 + smart-turn 3.2", True), ("off", "silero-vad 6", False)],
)
def test_the_end_of_turn_model_can_be_off(end_of_turn: str, model: str, is_needed: bool) -> None:
    config = plan(args={"vad": {"end_of_turn": end_of_turn}})
    assert stages(config)[0].model == model
    assert ("smart-turn-v3.2" in packaged_models(config)) is is_needed


@pytest.mark.parametrize(
    ("voice", "shown", "fetched"),
    [
        ("packaged", ("hibari (onnx)", "heart (packaged)"), set()),
        ("piper-en-us-joe", ("piper (onnx)", "piper-en-us-joe"), {"piper-en-us-joe"}),
        ("/voices/amy.onnx", ("piper (onnx)", "/voices/amy.onnx"), set()),
    ],
)
def test_a_local_voice_is_packaged_or_one_of_pipers(
    voice: str, shown: tuple[str, str], fetched: set[str]
) -> None:
    config = plan(args={"agent": {"tts": {"voice": voice}}})
    row = stages(config)[3]
    assert (row.engine, row.model) == shown
    without = set(packaged_models(plan()))
    assert set(packaged_models(config)) - without == fetched


def test_fall_backs_are_rows_of_the_plan_and_their_models_are_fetched() -> None:
    config = plan(args=FALLBACKS, OPENAI_API_KEY="k", ELEVEN_LABS_API_KEY="k")
    assert [(row.stage, row.engine) for row in stages(config)[2:]] == [
        ("llm", "openai api, api.openai.com"),
        ("llm 2", "openai api, http://gpu:8000/v1"),
        ("llm 3", "llama.cpp"),
        ("tts", "elevenlabs"),
        ("tts 2", "hibari (onnx)"),
    ]
    assert DEFAULT_LLM in packaged_models(config)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"voice": "nova"}, "open: 'voice': the local voice is the only one here"),
        ({"language": "de"}, "open: 'language': the model here knows 'en' only"),
    ],
)
def test_what_the_engines_cannot_do_is_refused(options: dict[str, str], reason: str) -> None:
    config = resolve(load({}, {}), {}, 0)
    with pytest.raises(ProtocolViolation, match=reason):
        check(config, Open("", **options))
    check(config, Open("", language="en"))
    larger = load({"stt": {"model": "distil-whisper/distil-large-v3"}}, {})
    provider = resolve(larger, {"ELEVEN_LABS_API_KEY": "k"}, 0)
    check(provider, Open("", **options))


@pytest.mark.parametrize(
    ("model", "fetched", "refused"),
    [
        ("packaged", "whisper-tiny.en", {"de", "German", "xx"}),
        ("whisper-tiny.en", "whisper-tiny.en", {"de", "German", "xx"}),
        ("whisper-base", "whisper-base", {"xx", "yue"}),
        ("distil-whisper/distil-medium.en", "", {"de", "German", "xx"}),
        ("openai/whisper-large-v3", "", {"xx"}),
    ],
)
def test_a_language_that_the_model_does_not_know_is_refused_at_open(
    model: str, fetched: str, refused: set[str]
) -> None:
    config = plan(args={"stt": {"model": model}})
    assert config.stt.fetched_model == fetched
    whispers = {name for name in packaged_models(config) if name.startswith("whisper")}
    assert whispers == ({fetched} - {""})
    for language in ("en", "en-US", "English", "auto", "de", "German", "yue", "xx"):
        if language in refused or (language == "yue" and config.stt.knows_english_only):
            with pytest.raises(ProtocolViolation, match=r"open: 'language': .* know"):
                check(config, Open("", language=language))
        else:
            check(config, Open("", language=language))


def test_a_sample_rate_can_be_asked_of_pcm_only() -> None:
    asked = Open("", sample_rate_hz=16_000)
    check(resolve(load({}, {}), {}, 0), asked)
    env = {"ELEVEN_LABS_API_KEY": "k", "ELEVEN_LABS_OUTPUT_FORMAT": "mp3_44100_64"}
    with pytest.raises(ProtocolViolation, match="'sample_rate_hz': the voice here is not pcm"):
        check(resolve(load({}, env), env, 0), asked)
