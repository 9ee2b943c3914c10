"""The schedules of one queue, as the steward of one tree knows them, and what it does to the store."""

from __future__ import annotations

import base64
import heapq
import json
import logging
import time
import zlib
from collections.abc import Mapping
from typing import Any

from regiment import log
from regiment.contracts import Applied, Drop, Effect, Keep, Send, When
from regiment.errors import ConfigError
from regiment.task import PRIORITIES
from regiment_cli.release import Release, alive, newer, of, order
from regiment_schedules import firing, records, zones
from regiment_schedules.reading import Page, give_back
from regiment_schedules.records import INDEX, Row, body_key, renamed, row_key, row_of
from regiment_schedules.ticks import jitter, written

AGAIN = 10.0
"""Seconds until it is looked again whether a newer release, or newer zone data, is still alive."""
MEASURED = 60.0
"""Seconds for which the difference of the clocks is believed, if something is due."""
NOTHING = 3600.0
LONGEST = 10.0
"""Seconds between two looks, so that a clock that jumps is seen; the store is not asked."""
JUMP = 30.0
"""Seconds by which a clock that was corrected may differ from a steady one."""


class Book(Page):
    """One queue of one store. Every verb may raise `StoreUnavailable`; then nothing is lost, and it is called again."""

    # Looking

    def look(self, store: Any) -> float:
        """Do what is due; seconds until the next look."""
        self._see_jumps(store)
        if self.stale or (self._again and time.monotonic() >= self._again):
            self.stale, self._again = False, 0.0
            self.read(store)
            self.declare(store)
            give_back()
        now = self.now()
        if self._heap and self._heap[0][0] - now < MEASURED <= time.monotonic() - self._measured:
            self._apply(store, [])
            now = self.now()
        while self._heap and self._heap[0][0] <= now:
            self._fire(store, self._ripe(now), now)
            now = self.now()
        wait = self._heap[0][0] - now if self._heap else NOTHING
        if self._again:
            wait = min(wait, self._again - time.monotonic())
        return min(wait, LONGEST)

    def _see_jumps(self, store: Any) -> None:
        """Measure the store's clock at first, and when the host's has jumped; if the store's has, plan everything anew (T10)."""
        host = time.time() - time.monotonic()
        if not self._measured or abs(host - self._host) > JUMP:
            self._apply(store, [])
            self._host, self._measured = host, self._measured or time.monotonic()
        clock = self.now() - time.monotonic()
        if abs(clock - self._clock) > JUMP:
            self._clock, self.stale = clock, True

    def _ripe(self, now: float) -> list[Row]:
        found: list[Row] = []
        while self._heap and self._heap[0][0] <= now and len(found) < records.BULK:
            _, name, version = heapq.heappop(self._heap)
            row = self.rows.get(name)
            if row is not None and row.version == version:
                found.append(row)
        return found

    # Firing

    def _fire(self, store: Any, rows: list[Row], now: float) -> None:
        """Fire what these rows have due, all in one step, or where somebody else was faster learn what he did."""
        steps: list[tuple[Row, list[Effect], dict[str, Any]]] = []
        for row in rows:
            step = self._step(store, row, now)
            if step is not None:
                steps.append((row, *step))
        if not steps:
            return
        effects = [effect for row, sends, changes in steps for effect in (*sends, row.keep(**changes))]
        when = [When(row_key(row.name), row.version) for row, _, _ in steps]
        try:
            answer = self._apply(store, effects, when)
        except Exception:
            for row in rows:  # whether it was done is seen by the version, when the store is back
                heapq.heappush(self._heap, (now, row.name, row.version))
            raise
        if not answer.done:
            self._refused(store, [row for row, _, _ in steps], answer)
            return
        left = set(answer.left_out)
        at = 0
        for row, sends, changes in steps:
            places = range(at, at + sum(isinstance(one, Send) for one in sends))
            at = places.stop
            data = {**row.data, **changes}
            if missed := left.intersection(places):
                data["fired"] -= len(missed)  # its last run had not ended; written with the next firing
                data["skipped"] += len(missed)
            self._plan(Row(row.name, answer.version, data))

    def _step(self, store: Any, row: Row, now: float) -> tuple[list[Effect], dict[str, Any]] | None:
        """The pushes of a row, and how it changes; None if there is nothing to do now, and it is planned anew."""
        ticks = self._ticks_of(row)
        if firing.ahead(row, ticks, now):
            log.event(
                logging.WARNING, "schedule.reset", queue=self.queue, schedule=row.name, seconds=round(row.last - now)
            )
            return [], {"last": now}
        if (
            row.data["tz"] > zones.version()
            and row.spec["cron"] is not None
            and self._lives(store, of(row.data["armed"]))
        ):
            self._say(
                logging.WARNING,
                "schedule.unknown",
                row,
                why=f"zone data {row.data['tz']} fired it, here is {zones.version()}",
            )
            self._again = time.monotonic() + AGAIN
            return None
        found = firing.due(row, ticks, now)
        if found is None:
            self._plan(row)
            return None
        body = self._body(store, row)
        if body is None:
            return None
        sends = [self._send(row, body, tick) for tick in found.ticks]
        counts = {"fired": row.data["fired"] + len(sends), "skipped": row.data["skipped"] + found.skipped}
        return sends, {"last": found.last, **counts, "tz": zones.version(), "armed": self.mine.data()}

    def _send(self, row: Row, body: bytes, tick: float) -> Effect:
        id = f"{row.name}@{written(tick)}"
        at = tick + jitter(row.name, tick, row.spec["jitter"])
        skip = row.spec["overlap"] == "skip"
        # For the store a task that must not overlap bears the schedule's name: it leaves out what waits or runs.
        ids, window = ([f"{row.name}@"], 0.0) if skip else ([id], 86_400.0)
        number = PRIORITIES[row.spec["priority"] or "NORMAL"]
        return Send(
            self.queue,
            [renamed(body, id)],
            number,
            at=at,
            ids=ids,
            id_window=window,
            tickets=records.tickets(row.spec, id),
        )

    def _body(self, store: Any, row: Row) -> bytes | None:
        known = self._bodies.get(row.name)
        if known is None or known[0] != row.data["digest"]:
            (record,) = store.records(self.queue, [body_key(row.name)])
            if record is None:
                self._say(logging.ERROR, "schedule.unknown", row, why="its task is not in the store")
                return None
            known = self._bodies[row.name] = row.data["digest"], record.value
        return known[1]

    def _refused(self, store: Any, rows: list[Row], answer: Applied) -> None:
        """Somebody else was faster with one of them: learn what he did, and go on with the others."""
        for row in rows:
            found = answer.found.get(row_key(row.name))
            if found is None:
                self.rows.pop(row.name, None)
            elif (other := row_of(row.name, found)) is not None:
                if other.spec != row.spec:
                    self.stale = True  # its ticks are others; the next look reads all
                    continue
                self._plan(other)

    # Releases

    def declare(self, store: Any) -> None:
        """Bring what code says, and what it no longer says, into the store, as far as it is this tree's to decide (T7, T8)."""
        for target, packed in self._notes.items():
            names = {name for part in packed for name in _part(part)}
            for at, part in enumerate(packed):
                for _ in range(20):
                    removed = [] if at else self._removed(store, target, names)
                    if self._written(store, target, _part(part), removed):
                        break
                    self.read(store)
        if self._wrote:
            self._wrote = False
            self.read(store)

    def _removed(self, store: Any, target: str, names: set[str]) -> list[Row]:
        return [
            row
            for row in self.rows.values()
            if row.data["source"] == "code"
            and row.data["target"] == target
            and row.name not in names
            and self._decides(store, row.data)
        ]

    def _written(self, store: Any, target: str, notes: Mapping[str, Any], removed: list[Row]) -> bool:
        effects: list[Effect] = []
        when = [When(INDEX, self.index.version)]
        changed: dict[str, dict[str, Any]] = {}
        for name, text in notes.items():
            one = json.loads(text)
            data = self._new_data(store, name, target, one)
            if data is not None:
                changed[name] = data
                row = Row(name, 0, data)
                when.append(When(row_key(name), self.rows[name].version if name in self.rows else 0))
                effects += [row.keep(), Keep(body_key(name), base64.b64decode(one["body"]), None)]
        for row in removed:
            when.append(When(row_key(row.name), row.version))
            effects.append(Drop([row_key(row.name), body_key(row.name)]))
        if not effects:
            return True
        if len(self.index.names | changed.keys()) > records.MOST:
            raise ConfigError(f"queue {self.queue!r} has more than {records.MOST:,} schedules")
        gone = {row.name: self.mine.data() for row in removed}
        self.index.names = (self.index.names | changed.keys()) - gone.keys()
        self.index.gone = {**{name: who for name, who in self.index.gone.items() if name not in changed}, **gone}
        answer = self._apply(store, [*effects, self.index.keep()], when)
        if answer.done:
            for name in changed:
                log.event(logging.INFO, "schedule.written", queue=self.queue, schedule=name, release=self.mine.release)
            for name in gone:
                log.event(logging.INFO, "schedule.removed", queue=self.queue, schedule=name, release=self.mine.release)
            self._wrote = True
            self.index.version, self.index.rank = answer.version, self.index.rank + 1
            self.rows.update({name: Row(name, answer.version, data) for name, data in changed.items()})
            for name in gone:
                del self.rows[name]
        return answer.done

    def _new_data(self, store: Any, name: str, target: str, one: Mapping[str, Any]) -> dict[str, Any] | None:
        """The data of a row that code declares; None if it stands there so, or is another's to decide."""
        said = {"spec": one["spec"], "task": one["task"], "digest": one["digest"]}
        mine = {"source": "code", "target": target, **self.mine.data()}
        row = self.rows.get(name)
        if row is None:
            gone = self.index.gone.get(name)
            return (
                None if gone and not self._brings_back(store, gone) else records.fresh(**said, now=self.now(), **mine)
            )
        if all(row.data[key] == value for key, value in said.items()):
            return None
        if row.data["source"] != "code":
            self._say(logging.ERROR, "schedule.conflict", row, why="one of this name was added at run time; it stays")
            return None
        if not self._decides(store, row.data):
            if row.data["release"] == self.mine.release and self.mine.release:
                self._say(
                    logging.ERROR,
                    "schedule.conflict",
                    row,
                    why=f"{row.data['by']} has the same release and says otherwise",
                )
            return None
        return {**row.data, **said, **mine}

    def _brings_back(self, store: Any, gone: Mapping[str, Any]) -> bool:
        """True if this tree may declare again what is gone; what somebody has removed only if it came later."""
        if "removed" in gone:
            return (self._first or 0) >= gone["removed"] and newer(self.mine, of(gone))
        return self._decides(store, gone)

    def _decides(self, store: Any, data: Mapping[str, Any]) -> bool:
        """True if this tree's release is at least that of `data`, or no tree of that one is alive."""
        other = of(data)
        return order(self.mine) >= order(other) or not self._lives(store, other)

    def _lives(self, store: Any, other: Release) -> bool:
        """True if a tree of this release is alive; who is missed once is looked for a second time, `AGAIN` later."""
        if alive(other, store.presence().values()):
            self._dead.pop(other, None)
            self._again = time.monotonic() + AGAIN
            return True
        first = self._dead.setdefault(other, time.monotonic())
        if time.monotonic() - first >= AGAIN:
            return False
        self._again = first + AGAIN
        return True


def _part(packed: bytes) -> dict[str, str]:
    found: dict[str, str] = json.loads(zlib.decompress(packed))
    return found
