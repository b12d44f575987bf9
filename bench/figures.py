"""The results of the latency benchmark, as numbers and as a table."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.exchanges import Exchange
from bench.user import BargeIn, Parts
from bench.visits import Heard


@dataclass(frozen=True, slots=True)
class Delays:
    """In ms; all 0 if nothing was measured."""

    p50_ms: float
    p95_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class TurnFigures:
    """Turns of one kind, of all sessions."""

    turns: int
    first_audio: Delays
    """End of the phrase to the first audio of its answer. Left out are the turns in which the agent
    was speaking already, unless it took that back."""
    spoken_over: int
    """Turns with audio before the end of the phrase."""
    withdrawn: int
    """Those of them in which the agent fell silent and the phrase became one message."""
    requests: float
    """To the LLM, per turn."""
    one_message: float
    """Share of the turns that became one message of the user, 0 to 1."""
    unanswered: int
    errors: int
    word_error_rate: float
    """Mean over the turns."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where the time to the first audio went, by the server's own figures: medians of the turns
    without a pause."""

    parts: Parts
    other_ms: float
    """The client's time minus the four parts; negative if the server takes the end of speech to be
    later than the client does."""


@dataclass(frozen=True, slots=True)
class BargeInFigures:
    """All barge-ins of all sessions, since the first voiced sample."""

    barge_ins: int
    silent: Delays
    """To the end of what the loudspeaker plays."""
    interrupt: Delays
    last_chunk: Delays
    """To the last audio of the reply that was interrupted."""
    missed: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured with one number of concurrent sessions."""

    sessions: int
    complete: TurnFigures
    paused: TurnFigures
    server: Server
    barge_ins: BargeInFigures
    stale_chunks: int
    """Audio of a reply after its interrupt."""

    @property
    def has_failures(self) -> bool:
        kinds = (self.complete, self.paused)
        lost = sum(kind.unanswered + kind.errors for kind in kinds)
        return any((lost, self.barge_ins.missed, self.stale_chunks))


def summary(sessions: int, heard: Heard) -> Figures:
    complete = [each for each in heard.exchanges if not each.phrase.is_paused]
    paused = [each for each in heard.exchanges if each.phrase.is_paused]
    return Figures(
        sessions,
        _turn_figures(complete),
        _turn_figures(paused),
        _server(complete),
        _barge_in_figures(heard.barge_ins),
        heard.stale_chunks,
    )


def _turn_figures(said: Sequence[Exchange]) -> TurnFigures:
    turns = [each.turn for each in said]
    return TurnFigures(
        turns=len(said),
        first_audio=delays([each.delay_ms for each in said if each.delay_ms is not None]),
        spoken_over=sum(turn.is_spoken_over for turn in turns),
        withdrawn=sum(each.is_withdrawn for each in said),
        requests=_mean([each.requests for each in said]),
        one_message=_mean([each.is_one_message for each in said]),
        unanswered=sum(turn.first_audio_ms is None for turn in turns),
        errors=sum(turn.errors for turn in turns),
        word_error_rate=_mean([turn.error_rate for turn in turns]),
    )


def _server(said: Sequence[Exchange]) -> Server:
    answered = [
        (each.delay_ms, each.turn.parts)
        for each in said
        if each.delay_ms is not None and each.turn.parts is not None
    ]
    parts = [parts for _, parts in answered]
    return Server(
        Parts(
            endpoint_ms=_median(parts, lambda part: part.endpoint_ms),
            stt_ms=_median(parts, lambda part: part.stt_ms),
            llm_ms=_median(parts, lambda part: part.llm_ms),
            tts_ms=_median(parts, lambda part: part.tts_ms),
        ),
        other_ms=_p(50, [first_ms - parts.total_ms for first_ms, parts in answered]),
    )


def _barge_in_figures(barge_ins: Sequence[BargeIn | None]) -> BargeInFigures:
    noticed = [barge_in for barge_in in barge_ins if barge_in]
    return BargeInFigures(
        barge_ins=len(barge_ins),
        silent=delays([barge_in.silent_ms for barge_in in noticed]),
        interrupt=delays([barge_in.interrupt_ms for barge_in in noticed]),
        last_chunk=delays([barge_in.last_chunk_ms for barge_in in noticed]),
        missed=len(barge_ins) - len(noticed),
    )


def _mean(values: Sequence[float]) -> float:
    return round(statistics.fmean(values), 4) if values else 0.0


def _median(parts: Sequence[Parts], value: Callable[[Parts], float]) -> float:
    return _p(50, [value(part) for part in parts])


def delays(values_ms: Sequence[float]) -> Delays:
    return Delays(_p(50, values_ms), _p(95, values_ms), _p(100, values_ms))


def _p(percentile: int, values: Sequence[float]) -> float:
    return round(float(np.percentile(values, percentile)), 1) if values else 0.0


def table(rows: Sequence[Figures]) -> Iterator[str]:
    """The lines to print."""
    yield "end of speech to the first audio, ms (client)"
    yield TURN_COLUMNS
    for row in rows:
        yield turn_line(row.sessions, "complete", row.complete)
        yield turn_line(row.sessions, "paused", row.paused)
    yield ""
    yield "where it went in complete phrases, ms (server, medians)"
    yield "sessions endpoint   stt   llm   tts  other"
    yield from map(_server_line, rows)
    yield ""
    yield "first voiced sample of a barge-in to a silent loudspeaker, to the interrupt, and to the"
    yield "last audio before it, ms"
    yield (
        "sessions barge-ins    p50    p95    max | interrupt p50    p95 | last p50    p95 |"
        " missed stale chunks"
    )
    yield from map(_barge_in_line, rows)


TURN_COLUMNS = (
    "sessions phrases  turns    p50    p95    max | spoken over withdrawn requests/turn"
    " one message unanswered errors   WER"
)


def turn_line(sessions: int, kind: str, row: TurnFigures) -> str:
    first = row.first_audio
    return (
        f"{sessions:8} {kind:<8}{row.turns:6}{first.p50_ms:7.0f}{first.p95_ms:7.0f}"
        f"{first.max_ms:7.0f} |{row.spoken_over:12}{row.withdrawn:10}{row.requests:14.2f}"
        f"{row.one_message:12.0%}{row.unanswered:11}{row.errors:7}{row.word_error_rate:6.1%}"
    )


def _server_line(row: Figures) -> str:
    parts = row.server.parts
    return (
        f"{row.sessions:8}{parts.endpoint_ms:9.0f}{parts.stt_ms:6.0f}{parts.llm_ms:6.0f}"
        f"{parts.tts_ms:6.0f}{row.server.other_ms:7.0f}"
    )


def _barge_in_line(row: Figures) -> str:
    figures = row.barge_ins
    silent, soon, last = figures.silent, figures.interrupt, figures.last_chunk
    return (
        f"{row.sessions:8}{figures.barge_ins:10}{silent.p50_ms:7.0f}{silent.p95_ms:7.0f}"
        f"{silent.max_ms:7.0f} |{soon.p50_ms:14.0f}{soon.p95_ms:7.0f} |{last.p50_ms:9.0f}"
        f"{last.p95_ms:7.0f} |{figures.missed:7}{row.stale_chunks:13}"
    )
