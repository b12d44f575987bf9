"""A voice that runs in this process."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import numpy.typing as npt

from serve_app.agent.engines import Speech, TtsEngine
from serve_app.conversation.sound import ANY_SOUND, Sound
from serve_app.errors import EngineError, EngineTimeout
from serve_app.protocol.formats import parse_format

_PCM_PEAK = 32767


class Synthesiser(Protocol):
    """A model and what it needs to read text. Used by one thread at a time."""

    rate_hz: int

    def samples(self, text: str) -> npt.NDArray[np.float32]:
        """The text as speech, in [-1, 1], mono at `rate_hz`, shape (n,). Empty if the model has no
        sound for it: no words, or another script."""
        ...


class LocalVoice(TtsEngine):
    """Each clause becomes one Speech.

    One thread synthesises for all replies. A reply has at most one clause in its queue, so replies
    that overlap take turns, clause by clause, and one that is interrupted costs the others no more
    than the clause that is under way.
    """

    def __init__(self, model: Synthesiser, timeout_s: float) -> None:
        """`timeout_s`: for a clause, including its time in the queue."""
        self._model = model
        self._timeout_s = timeout_s
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="voice")
        self.format = parse_format(f"pcm_{model.rate_hz}")

    def warm_up(self) -> None:
        """Speaks once: models load much of what they need at the first clause."""
        self._thread.submit(self._pcm, "Hello, how can I help you today?").result()

    async def speak(
        self, clauses: AsyncIterator[str], sound: Sound = ANY_SOUND
    ) -> AsyncGenerator[Speech, None]:
        """See TtsEngine. A clause that the model has no sound for is not said.

        `sound` is ignored: there is one voice, and the ingress lets no client ask for another.

        Raises EngineTimeout when a clause takes too long.
        """
        async for clause in clauses:
            audio = await self._synthesise(clause)
            yield Speech(audio, clause, is_said=bool(audio))

    async def aclose(self) -> None:
        """Drops what is queued, and waits for the current clause."""
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    async def _synthesise(self, clause: str) -> bytes:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await loop.run_in_executor(self._thread, self._pcm, clause)
        except TimeoutError:
            raise EngineTimeout("tts", f"no audio within {self._timeout_s:g} s") from None

    def _pcm(self, clause: str) -> bytes:
        """Signed 16-bit mono."""
        try:
            samples = self._model.samples(clause)
        except Exception as error:
            # Only the type of the error: its message may quote what is being said.
            raise EngineError("tts", f"the voice failed ({type(error).__name__})") from error
        pcm: npt.NDArray[np.int16] = (np.clip(samples, -1.0, 1.0) * _PCM_PEAK).astype("<i2")
        return pcm.tobytes()
