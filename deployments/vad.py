"""Voice activity detection for all sessions of all ingress replicas."""

import asyncio

from serve_app.config import VadSettings
from serve_app.engines.silero import SileroVad, VadAnswer, VadJob


class VoiceActivity:
    """Stateless: each row of a batch carries its session's state."""

    def __init__(self, settings: VadSettings) -> None:
        self._engine = SileroVad(settings.threads)
        self._engine.warm_up()

    async def detect(self, jobs: list[VadJob]) -> list[VadAnswer]:
        return await asyncio.to_thread(self._engine.detect, jobs)
