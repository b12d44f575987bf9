"""The client's loudspeaker: plays what it is sent in order, and drops everything at `interrupt`."""

from dataclasses import dataclass, replace

import numpy as np

from bench.barge_in_agent import FORMAT, heard_as_samples
from serve_app.conversation.settings import SAMPLE_RATE_HZ
from serve_app.protocol.messages import AgentAudio, Interrupt, Samples, ServerMessage, Token


@dataclass(frozen=True, slots=True)
class Stretch:
    """What was played without a break, as one message brought it."""

    start_s: float
    end_s: float
    token: str
    audio: bytes
    """All of the message; what was cut off at `end_s` was not heard."""

    @property
    def seconds(self) -> float:
        return self.end_s - self.start_s


class Loudspeaker:
    """As a plain Echo client has it."""

    def __init__(self) -> None:
        self.played: list[Stretch] = []
        """What has been played, and what is going to be unless it is dropped."""
        self.interrupts: list[float] = []
        """When the client was told to stop."""
        self.stale = 0
        """Messages with audio under a dead token: a bug of the server."""
        self.ends_at_s = 0.0
        self._token = ""

    def take(self, message: ServerMessage, at_s: float) -> bool:
        """`at_s` never decreases. Returns whether there is something new to play."""
        match message:
            case Token(token):
                self._token = token
            case Interrupt(token):
                self._token = token
                self._stop(at_s)
            case AgentAudio(token, audio):
                return self._play(token, audio, at_s)
        return False

    def _play(self, token: str, audio: bytes, at_s: float) -> bool:
        if token != self._token:
            self.stale += 1
            return False
        start_s = max(self.ends_at_s, at_s)
        self.ends_at_s = start_s + FORMAT.seconds(len(audio))
        self.played.append(Stretch(start_s, self.ends_at_s, token, audio))
        return True

    def _stop(self, at_s: float) -> None:
        self.interrupts.append(at_s)
        cut = (replace(s, end_s=min(s.end_s, at_s)) for s in self.played)
        self.played = [stretch for stretch in cut if stretch.seconds > 0]
        self.ends_at_s = min(self.ends_at_s, at_s)

    def sound(self, start_s: float, count: int) -> Samples:
        """The `count` samples that were played from `start_s` on, shape (count,)."""
        heard = np.zeros(count, dtype=np.float32)
        first = round(start_s * SAMPLE_RATE_HZ)
        for stretch in self.played:
            begin = round(stretch.start_s * SAMPLE_RATE_HZ)
            end = round(stretch.end_s * SAMPLE_RATE_HZ)
            low, high = max(begin, first), min(end, first + count)
            if low < high:
                audio = heard_as_samples(stretch.audio[2 * (low - begin) : 2 * (high - begin)])
                heard[low - first : low - first + len(audio)] = audio
        return heard
