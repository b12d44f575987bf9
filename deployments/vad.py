"""Voice activity and end of turn, for all sessions of all ingress replicas."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from deployments.loopback import reached_where_its_node_is
from serve_app.protocol.messages import Samples
from serve_app.settings.schema import VadSettings
from serve_app.vad.jobs import VadAnswer, VadJob


@reached_where_its_node_is
class VoiceActivity:
    """Stateless: each row of a batch carries its session's state."""

    def __init__(self, settings: VadSettings) -> None:
        # Here, so that no other process loads onnxruntime.
        from serve_app.vad.silero import SileroVad
        from serve_app.vad.smart_turn import SmartTurn

        self._engine = SileroVad(settings.threads)
        self._engine.warm_up()
        self._judge = SmartTurn(settings.threads) if settings.end_of_turn == "packaged" else None
        if self._judge is not None:
            self._judge.warm_up()
        # Judgements wait for each other; voice activity never waits for a judgement.
        self._judging = ThreadPoolExecutor(max_workers=1, thread_name_prefix="judge")

    async def detect(self, jobs: list[VadJob]) -> list[VadAnswer]:
        """Voice activity of each job's frames. A call that is cancelled, because it took too long,
        is made again: what is left of it would only delay that one."""
        abandoned = Event()
        try:
            return await asyncio.to_thread(self._engine.detect, jobs, abandoned)
        finally:
            abandoned.set()

    async def judge(self, samples: Samples) -> float | None:
        """Probability that the turn which `samples` end is complete; None without a model.

        `samples`: float32 mono at 16 kHz, shape (n,). Only the last 8 s matter."""
        if self._judge is None:
            return None
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._judging, self._judge.judge, samples)
