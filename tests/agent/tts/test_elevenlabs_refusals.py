"""Each refusal of ElevenLabs says what to do, over each transport."""

from collections.abc import Mapping

import pytest

from serve_app.agent.engines import Speech
from serve_app.agent.factory import build_tts
from serve_app.errors import EngineError, EngineRefused, EngineUnavailable
from serve_app.fakes.elevenlabs import FakeElevenLabs, Script
from serve_app.fakes.elevenlabs_http import FakeElevenLabsHttp
from serve_app.settings.agent import TtsSettings
from serve_app.settings.plan import stages
from serve_app.settings.resolve import resolve
from serve_app.settings.schema import AppConfig
from tests.agent.tts.eleven import audio, collect, say

KEY = {"MY_KEY": "xi-hush"}
TRANSPORTS = ["multi-context", "stream-input", "http"]

ADVICE: list[tuple[int, Mapping[str, str] | str, type[EngineError], str]] = [
    (401, {"status": "invalid_api_key"}, EngineRefused, "check MY_KEY"),
    (401, {"status": "missing_permissions"}, EngineRefused, "allow text to speech for the key"),
    (401, {"status": "quota_exceeded"}, EngineRefused, "characters are used up"),
    (401, {"status": "detected_unusual_activity"}, EngineRefused, "use a paid plan, and no VPN"),
    (
        402,
        {"code": "paid_plan_required", "status": "payment_required", "message": "Free users"},
        EngineRefused,
        "set ELEVEN_LABS_VOICE_ID",
    ),
    (402, "", EngineRefused, "the account's plan does not have this"),
    (403, "", EngineRefused, "set args.agent.tts.transport to http"),
    (403, {"status": "output_format_not_allowed"}, EngineRefused, "leave ELEVEN_LABS_OUTPUT_FORM"),
    (404, {"status": "voice_not_found"}, EngineRefused, "set ELEVEN_LABS_VOICE_ID"),
    (404, "", EngineRefused, "check ELEVEN_LABS_VOICE_ID, ELEVEN_LABS_MODEL_ID"),
    (400, {"code": "unsupported_model"}, EngineRefused, "set ELEVEN_LABS_MODEL_ID"),
    (400, "A voice with the voice_id x does not exist.", EngineRefused, "set ELEVEN_LABS_VOICE_ID"),
    (400, {"status": "max_character_limit_exceeded"}, EngineError, "longer than the model takes"),
    (429, {"status": "concurrent_limit_exceeded"}, EngineUnavailable, "ElevenLabs is busy"),
    (429, {"status": "quota, in words: I can help"}, EngineUnavailable, "HTTP 429"),
    (500, {"status": "voice_not_found"}, EngineUnavailable, "HTTP 500"),
]


async def refused(script: Script, transport: str) -> EngineError:
    kind = FakeElevenLabsHttp if transport == "http" else FakeElevenLabs
    async with kind(script) as server:
        tts = {"provider": "elevenlabs", "api_url": server.url, "transport": transport}
        args = {"agent": {"tts": {**tts, "api_key_variable": "MY_KEY"}}}
        config = resolve(AppConfig.model_validate(args), KEY, 0)
        voice = build_tts(config.agent.tts, KEY)
        try:
            with pytest.raises(EngineError) as caught:
                await collect(voice.speak(say("I can help.")), [])
        finally:
            await voice.aclose()
    assert "help" not in caught.value.message
    assert "\n" not in caught.value.message
    return caught.value


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(("status", "detail", "kind", "advice"), ADVICE)
async def test_a_refused_request_says_what_to_do(
    transport: str,
    status: int,
    detail: Mapping[str, str] | str,
    kind: type[EngineError],
    advice: str,
) -> None:
    error = await refused(Script(status=status, detail=detail), transport)
    assert advice in error.message
    assert type(error) is kind


CLOSED = [
    ("quota_exceeded", "characters are used up"),
    ("voice_id_does_not_exist", "set ELEVEN_LABS_VOICE_ID"),
    ("A voice with the voice_id 21m00 does not exist.", "set ELEVEN_LABS_VOICE_ID"),
    ("This request exceeds your quota of 10000. You have 5 credits", "characters are used up"),
    ("Model eleven_x is not supported", "set ELEVEN_LABS_MODEL_ID"),
    ("invalid_api_key", "check MY_KEY"),
    ("Invalid API key", "check MY_KEY"),
]


@pytest.mark.parametrize("transport", TRANSPORTS[:2])
@pytest.mark.parametrize(("reason", "advice"), CLOSED)
async def test_a_close_with_1008_says_what_to_do(transport: str, reason: str, advice: str) -> None:
    error = await refused(Script(fail_after=1, close_reason=reason), transport)
    assert advice in error.message
    assert type(error) is EngineRefused


@pytest.mark.parametrize("transport", TRANSPORTS[:2])
@pytest.mark.parametrize(("reason", "advice"), CLOSED)
async def test_an_error_in_a_message_says_what_to_do(
    transport: str, reason: str, advice: str
) -> None:
    told = {"error": reason} if " " not in reason else {"message": reason, "code": 1008}
    error = await refused(Script(fail_after=1, error=told), transport)
    assert advice in error.message


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("model", ["eleven_v3", "eleven_v3_conversational"])
async def test_eleven_v3_is_called_over_http_and_that_is_said(transport: str, model: str) -> None:
    async with FakeElevenLabsHttp() as server:
        tts = {"provider": "elevenlabs", "api_url": server.url, "transport": transport}
        env = {**KEY, "ELEVEN_LABS_API_KEY": "xi-hush"}
        config = AppConfig.model_validate({"agent": {"tts": {**tts, "model_id": model}}})
        resolved = resolve(config, env, 0)
        (row,) = (row for row in stages(resolved) if row.stage == "tts")
        assert row.engine == "elevenlabs (http)"
        assert row.model.startswith(f"{model} (no WebSocket)")
        voice = build_tts(resolved.agent.tts, env)
        speeches: list[Speech] = []
        await collect(voice.speak(say("Hello.")), speeches)
        await voice.aclose()
    assert audio(speeches)
    assert "optimize_streaming_latency" not in server.requests[0].path


async def test_the_stand_in_has_no_websocket_for_eleven_v3() -> None:
    """Or the test above would show nothing."""
    async with FakeElevenLabs() as server:
        options = {"provider": "elevenlabs", "api_url": server.url, "model_id": "eleven_v3"}
        voice = build_tts(TtsSettings.model_validate(options), {})
        with pytest.raises(EngineRefused, match="HTTP 403: check ELEVEN_LABS_API_KEY and its perm"):
            await collect(voice.speak(say("Hello.")), [])
        await voice.aclose()
