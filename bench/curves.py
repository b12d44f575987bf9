"""Draws false cut-offs against delay, as an SVG that can be read on a light and on a dark page."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from bench.turn_scores import Score

COLOURS = ("#8a8a8a", "#d9822b", "#3b82c4", "#7a5cc7", "#2f9e6e", "#c2418e")
"""All are told apart on white and on black."""
_WIDTH, _HEIGHT = 400, 300
"""Of a panel's axes."""
_LEFT, _TOP, _GAP, _BOTTOM = 60, 40, 70, 50
_LONGEST_MS = 2000
_INK = "#808080"


@dataclass(frozen=True, slots=True)
class Panel:
    """The curves and points of one set of recordings."""

    title: str
    curves: Mapping[str, Sequence[Score]]
    """By family, the fastest first."""
    points: Mapping[str, Score]
    """By name: the server with its default, or with other settings."""


def draw(panels: Sequence[Panel]) -> str:
    """The panels side by side, and what the colours mean below."""
    names = list(panels[0].curves)
    colours = dict(zip(names, COLOURS, strict=False))
    width = _LEFT + len(panels) * (_WIDTH + _GAP)
    height = _TOP + _HEIGHT + _BOTTOM + 30
    body = [
        line
        for number, panel in enumerate(panels)
        for line in _panel(panel, _LEFT + number * (_WIDTH + _GAP), colours)
    ]
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
            ' font-family="sans-serif" font-size="12">',
            *body,
            *_legend(colours, height - 12),
            "</svg>\n",
        )
    )


def _panel(panel: Panel, left: int, colours: Mapping[str, str]) -> Iterator[str]:
    yield _text(left + _WIDTH / 2, _TOP - 16, panel.title, "middle", "bold")
    yield from _axes(left)
    for name, scores in panel.curves.items():
        path = " ".join(f"{_x(left, s):.1f},{_y(s.cutoffs):.1f}" for s in scores if _is_on(s))
        yield (
            f'<polyline points="{path}" fill="none" stroke="{colours[name]}" stroke-width="2"'
            ' stroke-linejoin="round"/>'
        )
    for name, score in panel.points.items():
        yield from _point(left, name, score)


def _axes(left: int) -> Iterator[str]:
    for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        yield _line(left, _y(share), left + _WIDTH, _y(share))
        yield _text(left - 6, _y(share) + 4, f"{share:.0%}", "end")
    for ms in range(0, _LONGEST_MS + 1, 400):
        x = left + ms / _LONGEST_MS * _WIDTH
        yield _line(x, _y(0), x, _y(0) + 5)
        yield _text(x, _y(0) + 18, f"{ms:,}", "middle")
    yield _text(left + _WIDTH / 2, _y(0) + 36, "mean delay of an answer, ms", "middle")
    yield _text(left + _WIDTH, _TOP + 14, "pauses cut off", "end")


def _point(left: int, name: str, score: Score) -> Iterator[str]:
    """With its confidence interval."""
    x, (low, high) = _x(left, score), score.interval
    yield _line(x, _y(low), x, _y(high), 1.5)
    yield f'<circle cx="{x:.1f}" cy="{_y(score.cutoffs):.1f}" r="4.5" fill="{_INK}"/>'
    yield _text(x + 8, _y(score.cutoffs) - 6, name, "start", "bold")


def _legend(colours: Mapping[str, str], y: float) -> Iterator[str]:
    for number, (name, colour) in enumerate(colours.items()):
        x = _LEFT + number * 160
        yield f'<rect x="{x}" y="{y - 8}" width="18" height="4" fill="{colour}"/>'
        yield _text(x + 24, y, name)


def _x(left: int, score: Score) -> float:
    return left + score.mean_ms / _LONGEST_MS * _WIDTH


def _y(share: float) -> float:
    return _TOP + (1 - share) * _HEIGHT


def _is_on(score: Score) -> bool:
    return score.mean_ms <= _LONGEST_MS


def _line(x1: float, y1: float, x2: float, y2: float, width: float = 0.5) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{_INK}"'
        f' stroke-width="{width}"/>'
    )


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{_INK}" text-anchor="{anchor}"'
        f' font-weight="{weight}">{escape(text)}</text>'
    )
