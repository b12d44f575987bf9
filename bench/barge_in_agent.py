"""An agent with a script: what it says is known to the sample, so what was heard of it is, too."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serve_app.agent.engines import Speech
from serve_app.agent.speaker import pieces
from serve_app.agent.tts.hibari.model import HibariModel
from serve_app.agent.tts.resample import PcmResampler
from serve_app.conversation.history import ChatMessage
from serve_app.conversation.piece import Piece
from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.conversation.words import words
from serve_app.protocol.formats import parse_format
from serve_app.protocol.messages import Samples

FORMAT = parse_format(f"pcm_{SAMPLE_RATE_HZ}")
"""The client format: the microphone's rate, so that an echo needs no conversion."""
STORY = (
    "Once upon a time, in a small village by the sea,",
    " there lived an old man who repaired clocks.",
    " Nobody knew where he had come from, or how old he was.",
    " Every evening he climbed the hill behind his house,",
    " looked at the stars for a long while,",
    " and wrote something into a small black book.",
)
"""What the agent is telling when the user makes a sound, clause by clause."""
ANSWERS = (
    ("Of course.", " The museum is open from nine in the morning until half past five."),
    ("That is a good question.", " The blue part of the light reaches us from all directions."),
    ("I see.", " If you leave the house before eight, you will be at the airport by nine."),
)
"""What it says to any turn after that, one after the other."""
_KEY_MS = 10
"""This much of a piece is looked for in the script when the whole piece is not in it: whoever
repeats a piece from its middle may have made its beginning softer."""


@dataclass(frozen=True, slots=True)
class Line:
    """Some clauses and their sound."""

    speeches: tuple[Speech, ...]

    @property
    def text(self) -> str:
        return "".join(speech.text for speech in self.speeches)

    @property
    def audio(self) -> bytes:
        return b"".join(speech.audio for speech in self.speeches)

    @property
    def seconds(self) -> float:
        return FORMAT.seconds(len(self.audio))

    def pieces(self) -> list[list[Piece]]:
        """Of each clause, as the agent sends them."""
        return [pieces(speech, FORMAT) for speech in self.speeches]

    def after(self, said: str) -> "Line":
        """The clauses that come after those which have been said."""
        count, left = 0, len(words(said))
        for speech in self.speeches:
            if left <= 0:
                break
            left -= len(words(speech.text))
            count += 1
        return Line(self.speeches[count:])

    def position(self, audio: bytes) -> float | None:
        """Where in the line this audio is, in seconds from its beginning; None if it is not."""
        whole = self.audio
        if (at := whole.find(audio)) >= 0:
            return FORMAT.seconds(at)
        start = _loudest(audio)
        at = whole.find(audio[start : start + _KEY_BYTES])
        return FORMAT.seconds(at - start) if at >= 0 else None


@dataclass
class Agent:
    """Tells the story first. After that it answers whatever it is told."""

    story: Line
    answers: Sequence[Line]
    asked: int = 0
    """Replies that are no continuation of another one."""

    def reply(self, chat: tuple[ChatMessage, ...], continuation: str) -> Line:
        """`continuation` is what the agent is told when it is to go on after its last words."""
        if chat[-1].content == continuation:
            last = next((m.content for m in reversed(chat) if m.role == "assistant"), "")
            return self.story.after(last)
        self.asked += 1
        if self.asked == 1:
            return self.story
        return self.answers[self.asked % len(self.answers)]


def voiced(model: HibariModel, clauses: Sequence[str]) -> Line:
    """The clauses, as the packaged voice says them."""
    return Line(tuple(Speech(_pcm(model, clause), clause) for clause in clauses))


def _pcm(model: HibariModel, clause: str) -> bytes:
    """The voice's silence is all zeros, which would be found anywhere in a script. A noise of one
    bit, which nobody hears, makes each piece of it unlike any other."""
    pcm = np.rint(np.clip(model.samples(clause), -1, 1) * 32766).astype("<i2").tobytes()
    speech = np.frombuffer(
        PcmResampler(model.rate_hz, SAMPLE_RATE_HZ).push(pcm, last=True), dtype="<i2"
    )
    noise = np.random.default_rng(len(clause)).integers(-1, 2, len(speech))
    return np.clip(speech + noise, -32768, 32767).astype("<i2").tobytes()


def heard_as_samples(audio: bytes) -> Samples:
    """The agent's voice as float32 in [-1, 1], shape (n,)."""
    return np.frombuffer(audio, dtype="<i2").astype(np.float32) / np.float32(32768)


_KEY_BYTES = 2 * _KEY_MS * SAMPLE_RATE_HZ // 1000


def _loudest(audio: bytes) -> int:
    """The byte at which the loudest 10 ms begin: those are nowhere else in a script."""
    windows = [audio[i : i + _KEY_BYTES] for i in range(0, len(audio), _KEY_BYTES)]
    levels = [float(np.square(heard_as_samples(window)).sum()) for window in windows]
    return int(np.argmax(levels)) * _KEY_BYTES if levels else 0
