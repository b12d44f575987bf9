"""Calls as the driver notes them, without one."""

import threading
from pathlib import Path

import numpy as np

from serve_app.records.keeper import Keeper
from serve_app.records.notes import Note
from serve_app.records.recorder import Call, Place
from serve_app.settings.records import RecordSettings

SESSION = "a" * 32
RATE_HZ = 24_000
USER_HZ, AGENT_HZ = 440.0, 220.0
DEADLINE_S = 20.0


def settings(tmp_path: Path, url: str = "", **others: object) -> RecordSettings:
    places = {"url": url or str(tmp_path / "records"), "spool_dir": str(tmp_path / "spool")}
    return RecordSettings.model_validate(places | others)


def begun(keeper: Keeper, session: str = SESSION) -> Place:
    call = Call(session, session, "echo", RATE_HZ)
    place = keeper.begin(call)
    assert place is not None
    head = {"session": session, "socket": session, "protocol": "echo", "rate_hz": RATE_HZ}
    place.write([Note({"call": head | place.head})])
    return place


def notes(seconds: float = 2.0) -> list[Note]:
    """The user says a tone from the start, the agent another one from 1 s on."""
    found = []
    for start in range(0, round(seconds * 16_000) - 511, 512):
        at = np.arange(start, start + 512) / 16_000
        tone = (0.5 * np.sin(2 * np.pi * USER_HZ * at)).astype(np.float32)
        found.append(Note({"at_s": (start + 512) / 16_000, "user": 512}, tone))
    pcm = tone_of(AGENT_HZ, seconds - 1)
    found.append(Note({"at_s": 1.0, "agent": ["aaaaaaaa", len(pcm)]}, None, pcm))
    found.append(Note({"turn": [0, {"role": "user", "text": "Hello.", "at_s": 0.5}]}))
    return sorted(found, key=lambda note: float(note.line.get("at_s", 0.5)))


def tone_of(pitch_hz: float, seconds: float) -> bytes:
    at = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return (16_000 * np.sin(2 * np.pi * pitch_hz * at)).astype("<i2").tobytes()


def end(at_s: float = 2.0) -> Note:
    return Note({"at_s": at_s, "end": {"code": 1000, "reason": "bye"}, "is_complete": True})


def finished(place: Place, *last: Note) -> None:
    """Returns once all is written."""
    is_written = threading.Event()
    place.finish([*last, end()], is_written.set)
    assert is_written.wait(DEADLINE_S)
