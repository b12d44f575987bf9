"""The story that many scores tell, and the settings that they are played with."""

from serve_app.conversation.settings import TurnSettings
from tests.conversation.score import Noise, Says, Score

SETTINGS = TurnSettings(
    soft_end_ms=64,
    judge_silence_ms=192,
    end_silence_ms=400,
    likely_silence_ms=400,
    sentence_silence_ms=1600,
    max_silence_ms=1600,
    silence_speech_ms=416,
    interrupt_speech_ms=416,
)
STORY = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen."
QUESTION = Says(1.0, 2.0, "Tell me a story.")
ANSWER_STARTS_S = 2.5
"""About when the answer to QUESTION is heard."""


def story(*sounds: Says | Noise, until_s: float = 12.0, **score: object) -> Score:
    """The agent tells STORY, four seconds long, and the user makes other sounds as well."""
    options: dict[str, object] = {"settings": SETTINGS, "answer": lambda chat: STORY, **score}
    return Score([QUESTION, *sounds], **options).play(until_s)  # type: ignore[arg-type]
