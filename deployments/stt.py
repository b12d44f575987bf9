"""Speech recognition: a pool of replicas, each pinned to its share of a GPU."""

import asyncio

from deployments.loopback import reached_where_its_node_is
from deployments.scaling import BUSY, WAIT_MS
from serve_app.settings.schema import SttSettings
from serve_app.stt.job import Heard, Request
from serve_app.stt.queue import TranscriptionQueue
from serve_app.stt.worker import TranscriptionWorker


@reached_where_its_node_is
class SpeechToText:
    """Healthy only once its model has run."""

    def __init__(self, settings: SttSettings) -> None:
        # Here, so that no other process loads torch.
        from serve_app.stt.whisper.transcriber import WhisperEngine

        self._engine = WhisperEngine(settings)
        self._engine.warm_up()
        queue = TranscriptionQueue(settings.max_waiting, settings.max_batch)
        self._worker = TranscriptionWorker(self._engine.transcribe, queue)

    async def transcribe(self, request: Request) -> Heard:
        """What one segment says. Raises EngineError. Cancelling the call drops its work."""
        job = self._worker.submit(request, self._engine.check_language(request.language))
        try:
            # Shielded: another caller may still want the text of the same segment.
            return await asyncio.shield(asyncio.wrap_future(job.heard))
        finally:
            self._worker.leave(job)

    async def languages(self) -> list[str]:
        """The codes of the languages that the model knows."""
        return self._engine.languages

    async def check_health(self) -> None:
        if not self._worker.is_alive():
            raise RuntimeError("the transcriber's thread has ended")

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Serve calls this by its name; ScaleByWait reads it."""
        load = self._worker.load()
        return {WAIT_MS: load.longest_wait_s * 1000, BUSY: load.busy}
