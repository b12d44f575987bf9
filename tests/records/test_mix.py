"""What becomes of the sound of long calls."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from serve_app.records import making
from serve_app.records.mix import mix
from serve_app.records.notes import RECORD, Note
from serve_app.records.placing import RATE_HZ as MIXED_HZ
from serve_app.records.schema import CallRecord
from serve_app.records.spool import write
from tests.records.calls import AGENT_HZ, RATE_HZ, SESSION, end, tone_of
from tests.records.mixed import Channel, sides

HEAD = {
    "session": SESSION,
    "socket": SESSION,
    "protocol": "echo",
    "rate_hz": RATE_HZ,
    "started_s": 1.8e9,
    "has_sound": True,
    "max_s": 1e9,
}


def spoken(folder: Path, seconds: float, pieces: int) -> Path:
    """A reply of the agent's, which begins at 0 s, in so many pieces. They are sent ahead."""
    folder.mkdir()
    pcm = tone_of(AGENT_HZ, seconds)
    size = len(pcm) // pieces
    parts = [pcm[start : start + size] for start in range(0, len(pcm), size)]
    notes = [Note({"at_s": 0.0, "agent": ["a", len(part)]}, None, part) for part in parts]
    write(folder, [Note({"call": HEAD}), *notes, end(seconds)])
    return folder


def heard(folder: Path) -> Channel:
    mix(folder)
    _, agent = sides(folder / "recording.flac")
    return agent


def test_a_reply_in_pieces_sounds_as_one(tmp_path: Path) -> None:
    whole, cut = spoken(tmp_path / "whole", 3.0, 1), spoken(tmp_path / "cut", 3.0, 300)
    one, other = heard(whole), heard(cut)
    assert len(one) == len(other) == 3 * MIXED_HZ
    assert np.abs(one - other).max() <= 2 / 32_768
    assert np.abs(one).max() > 0.4


def test_a_long_reply_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    folder = spoken(tmp_path / "long", 300.0, 600)
    size = (folder / "agent.pcm").stat().st_size
    tracemalloc.start()
    try:
        mix(folder)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < size / 4


def test_the_notes_of_sound_are_read_in_another_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """There may be hundreds of thousands, and the event loop would wait meanwhile."""
    folder = spoken(tmp_path / SESSION, 1.0, 10)
    monkeypatch.delattr(making, "record_of")
    making.make(folder)
    record = CallRecord.model_validate_json((folder / RECORD).read_text())
    assert record.recording is not None and record.recording.duration_s == 1.0
    assert sorted(path.name for path in folder.iterdir()) == ["record.json", "recording.flac"]
