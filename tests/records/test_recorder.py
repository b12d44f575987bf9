"""What is noted of a call while it goes on, and that nothing of it ends the call."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from serve_app.conversation import effects as ef
from serve_app.conversation import events as ev
from serve_app.conversation.sound import Sound
from serve_app.protocol.messages import AgentAudio, Interrupt, Metrics, Transcript
from serve_app.records.notes import Note
from serve_app.records.recorder import Call, Place, Recorder
from serve_app.records.transcript import NEEDED

SAMPLES = np.zeros(16_000, np.float32)


class Kept:
    """Takes the notes of one call."""

    def __init__(self, has_sound: bool = True, max_s: float = 60.0) -> None:
        self.call: Call | None = None
        self.notes: list[Note] = []
        self.fails = False
        self._has_sound, self._max_s = has_sound, max_s

    def begin(self, call: Call) -> Place:
        self.call = call
        return Place(self.write, self.finish, 1.8e9, self._has_sound, self._max_s)

    def write(self, notes: Sequence[Note]) -> None:
        if self.fails:
            raise OSError("the disk is full")
        self.notes += notes

    def finish(self, notes: Sequence[Note], then: Callable[[], None]) -> None:
        self.notes += notes
        then()

    def named(self, key: str) -> list[Any]:
        return [note.line[key] for note in self.notes if key in note.line]


def began(kept: Kept, **opened: Any) -> Recorder:
    recorder = Recorder(kept.begin, "echo", 44_100)
    recorder.begin("a", "b", ev.Opened("", **opened), 100.0)
    return recorder


def test_the_conversation_is_asked_for_what_is_needed_and_the_client_is_not_told() -> None:
    recorder = Recorder(Kept().begin, "echo", 44_100)
    assert not recorder.is_on
    opened = recorder.begin("a", "a", ev.Opened("", frozenset({"metrics", "goaway"})), 0.0)
    assert opened.events == NEEDED | {"goaway"} and recorder.is_on
    assert recorder.is_for_client(Metrics(1, 0, 0, 0, 0))
    assert not recorder.is_for_client(Transcript(1, "user", "Hello."))


async def test_where_nothing_is_kept_nothing_is_changed() -> None:
    recorder, opened = Recorder(), ev.Opened("")
    assert recorder.begin("a", "a", opened, 0.0) is opened
    assert recorder.is_for_client(Transcript(1, "user", "Hello.")) and not recorder.is_on
    recorder.take(1.0, ev.AudioReceived(SAMPLES), [])
    await recorder.end(2.0, 1000, "bye")


def test_the_rate_is_that_of_the_client() -> None:
    kept = Kept()
    began(kept, sound=Sound("", 8000))
    assert kept.call == Call("a", "b", "echo", 8000) and kept.call.name == "a.b"
    (head,) = kept.named("call")
    assert (head["rate_hz"], head["started_s"], head["session"]) == (8000, 1.8e9, "a")


async def test_sound_is_noted_with_its_time_and_only_up_to_its_limit() -> None:
    kept = Kept(max_s=2.0)
    recorder = began(kept)
    spoken = ef.Send(AgentAudio("aaaaaaaa", b"\0\0" * 44_100))
    for at_s in (101.0, 101.5, 101.75):
        recorder.take(at_s, ev.AudioReceived(SAMPLES), [spoken])
    recorder.take(103.0, ev.Played("aaaaaaaa", 10.0), [ef.Send(Interrupt("bbbbbbbb"))])
    await recorder.end(104.0, 1000, "bye")
    assert kept.named("user") == [16_000] * 2 and kept.named("agent") == [["aaaaaaaa", 88_200]] * 2
    assert kept.named("played") == kept.named("interrupt") == [], "there is no sound any more"
    assert [note.line["at_s"] for note in kept.notes if "user" in note.line] == [1.0, 1.5]
    assert kept.notes[-1].line == {
        "at_s": 4.0,
        "end": {"code": 1000, "reason": "bye"},
        "is_complete": True,
    }


async def test_without_a_recording_no_sound_is_noted() -> None:
    kept = Kept(has_sound=False)
    recorder = began(kept)
    recorder.take(101.0, ev.AudioReceived(SAMPLES), [ef.Send(AgentAudio("aaaaaaaa", b"\0\0"))])
    recorder.take(102.0, ev.CloseRequested(), [ef.Send(Transcript(1, "user", "Hello."))])
    await recorder.end(103.0, 1000, "bye")
    assert kept.named("user") == kept.named("agent") == []
    ((_, turn),) = kept.named("turn")
    assert turn["text"] == "Hello."


@pytest.mark.parametrize("samples", [SAMPLES, None])
async def test_what_fails_ends_the_record_and_not_the_call(
    caplog: pytest.LogCaptureFixture, samples: Any
) -> None:
    """A disk, or a mistake of ours."""
    kept = Kept()
    recorder = began(kept)
    kept.fails = samples is not None
    recorder.take(101.0, ev.AudioReceived(samples), [])
    recorder.take(102.0, ev.AudioReceived(SAMPLES), [])
    kept.fails = False
    recorder.take(103.0, ev.AudioReceived(SAMPLES), [])
    await recorder.end(104.0, 1001, "")
    assert kept.named("user") == []
    assert kept.named("is_complete") == [False]
    assert caplog.text.count("the record of session a ends here") == 1
