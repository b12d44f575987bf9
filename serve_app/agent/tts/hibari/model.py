"""The packaged voice: hibari-tts (Apache-2.0), American English at 24 kHz, on one CPU thread.

Its package holds the acoustic model (distilled from Kokoro's af_heart), the lexicon and a
normaliser of numbers, money, dates, times, units and abbreviations.
"""

import hashlib
import logging
from pathlib import Path

import hibari
import numpy as np
import numpy.typing as npt
from hibari.g2p.lexicon import CONSONANTS, VOWELS

from serve_app.agent.text.stops import Pause, pause_after
from serve_app.agent.tts.hibari.english import plain_words, readable
from serve_app.errors import ConfigError

log = logging.getLogger(__name__)

_SHA256 = "5f70741d4e900f4e85d0037498736cc1b3e1b9a63a13546a5da1e63abf4fccd8"
"""Of hibari.onnx in hibari-tts 0.2.1."""
_SOUNDS = VOWELS | CONSONANTS
"""Phonemes that are heard, unlike punctuation."""
_SEED = 0
"""Of the noise in the voice: the same text always gives the same audio."""
_GAIN = 1.5
"""Makes the voice about as loud as others are."""
_FRAME = 240
"""10 ms."""
_SILENCE = 5e-4
"""Below this level (RMS of a frame) there is nothing to hear: the voice's silence is all zeros."""
_FRAMES_BEFORE = 2
_PAUSE_S = {
    Pause.NONE: 0.03,
    Pause.COMMA: 0.15,
    Pause.COMMA_OR_STOP: 0.15,
    Pause.STOP: 0.3,
    Pause.STOP_OR_ABBREVIATION: 0.3,
}
"""After a clause, by how it ends. The model itself begins and ends each text with 0.3 to 0.5 s of
silence, which would be heard before every reply and within every sentence."""

Waveform = npt.NDArray[np.float32]


class HibariModel:
    """The model and its lexicon."""

    rate_hz = 24_000

    def __init__(self) -> None:
        """Takes half a second. Raises ConfigError if the model is not the one that was reviewed."""
        self._voice = hibari.Hibari(threads=1)
        _check(Path(self._voice.model_path))
        self._voice.g2p.oov("hibari")  # the lexicon, and the net for words that are not in it

    def samples(self, text: str) -> Waveform:
        """See Synthesiser."""
        noise = np.random.default_rng(_SEED)
        spoken: list[Waveform] = [
            self._voice.from_ids(self._voice.ids(phonemes), rng=noise)
            for phonemes in self._phonemes(readable(text))
            if _SOUNDS & set(phonemes)
        ]
        if not spoken:
            return np.zeros(0, dtype=np.float32)
        voice: Waveform = np.concatenate(spoken) * np.float32(_GAIN)
        return _trimmed(voice, _PAUSE_S[pause_after(text.rstrip())])

    def _phonemes(self, text: str) -> list[str]:
        """Of each sentence."""
        try:
            phonemes: list[str] = self._voice.phonemize(text)
        except Exception as error:
            # Better to lose a number than the reply. The error's message may quote what is said.
            log.warning("hibari cannot read a clause whole (%s)", type(error).__name__)
            phonemes = self._voice.phonemize(plain_words(text))
        return phonemes


def _trimmed(samples: Waveform, pause_s: float) -> Waveform:
    """The speech in `samples` with this pause after it, and hardly any before it."""
    frames = samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME)
    loud = np.flatnonzero(np.sqrt(np.mean(np.square(frames), axis=1)) > _SILENCE)
    if not loud.size:
        return samples[:0]
    start = max(0, int(loud[0]) - _FRAMES_BEFORE) * _FRAME
    end = (int(loud[-1]) + 1) * _FRAME
    pause = np.zeros(round(pause_s * HibariModel.rate_hz), dtype=np.float32)
    return np.concatenate((samples[start:end], pause))


def _check(model: Path) -> None:
    found = hashlib.sha256(model.read_bytes()).hexdigest()
    if found != _SHA256:
        raise ConfigError(
            f"{model} is not the file that was reviewed: expected sha256 {_SHA256}, found {found};"
            " install hibari-tts 0.2.1 again"
        )
