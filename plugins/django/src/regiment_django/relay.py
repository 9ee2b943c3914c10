"""The relay, a duty of the steward: what stands in the outbox of a database is pushed to its store, and deleted then.

It imports the project's settings and its database driver, and no application. A row that was pushed and not deleted, because the
relay, the database or the store went away in between, is pushed again: the store knows its id and leaves it out.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from regiment import log
from regiment.broker import effective
from regiment.contracts import Connector, Effect, Send, Served
from regiment.errors import StoreUnavailable
from regiment.task import new_id
from regiment_django.outbox import effects_of

POLL = 0.5
"""Seconds between two looks at a table that was empty."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 2.0
"""Seconds between two tries after an error: the first, and at most."""
ROWS, BYTES = 500, 8 * 1024 * 1024
"""What is read and pushed at once, at most; one row at least."""
TOKEN_WINDOW = 60.0
TABLE = "regiment_outbox"


class Row(NamedTuple):
    """A row of the outbox."""

    id: int
    queue: str
    task: str
    payload: bytes
    priority: int
    due: float | None
    id_window: float
    effects: str


class Shelf:
    """The outbox of one database, for the queues of one store."""

    def __init__(self, alias: str, target: Served) -> None:
        self.alias, self.target = alias, target
        self.queues: set[str] = set()
        self._store: Connector | None = None
        self._pause, self._throttle = FIRST_PAUSE, log.Throttle()

    def look(self) -> float:
        """Relay what is there; seconds until the next look, whatever happens to this store and this database."""
        try:
            moved = self._relay()
            self._pause = FIRST_PAUSE
            return 0.0 if moved else POLL
        except Exception as error:
            self._lost(error)
            seconds, self._pause = self._pause, min(LONGEST_PAUSE, self._pause * 2)
            return seconds

    def _lost(self, error: Exception) -> None:
        if self._throttle() is not None:
            known = isinstance(error, StoreUnavailable)
            log.event(
                logging.ERROR,
                "connector.lost" if known else "service.error",
                exc_info=None if known else error,
                error=str(error),
                what="outbox",
                database=self.alias,
            )
        from django.db import connections

        for close in (connections[self.alias].close, getattr(self._store, "close", None)):
            with contextlib.suppress(Exception):
                if close is not None:
                    close()
        self._store = None

    def _relay(self) -> bool:
        """Push and delete some rows; True if there may be more."""
        from django.db import connections, transaction

        connection = connections[self.alias]
        # Where rows can be locked, several relays share the work; where not, the store leaves out what a second one brings.
        alone = connection.features.has_select_for_update_skip_locked
        with transaction.atomic(using=self.alias) if alone else contextlib.nullcontext(), connection.cursor() as cursor:
            rows = self._read(cursor, " FOR UPDATE SKIP LOCKED" if alone else "")
            for group in _groups(rows):
                self._push(group)
            if rows:
                places = _places([row.id for row in rows])
                cursor.execute(f"DELETE FROM {TABLE} WHERE id IN ({places})", [row.id for row in rows])  # noqa: S608
        return bool(rows)

    def _read(self, cursor: Any, lock: str) -> list[Row]:
        queues = sorted(self.queues)
        cursor.execute(
            f"SELECT id, LENGTH(payload) FROM {TABLE} WHERE queue IN ({_places(queues)}) ORDER BY id LIMIT {ROWS}{lock}",  # noqa: S608
            queues,
        )
        chosen, size = list[int](), 0
        for id, length in cursor.fetchall():
            size += length
            if chosen and size > BYTES:
                break
            chosen.append(id)
        if not chosen:
            return []
        fields = ", ".join(Row._fields)
        cursor.execute(f"SELECT {fields} FROM {TABLE} WHERE id IN ({_places(chosen)}) ORDER BY id", chosen)  # noqa: S608
        return [Row(*found)._replace(payload=bytes(found[3])) for found in cursor.fetchall()]

    def _push(self, group: Sequence[Row]) -> None:
        if self._store is None:
            self._store = self.target.connect()
        first = group[0]
        ids, payloads = [row.task for row in group], [row.payload for row in group]
        effects: list[Effect] = [effect for row in group for effect in effects_of(row.effects)]
        if effects:
            send = Send(first.queue, payloads, first.priority, 0.0, first.due, ids, first.id_window)
            able = effective(self._store, "what stands in an outbox needs")
            able.apply(first.queue, (send, *effects), token=new_id(), token_window=TOKEN_WINDOW)
            return
        self._store.push(
            first.queue,
            payloads,
            priority=first.priority,
            delay=0.0,
            at=first.due,
            token=new_id(),
            ids=ids,
            id_window=first.id_window,
            token_window=TOKEN_WINDOW,
        )


class Relay:
    """The duty. Any number of stewards may relay one outbox."""

    def __init__(self) -> None:
        self._shelves: dict[str, Shelf] = {}

    def learn(self, target: Served, notes: Any) -> None:
        """A target of the tree: its queue, and where the settings of its project are."""
        if not notes:
            return
        for entry in notes["path"]:
            if entry not in sys.path:
                sys.path.append(entry)
        os.environ["DJANGO_SETTINGS_MODULE"] = notes["settings"]
        key = json.dumps([notes["alias"], target.spec["connector"]], sort_keys=True)
        shelf = self._shelves.setdefault(key, Shelf(notes["alias"], target))
        shelf.queues.add(target.queue)

    def look(self, now: float) -> float:
        """Relay what is there."""
        return min([shelf.look() for shelf in self._shelves.values()], default=3600.0)


def _groups(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows that follow each other and go the same way."""
    for _, group in itertools.groupby(rows, lambda row: (row.queue, row.priority, row.due, row.id_window)):
        yield list(group)


def _places(values: Sequence[Any]) -> str:
    return ", ".join(["%s"] * len(values))
