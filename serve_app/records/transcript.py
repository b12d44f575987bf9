"""What was said in a call, from the events and effects of its conversation. Pure: the time is
handed in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.protocol.messages import (
    AgentAudio,
    Duck,
    ErrorNotice,
    Interrupt,
    Metrics,
    ServerMessage,
    StateChanged,
    ToolCall,
    Transcript,
)

NEEDED: Final = frozenset({"transcript", "metrics", "error", "state", "duck"})
"""The events that this goes by. The conversation is asked for them, whatever its client wants."""
_EVENT_OF: Final[dict[type, str]] = {
    Transcript: "transcript",
    Metrics: "metrics",
    ErrorNotice: "error",
    StateChanged: "state",
    Duck: "duck",
}
_MOST: Final = 20_000
"""Turns, calls of tools and errors of one call, each."""


def is_wanted(message: ServerMessage, events: frozenset[str]) -> bool:
    """Whether the client asked for such a message."""
    event = _EVENT_OF.get(type(message))
    return event is None or event in events


@dataclass(slots=True)
class _Numbered:
    """Entries of one kind. The last one may be written again."""

    kind: str
    count: int = 0
    last: dict[str, Any] | None = None

    def add(self, entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if self.count < _MOST:
            self.count += 1
            self.last = entry
            yield self.line(self.count - 1, entry)

    def line(self, number: int, entry: dict[str, Any]) -> dict[str, Any]:
        return {self.kind: [number, entry]}


class TranscriptNotes:
    """Turns events and effects into lines: `turn`, `tool` and `error`, each with its number and
    what it holds. A line with the same number takes the place of the one before."""

    def __init__(self) -> None:
        self._turns = _Numbered("turn")
        self._tools = _Numbered("tool")
        self._errors = _Numbered("error")
        self._awaited: dict[str, tuple[int, float, dict[str, Any]]] = {}
        """Calls of the client's tools by their ids: number, time and entry."""
        self._user_began_s: float | None = None
        self._ducked_at_s: float | None = None
        self._agent_began_s: float | None = None
        self._agent_turn = 0
        """The generation of the agent's last entry, which may go on."""
        self._latencies: Metrics | None = None

    def take(
        self, at_s: float, event: ev.Event, effects: Sequence[ef.Effect]
    ) -> list[dict[str, Any]]:
        """What is new. `at_s`: from the start of the call."""
        if isinstance(event, ev.TextReceived) and self._user_began_s is None:
            self._user_began_s = at_s
        answers = self._answered(at_s, event) if isinstance(event, ev.ToolAnswered) else ()
        messages = [effect.message for effect in effects if isinstance(effect, ef.Send)]
        is_stopped = any(isinstance(message, Interrupt) for message in messages)
        said = (line for message in messages for line in self._note(at_s, message, is_stopped))
        lines = [*answers, *said]
        if is_stopped:
            self._agent_began_s = None
        return lines

    def tool(
        self, at_s: float, name: str, arguments: str, result: str, duration_ms: float
    ) -> Iterator[dict[str, Any]]:
        """One of the server's was used."""
        entry = {"name": name, "arguments": arguments, "at_s": _rounded(at_s)}
        yield from self._tools.add(
            {**entry, "result": result, "duration_ms": round(duration_ms, 1)}
        )

    def _asked(self, at_s: float, call: ToolCall) -> Iterator[dict[str, Any]]:
        """The client is to run one of its own."""
        entry = {"name": call.name, "arguments": call.arguments, "at_s": _rounded(at_s)}
        for line in self._tools.add(entry):
            self._awaited[call.call_id] = (self._tools.count - 1, at_s, entry)
            yield line

    def _answered(self, at_s: float, answer: ev.ToolAnswered) -> Iterator[dict[str, Any]]:
        if (found := self._awaited.pop(answer.call_id, None)) is not None:
            number, asked_at_s, entry = found
            took_ms = round((at_s - asked_at_s) * 1000, 1)
            entry.update(result=answer.output, duration_ms=took_ms)
            yield self._tools.line(number, entry)

    def _note(
        self, at_s: float, message: ServerMessage, is_stopped: bool
    ) -> Iterator[dict[str, Any]]:
        match message:
            case Duck(on):
                self._ducked_at_s = at_s if on else None
            case StateChanged("listening"):
                self._user_began_s = at_s if self._ducked_at_s is None else self._ducked_at_s
            case AgentAudio() if self._agent_began_s is None:
                self._agent_began_s = at_s
            case Metrics():
                self._latencies = message
            case Transcript(role="user"):
                yield from self._user_said(at_s, message)
            case Transcript():
                yield from self._agent_said(at_s, message, is_stopped)
            case ToolCall():
                yield from self._asked(at_s, message)
            case ErrorNotice(_, stage, text):
                error = {"stage": stage, "message": text, "at_s": _rounded(at_s)}
                yield from self._errors.add(error)

    def _user_said(self, at_s: float, said: Transcript) -> Iterator[dict[str, Any]]:
        began_s = at_s if self._user_began_s is None else self._user_began_s
        self._user_began_s = None
        self._agent_turn = 0
        entry = {"role": "user", "text": said.text, "language": said.language}
        yield from self._turns.add({**entry, "at_s": _rounded(began_s)})

    def _agent_said(
        self, at_s: float, said: Transcript, is_stopped: bool
    ) -> Iterator[dict[str, Any]]:
        """An agent that was stopped for nothing goes on in the same turn."""
        began_s = at_s if self._agent_began_s is None else self._agent_began_s
        self._agent_began_s = None
        last = self._turns.last
        if last is not None and said.turn == self._agent_turn and last["interrupted"]:
            last.update(text=f"{last['text']} {said.text}", interrupted=is_stopped)
            yield self._turns.line(self._turns.count - 1, last)
            return
        self._agent_turn = said.turn
        entry = {"role": "agent", "text": said.text, "at_s": _rounded(began_s)}
        latencies = self._latencies_of(said.turn)
        yield from self._turns.add({**entry, "interrupted": is_stopped, "latencies": latencies})

    def _latencies_of(self, turn: int) -> dict[str, float] | None:
        found, self._latencies = self._latencies, None
        if found is None or found.turn != turn:
            return None
        names = ("endpoint_ms", "stt_ms", "llm_ms", "tts_ms")
        return {name: round(getattr(found, name), 1) for name in names}


def _rounded(seconds: float) -> float:
    return round(max(0.0, seconds), 3)
