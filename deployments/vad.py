"""Voice activity and end of turn, for all sessions of all ingress replicas."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from serve_app.protocol.messages import Samples
from serve_app.settings.schema import VadSettings
from serve_app.vad.silero import SileroVad, VadAnswer, VadJob
from serve_app.vad.smart_turn import SmartTurn


class VoiceActivity:
    """Stateless: each row of a batch carries its session's state."""

    def __init__(self, settings: VadSettings) -> None:
        self._engine = SileroVad(settings.threads)
        self._engine.warm_up()
        self._judge: SmartTurn | None = None
        if settings.end_of_turn == "packaged":
            self._judge = SmartTurn(settings.threads)
            self._judge.warm_up()
        # Judgements wait for each other, and no frame of anybody waits for a judgement.
        self._judging = ThreadPoolExecutor(max_workers=1, thread_name_prefix="judge")

    async def detect(self, jobs: list[VadJob]) -> list[VadAnswer]:
        return await asyncio.to_thread(self._engine.detect, jobs)

    async def judge(self, samples: Samples) -> float | None:
        """Probability that the turn which these samples end is complete; None without a model."""
        if self._judge is None:
            return None
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._judging, self._judge.judge, samples)
