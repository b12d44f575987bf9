"""The special tokens of a Whisper checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase, WhisperForConditionalGeneration

from serve_app.protocol.languages import ENGLISH

_ENGLISH_ONLY_VOCABULARY = 51_864
"""The size of an English-only vocabulary; a multilingual one is larger."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Ids that stand for something other than text."""

    prompts: Mapping[str, tuple[int, ...]]
    """What a transcript begins with, by language (ISO 639-1). All have the same length."""
    languages: Mapping[str, int]
    """The token that stands for each language; empty for an English-only checkpoint."""
    end_of_text: int
    no_timestamps: int
    suppressed: tuple[int, ...]
    suppressed_first: tuple[int, ...]
    """Also suppressed as the first token: the blank and end-of-text."""

    @property
    def first_timestamp(self) -> int:
        """<|0.00|>. The timestamps are at the end of the vocabulary."""
        return self.no_timestamps + 1

    @property
    def no_speech(self) -> int:
        """<|nospeech|> or, in older vocabularies, <|nocaptions|>. Its place is always the same."""
        return self.no_timestamps - 1

    @classmethod
    def of(
        cls,
        model: WhisperForConditionalGeneration,
        tokenizer: PreTrainedTokenizerBase,
        task: str = "transcribe",
    ) -> "Tokens":
        """`task`: `transcribe`, or `translate`, which is into English and needs a multilingual
        checkpoint."""
        config: Any = model.generation_config
        ids = tokenizer.get_vocab()
        start = ids["<|startoftranscript|>"]
        prompts: dict[str, tuple[int, ...]] = {ENGLISH: (start,)}
        languages: dict[str, int] = {}
        if is_multilingual(model):
            told = ids[f"<|{task}|>"]
            languages = {name.strip("<|>"): token for name, token in config.lang_to_id.items()}
            prompts = {name: (start, token, told) for name, token in languages.items()}
        return cls(
            prompts=prompts,
            languages=languages,
            end_of_text=ids["<|endoftext|>"],
            no_timestamps=ids["<|notimestamps|>"],
            suppressed=tuple(config.suppress_tokens or ()),
            suppressed_first=tuple(config.begin_suppress_tokens or ()),
        )


def is_multilingual(model: WhisperForConditionalGeneration) -> bool:
    return bool(model.config.vocab_size > _ENGLISH_ONLY_VOCABULARY)
