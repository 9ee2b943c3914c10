"""The verbs that the extra `steer` adds to the connector "memory"; each is one step under the store's lock."""

from __future__ import annotations

import time
from bisect import insort
from collections.abc import Sequence
from itertools import islice
from typing import Any, Literal

from regiment.contracts import Act, Counts, Glance, Seen, steer
from regiment_local import places
from regiment_local.memory import looking
from regiment_local.memory.opened import Opened
from regiment_local.memory.queue import Queue
from regiment_local.memory.tasks import Entry

State = Literal["ready", "delayed", "leased"]
Row = tuple[tuple[Any, int], Entry, str | None, int | None]
"""Where it stands in its state, and who has it on lease under which receipt."""


class Steering(Opened):
    """look, steer, counts_many, act, acts."""

    def look(
        self, queue: str, state: State, limit: int = 100, *, after: str | None = None, holding: bytes = b""
    ) -> Glance:
        key = places.key_of(state, after)
        with self._store().lock:
            rows = sorted(_rows(self._store().look(queue), state), key=lambda row: row[0])
            if key is not None:
                rows = [row for row in rows if row[0] > tuple(key)]
            found: list[Seen] = []
            looked = 0
            for row in islice(rows, steer.LOOKED_AT):
                if len(found) >= limit:
                    break
                looked += 1
                if holding in row[1].payload:
                    found.append(_seen(state, *row[1:]))
            if looked == len(rows):
                return Glance(found)
            return Glance(found, places.cursor(state, *rows[looked - 1][0]) if looked else after)

    def steer(
        self,
        queue: str,
        places: Sequence[str],
        *,
        drop: bool = False,
        priority: int | None = None,
        delay: float | None = None,
    ) -> Sequence[str]:
        refuse_nothing(drop, priority, delay)
        with self._changed().lock:
            of = self._store().look(queue)
            waiting = {_place(state, e): e for state, e in _waiting(of)}
            done = [place for place in dict.fromkeys(places) if place in waiting]
            taken = {waiting[place] for place in done}
            delayed = taken.intersection(of.delayed)
            of.ready = [entry for entry in of.ready if entry not in taken]
            of.delayed = [entry for entry in of.delayed if entry not in taken]
            for entry in map(waiting.__getitem__, done):
                if drop:
                    of.ids.pop(entry.uid or "", None)
                    of.ended(entry, away=True)
                else:
                    _change(of, entry, entry in delayed, priority, delay)
            if done and not drop:
                of.call_ready()
            return done

    def counts_many(self, queues: Sequence[str]) -> Sequence[Counts]:
        with self._store().lock:
            return [looking.counts(self._store().look(queue)) for queue in queues]

    def act(self, queue: str, entry: bytes, *, token: str) -> None:
        places.refuse_large(entry)
        with self._changed().lock:
            self._store().queue(queue).acts.keep(entry, token)

    def acts(self, queue: str, limit: int = 100, *, after: str | None = None) -> Sequence[Act]:
        with self._store().lock:
            return self._store().look(queue).acts.newest(limit, after)


refuse_nothing = places.refuse_nothing  # `places` is a parameter of steer


def _waiting(of: Queue) -> list[tuple[State, Entry]]:
    return [*(("ready", entry) for entry in of.ready), *(("delayed", entry) for entry in of.delayed)]


def _rows(of: Queue, state: State) -> list[Row]:
    if state == "ready":
        return [(entry.place(), entry, None, None) for entry in of.ready]
    if state == "delayed":
        return [(entry.time(), entry, None, None) for entry in of.delayed]
    return [((name, n), e, name, n) for name, consumer in of.consumers.items() for n, e in consumer.held.items()]


def _place(state: State, entry: Entry) -> str:
    """No other task of any queue ever has this number."""
    return f"{state[0]}{entry.order}"


def _seen(state: State, entry: Entry, consumer: str | None, receipt: int | None) -> Seen:
    now = time.time()
    # When a task was leased, or came back from a worker that had ended, is noted nowhere.
    known = consumer is None and entry.count == 0
    return Seen(
        _place(state, entry),
        entry.payload,
        state,
        entry.priority,
        max(0.0, entry.due - now) if state == "delayed" else 0.0,
        max(0.0, now - entry.since) if known else None,
        entry.count,
        entry.note,
        0.0 if entry.parked is None else now - entry.parked,
        consumer,
        receipt,
    )


def _change(of: Queue, entry: Entry, delayed: bool, priority: int | None, delay: float | None) -> None:
    """Put a task that was taken out of its line where it belongs now."""
    if priority is not None:
        entry.priority = priority
    if delay is not None and delay > 0:
        of.put_off(entry, time.time() + delay)
    elif delayed and delay is None:
        insort(of.delayed, entry, key=Entry.time)
    else:
        entry.since = time.time() if delayed else entry.since
        of.append(entry)
