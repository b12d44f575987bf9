"""The records of a replica: one thread writes what is noted of all its calls, another one delivers
them when they are over."""

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from serve_app.outline import outline
from serve_app.records.courier import Courier
from serve_app.records.destinations import destination
from serve_app.records.notes import Note
from serve_app.records.recorder import Call, Place
from serve_app.records.spool import Spool, write, write_end
from serve_app.settings.records import RecordSettings

log = logging.getLogger(__name__)

GOODBYE_S: Final = 5.0
"""For what is not delivered yet when a replica ends, which has drained before that."""
_MOST_JOBS: Final = 1000
"""That wait for the disk, each with about a second of a call. A call that finds no room is kept up
to there, and its end is still taken: memory stays bounded."""


@dataclass(slots=True)
class _Spooled:
    """One call in the spool."""

    name: str
    folder: Path | None = None
    error: OSError | None = None
    """Set by the thread; raised at the next note."""


@dataclass(frozen=True, slots=True)
class _Job:
    call: _Spooled
    notes: Sequence[Note]
    then: Callable[[], None] | None = field(default=None)
    """The call is over. Called whatever happens."""


class Keeper:
    """Where nothing is kept, there is none."""

    def __init__(self, settings: RecordSettings, env: Mapping[str, str]) -> None:
        """Of checked settings. Raises OSError if there can be no spool."""
        self._settings = settings
        self._spool = Spool(Path(settings.spool_dir))
        to = destination(settings, env)
        self._courier = Courier(to, settings.deadline_s, self._spool.adopt)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_all, name="records", daemon=True)
        self._writer.start()
        self._courier.start()

    def begin(self, call: Call) -> Place | None:
        """Never waits."""
        if self._courier.waiting >= self._settings.max_waiting:
            log.warning("no record of session %s: too many wait to be delivered", call.session)
            return None
        spooled = _Spooled(call.name)
        return Place(
            partial(self._note, spooled),
            partial(self._finish, spooled),
            time.time(),
            self._settings.recording,
            self._settings.max_minutes * 60,
        )

    def stop(self, within_s: float = GOODBYE_S) -> None:
        """Writes what it was handed, and delivers what it can in this time. The rest stays in the
        spool."""
        until_s = time.monotonic() + within_s
        self._jobs.put(None)
        self._writer.join(within_s)
        self._courier.stop(max(0.0, until_s - time.monotonic()))
        if not (self._writer.is_alive() or self._courier.is_at_work):
            self._spool.close()

    def _note(self, call: _Spooled, notes: Sequence[Note]) -> None:
        if call.error is not None:
            raise call.error
        if self._jobs.qsize() >= _MOST_JOBS:
            raise OSError("the disk does not keep up")
        self._jobs.put(_Job(call, notes))

    def _finish(self, call: _Spooled, notes: Sequence[Note], then: Callable[[], None]) -> None:
        self._jobs.put(_Job(call, notes, then))

    def _write_all(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._write(job)
            if job.then is not None:
                self._hand_over(job.call)
                with suppress(RuntimeError):  # nobody waits any more: the loop is closed
                    job.then()

    def _hand_over(self, call: _Spooled) -> None:
        if call.folder is None:
            why = call.error or "the disk did not keep up when it began"
            log.warning("there is no record %s: %s", call.name, why)
        elif call.folder.exists():  # otherwise the session was forgotten
            self._courier.add(call.folder)

    def _write(self, job: _Job) -> None:
        call = job.call
        try:
            if call.folder is None and call.error is None and job.then is None:
                call.folder = self._spool.begin(call.name)
            if call.folder is None:
                return
            if call.error is None:
                write(call.folder, job.notes)
            elif job.then is not None:
                write_end(call.folder, job.notes[-1])
        except OSError as error:
            call.error = error
        except Exception as error:  # one call's notes must not end the thread of all
            log.error("a record cannot be written:\n%s", outline(error))
            call.error = OSError("it cannot be written")


def keeper(settings: RecordSettings | None) -> Keeper | None:
    """Where the settings keep records. A spool that cannot be had is said, and calls go on."""
    if settings is None:
        return None
    try:
        return Keeper(settings, os.environ)
    except OSError as error:
        log.error("no records are kept: %s", error)
        return None
