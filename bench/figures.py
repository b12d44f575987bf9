"""The results of the latency benchmark, as numbers and as a table."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.user import BargeIn, Parts, Turn


@dataclass(frozen=True, slots=True)
class Delays:
    """In ms; all 0 if nothing was measured."""

    p50_ms: float
    p95_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class TurnFigures:
    """All turns of all sessions. The parts are medians of the server's own figures."""

    turns: int
    first_audio: Delays
    """End of the clip to the first audio, of the answered turns that were not cut off."""
    endpoint_ms: float
    stt_ms: float
    llm_ms: float
    tts_ms: float
    other_ms: float
    """The client's time minus the four parts; negative if the server takes the end of speech to be
    later than the client does."""
    cut_offs: int
    """Turns with audio before the end of the clip."""
    splits: int
    """Turns whose words came as several messages. Without a cut-off the user does not notice."""
    false_cut_offs: int
    """Turns with a cut-off, a split or both."""
    unanswered: int
    errors: int
    word_error_rate: float
    """Mean over the turns."""


@dataclass(frozen=True, slots=True)
class BargeInFigures:
    """All barge-ins of all sessions, since the first voiced sample."""

    barge_ins: int
    interrupt: Delays
    last_chunk: Delays
    """To the last audio of the reply that was interrupted."""
    missed: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured with one number of concurrent sessions."""

    sessions: int
    turns: TurnFigures
    barge_ins: BargeInFigures
    stale_chunks: int
    """Audio of a reply after its interrupt."""

    @property
    def has_failures(self) -> bool:
        turns = self.turns
        failed = (turns.unanswered, turns.errors, self.barge_ins.missed, self.stale_chunks)
        return any(failed)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A figure to compare with, which was not measured here."""

    sessions: int
    what: str
    p50_ms: float
    p95_ms: float


PIPECAT_TURNS = (
    Elsewhere(1, "silence", 1415, 1530),
    Elsewhere(1, "smart turn", 1340, 2470),
    Elsewhere(8, "silence", 1635, 2180),
    Elsewhere(8, "smart turn", 1930, 3820),
)
PIPECAT_BARGE_INS = (Elsewhere(8, "barge-in", 247, 300),)


def summary(
    sessions: int, turns: Sequence[Turn], barge_ins: Sequence[BargeIn | None], stale_chunks: int
) -> Figures:
    return Figures(sessions, _turn_figures(turns), _barge_in_figures(barge_ins), stale_chunks)


def _turn_figures(turns: Sequence[Turn]) -> TurnFigures:
    answered = [
        (turn.first_audio_ms, turn.parts)
        for turn in turns
        if turn.first_audio_ms is not None and turn.parts is not None and not turn.is_cut_off
    ]
    parts = [parts for _, parts in answered]
    return TurnFigures(
        turns=len(turns),
        first_audio=delays([first_ms for first_ms, _ in answered]),
        endpoint_ms=_median(parts, lambda part: part.endpoint_ms),
        stt_ms=_median(parts, lambda part: part.stt_ms),
        llm_ms=_median(parts, lambda part: part.llm_ms),
        tts_ms=_median(parts, lambda part: part.tts_ms),
        other_ms=_p(50, [first_ms - parts.total_ms for first_ms, parts in answered]),
        cut_offs=sum(turn.is_cut_off for turn in turns),
        splits=sum(turn.is_split for turn in turns),
        false_cut_offs=sum(turn.is_cut_off or turn.is_split for turn in turns),
        unanswered=sum(turn.first_audio_ms is None for turn in turns),
        errors=sum(turn.errors for turn in turns),
        word_error_rate=round(statistics.fmean(turn.error_rate for turn in turns), 4),
    )


def _barge_in_figures(barge_ins: Sequence[BargeIn | None]) -> BargeInFigures:
    noticed = [barge_in for barge_in in barge_ins if barge_in]
    return BargeInFigures(
        barge_ins=len(barge_ins),
        interrupt=delays([barge_in.interrupt_ms for barge_in in noticed]),
        last_chunk=delays([barge_in.last_chunk_ms for barge_in in noticed]),
        missed=len(barge_ins) - len(noticed),
    )


def _median(parts: Sequence[Parts], value: Callable[[Parts], float]) -> float:
    return _p(50, [value(part) for part in parts])


def delays(values_ms: Sequence[float]) -> Delays:
    return Delays(_p(50, values_ms), _p(95, values_ms), _p(100, values_ms))


def _p(percentile: int, values: Sequence[float]) -> float:
    return round(float(np.percentile(values, percentile)), 1) if values else 0.0


def table(rows: Sequence[Figures]) -> Iterator[str]:
    """The lines to print."""
    yield "end of speech to the first audio, ms (client), and where it went (server, medians)"
    yield (
        "sessions turns    p50    p95    max | endpoint   stt   llm   tts  other |"
        " cut off split unanswered errors   WER"
    )
    yield from (_turn_line(row.sessions, row.turns) for row in rows)
    yield ""
    yield "first voiced sample of a barge-in to the interrupt, and to the last audio before it, ms"
    yield "sessions barge-ins    p50    p95    max | last p50    p95 | missed stale chunks"
    yield from map(_barge_in_line, rows)
    yield ""
    yield "measured elsewhere: Pipecat 1.14, its defaults, same work (ours/theirs in brackets)"
    for row in rows:
        yield from _compared(row.sessions, row.turns.first_audio, PIPECAT_TURNS)
        yield from _compared(row.sessions, row.barge_ins.interrupt, PIPECAT_BARGE_INS)


def _turn_line(sessions: int, row: TurnFigures) -> str:
    first = row.first_audio
    return (
        f"{sessions:8}{row.turns:6}{first.p50_ms:7.0f}{first.p95_ms:7.0f}{first.max_ms:7.0f} |"
        f"{row.endpoint_ms:9.0f}{row.stt_ms:6.0f}{row.llm_ms:6.0f}{row.tts_ms:6.0f}"
        f"{row.other_ms:7.0f} |{row.cut_offs:8}{row.splits:6}{row.unanswered:11}{row.errors:7}"
        f"{row.word_error_rate:6.1%}"
    )


def _barge_in_line(row: Figures) -> str:
    soon, last = row.barge_ins.interrupt, row.barge_ins.last_chunk
    return (
        f"{row.sessions:8}{row.barge_ins.barge_ins:10}{soon.p50_ms:7.0f}{soon.p95_ms:7.0f}"
        f"{soon.max_ms:7.0f} |{last.p50_ms:9.0f}{last.p95_ms:7.0f} |{row.barge_ins.missed:7}"
        f"{row.stale_chunks:13}"
    )


def _compared(sessions: int, ours: Delays, others: Sequence[Elsewhere]) -> Iterator[str]:
    for theirs in (other for other in others if other.sessions == sessions):
        yield (
            f"{sessions:8}  {theirs.what:<12}"
            f"p50 {theirs.p50_ms:5.0f} ({ours.p50_ms / theirs.p50_ms:.2f})   "
            f"p95 {theirs.p95_ms:5.0f} ({ours.p95_ms / theirs.p95_ms:.2f})"
        )
