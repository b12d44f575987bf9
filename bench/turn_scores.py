"""How policies do on recorded turns."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.turn_policies import Policy
from bench.turn_rows import Turn
from serve_app.conversation.settings import FRAME_MS

_Z = 1.96
"""Of the normal distribution, for 95 %."""
CUTOFF_BUDGETS = (0.05, 0.10, 0.20)
DELAY_BUDGETS_MS = (450, 600, 900)
"""Operating points as those of eot-bench, where the delay is a mean too."""


@dataclass(frozen=True, slots=True)
class Score:
    """How a policy does over all turns of a set."""

    policy: str
    cut: int
    """Pauses in which it ends the turn."""
    pauses: int
    mean_ms: int
    """Mean delay from the true end of speech, by its level, to the decision. The next two are
    percentiles of the same."""
    p50_ms: int
    p95_ms: int

    @property
    def cutoffs(self) -> float:
        """Share of the pauses in which it ends the turn, 0 to 1."""
        return self.cut / self.pauses

    @property
    def interval(self) -> tuple[float, float]:
        """In which that share is with 95 % confidence."""
        return wilson(self.cut, self.pauses)

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.cutoffs:6.0%} ({low:3.0%} to {high:4.0%}) {self.mean_ms:6} {self.p50_ms:6}"
            f" {self.p95_ms:6}   {self.policy}"
        )


COLUMNS = "cut off (95 %)       mean ms    p50    p95   policy"


def wilson(successes: int, of: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share, by Wilson's score: right for few cases, too, if they
    do not depend on each other. `of` is at least 1."""
    share, weight = successes / of, _Z * _Z / of
    middle = (share + weight / 2) / (1 + weight)
    margin = _Z * math.sqrt(share * (1 - share) / of + weight / of / 4) / (1 + weight)
    return max(0.0, middle - margin), min(1.0, middle + margin)


def score(policy: Policy, turns: Iterable[Turn]) -> Score:
    """Cut-offs over all pauses, delays over all true ends. There is at least one of either."""
    cut, delays = [], []
    for turn in turns:
        waits = policy.waits_ms(turn)
        cut += [p.length_ms >= wait for p, wait in zip(turn.pauses, waits, strict=False)]
        if turn.end is not None:
            delays.append(math.ceil(waits[-1] / FRAME_MS) * FRAME_MS + turn.end_lag_ms)
    mean_ms, p50_ms, p95_ms = np.mean(delays), *np.percentile(delays, (50, 95))
    return Score(str(policy), sum(cut), len(cut), round(mean_ms), round(p50_ms), round(p95_ms))


def frontier(scores: Iterable[Score]) -> list[Score]:
    """Those that no other one beats in both cut-offs and mean delay, the fastest first."""
    best: list[Score] = []
    for candidate in sorted(scores, key=lambda s: (s.mean_ms, s.cut)):
        if not best or candidate.cut < best[-1].cut:
            best.append(candidate)
    return best


def operating_points(scores: Sequence[Score]) -> dict[str, Score | None]:
    """The best policy within each budget, if any keeps it."""
    points: dict[str, Score | None] = {}
    for budget in CUTOFF_BUDGETS:
        kept = [s for s in scores if s.cutoffs <= budget]
        points[f"{budget:.0%} cut off"] = min(kept, key=lambda s: (s.mean_ms, s.cut), default=None)
    for delay_ms in DELAY_BUDGETS_MS:
        kept = [s for s in scores if s.mean_ms <= delay_ms]
        points[f"mean {delay_ms} ms"] = min(kept, key=lambda s: (s.cut, s.mean_ms), default=None)
    return points
