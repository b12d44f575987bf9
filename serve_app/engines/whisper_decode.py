"""Greedy decoding of Whisper from any length of encoder context.

With an encoder that sees little more than the speech, Whisper often does not write its
end-of-text token but begins the sentence again. Its timestamps stay right, so they end the
transcript instead. The rules for timestamps are those of `ApplyTimestampRules` and
`SuppressBlank` in openai/whisper's decoding.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase, WhisperForConditionalGeneration

from serve_app.engines.base import Utterance
from serve_app.engines.whisper_steps import DecoderSteps

ENGLISH = "en"
_ENGLISH_ONLY_VOCABULARY = 51_864
"""Tokens of an English-only Whisper; a multilingual one has more."""
_STEP_S = 0.02
"""Between two timestamp tokens."""
_STOP_BEFORE_END_S = 0.5
"""A timestamp this close to the end of the audio ends the transcript."""
_FREE_TOKENS, _TOKENS_PER_SECOND = 12, 8
"""More tokens than 12 and 8 a second mean that the decoder repeats itself; speech has 3 to 5."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The special tokens of a checkpoint."""

    prompts: Mapping[str, tuple[int, ...]]
    """What a transcript begins with, by language (ISO 639-1); all are of one length."""
    end_of_text: int
    no_timestamps: int
    suppressed: tuple[int, ...]
    suppressed_first: tuple[int, ...]
    """Also suppressed as the first token: the blank and end-of-text."""

    @property
    def first_timestamp(self) -> int:
        """<|0.00|>; the timestamps are the end of the vocabulary."""
        return self.no_timestamps + 1

    @classmethod
    def of(
        cls, model: WhisperForConditionalGeneration, tokenizer: PreTrainedTokenizerBase
    ) -> "Tokens":
        config: Any = model.generation_config
        ids = tokenizer.get_vocab()
        start = ids["<|startoftranscript|>"]
        prompts: dict[str, tuple[int, ...]] = {ENGLISH: (start,)}
        if model.config.vocab_size > _ENGLISH_ONLY_VOCABULARY:
            task = ids["<|transcribe|>"]
            prompts = {
                name.strip("<|>"): (start, token, task) for name, token in config.lang_to_id.items()
            }
        return cls(
            prompts=prompts,
            end_of_text=ids["<|endoftext|>"],
            no_timestamps=ids["<|notimestamps|>"],
            suppressed=tuple(config.suppress_tokens or ()),
            suppressed_first=tuple(config.begin_suppress_tokens or ()),
        )


class Transcript:
    """One row of a batch that is decoded without timestamps."""

    def __init__(self, tokens: Tokens, utterance: Utterance, limit: int) -> None:
        self._tokens = tokens
        self._limit = limit
        self._abandoned = utterance.abandoned
        self.prompt = tokens.prompts[utterance.language]
        self.written: list[int] = []
        self.ended = False

    @property
    def capped(self) -> bool:
        return not self.ended and len(self.written) >= self._limit

    @property
    def done(self) -> bool:
        return self.ended or self.capped or self._abandoned.is_set()

    @property
    def text_tokens(self) -> list[int]:
        return [token for token in self.written if token < self._tokens.end_of_text]

    def restrict(self, logits: Tensor) -> None:
        """Forbid, in place, what cannot come next. `logits`: float32, shape (vocabulary,)."""
        logits[self._tokens.first_timestamp :] = -torch.inf

    def add(self, token: int) -> None:
        if not self.done:
            self.written.append(token)
            self.ended = self._ends(token)

    def _ends(self, token: int) -> bool:
        return token == self._tokens.end_of_text


class TimedTranscript(Transcript):
    """One row of a batch that is decoded with timestamps, from <|0.00|> on."""

    def __init__(self, tokens: Tokens, utterance: Utterance) -> None:
        limit = round(_FREE_TOKENS + _TOKENS_PER_SECOND * utterance.duration_s)
        super().__init__(tokens, utterance, limit)
        self._stop_at_s = utterance.duration_s - _STOP_BEFORE_END_S
        self._last = tokens.first_timestamp

    def restrict(self, logits: Tensor) -> None:
        """Timestamps do not decrease and stand in pairs: end of a phrase, start of the next."""
        first = self._tokens.first_timestamp
        latest, before = [first, first, *self.written][-2:][::-1]
        if latest < first:
            logits[first : self._last + 1] = -torch.inf
        elif before < first:
            logits[: self._tokens.end_of_text] = -torch.inf
            logits[first : self._last] = -torch.inf
        else:
            logits[first:] = -torch.inf

    def _ends(self, token: int) -> bool:
        first = self._tokens.first_timestamp
        if token < first:
            return super()._ends(token)
        self._last = token
        return (token - first) * _STEP_S >= self._stop_at_s


class GreedyDecoder:
    """Writes transcripts from what the encoder heard."""

    def __init__(self, model: WhisperForConditionalGeneration, tokens: Tokens) -> None:
        self._model = model
        self._tokens = tokens
        self._suppressed = torch.tensor([*tokens.suppressed, tokens.no_timestamps])
        self._suppressed_first = torch.tensor(tokens.suppressed_first, dtype=torch.long)

    def timed(self, heard: Tensor, utterances: Sequence[Utterance]) -> list[Transcript]:
        """`heard`: shape (batch, positions, width). A row may come out `capped`."""
        rows = [TimedTranscript(self._tokens, utterance) for utterance in utterances]
        return self._decode(heard, self._tokens.first_timestamp, rows)

    def plain(self, heard: Tensor, utterances: Sequence[Utterance]) -> list[Transcript]:
        """As Whisper was trained: `heard` is the full window and there are no timestamps."""
        limit = self._model.config.max_target_positions // 2  # as in openai/whisper
        rows = [Transcript(self._tokens, utterance, limit) for utterance in utterances]
        return self._decode(heard, self._tokens.no_timestamps, rows)

    def _decode(self, heard: Tensor, mode: int, rows: Sequence[Transcript]) -> list[Transcript]:
        steps = DecoderSteps(self._model, heard, self._model.config.max_target_positions)
        ids = torch.tensor([[*row.prompt, mode] for row in rows], device=heard.device)
        while not all(row.done for row in rows):
            logits = steps.step(ids)
            self._restrict(logits, rows)
            chosen = logits.argmax(-1)
            for row, token in zip(rows, chosen.tolist(), strict=True):
                row.add(token)
            ids = chosen.unsqueeze(1)
        return list(rows)

    def _restrict(self, logits: Tensor, rows: Sequence[Transcript]) -> None:
        logits[:, self._suppressed] = -torch.inf
        if not any(row.written for row in rows):
            logits[:, self._suppressed_first] = -torch.inf
        for row, row_logits in zip(rows, logits, strict=True):
            row.restrict(row_logits)
        # A timestamp is due when all of them together are likelier than the best other token.
        other, timestamps = logits.tensor_split([self._tokens.first_timestamp], dim=-1)
        due = timestamps.logsumexp(-1, keepdim=True) > other.amax(-1, keepdim=True)
        other.masked_fill_(due, -torch.inf)
