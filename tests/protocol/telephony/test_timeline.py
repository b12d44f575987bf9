"""The caller's audio stays in its place, whatever the network does to it."""

import hypothesis.strategies as st
from hypothesis import given

from serve_app.protocol.telephony.timeline import (
    BYTES_PER_MS,
    MOST_SILENCE_MS,
    MOST_WAITING,
    Chunk,
    Timeline,
)

CHUNK_MS, CHUNK_BYTES = 20, 160
SILENCE = b"\xff"


def chunk(number: int, at_ms: int | None = None) -> Chunk:
    """All of its bytes are its number."""
    at_ms = (number - 1) * CHUNK_MS if at_ms is None else at_ms
    return Chunk(number, at_ms, bytes([number % 250]) * CHUNK_BYTES)


def heard(*chunks: Chunk) -> list[int]:
    """The number of each chunk that is given out, and -1 for 20 ms of silence."""
    line = Timeline()
    data = b"".join(line.take(one) for one in chunks)
    parts = [data[i : i + CHUNK_BYTES] for i in range(0, len(data), CHUNK_BYTES)]
    assert all(len(set(part)) == 1 for part in parts)
    return [-1 if part[:1] == SILENCE else part[0] for part in parts]


def test_what_is_in_order_does_not_wait() -> None:
    line = Timeline()
    assert [line.take(chunk(number)) for number in (1, 2)] == [chunk(1).data, chunk(2).data]


def test_what_came_early_waits_for_those_before_it() -> None:
    assert heard(chunk(1), chunk(3), chunk(4), chunk(2), chunk(5)) == [1, 2, 3, 4, 5]


def test_what_is_lost_is_silence_once_enough_others_wait() -> None:
    assert heard(*map(chunk, (1, 2, 5, 6, 7, 8, 9))) == [1, 2]
    assert heard(*map(chunk, (1, 2, 5, 6, 7, 8, 9, 10))) == [1, 2, -1, -1, 5, 6, 7, 8, 9, 10]


def test_what_comes_twice_or_too_late_is_dropped() -> None:
    late = (1, 1, 3, 4, 5, 6, 7, 8, 2, 8, 9)
    assert heard(*map(chunk, late)) == [1, -1, 3, 4, 5, 6, 7, 8, 9]


def test_the_first_chunk_need_not_be_the_first_one() -> None:
    assert heard(*map(chunk, (7, 8, 9, 10, 11, 12))) == [7, 8, 9, 10, 11, 12]


def test_a_hole_that_only_the_times_tell_of_is_filled() -> None:
    """Of audio that was lost before it was numbered."""
    assert heard(chunk(1, 81), chunk(2, 101), chunk(3, 161)) == [1, 2, -1, -1, 3]


def test_times_that_are_not_exact_make_no_holes_but_add_up() -> None:
    assert heard(chunk(1, 0), chunk(2, 25), chunk(3, 35), chunk(4, 70)) == [1, 2, 3, 4]
    line = Timeline()
    sizes = [len(line.take(chunk(number, number * 25))) for number in range(1, 9)]
    assert sum(sizes) >= 8 * CHUNK_BYTES + (7 * 5 - 15) * BYTES_PER_MS


def test_a_long_hole_is_made_shorter_and_time_goes_on_after_it() -> None:
    line = Timeline()
    line.take(chunk(1, 0))
    assert len(line.take(chunk(2, 60_000))) == MOST_SILENCE_MS * BYTES_PER_MS + CHUNK_BYTES
    assert len(line.take(chunk(3, 60_020))) == CHUNK_BYTES


def test_a_count_that_begins_anew_is_followed() -> None:
    line = Timeline()
    line.take(chunk(1, 60_000))
    assert len(line.take(chunk(2, 0))) == CHUNK_BYTES
    assert len(line.take(chunk(3, 40))) == 2 * CHUNK_BYTES


NETWORKS = st.lists(
    st.tuples(
        st.sampled_from(["arrives", "arrives", "arrives", "arrives twice", "is lost"]),
        st.integers(0, 4),
    ),
    min_size=1,
    max_size=90,
)
"""What becomes of each chunk, and by how many chunks it is held up."""


@given(NETWORKS)
def test_each_chunk_has_its_place_in_time(network: list[tuple[str, int]]) -> None:
    arrivals: list[tuple[int, int]] = []
    for number, (fate, held_up) in enumerate(network, 1):
        if fate != "is lost":
            arrivals += [(number + held_up, number)] * (2 if fate == "arrives twice" else 1)
    line, data, given_out = Timeline(), b"", 0
    for _, number in sorted(arrivals):
        data += line.take(chunk(number))
        assert line.waiting <= MOST_WAITING
    parts = [data[i : i + CHUNK_BYTES] for i in range(0, len(data), CHUNK_BYTES)]
    first = parts[0][0] if parts else 0
    for place, part in enumerate(parts, first):
        assert part in (bytes([place]) * CHUNK_BYTES, SILENCE * CHUNK_BYTES)
        given_out += part != SILENCE * CHUNK_BYTES
    # Held up by 4, a chunk is never given up: only those that wait at the end are missing.
    assert given_out + line.waiting == len({number for _, number in arrivals})


@given(st.lists(st.builds(Chunk, st.integers(0, 40), st.integers(0, 10**12), st.binary())))
def test_nothing_makes_it_keep_or_make_much(chunks: list[Chunk]) -> None:
    line = Timeline()
    for one in chunks:
        most = (MOST_WAITING + 1) * (MOST_SILENCE_MS * BYTES_PER_MS + 1000)
        assert len(line.take(one)) <= most and line.waiting <= MOST_WAITING
