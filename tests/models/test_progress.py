"""What people see of a download."""

import io

from serve_app.models.progress import Bar, Lines


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_bar_on_a_terminal() -> None:
    clock, stream = Clock(), io.StringIO()
    bar = Bar(stream, clock)
    bar("voice", 0, 100_000_000)
    clock.now_s += 10
    bar("voice", 50_000_000, 100_000_000)
    bar("voice", 100_000_000, 100_000_000)
    first, half, last = stream.getvalue().split("\r\x1b[2K")[1:]
    assert first == "voice [........................] 0 of 100 MB"
    assert half == "voice [############............] 50 of 100 MB, 5.0 MB/s, 10 s left"
    assert last == "", "the line is taken away"


def test_what_was_there_before_does_not_count_as_speed() -> None:
    clock, stream = Clock(), io.StringIO()
    bar = Bar(stream, clock)
    bar("voice", 800_000_000, 1_000_000_000)
    clock.now_s += 10
    bar("voice", 810_000_000, 1_000_000_000)
    assert stream.getvalue().endswith("810 of 1,000 MB, 1.0 MB/s, 3 min left")


def test_a_line_every_ten_seconds_elsewhere() -> None:
    clock, lines = Clock(), list[str]()
    progress = Lines(lines.append, clock)
    for second in range(26):
        clock.now_s = 100.0 + second
        progress("voice", second * 1_000_000, 30_000_000)
    progress("voice", 30_000_000, 30_000_000)
    assert lines == [
        "voice: 10 of 30 MB, 1.0 MB/s, 20 s left",
        "voice: 20 of 30 MB, 1.0 MB/s, 10 s left",
    ]
