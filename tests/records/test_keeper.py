"""From notes to delivered records: real threads, files and processes, and a real HTTP server."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from glob import glob
from pathlib import Path

import fsspec
import numpy as np
import pytest

from serve_app.records.keeper import Keeper
from serve_app.records.making import make
from serve_app.records.notes import JOURNAL, USER, Note
from serve_app.records.recorder import Call
from serve_app.records.schema import CallRecord
from serve_app.records.spool import Spool, calls_of, write
from serve_app.settings.records import RecordSettings
from tests.records.calls import (
    AGENT_HZ,
    DEADLINE_S,
    RATE_HZ,
    SESSION,
    USER_HZ,
    begun,
    end,
    finished,
    notes,
    settings,
)
from tests.records.hooks import SECRET, hooks
from tests.records.mixed import loudness, sides, sounds_at

OTHER, THIRD = "b" * 32, "c" * 32
FAILURE = {"stage": "llm", "message": "it does not answer", "at_s": 1.0}
HEAD = {
    "session": SESSION,
    "socket": SESSION,
    "protocol": "echo",
    "rate_hz": RATE_HZ,
    "started_s": 1.8e9,
    "has_sound": False,
    "max_s": 60.0,
}
ENVIRONMENT = {"ECHO_RECORDS_SECRET": SECRET}


@contextmanager
def keeping(given: RecordSettings) -> Iterator[Keeper]:
    keeper = Keeper(given, ENVIRONMENT)
    keeper._courier._first_pause_s = 0.05
    try:
        yield keeper
    finally:
        keeper.stop(within_s=0.0)
        keeper._courier._thread.join()
        keeper._spool.close()


def until(is_so: Callable[[], bool]) -> None:
    """Files and logs tell nobody that they are there."""
    until_s = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < until_s
        time.sleep(0.02)


def spooled(tmp_path: Path) -> list[Path]:
    return [tmp_path / "spool" / path for path in glob("*/*/", root_dir=tmp_path / "spool")]


def record(data: bytes | str) -> CallRecord:
    return CallRecord.model_validate_json(data)


def test_a_recording_has_the_user_left_and_the_agent_right(tmp_path: Path) -> None:
    with keeping(settings(tmp_path, recording=True)) as keeper:
        place = begun(keeper)
        place.write(notes())
        finished(place)
        until(lambda: not spooled(tmp_path))
    folder = tmp_path / "records"
    found = record((folder / f"{SESSION}.json").read_text())
    assert found.recording is not None
    assert (found.recording.file, found.recording.duration_s) == (f"{SESSION}.flac", 2.0)
    user, agent = sides(folder / found.recording.file)
    for channel, pitch_hz, start_s in ((user, USER_HZ, 0), (agent, AGENT_HZ, 1)):
        assert sounds_at(channel) == [pytest.approx((start_s, 2), abs=0.03)]
        spectrum = np.abs(np.fft.rfft(channel[start_s * 16_000 :]))
        assert spectrum.argmax() * 16_000 / (2 * len(spectrum) - 2) == pytest.approx(
            pitch_hz, abs=1
        )
    assert loudness(user, 0.1, 1.9) == pytest.approx(0.5 / 2**0.5, rel=0.01)
    assert loudness(agent, 1.1, 1.9) == pytest.approx(16_000 / 32_768 / 2**0.5, rel=0.01)
    (turn,) = found.turns
    assert (turn.role, turn.text) == ("user", "Hello.")


def test_a_webhook_that_fails_twice_gets_the_record_and_can_tell_that_it_is_ours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with hooks(500, 503) as server, keeping(settings(tmp_path, server.url)) as keeper:
        place = begun(keeper)
        place.write(notes())
        finished(place)
        until(lambda: not spooled(tmp_path))
    assert [message.name for message in server.messages] == [f"{SESSION}.json"] * 3
    assert all(message.is_signed for message in server.messages)
    assert abs(server.messages[-1].timestamp - time.time()) < DEADLINE_S
    last = server.messages[-1]
    assert last.type == "application/json" and record(last.body).session == SESSION
    assert "Hello." not in caplog.text


def test_a_webhook_gets_the_recording_first(tmp_path: Path) -> None:
    """And is not sent again what it has taken."""
    with (
        hooks(204, 500) as server,
        keeping(settings(tmp_path, server.url, recording=True)) as keeper,
    ):
        place = begun(keeper)
        place.write(notes())
        finished(place)
        until(lambda: not spooled(tmp_path))
    names = [message.name for message in server.messages]
    assert names == [f"{SESSION}.flac", f"{SESSION}.json", f"{SESSION}.json"]
    sound, *_ = server.messages
    assert sound.type == "audio/flac" and sound.is_signed and sound.body.startswith(b"fLaC")


def test_no_redirect_is_followed(tmp_path: Path) -> None:
    """It could lead anywhere."""
    with hooks(302) as server, keeping(settings(tmp_path, server.url)) as keeper:
        finished(begun(keeper))
        until(lambda: not spooled(tmp_path))
    assert [message.name for message in server.messages] == [f"{SESSION}.json"] * 2


def test_what_a_webhook_says_after_its_status_is_not_waited_for(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/hook"
        with keeping(settings(tmp_path, url, timeout_s=4 * DEADLINE_S)) as keeper:
            finished(begun(keeper))
            connection, _ = server.accept()
            with connection:
                asked = b""
                while not asked.endswith(b"\n}"):
                    asked += connection.recv(1 << 16)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")
                until(lambda: not spooled(tmp_path))


def test_what_cannot_be_delivered_stays_and_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The next start tries again."""
    nowhere = settings(tmp_path, "http://127.0.0.1:9/hook", deadline_s=0.2)
    with keeping(nowhere) as keeper:
        finished(begun(keeper))
        until(lambda: "could not be delivered" in caplog.text)
        (left,) = spooled(tmp_path)
        assert str(left) in caplog.text
    with hooks() as server, keeping(settings(tmp_path, server.url)):
        until(lambda: not spooled(tmp_path))
    assert record(server.messages[0].body).close.reason == "bye"


def test_one_that_cannot_be_delivered_keeps_no_other_waiting(tmp_path: Path) -> None:
    with hooks(*[500] * 3) as server, keeping(settings(tmp_path, server.url)) as keeper:
        finished(begun(keeper))
        assert server.came.acquire(timeout=DEADLINE_S)
        finished(begun(keeper, OTHER))
        until(lambda: not spooled(tmp_path))
    taken = sorted({message.name for message in server.messages})
    assert taken == [f"{SESSION}.json", f"{OTHER}.json"]


def test_a_bucket_is_what_fsspec_says(tmp_path: Path) -> None:
    with keeping(settings(tmp_path, "memory://calls/today", recording=True)) as keeper:
        place = begun(keeper)
        place.write(notes())
        finished(place)
        until(lambda: not spooled(tmp_path))
    files = fsspec.filesystem("memory")
    assert record(files.cat_file(f"/calls/today/{SESSION}.json")).session == SESSION
    assert files.cat_file(f"/calls/today/{SESSION}.flac").startswith(b"fLaC")


def test_too_many_that_wait_are_not_joined_by_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with keeping(settings(tmp_path, "http://127.0.0.1:9/hook", max_waiting=1)) as keeper:
        finished(begun(keeper))
        until(lambda: keeper._courier.waiting == 1)
        assert keeper.begin(Call(OTHER, OTHER, "echo", RATE_HZ)) is None
    assert "too many wait" in caplog.text


def test_a_disk_that_does_not_keep_up_takes_no_memory(tmp_path: Path) -> None:
    """What finds no room is refused, and the call is told."""
    with stuck(settings(tmp_path)) as (keeper, goes_on):
        other = begun(keeper, OTHER)
        with pytest.raises(OSError, match="does not keep up"):
            for _ in range(2000):
                other.write([Note({"turn": [0, {}]})])
        goes_on.set()
        until(lambda: keeper._jobs.empty())


def test_a_call_that_a_disk_did_not_keep_up_with_still_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its record is delivered, if there is a beginning of it."""
    with stuck(settings(tmp_path)) as (keeper, goes_on):
        other = begun(keeper, OTHER)
        with suppress(OSError):
            while True:
                other.write([Note({"error": [0, FAILURE]})])
        with pytest.raises(OSError, match="does not keep up"):
            begun(keeper, THIRD)
        third = keeper.begin(Call(THIRD, THIRD, "echo", RATE_HZ))
        assert third is not None
        third.finish([end()], lambda: None)
        is_written = threading.Event()
        other.finish([end()], is_written.set)
        goes_on.set()
        assert_is_set(is_written)
        until(lambda: not spooled(tmp_path))
    assert record((tmp_path / "records" / f"{OTHER}.json").read_text()).close.reason == "bye"
    assert f"there is no record {THIRD}: the disk did not keep up" in caplog.text


@contextmanager
def stuck(given: RecordSettings) -> Iterator[tuple[Keeper, threading.Event]]:
    """A disk that goes on when the event is set."""
    hangs, goes_on = threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        assert_is_set(goes_on)

    with keeping(given) as keeper:
        begun(keeper).finish([end()], hang)
        assert_is_set(hangs)
        yield keeper, goes_on


def test_a_call_that_finds_no_place_in_the_spool_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also one that is over before it could be told."""
    with keeping(settings(tmp_path)) as keeper:
        keeper._spool.folder.rename(tmp_path / "moved")
        finished(begun(keeper))
    assert f"there is no record {SESSION}" in caplog.text


def assert_is_set(event: threading.Event) -> None:
    assert event.wait(DEADLINE_S)


def test_a_call_that_lasts_longer_than_is_recorded_is_not_complete(tmp_path: Path) -> None:
    with keeping(settings(tmp_path, recording=True, max_minutes=1 / 60)) as keeper:
        place = begun(keeper)
        place.write(notes())
        finished(place)
        until(lambda: not spooled(tmp_path))
    found = record((tmp_path / "records" / f"{SESSION}.json").read_text())
    assert found.recording is not None and found.is_complete
    assert (found.recording.duration_s, found.recording.is_complete) == (1.0, False)


def test_a_replica_that_ends_delivers_what_it_can(tmp_path: Path) -> None:
    """Also what it was to wait with."""
    with hooks(500) as server:
        keeper = Keeper(settings(tmp_path, server.url), ENVIRONMENT)
        keeper._courier._first_pause_s = 1800.0
        finished(begun(keeper))
        assert server.came.acquire(timeout=DEADLINE_S)
        keeper.stop(DEADLINE_S)
    assert spooled(tmp_path) == []
    assert [message.name for message in server.messages] == [f"{SESSION}.json"] * 2


def test_a_replica_that_ends_does_not_wait_for_a_webhook_that_hangs(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        hanging = settings(tmp_path, f"http://127.0.0.1:{port}/hook", timeout_s=2)
        keeper = Keeper(hanging, ENVIRONMENT)
        finished(begun(keeper))
        connection, _ = mute.accept()
        began_s = time.monotonic()
        keeper.stop(within_s=0.1)
        assert time.monotonic() - began_s < 1.5
        assert len(spooled(tmp_path)) == 1, "the next one delivers it"
        connection.close()
        keeper._courier._thread.join()


def test_a_replica_that_ends_does_not_wait_for_a_disk_that_hangs(tmp_path: Path) -> None:
    """And nobody takes over what its thread may still write to."""
    with stuck(settings(tmp_path)) as (keeper, goes_on):
        other = begun(keeper, OTHER)
        with suppress(OSError):
            while True:
                other.write([Note({"turn": [0, {}]})])
        began_s = time.monotonic()
        keeper.stop(within_s=0.1)
        assert time.monotonic() - began_s < 1.5
        assert Spool(tmp_path / "spool").adopt() == []
        goes_on.set()
        keeper.stop(within_s=DEADLINE_S)
        assert Spool(tmp_path / "spool").adopt() != []


KILLED = """
import sys, time
from pathlib import Path
from serve_app.records.keeper import Keeper
from tests.records.calls import begun, finished, notes, settings

keeper = Keeper(settings(Path(sys.argv[1]), "http://127.0.0.1:9/hook", recording=True), {})
finished(begun(keeper, "b" * 32), *notes())
place = begun(keeper)
place.write(notes())
while keeper._jobs.qsize():
    time.sleep(0.01)
place.write([])
while keeper._jobs.qsize():
    time.sleep(0.01)
print("noted", flush=True)
time.sleep(60)
"""


def test_a_spool_survives_a_kill(tmp_path: Path) -> None:
    """With a call that was over, and one that went on. A replica that lives keeps its own."""
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert killed.stdout is not None and killed.stdout.readline() == "noted\n"
    with keeping(settings(tmp_path, recording=True)) as alive:
        alive._courier._look()
        assert len(spooled(tmp_path)) == 2, "its owner lives"
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        killed.stdout.close()
        with (spooled(tmp_path)[0].parent / SESSION / JOURNAL).open("a") as file:
            file.write('{"turn": [1, {"role": "us')  # it was killed in the middle of a line
    with keeping(settings(tmp_path, recording=True)):
        until(lambda: not spooled(tmp_path))
    over, cut = (
        record((tmp_path / "records" / f"{name}.json").read_text()) for name in (OTHER, SESSION)
    )
    assert over.is_complete and over.close.reason == "bye"
    assert not cut.is_complete and (cut.close.code, cut.close.reason) == (
        1006,
        "the server was ended",
    )
    assert [turn.text for turn in cut.turns] == ["Hello."]
    assert cut.recording is not None
    assert cut.recording.duration_s == pytest.approx(2.0, abs=0.05)
    user, _ = sides(tmp_path / "records" / cut.recording.file)
    assert loudness(user, 0.1, 1.9) > 0.3


def test_what_a_kill_left_half_done_is_finished(tmp_path: Path) -> None:
    """Before the first note; after the record was made, before the notes were removed; and after
    the record was delivered."""
    owner = tmp_path / "spool" / "1"
    for name in (SESSION, OTHER, "c" * 32):
        (owner / name).mkdir(parents=True)
    spooled_call = owner / SESSION
    write(spooled_call, [Note({"call": HEAD}), *notes(), end()])
    make(spooled_call)
    write(spooled_call, [Note({"call": HEAD})])
    (spooled_call / "recording.part").touch()
    (owner / OTHER / "record.json.part").touch()
    with keeping(settings(tmp_path)):
        until(lambda: not spooled(tmp_path))
    (only,) = (tmp_path / "records").iterdir()
    assert record(only.read_text()).close.reason == "bye"


def test_a_recording_that_somebody_else_still_makes_is_not_written_over(tmp_path: Path) -> None:
    """The process of a replica that was killed: it lives on, and its folder has moved."""
    write(tmp_path, [Note({"call": HEAD | {"has_sound": True}}), *notes(), end()])
    theirs = tmp_path / "recording.part"
    theirs.write_text("theirs")
    make(tmp_path)
    assert theirs.read_text() == "theirs"
    user, _ = sides(tmp_path / "recording.flac")
    assert loudness(user, 0.1, 1.9) > 0.3


def test_an_owner_that_is_just_coming_is_left_alone(tmp_path: Path) -> None:
    """It has no lock yet."""
    coming = tmp_path / f".{OTHER}"
    coming.mkdir()
    assert Spool(tmp_path).adopt() == [] and coming.is_dir()


def test_what_could_not_be_written_leaves_out_all_that_follows(tmp_path: Path) -> None:
    """Later sound would be in the wrong place."""
    with keeping(settings(tmp_path, recording=True)) as keeper:
        place = begun(keeper)
        place.write(notes())
        until(lambda: len(spooled(tmp_path)) == 1 and (spooled(tmp_path)[0] / USER).exists())
        (folder,) = spooled(tmp_path)
        until(lambda: '"turn"' in (folder / JOURNAL).read_text())
        (folder / USER).chmod(0o400)
        (folder / USER).rename(folder / "moved")
        (folder / USER).mkdir()
        place.write(notes())
        until(lambda: keeper._jobs.empty())
        with pytest.raises(OSError):
            for _ in range(1000):
                place.write([Note({"turn": [7, {}]})])
                time.sleep(0.01)
        (folder / USER).rmdir()
        (folder / "moved").rename(folder / USER)
        finished(place, *notes())
        until(lambda: not spooled(tmp_path))
    found = record((tmp_path / "records" / f"{SESSION}.json").read_text())
    assert not found.is_complete and len(found.turns) == 1
    assert found.close.reason == "bye"


def test_the_calls_of_a_session_are_found_by_its_name(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    mine = [spool.begin(name) for name in (SESSION, f"{SESSION}.{OTHER}")]
    theirs = Spool(tmp_path).begin(f"{OTHER}.{SESSION}")
    assert calls_of(tmp_path, SESSION) == mine
    assert calls_of(tmp_path, OTHER) == [theirs]
    assert calls_of(tmp_path / "nowhere", SESSION) == calls_of(tmp_path, "*") == []


def test_they_are_found_while_others_come_and_go(tmp_path: Path) -> None:
    mine = Spool(tmp_path).begin(SESSION)

    def come_and_go() -> None:
        for _ in range(300):
            (tmp_path / "1" / OTHER).mkdir(parents=True)
            shutil.rmtree(tmp_path / "1")

    others = threading.Thread(target=come_and_go)
    others.start()
    while others.is_alive():
        assert calls_of(tmp_path, SESSION) == [mine]
    others.join()
