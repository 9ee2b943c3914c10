"""What the steward of one tree knows of the schedules of one queue: read from the store, by the store's clock."""

from __future__ import annotations

import contextlib
import ctypes
import heapq
import json
import logging
import time
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from regiment import log
from regiment.contracts import Applied, Effect, When
from regiment.errors import ConfigError
from regiment.task import new_id
from regiment_cli.release import Release
from regiment_schedules import firing, records
from regiment_schedules.records import INDEX, Index, Row, calendar_key, row_key, row_of, ticks_of
from regiment_schedules.ticks import Ticks

PART = 100
"""Schedules of the code that are written in one step: few, so that little memory is needed at once."""
HELD = 100
"""Schedules whose ticks are kept in memory."""


def give_back() -> None:
    """Give memory back to the system that was needed to read: a steward lives for months after it has."""
    with contextlib.suppress(AttributeError, OSError):  # only the C library of GNU has it
        ctypes.CDLL(None).malloc_trim(0)


class Page:
    """What a steward knows of the schedules of one queue, read from its store."""

    def __init__(self, queue: str, mine: Release) -> None:
        self.queue, self.mine = queue, mine
        self._notes: dict[str, list[bytes]] = {}
        """Target -> its schedules in code, packed in parts: they are looked at now and then, and are alike."""
        self.stale = True
        """True if the store has to be read: at first, and when there are news."""
        self.rows: dict[str, Row] = {}
        self.index = Index(None)
        self._first: int | None = None
        """The rank of the index when it was first read: no clock is needed to see what has changed since."""
        self._ticks: dict[str, Ticks] = {}
        """Of those that were looked at last; each can be made anew."""
        self._days: Mapping[str, Sequence[str]] = {}
        self._blind: set[str] = set()
        """Names of those whose ticks cannot be computed here."""
        self._bodies: dict[str, tuple[str, bytes]] = {}
        self._heap: list[tuple[float, str, int]] = []
        self._shift, self._measured = 0.0, 0.0
        self._host = self._clock = 0.0
        """The host's time and the store's, as they go by the steady clock."""
        self._again = 0.0
        self._dead: dict[Release, float] = {}
        self._said: set[str] = set()
        self._wrote = False
        """True if code's word was written and is yet to be read."""

    def learn(self, target: str, notes: Mapping[str, str]) -> None:
        """What the code of a target says: name -> the schedule, as JSON."""
        names = list(notes)
        parts = [{name: notes[name] for name in names[at : at + PART]} for at in range(0, max(1, len(names)), PART)]
        self._notes[target] = [zlib.compress(json.dumps(part).encode()) for part in parts]
        self.stale = True

    # The store's clock

    def now(self) -> float:
        """The store's time, as far as it has said it."""
        return time.time() + self._shift

    def _apply(self, store: Any, effects: Sequence[Effect], when: Sequence[When] = ()) -> Applied:
        before = time.time()
        answer: Applied = store.apply(self.queue, effects, token=new_id(), when=when)
        said = getattr(answer, "now", 0.0)
        if said:
            self._shift, self._measured = said - (before + time.time()) / 2, time.monotonic()
        return answer

    # Reading

    def read(self, store: Any) -> None:
        """Read what stands in the store."""
        (record,) = store.records(self.queue, [INDEX])
        self.index = Index(record)
        if self._first is None:
            self._first = self.index.rank
        names = sorted(self.index.names)
        rows: dict[str, Row] = {}
        for at in range(0, len(names), records.BULK):
            part = names[at : at + records.BULK]
            for name, found in zip(part, store.records(self.queue, [row_key(one) for one in part]), strict=True):
                try:
                    row = row_of(name, found)
                except ValueError as error:
                    self._say(
                        logging.ERROR, "schedule.unknown", Row(name, 0, {}), why=f"its row cannot be read: {error}"
                    )
                    continue
                if row is not None:
                    rows[name] = row
        self.rows, self._ticks, self._heap, self._blind = rows, {}, [], set()
        self._days = self._calendars(store)
        for row in rows.values():
            self._learn(row)

    def _calendars(self, store: Any) -> dict[str, list[str]]:
        wanted = sorted({name for row in self.rows.values() for name in records.calendars(row.spec)})
        found = store.records(self.queue, [calendar_key(name) for name in wanted]) if wanted else []
        return {name: json.loads(one.value) for name, one in zip(wanted, found, strict=True) if one is not None}

    def _ticks_of(self, row: Row) -> Ticks:
        """Its ticks: some are kept, for a steward holds thousands of rows, and looks at one now and then."""
        found = self._ticks.get(row.name)
        if found is None:
            if len(self._ticks) >= HELD:
                self._ticks.clear()
            found = self._ticks[row.name] = ticks_of(row.spec, self._days)
        return found

    def _learn(self, row: Row) -> None:
        try:
            self._ticks_of(row)
        except (ConfigError, LookupError) as error:  # T9: who cannot compute does not arm
            self._blind.add(row.name)
            why = f"the calendar {error} is not there" if isinstance(error, LookupError) else str(error)
            self._say(logging.ERROR, "schedule.unknown", row, why=why, next="it is not fired from here")
            return
        self._plan(row)

    def _plan(self, row: Row) -> None:
        """Put a row where it is looked at next."""
        self.rows[row.name] = row
        if row.name in self._blind or row.data["paused"]:
            return
        ticks = self._ticks_of(row)
        at = firing.next_look(row, ticks, self.now(), self.mine.by)
        if firing.ahead(row, ticks, self.now()):
            at = self.now()
        if at is not None:
            heapq.heappush(self._heap, (at, row.name, row.version))

    def _say(self, level: int, event: str, row: Row, **fields: Any) -> None:
        """Say something of a schedule, once."""
        if f"{event} {row.name}" not in self._said:
            self._said.add(f"{event} {row.name}")
            log.event(level, event, queue=self.queue, schedule=row.name, **fields)
