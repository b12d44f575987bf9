"""Delivers records in a thread of its own: each until it has arrived, or its time is up."""

import heapq
import logging
import queue
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from serve_app.outline import outline
from serve_app.records.destinations import Destination, NotDelivered
from serve_app.records.making import is_empty, make
from serve_app.records.notes import RECORD, RECORDING

log = logging.getLogger(__name__)

_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0
"""Between two tries. Each pause is about twice the one before."""
_LOOK_S: Final = 60.0
"""How often it is looked for what others have left."""


@dataclass(order=True)
class _Parcel:
    due_s: float
    folder: Path = field(compare=False)
    until_s: float = field(compare=False)
    pause_s: float = field(default=_FIRST_PAUSE_S, compare=False)


class Courier:
    """Of one replica."""

    def __init__(
        self,
        destination: Destination,
        deadline_s: float,
        adopt: Callable[[], Iterable[Path]],
        first_pause_s: float = _FIRST_PAUSE_S,
    ) -> None:
        """`adopt` finds calls whose owner is gone."""
        self._destination = destination
        self._deadline_s = deadline_s
        self._adopt = adopt
        self._first_pause_s = first_pause_s
        self._stop_by_s = float("inf")
        self._new: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
        self._parcels: list[_Parcel] = []
        self._thread = threading.Thread(target=self._run, name="records-courier", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def add(self, folder: Path) -> None:
        """A call that is over."""
        self._new.put(folder)

    @property
    def waiting(self) -> int:
        """How many records there are to deliver."""
        return len(self._parcels) + self._new.qsize()

    @property
    def is_at_work(self) -> bool:
        """Whether something may still be delivered."""
        return self._thread.is_alive()

    def stop(self, within_s: float) -> None:
        """Tries once more what waits, as long as there is time. What is left stays in the spool,
        and a delivery that is under way then is made again by the next one."""
        self._stop_by_s = time.monotonic() + within_s
        self._new.put(None)
        self._thread.join(within_s)
        if not self._thread.is_alive():
            self._destination.close()

    def _run(self) -> None:
        look_s = 0.0
        while True:
            if time.monotonic() >= look_s:
                look_s = time.monotonic() + _LOOK_S
                self._look()
            due_s = min(look_s, self._parcels[0].due_s) if self._parcels else look_s
            with suppress(queue.Empty):
                folder = self._new.get(timeout=max(0.0, due_s - time.monotonic()))
                if folder is None:
                    self._say_goodbye()
                    return
                self._take(folder)
            if self._parcels and self._parcels[0].due_s <= time.monotonic():
                self._try(heapq.heappop(self._parcels))

    def _say_goodbye(self) -> None:
        for parcel in sorted(self._parcels):
            if time.monotonic() < self._stop_by_s:
                self._try(parcel)

    def _look(self) -> None:
        try:
            for folder in self._adopt():
                log.info("the record %s was left by a replica that is gone", folder.name)
                self._take(folder)
        except OSError as error:
            log.warning("the spool of records cannot be read: %s", outline(error))

    def _take(self, folder: Path) -> None:
        now_s = time.monotonic()
        until_s = now_s + self._deadline_s
        heapq.heappush(self._parcels, _Parcel(now_s, folder, until_s, self._first_pause_s))

    def _try(self, parcel: _Parcel) -> None:
        folder = parcel.folder
        try:
            self._deliver(folder)
        except NotDelivered as error:
            self._again(parcel, str(error))
        except Exception as error:
            if folder.exists():  # otherwise the session was forgotten
                self._again(parcel, outline(error))

    def _again(self, parcel: _Parcel, why: str) -> None:
        now_s = time.monotonic()
        if now_s + parcel.pause_s > parcel.until_s:
            stays = "the record %s could not be delivered (%s): it stays in %s until the next start"
            log.warning(stays, parcel.folder.name, why, parcel.folder)
            return
        log.info("the record %s is not delivered yet: %s", parcel.folder.name, why)
        parcel.due_s = now_s + parcel.pause_s * random.uniform(0.75, 1.25)
        parcel.pause_s = min(2 * parcel.pause_s, _LONGEST_PAUSE_S)
        heapq.heappush(self._parcels, parcel)

    def _deliver(self, folder: Path) -> None:
        """The recording first: who sees the record finds it."""
        if is_empty(folder):  # it was killed before the first note, or after the delivery
            shutil.rmtree(folder)
            return
        make(folder)
        for name in (RECORDING, RECORD):
            path = folder / name
            if path.exists():
                self._destination.deliver(path, f"{folder.name}{path.suffix}")
                path.unlink()
        shutil.rmtree(folder)
        log.info("the record %s was delivered", folder.name)
