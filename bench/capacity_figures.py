"""What the capacity benchmark measured, and what follows from it."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.callers import Call, Said
from bench.figures import Delays, delays
from bench.processes import CLIENTS, PROVIDERS, RAY, STAGES, Load, Memory
from bench.user import Parts

SLOWER = 1.5
"""The objective: p95 of the first audio is at most this many times that of one session."""
SEEN = 0.0003
"""Cores: less than this cannot be told from nothing."""
_LATE_MS = 100.0
"""An endpoint is late when it takes this much longer than with one session and the same clip."""
SERVER = (*STAGES, RAY)
KINDS = (*SERVER, CLIENTS, PROVIDERS)
"""In the order of the tables."""


@dataclass(frozen=True, slots=True)
class Talk:
    """All turns of a step that began within its window."""

    turns: int
    first_audio: Delays
    """End of the clip to the first audio, by the client's clock."""
    parts: Parts
    """The server's own account, as medians."""
    lag_ms: float
    """Median of what the client waited beyond the server's own account."""
    late_endpoints: int
    unanswered: int
    errors: int
    stale_chunks: int
    user_share: float
    """Share of a session's time in which the user speaks."""
    agent_share: float


@dataclass(frozen=True, slots=True)
class Step:
    """A number of sessions at once; with 0, the server is alone."""

    sessions: int
    talk: Talk | None
    """None if nobody spoke."""
    lost: tuple[str, ...]
    """Why sessions ended too early; each reason once."""
    losses: int
    cores: dict[str, float]
    """CPU seconds a second, by kind of process."""
    others: float
    """Cores that everything else on the machine takes."""
    memory: dict[str, Memory]

    def missed(self, alone: "Step") -> str:
        """Which part of the objective is missed; empty if none is."""
        if self.losses:
            return f"{self.losses} lost ({'; '.join(self.lost)})"
        if self.talk is None or alone.talk is None:
            return ""
        failed = {
            "unanswered": self.talk.unanswered,
            "errors": self.talk.errors,
            "stale chunks": self.talk.stale_chunks,
        }
        found = [f"{count} {what}" for what, count in failed.items() if count]
        ratio = self.talk.first_audio.p95_ms / max(1.0, alone.talk.first_audio.p95_ms)
        found += [f"p95 {ratio:.1f} times that of one"] if ratio > SLOWER else []
        return ", ".join(found)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a session of a step adds to one kind of process, on average. What the server takes when
    nobody is there does not count."""

    cores: float
    memory_mib: float
    """Resident."""

    @property
    def in_a_core(self) -> float:
        """Number of sessions that fill a core; infinite if their cost does not show."""
        return 1 / self.cores if self.cores >= SEEN else float("inf")


def endpoints_alone(calls: Sequence[Call]) -> dict[str, float]:
    """Median endpoint of each clip with a single session, in ms."""
    said = [s for call in calls for s in call.said if s.turn.parts]
    return {
        name: statistics.median(
            s.turn.parts.endpoint_ms for s in said if s.turn.parts and s.clip == name
        )
        for name in {s.clip for s in said}
    }


def talk_of(calls: Sequence[Call], alone_ms: dict[str, float]) -> Talk:
    said = [s for call in calls for s in call.said]
    answered = [s for s in said if s.turn.first_audio_ms is not None and not s.turn.is_spoken_over]
    lasted_s = sum(call.lasted_s for call in calls) or 1.0
    return Talk(
        turns=len(said),
        first_audio=delays([s.turn.first_audio_ms or 0.0 for s in answered]),
        parts=_medians([s.turn.parts for s in answered if s.turn.parts]),
        lag_ms=_median(list(_lags(answered))),
        late_endpoints=sum(_is_late(s, alone_ms) for s in said),
        unanswered=sum(s.turn.first_audio_ms is None for s in said),
        errors=sum(s.turn.errors for s in said),
        stale_chunks=sum(call.stale_chunks for call in calls),
        user_share=round(sum(call.spoken_s for call in calls) / lasted_s, 2),
        agent_share=round(sum(call.heard_s for call in calls) / lasted_s, 2),
    )


def _medians(parts: Sequence[Parts]) -> Parts:
    return Parts(
        endpoint_ms=_median([p.endpoint_ms for p in parts]),
        stt_ms=_median([p.stt_ms for p in parts]),
        llm_ms=_median([p.llm_ms for p in parts]),
        tts_ms=_median([p.tts_ms for p in parts]),
    )


def _median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 1) if values else 0.0


def _is_late(said: Said, alone_ms: dict[str, float]) -> bool:
    parts, expected = said.turn.parts, alone_ms.get(said.clip)
    return bool(parts and expected and parts.endpoint_ms > expected + _LATE_MS)


def _lags(answered: Sequence[Said]) -> Iterator[float]:
    for said in answered:
        if said.turn.parts and said.turn.first_audio_ms is not None:
            yield said.turn.first_audio_ms - said.turn.parts.total_ms


def step_of(
    calls: Sequence[Call], talk: Talk | None, load: Load, memory: dict[str, Memory]
) -> Step:
    lost = [call.lost for call in calls if call.lost]
    cores = {kind: round(load.cores.get(kind, 0.0), 4) for kind in KINDS}
    return Step(
        sessions=len(calls),
        talk=talk,
        lost=tuple(sorted(set(lost))),
        losses=len(lost),
        cores=cores,
        others=round(load.others, 3),
        memory=memory,
    )


def costs(step: Step, nobody: Step) -> dict[str, Cost]:
    """By kind. It is a mean, not a line through the steps: ingress and VAD take most for the first
    sessions, whose frames arrive one by one, and little for each further one."""
    return {
        kind: Cost(
            cores=round((step.cores[kind] - nobody.cores[kind]) / step.sessions, 5),
            memory_mib=round((_rss_mib(step, kind) - _rss_mib(nobody, kind)) / step.sessions, 3),
        )
        for kind in KINDS
    }


def _rss_mib(step: Step, kind: str) -> float:
    return step.memory[kind].rss_mib if kind in step.memory else 0.0


def total(by_kind: dict[str, Cost]) -> Cost:
    """The cost of the whole server."""
    of = [by_kind[kind] for kind in SERVER]
    return Cost(
        cores=round(sum(cost.cores for cost in of), 5),
        memory_mib=round(sum(cost.memory_mib for cost in of), 3),
    )


def largest_that_met(talking: Sequence[Step]) -> Step:
    """Among those that met the objective; the first step if none did."""
    met = [step for step in talking if not step.missed(talking[0])]
    return max(met, key=lambda step: step.sessions, default=talking[0])
