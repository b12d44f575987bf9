"""What the local voices say, as Whisper hears it."""

import re

import numpy as np
import pytest
import soxr

from serve_app.agent.tts.hibari.model import HibariModel
from serve_app.agent.tts.local_voice import Synthesiser
from serve_app.agent.tts.piper.model import PiperModel
from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.settings.agent import JOE
from serve_app.settings.schema import SttSettings
from serve_app.stt.utterance import Utterance
from serve_app.stt.whisper.transcriber import WhisperEngine

pytestmark = pytest.mark.models

HEARD = {
    "It costs $3.50 on 3/4/2026 at 10:30.": r"it costs \$3 50 on march 4(th)? 2026 at 10 ?30",
    "It begins at 9:05 a.m. on January 5th.": r"it begins at 9 ?05 a ?m on january 5(th)?",
    "The flight leaves from gate A17 at 6:45 p.m.": (
        r"the flight leaves from gate a17 at 6 ?45 ?p ?m"
    ),
    "Version 2.4.1 is the newest one.": r"version 2 4 1 is the newest one",
    "The server is 192.168.0.1.": r"the server is 192 168 0 1",
    "She lives at 221B Baker Street.": r"she lives at 221 ?b baker street",
    "Please call (555) 123-4567 before noon.": r"please call 5 ?55 123 4567 before noon",
    "The price went up by 25 % in the 1980s.": r"the price went up by 25% in the 1980s",
    "Please write to bob@example.com.": r"please (w?rite|right) to bob( at |@)example com",
    "It is 20°C outside.": r"it is 20 ?(degrees celsius|°c) outside",
    "The wind blows at 15 km/h.": r"the wind blows at 15 (kilometers per hour|km ?/?h)",
    "Dr. Smith will see you at 3 p.m. on Friday.": r"dr smith will see you at 3 ?p ?m on friday",
    "About 10k people came.": r"about 10 ?000 people came",
    "King Henry VIII had six wives.": r"king henry (viii|the eighth) had (six|6) wives",
    "The C++ and C# courses begin on 2024-09-15.": (
        r"the c\+\+ and c( sharp|#) courses begin on september 15(th)? 2024"
    ),
    "We are open from nine in the morning.": r"we are open from (nine|9) in the morning",
    "I could not find a booking under that name.": r"i could not find a booking under that name",
}
"""By text, what counts as right, without punctuation."""


@pytest.fixture(scope="module")
def whisper() -> WhisperEngine:
    return WhisperEngine(SttSettings(device="cpu", threads=1))


def heard(whisper: WhisperEngine, voice: Synthesiser, text: str) -> str:
    audio = soxr.resample(voice.samples(text), voice.rate_hz, SAMPLE_RATE_HZ)
    (transcript,) = whisper.transcribe_now([Utterance(audio.astype(np.float32))])
    return re.sub(r"[.,:;!?()-]+", " ", transcript.lower())


def is_right(text: str, transcript: str) -> bool:
    return re.fullmatch(HEARD[text], " ".join(transcript.split())) is not None


def test_numbers_dates_and_money_are_understood(whisper: WhisperEngine) -> None:
    voice = HibariModel()
    transcripts = {text: heard(whisper, voice, text) for text in HEARD}
    assert {text: said for text, said in transcripts.items() if not is_right(text, said)} == {}


def test_joe_is_understood_less_often(whisper: WhisperEngine) -> None:
    """Why the packaged voice is another one."""
    joe = PiperModel(JOE, threads=1)
    right = [text for text in HEARD if is_right(text, heard(whisper, joe, text))]
    assert 0 < len(right) < len(HEARD)
