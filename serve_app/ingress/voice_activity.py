"""Voice activity for all sessions of an ingress replica, with one call in flight at a time.

At low load the delay is one round trip. With more sessions, calls start 16 ms apart and the batches
grow by themselves. A call for each frame would cost about 4 ms of CPU in two processes, for 31
frames a second and session.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import islice
from statistics import median

import numpy as np

from serve_app.conversation.settings import FRAME_SAMPLES
from serve_app.errors import EngineError, EngineUnavailable
from serve_app.ingress.load import Load, Shed
from serve_app.ingress.vad_memory import VadMemory
from serve_app.protocol.messages import Samples
from serve_app.vad.jobs import VadAnswer, VadJob

log = logging.getLogger(__name__)

Detect = Callable[[list[VadJob]], Awaitable[list[VadAnswer]]]

_RETRY_S = 0.25
"""Between two calls, the first of which failed."""
_MAX_WAITING_FRAMES = 1000
"""32 s of one session: more means that the VAD has not answered for that long."""
_FRAMES_PER_STREAM = 64
"""2 s of one session in each call, so that a session that is behind does not delay the others."""
_FRAMES_PER_CALL = 1024
_INTERVAL_S = 0.016
"""From the start of one call to the start of the next. The frames of a single session, which come
every 32 ms, do not wait for it; those of a dozen sessions share a call."""
_INTERVAL_WHEN_LATE_S = 0.128
"""Each call costs two processes some milliseconds, however many frames are in it."""
_STREAMS_PER_CALL = 256
"""With each session's row, a call has at most 2.5 MiB. Serve refuses one over 4 MiB, the default of
RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH, and then no session would catch up."""


class VoiceStream:
    """One session: its frames go in and their probabilities come out, in order."""

    def __init__(
        self, deliver: Callable[[list[float]], None], fail: Callable[[EngineError], None]
    ) -> None:
        self.deliver = deliver
        self.fail = fail
        self.waiting: deque[Samples] = deque()
        self._came_at_s: deque[float] = deque()
        self._memory = VadMemory()

    def push(self, frames: Samples, now_s: float) -> None:
        """`frames`: shape (n, 512)."""
        self.waiting.extend(frames)
        self._came_at_s.extend([now_s] * len(frames))

    def late_s(self, now_s: float) -> float:
        """How long the oldest frame has waited; 0 if there is none."""
        return now_s - self._came_at_s[0] if self._came_at_s else 0.0

    def job(self, most: int) -> VadJob:
        """At most `most` of the waiting frames, of which there must be one. They go on waiting
        until `take` has their answer."""
        return VadJob(self._memory.row, np.stack(list(islice(self.waiting, most))))

    def take(self, answer: VadAnswer) -> None:
        """The answer to the last job."""
        self._memory.take(answer)
        for _ in answer.probabilities:
            self.waiting.popleft()
            self._came_at_s.popleft()
        self.deliver([float(p) for p in answer.probabilities])

    def clear(self) -> None:
        """Nothing waits any longer."""
        self.waiting.clear()
        self._came_at_s.clear()


class VoiceActivityBatcher:
    """Makes the calls for all streams. The ingress replica owns and runs it."""

    def __init__(
        self, detect: Detect, load: Load, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`load` is told how late the frames are. `clock`: that of the event loop."""
        self._detect = detect
        self._load = load
        self._clock = clock
        self._streams: dict[VoiceStream, None] = {}
        """In the order in which they came, so that a run can be repeated."""
        self._work = asyncio.Event()
        self._is_away = False
        """No VAD answered the last call."""

    def add(self, stream: VoiceStream) -> None:
        self._streams[stream] = None

    def remove(self, stream: VoiceStream) -> None:
        self._streams.pop(stream, None)

    def push(self, stream: VoiceStream, samples: Samples) -> None:
        """Takes a whole number of frames. Never waits; a stream that is too far behind fails.

        `samples`: float32 at 16 kHz, shape (512 n,)."""
        if len(stream.waiting) > _MAX_WAITING_FRAMES:
            stream.fail(EngineUnavailable("vad", "voice activity detection does not keep up"))
            return
        stream.push(samples.reshape(-1, FRAME_SAMPLES), self._clock())
        self._work.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            while busy := [stream for stream in self._streams if stream.waiting]:
                next_s = self._clock() + self._interval_s
                for at in range(0, len(busy), _STREAMS_PER_CALL):
                    await self._call(busy[at : at + _STREAMS_PER_CALL])
                await asyncio.sleep(next_s - self._clock())

    @property
    def _interval_s(self) -> float:
        is_late = self._load.level >= Shed.SMALL_CALLS
        return _INTERVAL_WHEN_LATE_S if is_late else _INTERVAL_S

    def _note_load(self, streams: list[VoiceStream]) -> None:
        """The median, because a single session is behind when its client sent much at once."""
        now_s = self._clock()
        self._load.note(median(stream.late_s(now_s) for stream in streams), now_s)

    async def _call(self, streams: list[VoiceStream]) -> None:
        most = min(_FRAMES_PER_STREAM, _FRAMES_PER_CALL // len(streams))
        try:
            answers = await self._detect([stream.job(most) for stream in streams])
        except EngineError as error:
            self._note_load(streams)
            await self._failed(streams, error)
            return
        self._note_load(streams)
        if self._is_away:
            log.warning("the VAD answers again")
            self._is_away = False
        for stream, answer in zip(streams, answers, strict=True):
            stream.take(answer)

    async def _failed(self, streams: list[VoiceStream], error: EngineError) -> None:
        """A VAD that is away for a moment finds the frames waiting. A call that fails whenever it
        is made fails for one session only."""
        if error.retryable:
            if not self._is_away:
                log.warning("the frames of all sessions wait for a VAD: %s", error)
            self._is_away = True
            await asyncio.sleep(_RETRY_S)
        elif len(streams) > 1:
            for stream in streams:
                await self._call([stream])
        else:
            (stream,) = streams
            stream.fail(error)
            stream.clear()
