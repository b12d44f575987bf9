"""What the user speaks: who is told."""

from dataclasses import replace

import pytest

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.protocol.messages import Transcript
from tests.conversation.talk import SETTINGS, Talk

GERMAN = "Be kind.\nThe user speaks German. Answer in German."
LONG_MS, SHORT_MS = 1280, 640


def user_says(talk: Talk, text: str, language: str, ms: int = LONG_MS) -> None:
    talk.speech(ms)
    talk.silence(480)
    asked = talk.last(ef.Transcribe)
    talk.do(ev.Transcribed(asked.generation, asked.segment, text, language))


def reply_to(talk: Talk, text: str, language: str, ms: int = LONG_MS) -> str:
    """The system prompt with which the agent is asked. The reply is played."""
    user_says(talk, text, language, ms)
    prompt = system_prompt(talk)
    talk.says("Ja.", 0.5)
    talk.reply_ends()
    talk.silence(1024)
    talk.do(ev.PlaybackWaiting())
    return prompt


def system_prompt(talk: Talk) -> str:
    return talk.last(ef.Reply).chat[0].content


def test_the_transcript_and_the_prompt_say_which_language_was_found_out(talk: Talk) -> None:
    talk.greet()
    assert system_prompt(talk) == "Be kind."
    assert reply_to(talk, "Wie ist das Wetter?", "de") == GERMAN
    assert talk.sent(Transcript)[-2] == Transcript(2, "user", "Wie ist das Wetter?", "de")
    assert talk.sent(Transcript)[-1] == Transcript(2, "agent", "Ja.")


def test_of_english_the_prompt_says_nothing(talk: Talk) -> None:
    talk.greet()
    assert reply_to(talk, "How is the weather?", "en") == "Be kind."
    assert talk.sent(Transcript)[-2].language == "en"


def test_the_voice_is_told_too(talk: Talk) -> None:
    talk.greet()
    assert talk.last(ef.Reply).sound.language == ""
    reply_to(talk, "Guten Morgen.", "de")
    assert talk.last(ef.Reply).sound.language == "de"


def test_the_prompt_follows_a_user_who_changes_the_language(talk: Talk) -> None:
    talk.greet()
    assert reply_to(talk, "Wie ist das Wetter?", "de") == GERMAN
    assert "speaks Spanish. Answer in Spanish." in reply_to(talk, "¿Qué tiempo hace?", "es")
    assert "speaks English. Answer in English." in reply_to(talk, "In English, please.", "en")


def test_the_language_of_a_short_utterance_is_a_guess(talk: Talk) -> None:
    talk.greet()
    assert reply_to(talk, "Okay.", "nl", SHORT_MS) == "Be kind."
    assert reply_to(talk, "Wie ist das Wetter?", "de") == GERMAN
    assert reply_to(talk, "Okay.", "nl", SHORT_MS) == GERMAN


def test_a_language_that_the_client_told_is_known_from_the_greeting_on(talk: Talk) -> None:
    talk.open(language="de")
    assert system_prompt(talk) == GERMAN
    assert reply_to(talk, "Ja.", "de", SHORT_MS) == GERMAN


def test_auto_is_no_language(talk: Talk) -> None:
    talk.open(language="auto")
    assert system_prompt(talk) == "Be kind."


@pytest.mark.parametrize(
    ("line", "prompt"), [("", "Be kind."), ("Parle {language}!", "Be kind.\nParle German!")]
)
def test_the_line_is_a_setting(line: str, prompt: str) -> None:
    talk = Talk(replace(SETTINGS, language_prompt=line))
    talk.open(language="de")
    assert system_prompt(talk) == prompt


def test_a_draft_is_told(talk: Talk) -> None:
    talk = Talk(replace(SETTINGS, max_drafts=1))
    talk.greet()
    talk.speech(LONG_MS)
    talk.silence(224)
    asked = talk.last(ef.Transcribe)
    talk.do(ev.Transcribed(asked.generation, asked.segment, "Wie ist das Wetter?", "de"))
    assert talk.last(ef.Reply).is_draft and system_prompt(talk) == GERMAN


def test_a_session_that_goes_on_elsewhere_still_knows_it(talk: Talk) -> None:
    talk.open(language="auto", is_resumable=True)
    talk.says("Hello.", 0.5)
    talk.reply_ends()
    talk.silence(1024)
    talk.do(ev.PlaybackWaiting())
    user_says(talk, "Wie ist das Wetter?", "de")
    record = talk.last(ef.Record)
    assert record.history[0].content == "Be kind.", "told, not kept"
    elsewhere = Talk()
    elsewhere.open(language="auto", is_resumable=True, record=record)
    assert system_prompt(elsewhere) == GERMAN


def test_typed_words_say_nothing_about_the_language(talk: Talk) -> None:
    talk.greet()
    reply_to(talk, "Wie ist das Wetter?", "de")
    talk.do(ev.TextReceived("And now?"))
    assert talk.sent(Transcript)[-1] == Transcript(3, "user", "And now?")
    assert system_prompt(talk) == GERMAN
