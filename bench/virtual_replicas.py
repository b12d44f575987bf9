"""What the ingress calls, without processes: VAD, transcriber, agent and session actors, each of
which may fail in every way that a call can.

The user's audio says what is heard in it: each sample is the number of its frame (see `Speech`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from random import Random
from typing import Any, Self

import numpy as np

from bench.virtual_luck import Luck
from serve_app.agent.parts import Began, ReplyPart
from serve_app.conversation.history import ChatMessage
from serve_app.conversation.piece import Piece
from serve_app.conversation.settings import FRAME_SAMPLES
from serve_app.errors import DraftDeclined, EngineUnavailable
from serve_app.protocol.messages import Samples
from serve_app.sessions.handles import ActorHandles
from serve_app.sessions.store import SessionStore
from serve_app.stt.job import Heard, Request
from serve_app.vad.jobs import VadAnswer, VadJob

_SCALE = 1 << 20
"""Samples are at most 1, and float32 has 24 bits: 9 hours of frames."""
BYTES_PER_S = 200
"""Of the agent's voice here."""
_CHARS_PER_S = 20
_PIECE_CHARS = 10


class Remote:
    """A method of a handle: what `remote` returns is awaited, and may be cancelled."""

    def __init__(self, answer: Callable[..., Any]) -> None:
        self.remote = answer


class Response:
    """One call with one answer."""

    def __init__(self, answer: Awaitable[Any]) -> None:
        self._answer = answer

    def __await__(self) -> Any:
        return self._answer.__await__()

    def cancel(self) -> None:
        """The caller's cancellation has reached the answer already."""


class Speech:
    """What the user says in which frame: the whole call, however many sockets it takes."""

    def __init__(self) -> None:
        self.frames = 0
        """Spoken so far."""
        self._voiced: set[int] = set()
        self._words: dict[int, str] = {}

    def add(self, is_voiced: bool, word: str | None = None) -> Samples:
        """The next frame. A word is within its middle."""
        number, self.frames = self.frames, self.frames + 1
        if is_voiced:
            self._voiced.add(number)
        if word is not None:
            self._words[number] = word
        return np.full(FRAME_SAMPLES, number / _SCALE, dtype=np.float32)

    def is_voiced(self, frame: Samples) -> bool:
        return round(float(frame[len(frame) // 2]) * _SCALE) in self._voiced

    def words(self, samples: Samples) -> list[str]:
        """Those whose middle is in the samples."""
        if not len(samples):
            return []
        numbers, counts = np.unique(np.rint(samples * _SCALE).astype(int), return_counts=True)
        least = np.full(len(numbers), FRAME_SAMPLES // 2)
        least[0] += counts[0] < FRAME_SAMPLES  # the first frame is cut off at its beginning
        heard = numbers[counts >= least]
        return [self._words[number] for number in heard.tolist() if number in self._words]

    def forget(self) -> None:
        """What was said long ago: an hour would fill the memory that a test wants to measure."""
        old = self.frames - 4000
        self._voiced = {number for number in self._voiced if number >= old}
        self._words = {number: word for number, word in self._words.items() if number >= old}


class Vad:
    """The handle of the VAD deployment."""

    def __init__(self, luck: Luck, speech: Speech, random: Random) -> None:
        self._luck, self._speech, self._random = luck, speech, random
        self.detect = Remote(lambda jobs: Response(self._detect(jobs)))
        self.judge = Remote(lambda samples: Response(self._judge(samples)))

    async def _detect(self, jobs: list[VadJob]) -> list[VadAnswer]:
        await self._luck.befall("vad")
        return [VadAnswer(job.row, self._probabilities(job)) for job in jobs]

    def _probabilities(self, job: VadJob) -> Samples:
        found = [0.95 if self._speech.is_voiced(frame) else 0.05 for frame in job.frames]
        return np.array(found, dtype=np.float32)

    async def _judge(self, samples: Samples) -> float:
        await self._luck.befall("judge")
        return self._random.choice([0.1, 0.9, 0.9])


class Transcriber:
    """The handle of the STT deployment."""

    def __init__(self, luck: Luck, speech: Speech) -> None:
        self._luck, self._speech = luck, speech
        self.transcribe = Remote(lambda request: Response(self._transcribe(request)))

    async def _transcribe(self, request: Request) -> Heard:
        await self._luck.befall("stt")
        return Heard(" ".join(self._speech.words(request.samples)))


class Agent:
    """The handle of the agent's deployment."""

    def __init__(self, luck: Luck, random: Random, needs_tool: float) -> None:
        """`needs_tool`: the share of replies that use a tool, which a draft must not."""
        self._luck, self._random, self._needs_tool = luck, random, needs_tool
        self.reply = Remote(self._reply)
        self.say = Remote(lambda text, sound: Stream(self._luck, self._parts(text)))
        self.chats: list[Sequence[ChatMessage]] = []
        """The newest few that it was asked to answer."""

    def options(self, stream: bool) -> Self:
        return self

    def _reply(self, chat: Sequence[ChatMessage], sound: object, is_draft: bool) -> "Stream":
        self.chats = [*self.chats[-9:], chat]
        first = "Let me look. " if self._random.random() < self._needs_tool else ""
        words = " ".join(["well"] * self._random.randint(1, 30))
        is_declined = is_draft and bool(first)
        return Stream(
            self._luck, self._parts(first if is_declined else f"{first}{words}."), is_declined
        )

    def _parts(self, text: str) -> Iterator[ReplyPart]:
        yield Began()
        for at in range(0, len(text), _PIECE_CHARS):
            said = text[at : at + _PIECE_CHARS]
            seconds = len(said) / _CHARS_PER_S
            yield Piece(bytes(int(seconds * BYTES_PER_S)), said, seconds)


class Stream:
    """A call whose answer comes in parts."""

    def __init__(self, luck: Luck, parts: Iterator[ReplyPart], is_declined: bool = False) -> None:
        self._luck, self._parts, self._is_declined = luck, parts, is_declined
        self._is_first = True

    def cancel(self) -> None:
        """The caller's cancellation has reached the answer already."""

    async def __anext__(self) -> ReplyPart:
        # The later parts are many.
        await self._luck.befall("agent", None if self._is_first else 0.03)
        self._is_first = False
        for part in self._parts:
            return part
        if self._is_declined:
            raise DraftDeclined("it needs a tool")
        raise StopAsyncIteration

    def __aiter__(self) -> Self:
        return self


class Actors(ActorHandles):
    """The session actors: one store, in virtual time."""

    def __init__(self, luck: Luck, window_s: float) -> None:
        self._luck = luck
        self.store = SessionStore(window_s)

    async def ask(self, name: str, method: str, *arguments: Any) -> Any:
        try:
            async with asyncio.timeout(5.0):
                await self._luck.befall("sessions")
        except TimeoutError:
            raise EngineUnavailable("sessions", name) from None
        now_s = asyncio.get_running_loop().time()
        return now_s if method == "age_s" else getattr(self.store, method)(*arguments, now_s)

    async def of_other_versions(self) -> list[str]:
        return []
