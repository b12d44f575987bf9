"""Text as phonemes: gruut's (MIT) in place of espeak-ng's (GPL)."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import gruut
from gruut.const import Sentence
from gruut.phonemize import SqlitePhonemizer
from gruut.utils import find_lang_dir, remove_non_word_chars, resolve_lang

from serve_app.agent.tts.piper.english import readable
from serve_app.errors import ConfigError


class Phonemes:
    """Text as espeak's symbols, which Piper's voices were trained on. Made by gruut."""

    def __init__(self, language: str) -> None:
        """Raises ConfigError when gruut has no data for `language`, an espeak voice name."""
        self._language = resolve_lang(language)
        lexicon = _lexicon_path(self._language)
        if lexicon is None:
            possible = sorted(filter(_lexicon_path, gruut.get_supported_languages()))
            raise ConfigError(
                f"tts.voice: gruut has no espeak phonemes for {language!r}; installed:"
                f" {', '.join(possible)} (more with `pip install gruut[de]` and the like)"
            )
        lookup = SqlitePhonemizer(
            _indexed(lexicon),
            # What gruut tries by default when a word is not in the lexicon as written.
            word_transform_funcs=[
                str.lower,
                remove_non_word_chars,
                lambda word: remove_non_word_chars(word.lower()),
            ],
        )
        self._processor = gruut.TextProcessor(
            default_lang=self._language, model_prefix="espeak", lookup_phonemes=lookup
        )

    def of(self, text: str) -> Iterator[str]:
        """The symbols of each sentence that has something to say."""
        text = readable(text) if self._language.startswith("en") else text
        try:
            sentences = self._sentences(text)
        except Exception:
            # gruut cannot spell some numbers (1e999). Better to lose a number than the reply.
            sentences = self._sentences(re.sub(r"[\d\W]+", " ", text))
        return (_symbols(s) for s in sentences if any(w.phonemes and w.is_spoken for w in s))

    def _sentences(self, text: str) -> list[Sentence]:
        graph, root = self._processor(text)
        return list(self._processor.sentences(graph, root))


def _symbols(sentence: Sentence) -> str:
    """The words, separated by spaces, with punctuation right after its word."""
    parts: list[str] = []
    for word in sentence:
        if word.is_break:
            parts.append(word.text[:1])
        elif word.phonemes:
            parts.append((" " if parts else "") + "".join(word.phonemes))
    return "".join(parts)


def _lexicon_path(language: str) -> Path | None:
    """gruut's lexicon of espeak phonemes for a language, if it is installed."""
    directory = find_lang_dir(language)
    if directory is None or language not in gruut.get_supported_languages():
        return None
    lexicon = Path(directory) / "espeak" / "lexicon.db"
    return lexicon if lexicon.is_file() else None


def _indexed(lexicon: Path) -> sqlite3.Connection:
    """The lexicon in memory, with an index on its words.

    gruut's file has no index, so each new word costs scans of 124,000 rows, at 13 ms each.
    """
    memory = sqlite3.connect(":memory:", check_same_thread=False)  # moves to the voice's thread
    memory.execute("ATTACH ? AS file", (f"{lexicon}",))
    memory.execute(
        "CREATE TABLE word_phonemes AS SELECT word, pron_order, role, phonemes"
        " FROM file.word_phonemes"
    )
    memory.execute("CREATE INDEX by_word ON word_phonemes (word)")
    memory.commit()
    memory.execute("DETACH file")
    return memory
