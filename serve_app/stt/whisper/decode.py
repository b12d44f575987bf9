"""Greedy decoding with Whisper, for any length of encoder context.

If the encoder sees little more than the speech, Whisper often begins the sentence again in place of
writing its end-of-text token. Its timestamps stay right, so they end the transcript. The rules for
timestamps are those of `ApplyTimestampRules` and `SuppressBlank` in openai/whisper's decoding.py.
"""

from collections.abc import Generator, Sequence

import torch
from torch import Tensor
from transformers import WhisperForConditionalGeneration

from serve_app.stt.utterance import Utterance
from serve_app.stt.whisper.rows import TimedTranscript, Transcript
from serve_app.stt.whisper.steps import DecoderSteps
from serve_app.stt.whisper.tokens import Tokens

Decoding = Generator[None, None, list[Transcript]]
"""Pauses after each token."""


class GreedyDecoder:
    """Writes transcripts from the output of the encoder."""

    def __init__(self, model: WhisperForConditionalGeneration, tokens: Tokens) -> None:
        self._model = model
        self._tokens = tokens
        self._suppressed = torch.tensor([*tokens.suppressed, tokens.no_timestamps])
        self._suppressed_first = torch.tensor(tokens.suppressed_first, dtype=torch.long)

    def timed(
        self, heard: Tensor, utterances: Sequence[Utterance], hint: Sequence[int] = ()
    ) -> Decoding:
        """With timestamps. `heard`: shape (batch, positions, width). A row may end up `capped`.
        `hint`: the text tokens that a single row probably begins with; they change how long it
        takes, not the text."""
        rows = [TimedTranscript(self._tokens, utterance) for utterance in utterances]
        return self._decode(heard, self._tokens.first_timestamp, rows, hint)

    def languages(self, heard: Tensor) -> list[str]:
        """The likeliest language of each row of `heard`. Takes one step of the decoder."""
        names = list(self._tokens.languages)
        start = self._tokens.prompts[names[0]][0]
        first = torch.full((len(heard), 1), start, device=heard.device)
        logits = DecoderSteps(self._model, heard, 1).step(first)[:, 0]
        best = logits[:, [self._tokens.languages[name] for name in names]].argmax(-1)
        return [names[place] for place in best.tolist()]

    def plain(self, heard: Tensor, utterances: Sequence[Utterance]) -> Decoding:
        """As Whisper was trained: without timestamps. `heard` is of the full window."""
        limit = self._model.config.max_target_positions // 2  # as in openai/whisper
        rows = [Transcript(self._tokens, utterance, limit) for utterance in utterances]
        return self._decode(heard, self._tokens.no_timestamps, rows)

    def _decode(
        self, heard: Tensor, mode: int, rows: Sequence[Transcript], hint: Sequence[int] = ()
    ) -> Decoding:
        assert not hint or len(rows) == 1
        steps = DecoderSteps(self._model, heard, self._model.config.max_target_positions)
        prompts = torch.tensor([[*row.prompt, mode] for row in rows], device=heard.device)
        logits = steps.step(_followed_by(prompts, hint))
        yield
        silences = logits[:, 0].softmax(-1)[:, self._tokens.no_speech].tolist()
        for row, no_speech in zip(rows, silences, strict=True):
            row.no_speech = no_speech
        chosen, rest = self._check(logits[:, prompts.shape[1] - 1 :], rows, hint, steps)
        while not all(row.done for row in rows):
            guess, rest = self._next_guess(chosen, rest)
            logits = steps.step(_followed_by(chosen.unsqueeze(1), guess))
            yield
            chosen, unused = self._check(logits, rows, guess, steps)
            rest = rest or unused
        return list(rows)

    def _check(
        self, logits: Tensor, rows: Sequence[Transcript], guess: Sequence[int], steps: DecoderSteps
    ) -> tuple[Tensor, Sequence[int]]:
        """Takes those tokens of a guess that would have been written anyway, in one step of the
        decoder (speculative decoding, arXiv:2211.17192, with a greedy target). Returns the next
        token and, if it differs from the guess, the rest of the guess."""
        chosen = self._choose(logits[:, 0], rows)
        for place, expected in enumerate(guess):
            if rows[0].done or int(chosen[0]) != expected:
                steps.take_back(len(guess) - place)
                return chosen, guess[place:]
            chosen = self._choose(logits[:, place + 1], rows)
        return chosen, ()

    def _next_guess(
        self, chosen: Tensor, rest: Sequence[int]
    ) -> tuple[Sequence[int], Sequence[int]]:
        """The guess for the tokens after `chosen`, and what is kept of it for later: a hint has no
        timestamps, and its text goes on after them."""
        if not rest or int(chosen[0]) >= self._tokens.first_timestamp:
            return (), rest
        return (rest[1:] if int(chosen[0]) == rest[0] else ()), ()

    def _choose(self, logits: Tensor, rows: Sequence[Transcript]) -> Tensor:
        """The likeliest next token of each row, also added to the row."""
        self._restrict(logits, rows)
        best, chosen = logits.max(-1)
        log_probabilities = (best - logits.logsumexp(-1)).tolist()
        for row, token, log_probability in zip(
            rows, chosen.tolist(), log_probabilities, strict=True
        ):
            row.add(token, log_probability)
        return chosen

    def _restrict(self, logits: Tensor, rows: Sequence[Transcript]) -> None:
        logits[:, self._suppressed] = -torch.inf
        if not any(row.written for row in rows):
            logits[:, self._suppressed_first] = -torch.inf
        for row, row_logits in zip(rows, logits, strict=True):
            row.restrict(row_logits)
        # A timestamp is due when all timestamps together are likelier than the best other token.
        other, timestamps = logits.tensor_split([self._tokens.first_timestamp], dim=-1)
        due = timestamps.logsumexp(-1, keepdim=True) > other.amax(-1, keepdim=True)
        other.masked_fill_(due, -torch.inf)


def _followed_by(ids: Tensor, guess: Sequence[int]) -> Tensor:
    """`ids`, shape (batch, n), followed by the guess, which is for a single row."""
    if not guess:
        return ids
    return torch.cat([ids, ids.new_tensor([list(guess)])], dim=1)
