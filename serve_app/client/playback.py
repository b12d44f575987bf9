"""The client's loudspeaker: what the server sent, and how much of it was played when."""

import time
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from serve_app.protocol.formats import AudioFormat
from serve_app.protocol.messages import TOKEN_BYTES


@dataclass(frozen=True, slots=True)
class Received:
    """A message from the server, and when it arrived."""

    at_s: float
    """time.monotonic()."""
    kind: str
    fields: dict[str, Any]

    @property
    def token(self) -> str:
        """Of a token, interrupt or audio message."""
        if self.kind == "audio":
            return bytes(self.fields["audio"][:TOKEN_BYTES]).decode("ascii")
        return str(self.fields["token"])


class Loudspeaker(Protocol):
    """A real one. One that can play softer has the method `duck`, too."""

    def play(self, audio: bytes) -> None:
        """Puts audio behind what is being played. Returns at once."""
        ...

    def stop(self) -> None:
        """Falls silent at once, and forgets what was to be played."""
        ...


@runtime_checkable
class SoftLoudspeaker(Loudspeaker, Protocol):
    """One that lowers the agent's voice while the user may be interrupting."""

    def duck(self, on: bool) -> None:
        """Plays softer from now on, or as loud as before. `stop` ends it, too. Returns at once."""
        ...


@dataclass(slots=True)
class Playback:
    """What was played, when, and how much audio arrived too late to be played."""

    format: AudioFormat
    loudspeaker: Loudspeaker | None = None
    token: str = ""
    heard: bytearray = field(default_factory=bytearray)
    stale_chunks: int = 0
    """Audio that arrived after an `interrupt` under an older token: a bug of the server."""
    ends_at_s: float = 0.0
    played_token: str = ""
    """The token of the reply that was played last."""
    _played_bytes: int = 0
    """How much of that reply was played."""
    _queue: list[tuple[float, str, bytes]] = field(default_factory=list)

    def take(self, message: Received) -> None:
        if message.kind == "token":
            self.token = message.token
        elif message.kind == "interrupt":
            self.token = message.token
            self._drop_unplayed(message.at_s)
        elif message.kind == "audio":
            self._play(message)
        elif message.kind == "duck" and isinstance(self.loudspeaker, SoftLoudspeaker):
            self.loudspeaker.duck(message.fields["on"])

    def _play(self, message: Received) -> None:
        if message.token != self.token:
            self.stale_chunks += 1
            return
        audio = bytes(message.fields["audio"][TOKEN_BYTES:])
        start = max(self.ends_at_s, message.at_s)
        self._queue.append((start, message.token, audio))
        self.ends_at_s = start + self.format.seconds(len(audio))
        if self.loudspeaker:
            self.loudspeaker.play(audio)

    def stop(self) -> None:
        """The connection is lost: the rest of the reply will not come."""
        self._drop_unplayed(time.monotonic())

    def _drop_unplayed(self, now_s: float) -> None:
        self.advance(now_s)
        self._queue.clear()
        if self.loudspeaker:
            self.loudspeaker.stop()
        self.ends_at_s = now_s

    def left_s(self) -> float:
        """Playing time of what is in the queue."""
        return self.ends_at_s - time.monotonic()

    def advance(self, now_s: float) -> None:
        """Moves what has been played by now from the queue to `heard`."""
        while self._queue and self._queue[0][0] <= now_s:
            start, token, audio = self._queue.pop(0)
            played = int((now_s - start) * self.format.bytes_per_second) // 2 * 2
            self._hear(token, audio[:played])
            if played < len(audio):
                rest = start + self.format.seconds(played)
                self._queue.insert(0, (rest, token, audio[played:]))
                return

    def _hear(self, token: str, audio: bytes) -> None:
        self.heard += audio
        if token != self.played_token:
            self.played_token, self._played_bytes = token, 0
        self._played_bytes += len(audio)

    @property
    def played_ms(self) -> float:
        """How much of the reply with `played_token` had been played at the last `advance`."""
        return self.format.seconds(self._played_bytes) * 1000
