"""Tells speech from what Whisper writes when nobody spoke: it was trained on subtitles and always
finds words.

The thresholds were measured with tiny.en in int8 on recorded speech (whole clips, and what the VAD
cuts out of them, at full loudness and at a tenth of it) and on 17 kinds of noise of 0.3 to 10 s
(`tests/stt/test_whisper_guards.py`). No-speech probability: for speech mostly below 0.4 and at most
0.7; for noise 0.43 and more. Mean log probability, where the two overlap: for speech -1.4 and more;
for noise at most -0.4, which is always "you", and at most -1.95 for several words.
"""

import zlib

from serve_app.conversation.words import words

_NO_SPEECH = 0.6
_UNSURE = -0.9
"""Mean log probability. Nobody spoke if both hold (openai/whisper uses -1.0)."""
_PERHAPS_NO_SPEECH = 0.4
_GUESSED, _GUESSED_WORD = -1.7, -1.5
"""Mean log probabilities, of several words and of one. For breath, coughs and tones Whisper half
believes that there is speech, but hardly believes what it writes, least of all a single word."""
_REPETITIVE = 2.4
"""Bytes of text for each compressed byte (from openai/whisper): above this, the decoder repeated
itself."""
_PHRASE_WORDS = 3
"""People may well say a shorter phrase twice."""
_STOCK = frozenset(
    {
        "you", "thank you", "thanks for watching", "thank you for watching", "bye", "bye bye",
        "thank you very much", "please subscribe", "subscribe", "thanks", "so", "i", "okay",
    }
)  # fmt: skip
"""What subtitles say where nobody speaks."""


def is_said(text: str, no_speech: float, mean_log_probability: float) -> bool:
    """Whether somebody said the text. `no_speech`: Whisper's probability that nobody spoke."""
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
    """Whether the text is one phrase twice and nothing else: a runaway that came to an end."""
    said = words(text)
    half = len(said) // 2
    return half >= _PHRASE_WORDS and said[:half] == said[half:]


def repeats_itself(text: str) -> bool:
    """Whether the text is little more than one phrase, again and again."""
    plain = text.encode()
    return len(plain) / len(zlib.compress(plain)) > _REPETITIVE if plain else False
