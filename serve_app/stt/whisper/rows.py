"""Transcripts while they are written, one for each row of a batch."""

from torch import Tensor, inf

from serve_app.stt.utterance import Utterance
from serve_app.stt.whisper.tokens import Tokens

_STEP_S = 0.02
"""The step from one timestamp token to the next."""
_STOP_BEFORE_END_S = 0.5
"""A timestamp this close to the end of the audio ends the transcript."""
_FREE_TOKENS, _TOKENS_PER_SECOND = 12, 8
"""More than 12 tokens and 8 a second mean that the decoder repeats itself; speech has 3 to 5 a
second."""


class Transcript:
    """A transcript without timestamps."""

    def __init__(self, tokens: Tokens, utterance: Utterance, limit: int) -> None:
        self._tokens = tokens
        self._limit = limit
        self._abandoned = utterance.abandoned
        self._log_probability = 0.0
        self.language = utterance.language
        self.prompt = tokens.prompts[utterance.language]
        self.written: list[int] = []
        self.ended = False
        self.no_speech = 0.0
        """Probability that there is no speech in the audio."""

    @property
    def capped(self) -> bool:
        return not self.ended and len(self.written) >= self._limit

    @property
    def is_cut_short(self) -> bool:
        """Whether the model has left out the end of the speech."""
        return False

    @property
    def done(self) -> bool:
        return self.ended or self.capped or self._abandoned.is_set()

    @property
    def text_tokens(self) -> list[int]:
        return [token for token in self.written if token < self._tokens.end_of_text]

    @property
    def mean_log_probability(self) -> float:
        """Natural logarithm; the mean over all tokens written, including the last."""
        return self._log_probability / max(1, len(self.written))

    def restrict(self, logits: Tensor) -> None:
        """Rules out, in place, the tokens that cannot come next. `logits`: float32, shape
        (vocabulary,)."""
        logits[self._tokens.first_timestamp :] = -inf

    def add(self, token: int, log_probability: float) -> None:
        if not self.done:
            self.written.append(token)
            self._log_probability += log_probability
            self.ended = self._ends(token)

    def _ends(self, token: int) -> bool:
        return token == self._tokens.end_of_text


class TimedTranscript(Transcript):
    """A transcript with timestamps, which begins with <|0.00|>."""

    def __init__(self, tokens: Tokens, utterance: Utterance) -> None:
        limit = round(_FREE_TOKENS + _TOKENS_PER_SECOND * utterance.duration_s)
        super().__init__(tokens, utterance, limit)
        self._stop_at_s = utterance.duration_s - _STOP_BEFORE_END_S
        self._last = tokens.first_timestamp

    @property
    def is_cut_short(self) -> bool:
        """For a phrase that goes on after the window, Whisper was trained to write only where it
        starts. It also does so for speech that ends in the middle of a phrase."""
        first = self._tokens.first_timestamp
        ends_with_start = len(self.written) > 2 and min(self.written[-3:-1]) >= first
        return ends_with_start and self.written[-1] == self._tokens.end_of_text

    def restrict(self, logits: Tensor) -> None:
        """Timestamps never decrease, and come in pairs: end of a phrase, start of the next."""
        first = self._tokens.first_timestamp
        latest, before = [first, first, *self.written][-2:][::-1]
        if latest < first:
            logits[first : self._last + 1] = -inf
        elif before < first:
            logits[: self._tokens.end_of_text] = -inf
            logits[first : self._last] = -inf
        else:
            logits[first:] = -inf

    def _ends(self, token: int) -> bool:
        first = self._tokens.first_timestamp
        if token < first:
            return super()._ends(token)
        self._last = token
        return (token - first) * _STEP_S >= self._stop_at_s
