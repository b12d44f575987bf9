"""The sweep as a picture: how soon the agent is silent, against how often it is so for nothing."""

from collections.abc import Iterator, Sequence
from itertools import chain
from xml.sax.saxutils import escape

from bench.barge_in_tables import Point

_WIDTH, _HEIGHT = 720, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 20, 48, 52
_COLOURS = ("#909", "#0a6", "#06c", "#c50")
_STEP_MS, _STEP = 100, 10
_SPREAD = 20.0
"""A curve that is no wider than this is read from its height."""


def _stopped(point: Point) -> float:
    """Replies that were interrupted for nothing, taken up again or not."""
    return point.alarms[-1].false_stops + point.alarms[-1].stutters


def _lost(point: Point) -> float:
    """Replies that were interrupted for nothing, and not taken up again."""
    return point.alarms[-1].false_stops


class _Axes:
    """From ms and counts per 100 to the picture."""

    def __init__(self, points: Sequence[Point]) -> None:
        slowest_ms = max(point.stops.silent_p95_ms for point in points)
        self.most_ms = (int(slowest_ms) // _STEP_MS + 1) * _STEP_MS
        self.most = (int(max(map(_stopped, points))) // _STEP + 1) * _STEP

    def x(self, ms: float) -> float:
        return _LEFT + ms / self.most_ms * (_WIDTH - _LEFT - _RIGHT)

    def y(self, per_100: float) -> float:
        return _HEIGHT - _BOTTOM - per_100 / self.most * (_HEIGHT - _TOP - _BOTTOM)


def picture(points: Sequence[Point]) -> str:
    """An SVG. `points`: the defaults first, then each knob's, in the order of their values. A knob
    with one value is no curve."""
    default, *others = points
    knobs = {knob: [p for p in others if p.knob == knob] for knob in dict.fromkeys(
        point.knob for point in others)}  # fmt: skip
    curves = [curve for curve in knobs.values() if len(curve) > 1]
    axes = _Axes([default, *chain(*curves)])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        *_grid(axes),
    ]
    for number, curve in enumerate(curves):
        parts += _curve(axes, curve, number)
    for height in (_lost, _stopped):
        x, y = axes.x(default.stops.silent_p50_ms), axes.y(height(default))
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="7" fill="none" stroke="#000"/>')
    return "\n".join([*parts, "</svg>", ""])


def _grid(axes: _Axes) -> Iterator[str]:
    for ms in range(0, axes.most_ms + 1, _STEP_MS):
        yield _line(axes.x(ms), _TOP, axes.x(ms), axes.y(0), "#ddd")
        yield _text(axes.x(ms), axes.y(0) + 16, str(ms), "middle")
    for count in range(0, axes.most + 1, _STEP):
        yield _line(_LEFT, axes.y(count), axes.x(axes.most_ms), axes.y(count), "#ddd")
        yield _text(_LEFT - 8, axes.y(count) + 4, str(count), "end")
    label = "first sample of a barge-in to silence at the loudspeaker, ms: p50, thin line to p95"
    yield _text((_WIDTH + _LEFT) / 2, _HEIGHT - 14, label, "middle")
    yield _text(
        8,
        16,
        "per 100 sounds that do not want the floor: false stops (solid), and with stutters"
        " (dashed); circles: defaults",
    )


def _curve(axes: _Axes, curve: Sequence[Point], number: int) -> Iterator[str]:
    colour = _COLOURS[number % len(_COLOURS)]
    across = [axes.x(point.stops.silent_p50_ms) for point in curve]
    is_wide = max(across) - min(across) > _SPREAD
    for height, dashes in ((_lost, "none"), (_stopped, "5 4")):
        places = [(x, axes.y(height(point))) for x, point in zip(across, curve, strict=True)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        yield (
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"'
            f' stroke-dasharray="{dashes}"/>'
        )
        for point, (x, y) in zip(curve, places, strict=True):
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>'
            if is_wide == (height is _stopped):
                yield _text(x + 6, y - 6, str(point.value), fill=colour)
            if is_wide and height is _stopped:
                yield _line(x, y, axes.x(point.stops.silent_p95_ms), y, colour)
    yield _text(_LEFT + 180 * number, 36, curve[0].knob, fill=colour)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start", fill: str = "#000") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}">{escape(text)}</text>'
    )
