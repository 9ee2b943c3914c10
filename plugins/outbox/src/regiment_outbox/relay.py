"""The relay, a duty of the steward: what stands in the outbox of a database is pushed to its store, and deleted then.

A row that was pushed and not deleted, because the relay, the database or the store went away in between, is pushed again: the
store knows its id and leaves it out. A row that its store refuses is kept with the reason, and the others go on.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from regiment import log
from regiment.broker import effective
from regiment.build import connector_use, make_broker
from regiment.config import WorkerConfig
from regiment.contracts import AtWork, Connector, Effect, Send, Served
from regiment.errors import ConfigError, PluginError, StoreError, StoreUnavailable
from regiment.task import new_id
from regiment_outbox import table
from regiment_outbox.rows import Row, effects_of
from regiment_outbox.table import Database

POLL = 0.5
"""Seconds between two looks at a table that was empty."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 2.0
"""Seconds between two tries after an error: the first, and at most."""
TOKEN_WINDOW = 60.0
OF_THE_STORE = (StoreError, ConfigError, PluginError, OSError)
"""Errors that say nothing of a row: they would meet any other, too."""


class Shelf:
    """The outbox of one database, for the queues of one store."""

    def __init__(self, database: Database, target: Served) -> None:
        self.database, self.target = database, target
        self.queues: set[str] = set()
        self.refused = 0
        """Rows that were kept because their store refused them."""
        self._store: Connector | None = None
        self._pause, self._throttle = FIRST_PAUSE, log.Throttle()

    def look(self) -> float:
        """Relay what is there; seconds until the next look, whatever happens to this store and this database."""
        try:
            moved = self.relay()
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
                database=self.database.name,
            )
        self.close()

    def close(self) -> None:
        """Close what is open; the next look opens it again."""
        store, self._store = self._store, None
        for close in (self.database.close, getattr(store, "close", None)):
            with contextlib.suppress(Exception):
                if close is not None:
                    close()

    def relay(self) -> int:
        """Push some rows and delete them; how many were there."""
        with self.database.begin() as (run, locks):
            rows = table.claim(run, sorted(self.queues), locks)
            for group in groups(rows):
                try:
                    self.push(group)
                    refused = {}
                except OF_THE_STORE:
                    raise
                except Exception:
                    refused = self._one_by_one(group)
                for row in group:
                    if row.id in refused:
                        self._keep(run, row, refused[row.id])
                table.delete(run, [row.id for row in group if row.id not in refused])
        return len(rows)

    def _one_by_one(self, group: Sequence[Row]) -> dict[int, str]:
        """Push each row by itself; why some cannot be, by their id."""
        refused = {}
        for row in group:
            try:
                self.push([row])
            except OF_THE_STORE:
                raise
            except Exception as error:
                refused[row.id] = f"{type(error).__name__}: {error}"
        return refused

    def _keep(self, run: table.Run, row: Row, reason: str) -> None:
        self.refused += 1
        table.keep(run, row.id, reason)
        log.event(
            logging.ERROR,
            "outbox.refused",
            id=row.task,
            queue=row.queue,
            row=row.id,
            error=reason,
            database=self.database.name,
        )

    def push(self, group: Sequence[Row]) -> None:
        """Push rows that go the same way; what the store has of them already, it leaves out."""
        if self._store is None:
            self._store = self.target.connect()
        first = group[0]
        # Drivers have types of their own for bytes; what is none is refused here, where it is the fault of its row alone.
        ids, payloads = [row.task for row in group], [bytes(row.payload) for row in group]
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


class Here:
    """A queue of this process, as a relay is told of it (`regiment.contracts.Served`)."""

    def __init__(self, label: str, config: WorkerConfig) -> None:
        self.label, self.queue, self.config = label, config.name, config
        use, _ = connector_use(config)
        self.spec: Mapping[str, Any] = {
            "connector": [use.name, {name: str(value) for name, value in use.options.items()}]
        }

    def connect(self) -> Connector:
        """A connection to the store of the queue."""
        return make_broker(self.config, self.label).open("duty")

    def at_work(self, seconds: float) -> Sequence[AtWork]:
        """Nothing: it belongs to no tree."""
        return ()


class Relay(ABC):
    """The duty. Any number of stewards may relay one outbox."""

    def __init__(self) -> None:
        self.shelves: dict[str, Shelf] = {}

    @abstractmethod
    def database(self, notes: Any) -> Database:
        """The database of a target, by its notes."""

    def learn(self, target: Served, notes: Any) -> None:
        """A target of the tree: its queue, and where its outbox is."""
        if not notes:
            return
        key = json.dumps([notes, target.spec["connector"]], sort_keys=True)
        if key not in self.shelves:
            self.shelves[key] = Shelf(self.database(notes), target)
        self.shelves[key].queues.add(target.queue)

    def look(self, now: float) -> float:
        """Relay what is there."""
        return min([shelf.look() for shelf in self.shelves.values()], default=3600.0)


def fetch(relay: Relay) -> bool:
    """Relay what is there, for a burst; True if there was something, or if a database or a store did not answer."""
    return any(shelf.look() != POLL for shelf in relay.shelves.values())


def groups(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows that follow each other and go the same way."""
    for _, group in itertools.groupby(rows, lambda row: (row.queue, row.priority, row.due, row.id_window)):
        yield list(group)
