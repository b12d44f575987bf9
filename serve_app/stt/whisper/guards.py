"""What Whisper writes when nobody spoke: it was trained on subtitles and always finds words.

The thresholds were measured with tiny.en in int8 on recorded speech (whole clips, and what the VAD
cuts out of them, at full and at a tenth of their loudness) and on 17 kinds of noise of 0.3 to 10 s
(`tests/stt/test_whisper_guards.py`). No-speech probability: speech mostly below 0.4, at most
0.7; noise from 0.43. Mean log probability where both may be: speech down to -1.4; noise up to -0.4,
but that is always "you", and up to -1.95 for several words.
"""

import zlib

from serve_app.conversation.words import words

_NO_SPEECH = 0.6
_UNSURE = -0.9
"""Mean log probability. With both, nobody spoke (openai/whisper asks for -1.0)."""
_PERHAPS_NO_SPEECH = 0.4
_GUESSED, _GUESSED_WORD = -1.7, -1.5
"""Breath, coughs, tones: Whisper half believes that it is speech, but not what it wrote, least of
all when that is a single word."""
_REPETITIVE = 2.4
"""Bytes of text for each byte compressed (openai/whisper): the decoder went in circles."""
_PHRASE_WORDS = 3
"""Fewer may well be said twice."""
_STOCK = frozenset(
    {
        "you", "thank you", "thanks for watching", "thank you for watching", "bye", "bye bye",
        "thank you very much", "please subscribe", "subscribe", "thanks", "so", "i", "okay",
    }
)  # fmt: skip
"""What subtitles have where nobody speaks."""


def is_said(text: str, no_speech: float, mean_log_probability: float) -> bool:
    """Whether somebody said that. `no_speech` is a probability."""
    if not words(text) or repeats_itself(text):
        return False
    if no_speech > _NO_SPEECH and mean_log_probability < _UNSURE:
        return False
    if no_speech <= _PERHAPS_NO_SPEECH:
        return True
    said = words(text)
    guessed = _GUESSED_WORD if len(said) == 1 else _GUESSED
    return mean_log_probability >= guessed and " ".join(said) not in _STOCK


def is_doubled(text: str) -> bool:
    """Whether a phrase stands there twice and nothing else: a runaway that came to an end."""
    said = words(text)
    half = len(said) // 2
    return half >= _PHRASE_WORDS and said[:half] == said[half:]


def repeats_itself(text: str) -> bool:
    """Whether the text has little more in it than one phrase, again and again."""
    plain = text.encode()
    return len(plain) / len(zlib.compress(plain)) > _REPETITIVE if plain else False
