"""The pool of speech recognition replicas, each pinned to its share of a GPU."""

import asyncio
from typing import Any

from ray import serve

from serve_app.config import SttSettings
from serve_app.engines.base import Utterance
from serve_app.protocol.messages import Samples


class SpeechToText:
    """Batches what is waiting; healthy only once the model has run."""

    def __init__(self, settings: SttSettings) -> None:
        # Here, so that whoever builds the graph need not load torch.
        from serve_app.engines.whisper import WhisperEngine

        self._engine = WhisperEngine(settings)
        self._engine.warm_up()
        batch: Any = self.transcribe_batch
        batch.set_max_batch_size(settings.max_batch)

    async def transcribe(self, samples: Samples, language: str = "") -> str:
        """Text of one segment: float32, shape (n,), 16 kHz, at most 30 s."""
        utterance = Utterance(samples, self._engine.check_language(language))
        try:
            text: str = await self.transcribe_batch(utterance)
        except asyncio.CancelledError:
            # Whoever speaks on after a short silence has no use for the text up to there, and
            # the text that counts is not to wait for it.
            utterance.abandoned.set()
            raise
        return text

    # No wait for a batch to fill: an utterance alone goes at once, and those that arrive
    # while it runs go together in the next call.
    @serve.batch(max_batch_size=8, batch_wait_timeout_s=0.0)
    async def transcribe_batch(self, utterances: list[Utterance]) -> list[str]:
        return await asyncio.to_thread(self._engine.transcribe, utterances)
