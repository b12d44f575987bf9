"""A score whose client reads slowly, or stops reading for a while."""

from collections import deque
from dataclasses import dataclass

from serve_app.conversation import events as ev
from serve_app.protocol.messages import AgentAudio, Interrupt, ServerMessage
from tests.conversation.score import Score


@dataclass
class SlowScore(Score):
    """Messages wait in a queue, as in `ClientSocket`, and the conversation is told how many."""

    bytes_per_s: float = float("inf")
    """What the client reads of the agent's audio. A second of it has 32,000 bytes."""
    stops_reading: tuple[float, float] = (0.0, 0.0)
    """From when to when."""

    def play(self, until_s: float) -> "SlowScore":
        self.arrived: list[tuple[float, ServerMessage]] = []
        self._outbox: deque[ServerMessage] = deque()
        self._in_writing: ServerMessage | None = None
        self._told = 0
        super().play(until_s)
        return self

    def written_bytes(self, at_s: float, token: str) -> int:
        """Of a reply's audio."""
        audio = [m for s, m in self.arrived if s <= at_s and isinstance(m, AgentAudio)]
        return sum(len(message.audio) for message in audio if message.token == token)

    def arrival_s(self, message: ServerMessage) -> float:
        return next(at_s for at_s, arrived in self.arrived if arrived == message)

    def _do(self, event: ev.Event) -> None:
        self._tell_backlog()
        super()._do(event)

    def _tell_backlog(self) -> None:
        waiting = [*self._outbox, *([self._in_writing] if self._in_writing else [])]
        messages = sum(isinstance(message, AgentAudio) for message in waiting)
        if messages != self._told:
            self._told = messages
            super()._do(ev.Backlog(messages))

    def _send(self, message: ServerMessage) -> None:
        if isinstance(message, Interrupt):
            self._outbox = deque(m for m in self._outbox if not isinstance(m, AgentAudio))
        self._outbox.append(message)
        self._write_next()

    def _write_next(self) -> None:
        if self._in_writing is None and self._outbox:
            self._in_writing = self._outbox.popleft()
            size = len(self._in_writing.audio) if isinstance(self._in_writing, AgentAudio) else 0
            start_s, end_s = self.stops_reading
            starts_s = end_s if start_s <= self.now_s < end_s else self.now_s
            self._at(starts_s + size / self.bytes_per_s, self._written)

    def _written(self) -> None:
        message = self._in_writing
        assert message is not None
        self._tell_backlog()
        self._in_writing = None
        self.arrived.append((self.now_s, message))
        super()._send(message)
        self._tell_backlog()
        self._write_next()
