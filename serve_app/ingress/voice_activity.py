"""Voice activity for all sessions of an ingress replica, with one call in flight at a time.

At low load the delay is one round trip. With more sessions, calls start 16 ms apart and the batches
grow by themselves. A call for each frame would cost about 4 ms of CPU in two processes, for 31
frames a second and session.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import numpy as np

from serve_app.conversation.settings import FRAME_SAMPLES
from serve_app.errors import EngineError, EngineUnavailable
from serve_app.protocol.messages import Samples
from serve_app.vad.jobs import VadAnswer, VadJob, new_row

Detect = Callable[[list[VadJob]], Awaitable[list[VadAnswer]]]

_MAX_WAITING_FRAMES = 640
"""20 s of one session: more means that the VAD has not answered for that long."""
_FRAMES_PER_STREAM = 64
"""2 s of one session in each call, so that a session that is behind does not delay the others."""
_FRAMES_PER_CALL = 1024
_INTERVAL_S = 0.016
"""From the start of one call to the start of the next. The frames of a single session, which come
every 32 ms, do not wait for it; those of a dozen sessions share a call."""
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
        self.row = new_row()
        self.waiting: deque[Samples] = deque()

    def take(self, most: int) -> VadJob:
        """A job of at most `most` of the waiting frames, of which there must be one."""
        count = min(len(self.waiting), most)
        return VadJob(self.row, np.stack([self.waiting.popleft() for _ in range(count)]))


class VoiceActivityBatcher:
    """Makes the calls for all streams. The ingress replica owns and runs it."""

    def __init__(self, detect: Detect) -> None:
        self._detect = detect
        self._streams: set[VoiceStream] = set()
        self._work = asyncio.Event()

    def add(self, stream: VoiceStream) -> None:
        self._streams.add(stream)

    def remove(self, stream: VoiceStream) -> None:
        self._streams.discard(stream)

    def push(self, stream: VoiceStream, samples: Samples) -> None:
        """Takes a whole number of frames. Never waits; a stream that is too far behind fails.

        `samples`: float32 at 16 kHz, shape (512 n,)."""
        if len(stream.waiting) > _MAX_WAITING_FRAMES:
            stream.fail(EngineUnavailable("vad", "voice activity detection does not keep up"))
            return
        stream.waiting.extend(samples.reshape(-1, FRAME_SAMPLES))
        self._work.set()

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._work.wait()
            self._work.clear()
            while busy := [stream for stream in self._streams if stream.waiting]:
                next_s = loop.time() + _INTERVAL_S
                for at in range(0, len(busy), _STREAMS_PER_CALL):
                    await self._call(busy[at : at + _STREAMS_PER_CALL])
                await asyncio.sleep(next_s - loop.time())

    async def _call(self, streams: list[VoiceStream]) -> None:
        most = min(_FRAMES_PER_STREAM, _FRAMES_PER_CALL // len(streams))
        jobs = [stream.take(most) for stream in streams]
        try:
            answers = await self._detect(jobs)
        except EngineError as error:
            for stream in streams:
                stream.fail(error)
            return
        for stream, answer in zip(streams, answers, strict=True):
            stream.row = answer.row
            stream.deliver([float(p) for p in answer.probabilities])
