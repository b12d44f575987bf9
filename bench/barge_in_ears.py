"""The server's models, in this process: Silero, Whisper and Smart Turn. What was heard once is not
judged again, so a sweep over settings costs little more than one of its points."""

import hashlib
from collections.abc import Hashable

import numpy as np

from serve_app.ingress.vad_memory import VadMemory
from serve_app.protocol.messages import Samples
from serve_app.settings.schema import SttSettings
from serve_app.stt.utterance import Utterance
from serve_app.stt.whisper.transcriber import WhisperEngine
from serve_app.vad.jobs import VadAnswer, VadJob, VadRow
from serve_app.vad.silero import SileroVad
from serve_app.vad.smart_turn import SmartTurn

_Key = tuple[Hashable, ...]


class Ears:
    """The models of all calls, as the server runs them: one thread each."""

    def __init__(self) -> None:
        self._vad = SileroVad()
        self._smart_turn = SmartTurn()
        self._whisper = WhisperEngine(SttSettings(device="cpu", threads=1))
        self._whisper.warm_up()
        self._heard: dict[_Key, VadAnswer] = {}
        self._texts: dict[_Key, str] = {}
        self._complete: dict[_Key, float] = {}

    def detect(self, before: bytes, row: VadRow, frame: Samples) -> tuple[bytes, VadAnswer]:
        """The voice activity in a frame. `before` names all that the session has heard until now;
        returned is the name with this frame."""
        name = hashlib.blake2b(before + frame.tobytes(), digest_size=16).digest()
        key = (name,)
        if key not in self._heard:
            (self._heard[key],) = self._vad.detect([VadJob(row, frame[np.newaxis])])
        return name, self._heard[key]

    def transcribe(self, speech: Samples, hint: str) -> str:
        """The text of at most 30 s; empty where nothing was said."""
        key = (_digest(speech), hint)
        if key not in self._texts:
            language = self._whisper.check_language("")
            utterance = Utterance(speech, language, hint)
            (self._texts[key],) = self._whisper.transcribe_now([utterance])
        return self._texts[key]

    def judge(self, speech: Samples) -> float:
        """The probability, 0 to 1, that the turn is complete."""
        key = (_digest(speech),)
        if key not in self._complete:
            self._complete[key] = self._smart_turn.judge(speech)
        return self._complete[key]


class Session:
    """What the VAD remembers of one call."""

    def __init__(self, ears: Ears) -> None:
        self._ears = ears
        self._name = b""
        self._memory = VadMemory()

    def detect(self, frame: Samples) -> float:
        """The probability of speech in the next 512 samples, 0 to 1."""
        self._name, answer = self._ears.detect(self._name, self._memory.row, frame)
        self._memory.take(answer)
        return float(answer.probabilities[0])


def _digest(samples: Samples) -> bytes:
    return hashlib.blake2b(samples.tobytes(), digest_size=16).digest()
