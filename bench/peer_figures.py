"""The results of `make bench-peers`: one row a server and number of sessions, and the ratios."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench.figures import TURN_COLUMNS, BargeInFigures, TurnFigures, summary, turn_line
from bench.processes import CLIENTS, PROVIDERS, Load
from bench.visits import Heard

OURS = "ours"
NAMES = (OURS, "silence", "smart")
"""This server, and Pipecat with the two ways in which it ends a turn."""


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of one server with one number of sessions."""

    server: str
    sessions: int
    complete: TurnFigures
    paused: TurnFigures
    barge_ins: BargeInFigures
    stale_chunks: int
    cpu_s: float
    """CPU seconds of the server that a session takes in a minute of conversation."""

    @property
    def has_failures(self) -> bool:
        kinds = (self.complete, self.paused)
        return any(kind.unanswered + kind.errors for kind in kinds) or self.barge_ins.missed > 0


def row_of(server: str, sessions: int, heard: Heard, load: Load) -> Row:
    """`load` is that of the conversations, without the barge-ins."""
    figures = summary(sessions, heard)
    cores = sum(of for kind, of in load.cores.items() if kind not in (CLIENTS, PROVIDERS))
    return Row(
        server,
        sessions,
        figures.complete,
        figures.paused,
        figures.barge_ins,
        figures.stale_chunks,
        round(cores * 60 / sessions, 2),
    )


RATIOS: tuple[tuple[str, Callable[[Row], float]], ...] = (
    ("first audio p50, complete", lambda row: row.complete.first_audio.p50_ms),
    ("first audio p95, complete", lambda row: row.complete.first_audio.p95_ms),
    ("first audio p50, paused", lambda row: row.paused.first_audio.p50_ms),
    ("first audio p95, paused", lambda row: row.paused.first_audio.p95_ms),
    ("LLM requests a turn, paused", lambda row: row.paused.requests),
    ("barge-in to silence p50", lambda row: row.barge_ins.silent.p50_ms),
    ("barge-in to silence p95", lambda row: row.barge_ins.silent.p95_ms),
    ("CPU s a session-minute", lambda row: row.cpu_s),
)


def table(rows: Sequence[Row]) -> Iterator[str]:
    """The lines to print."""
    yield "end of speech to the first audio, ms (client)"
    yield f"server   {TURN_COLUMNS}"
    for row in rows:
        yield f"{row.server:<9}{turn_line(row.sessions, 'complete', row.complete)}"
        yield f"{row.server:<9}{turn_line(row.sessions, 'paused', row.paused)}"
    yield ""
    yield "first voiced sample of a barge-in to a silent loudspeaker, ms; CPU of the server, s"
    yield (
        "server   sessions barge-ins    p50    p95    max | missed stale chunks | a session-minute"
    )
    yield from map(_barge_in_line, rows)
    yield ""
    yield "ours / theirs"
    yield from ratios(rows)


def _barge_in_line(row: Row) -> str:
    silent = row.barge_ins.silent
    return (
        f"{row.server:<9}{row.sessions:8}{row.barge_ins.barge_ins:10}{silent.p50_ms:7.0f}"
        f"{silent.p95_ms:7.0f}{silent.max_ms:7.0f} |{row.barge_ins.missed:7}"
        f"{row.stale_chunks:13} |{row.cpu_s:17.1f}"
    )


def ratios(rows: Sequence[Row]) -> Iterator[str]:
    """Ours divided by each peer's, for each number of sessions that both were measured with."""
    mine = {row.sessions: row for row in rows if row.server == OURS}
    pairs = [
        (mine[row.sessions], row) for row in rows if row.server != OURS and row.sessions in mine
    ]
    if not pairs:
        return
    heads = "".join(f"{f'{their.server} {their.sessions}':>12}" for _, their in pairs)
    yield f"{'':<28}{heads}"
    for what, value in RATIOS:
        values = "".join(f"{_ratio(value(our), value(their)):>12}" for our, their in pairs)
        yield f"{what:<28}{values}"


def _ratio(ours: float, theirs: float) -> str:
    """`-` where there is nothing to compare with."""
    return f"{ours / theirs:.2f}" if theirs else "-"
