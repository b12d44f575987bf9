"""`open.language`: a code that the transcribers know, or refused at once; never accepted and then
failing at every utterance."""

from collections.abc import Collection
from dataclasses import replace

import pytest

from serve_app.errors import EngineUnavailable, ProtocolViolation
from serve_app.ingress.options import Options
from serve_app.protocol.languages import LANGUAGES
from serve_app.protocol.messages import Open
from tests.ingress.driven import Replica
from tests.settings.resolved import plan

ENGLISH_ONLY = (
    r"^open: 'language': the model here knows 'en' only: set args.stt.model to whisper-base$"
)


class Transcribers:
    """What they know."""

    def __init__(self, *known: str) -> None:
        self.known = known
        self.are_away = False
        self.asked = 0

    async def languages(self) -> Collection[str]:
        self.asked += 1
        if self.are_away:
            raise EngineUnavailable("stt", "away")
        return self.known


async def language(model: str, language: str, transcribers: Transcribers | None = None) -> str:
    config = plan(args={"stt": {"model": model}})
    asked = Open("", language=language)
    options = Options(config, (transcribers or Transcribers()).languages)
    return (await options.check(asked)).language


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("en-US", "en"), ("English", "en"), ("auto", "auto"), ("de-DE", "de"), ("jp", "ja"),
        ("zh-Hant-TW", "zh"), ("pt_BR", "pt"), ("", "en"),
    ],
)  # fmt: skip
async def test_a_multilingual_whisper_is_given_a_code(asked: str, code: str) -> None:
    assert await language("whisper-base", asked) == code


@pytest.mark.parametrize("asked", ["xx", "Klingon", "yue", "e", "-"])
async def test_a_multilingual_whisper_says_which_codes_it_knows(asked: str) -> None:
    with pytest.raises(ProtocolViolation, match=r"is not known here; known are auto, en, zh, de,"):
        await language("whisper-base", asked)


async def test_the_codes_that_fit_into_a_close_frame_are_the_most_used_ones() -> None:
    with pytest.raises(ProtocolViolation) as caught:
        await language("whisper-base", "x" * 100)
    assert {"en", "de", "es", "fr"} <= set(caught.value.reason[:123].split(", "))
    assert caught.value.reason.endswith(", su")


@pytest.mark.parametrize("asked", ["", "en", "en-US", "English", "auto"])
async def test_an_english_whisper_takes_english(asked: str) -> None:
    assert await language("packaged", asked) == "en"


@pytest.mark.parametrize("asked", ["de-DE", "jp", "xx", "German"])
async def test_an_english_whisper_names_the_setting_to_change(asked: str) -> None:
    with pytest.raises(ProtocolViolation, match=ENGLISH_ONLY) as caught:
        await language("packaged", asked)
    assert len(caught.value.reason) <= 123


async def test_a_model_whose_name_does_not_say_it_is_asked() -> None:
    assert await language("/models/mine", "de", Transcribers("en", "de")) == "de"
    assert await language("/models/mine", "en-GB", Transcribers("en")) == "en"
    with pytest.raises(ProtocolViolation, match=ENGLISH_ONLY):
        await language("/models/mine", "de", Transcribers("en"))
    with pytest.raises(ProtocolViolation, match=r"'fr' is not known here; known are auto, en, de$"):
        await language("/models/mine", "fr", Transcribers("en", "de"))


async def test_it_is_asked_once_it_can_answer() -> None:
    transcribers = Transcribers("en")
    options = Options(plan(args={"stt": {"model": "/models/mine"}}), transcribers.languages)
    transcribers.are_away = True
    assert (await options.check(Open("", language="de"))).language == "de"
    transcribers.are_away = False
    for _ in range(3):
        with pytest.raises(ProtocolViolation, match=ENGLISH_ONLY):
            await options.check(Open("", language="de"))
    assert transcribers.asked == 2


async def test_the_language_of_the_settings_is_the_default() -> None:
    config = plan(args={"stt": {"model": "whisper-base", "language": "German"}})
    options = Options(config, Transcribers().languages)
    assert (await options.check(Open(""))).language == "de"
    assert (await options.check(Open("", language="fr"))).language == "fr"


async def test_a_client_with_error_events_gets_all_codes_before_the_close() -> None:
    replica = Replica()
    options = Options(plan(args={"stt": {"model": "whisper-base"}}), Transcribers().languages)
    replica.services = replace(replica.services, check=options.check)
    async with replica.client("a") as client:
        client.send({"type": "open", "prompt": "", "language": "xx", "events": ["error"]})
        error = await client.next()
        assert (error["type"], error["stage"]) == ("error", "open")
        assert {"en", "de", "haw", "su"} <= set(error["message"].split(", "))
        assert await client.close_code() == 4400


def test_every_code_is_one_of_whispers() -> None:
    from transformers.models.whisper.tokenization_whisper import LANGUAGES as WHISPERS

    assert set(LANGUAGES) == set(WHISPERS)
