"""Whisper on recorded speech: the right text in any window and any batch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)

from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.errors import ConfigError, EngineError
from serve_app.models import fetch as models
from serve_app.protocol.messages import Samples
from serve_app.settings.schema import SttSettings
from serve_app.stt.job import Heard
from serve_app.stt.utterance import Utterance
from serve_app.stt.whisper.steps import DecoderSteps
from serve_app.stt.whisper.tokens import Tokens
from serve_app.stt.whisper.transcriber import WhisperEngine
from tests.speech import TRANSCRIPTS, clip, corpus_error_rate, transcript, word_error_rate

pytestmark = pytest.mark.models

CPU = SttSettings(device="cpu")


@pytest.fixture(scope="module")
def engine() -> WhisperEngine:
    """As it runs by default on a CPU."""
    engine = WhisperEngine(CPU)
    engine.warm_up()
    return engine


@pytest.fixture(scope="module")
def exact() -> WhisperEngine:
    return WhisperEngine(CPU.model_copy(update={"dtype": "float32"}))


def texts_of(engine: WhisperEngine, *speech: Samples) -> list[str]:
    return engine.transcribe_now([Utterance(samples) for samples in speech])


def test_single_utterances(engine: WhisperEngine) -> None:
    heard = {name: texts_of(engine, clip(name))[0] for name in TRANSCRIPTS}
    assert corpus_error_rate(heard) <= 0.10, heard


def test_it_says_how_sure_it_is(engine: WhisperEngine) -> None:
    """Of speech; of noise it says nothing."""
    noise = np.random.default_rng(1).normal(0, 0.01, SAMPLE_RATE_HZ).astype(np.float32)
    steps = engine.transcribe([Utterance(clip("librivox_0870")), Utterance(noise)])
    with pytest.raises(StopIteration) as done:
        while True:
            next(steps)
    speech, nothing = done.value.value
    assert engine._tokenizer.decode(speech.tokens).strip() == speech.text != ""
    assert -1.0 < speech.log_probability < 0.0 <= speech.no_speech < 0.4
    assert nothing == Heard("")


def test_a_batch_with_one_window_for_all(engine: WhisperEngine) -> None:
    texts = texts_of(engine, *map(clip, TRANSCRIPTS))
    heard = dict(zip(TRANSCRIPTS, texts, strict=True))
    assert corpus_error_rate(heard) <= 0.10, heard


def test_a_batch_gives_what_each_utterance_gives_alone(exact: WhisperEngine) -> None:
    """All of these fit the shortest window, so none lengthens it for the others."""
    clips = [clip(name) for name in ("go_forward", "cards_001", "librivox_0930", "cards_005")]
    assert texts_of(exact, *clips) == [texts_of(exact, samples)[0] for samples in clips]


def test_float16_weights_give_the_texts_of_float32(exact: WhisperEngine) -> None:
    clips = [clip(name) for name in ("go_forward", "librivox_0930")]
    halved = WhisperEngine(CPU.model_copy(update={"dtype": "float16"}))
    assert texts_of(halved, *clips) == texts_of(exact, *clips)


def test_a_full_window_of_thirty_seconds(engine: WhisperEngine) -> None:
    names = [name for name in TRANSCRIPTS if name.startswith("librivox")]
    pause = np.zeros(SAMPLE_RATE_HZ // 2, dtype=np.float32)
    speech = np.concatenate([part for name in names for part in (clip(name), pause)])
    whole = np.zeros(30 * SAMPLE_RATE_HZ, dtype=np.float32)
    whole[: len(speech)] = speech
    expected = " ".join(transcript(name) for name in names)
    assert word_error_rate(expected, texts_of(engine, whole)[0]) <= 0.15


def test_the_beginning_of_a_phrase_is_not_left_out(engine: WhisperEngine) -> None:
    """Whisper with timestamps leaves it to the next window: 10 words here."""
    first, *others = [name for name in TRANSCRIPTS if name.startswith("librivox")]
    speech = np.concatenate([clip(name) for name in (first, *others, first)])
    (text,) = texts_of(engine, speech[: round(28.66 * SAMPLE_RATE_HZ)])
    assert text.endswith("then leisure to consider how"), text


def test_a_runaway_is_decoded_again_in_the_full_window(exact: WhisperEngine) -> None:
    """Decoded in its own window only, this clip says `5` 24 times."""
    texts = texts_of(exact, clip("cards_003"), clip("cards_004"))
    assert texts == ["7 of clubs.", "5 5"]


def test_a_second_try_that_says_less_is_not_taken(engine: WhisperEngine) -> None:
    """These 20 s end in the middle of a phrase, so they are decoded again; and then the decoder
    repeats itself, which is worth nothing."""
    reading = np.concatenate([clip(name) for name in TRANSCRIPTS])
    speech = reading[11 * SAMPLE_RATE_HZ : 31 * SAMPLE_RATE_HZ]
    assert "might have been made still more respectable" in texts_of(engine, speech)[0]


def test_too_short_to_say_anything(engine: WhisperEngine) -> None:
    hardly: Samples = np.zeros(SAMPLE_RATE_HZ // 10 - 1, dtype=np.float32)
    texts = texts_of(engine, hardly, clip("go_forward"), hardly[:0])
    assert (texts[0], texts[2]) == ("", "")
    assert word_error_rate(transcript("go_forward"), texts[1]) == 0.0
    assert texts_of(engine) == []


def test_an_abandoned_utterance_costs_no_decoding(engine: WhisperEngine) -> None:
    abandoned, wanted = Utterance(clip("librivox_0870")), Utterance(clip("go_forward"))
    abandoned.abandoned.set()
    texts = engine.transcribe_now([abandoned, wanted])
    assert texts[0] == "" and word_error_rate(transcript("go_forward"), texts[1]) == 0.0


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_a_hint_does_not_change_the_text(exact: WhisperEngine, name: str) -> None:
    """A hint that is right, right except for its end, or wrong from the first word on."""
    samples = clip(name)
    (text,) = texts_of(exact, samples)
    early = samples[: len(samples) * 2 // 3]
    for hint in (text, texts_of(exact, early)[0], "Nothing of the kind.", f"{text} {text}"):
        assert exact.transcribe_now([Utterance(samples, hint=hint)]) == [text], hint


def test_a_right_hint_is_taken_in_one_step(exact: WhisperEngine) -> None:
    def steps(hint: str) -> int:
        under_way = exact.transcribe([Utterance(clip("librivox_0870"), hint=hint)])
        return sum(1 for _ in under_way)

    (text,) = texts_of(exact, clip("librivox_0870"))
    assert steps(text) <= steps("") - 20, "24 words"


def test_other_work_can_be_done_in_between(exact: WhisperEngine) -> None:
    """Two transcriptions that take turns give what each gives alone."""
    names = ("librivox_0880", "cards_005")
    alone = [texts_of(exact, clip(name))[0] for name in names]
    under_way = {name: exact.transcribe([Utterance(clip(name))]) for name in names}
    texts: dict[str, str] = {}
    while under_way:
        for name, steps in list(under_way.items()):
            try:
                next(steps)
            except StopIteration as done:
                texts[name] = done.value[0].text
                del under_way[name]
    assert [texts[name] for name in names] == alone


def test_a_task_that_the_model_does_not_know() -> None:
    with pytest.raises(ConfigError, match=r"stt\.task: .* knows English only; set transcribe"):
        WhisperEngine(CPU.model_copy(update={"task": "translate"}))


def test_too_long_for_the_window(engine: WhisperEngine) -> None:
    with pytest.raises(EngineError, match=r"stt: an utterance of 30\.1 s; at most 30 s"):
        texts_of(engine, np.zeros(round(30.1 * SAMPLE_RATE_HZ), dtype=np.float32))


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"stt\.model .* cannot be loaded"):
        WhisperEngine(CPU.model_copy(update={"model": str(tmp_path)}))


def untrained(directory: Path, vocabulary: int) -> WhisperForConditionalGeneration:
    """A checkpoint shaped like a distilled one: fewer decoder layers than encoder layers."""
    packaged = models.path("whisper-tiny.en")
    config = WhisperConfig.from_pretrained(
        packaged, vocab_size=vocabulary, d_model=16, encoder_layers=3, decoder_layers=2,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16,
        decoder_ffn_dim=16,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig.from_pretrained(packaged)
    model.save_pretrained(directory)
    WhisperFeatureExtractor.from_pretrained(packaged).save_pretrained(directory)
    WhisperTokenizer.from_pretrained(packaged).save_pretrained(directory)
    return model


def test_a_checkpoint_from_a_path(tmp_path: Path) -> None:
    """Even one that has learned nothing comes to an end."""
    untrained(tmp_path, 51_864)
    settings = CPU.model_copy(update={"model": str(tmp_path), "dtype": "float32"})
    (text,) = texts_of(WhisperEngine(settings), clip("cards_001"))
    assert isinstance(text, str)


def test_a_multilingual_checkpoint_is_told_the_language(tmp_path: Path) -> None:
    model = untrained(tmp_path, 51_865)
    tokenizer = WhisperTokenizer.from_pretrained(tmp_path)
    languages = tokenizer.convert_tokens_to_ids(["<|en|>", "<|de|>"])
    model.generation_config.lang_to_id = dict(zip(["<|en|>", "<|de|>"], languages, strict=True))
    translating = Tokens.of(model, tokenizer, "translate").prompts["de"]
    assert tokenizer.convert_ids_to_tokens(list(translating))[-1] == "<|translate|>"
    prompts = Tokens.of(model, tokenizer).prompts
    assert {name: tokenizer.convert_ids_to_tokens(list(ids)) for name, ids in prompts.items()} == {
        "en": ["<|startoftranscript|>", "<|en|>", "<|transcribe|>"],
        "de": ["<|startoftranscript|>", "<|de|>", "<|transcribe|>"],
    }


def test_a_language_that_the_model_does_not_know(engine: WhisperEngine) -> None:
    assert engine.check_language("") == engine.check_language("en") == "en"
    assert engine.languages == ["en"]
    with pytest.raises(EngineError, match="language 'de' is not known to the model: en"):
        engine.check_language("de")


@torch.inference_mode()
def test_decoder_steps_are_those_of_transformers(exact: WhisperEngine) -> None:
    model = exact._model
    generator = torch.Generator().manual_seed(0)
    heard = torch.randn(2, 100, model.config.d_model, generator=generator)
    ids = torch.randint(0, 50_000, (2, 9), generator=generator)
    expected = model.proj_out(model.model.decoder(ids, encoder_hidden_states=heard)[0])
    steps = DecoderSteps(model, heard, 448)
    parts = [steps.step(ids[:, :3])]
    steps.step(ids[:, :5])
    steps.take_back(5)
    parts += [steps.step(ids[:, start:end]) for start, end in ((3, 4), (4, 7), (7, 8), (8, 9))]
    torch.testing.assert_close(torch.cat(parts, 1), expected, rtol=1e-4, atol=1e-3)
