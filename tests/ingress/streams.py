"""A session as the batcher of voice activity sees it."""

import asyncio

from serve_app.errors import EngineError
from serve_app.ingress.voice_activity import VoiceStream


class Listener:
    """Collects what the batcher delivers for one session."""

    def __init__(self, expected: int) -> None:
        self.probabilities: list[float] = []
        self.failures: list[EngineError] = []
        self.done = asyncio.Event()
        self._expected = expected
        self.stream = VoiceStream(self._deliver, self._fail)

    def _deliver(self, probabilities: list[float]) -> None:
        self.probabilities += probabilities
        if len(self.probabilities) >= self._expected:
            self.done.set()

    def _fail(self, error: EngineError) -> None:
        self.failures.append(error)
        self.done.set()
