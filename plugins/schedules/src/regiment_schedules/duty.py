"""The duty in the steward: one book for each queue, and a thread that hears of changes. It imports no application."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from regiment import log
from regiment.config import Use
from regiment.contracts import Connector, Served
from regiment.errors import StoreUnavailable
from regiment.registry import registry
from regiment_cli.release import Release
from regiment_schedules.book import Book
from regiment_schedules.records import INDEX

HEARS = 100.0
"""Seconds of one wait for news."""
FOLLOWS = 600.0
"""Seconds for which the store keeps a registration."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 2.0
"""Seconds between two tries to reach a store: the first, and at most."""


class Shelf:
    """A book, its connection, and its listener."""

    def __init__(self, target: Served, mine: Release, wake: Callable[[], None]) -> None:
        self.target, self.book, self._wake = target, Book(target.queue, mine), wake
        self.store: Connector | None = None
        self.until, self.pause = 0.0, FIRST_PAUSE
        self._throttle = log.Throttle()
        threading.Thread(target=self._listen, name=f"regiment schedules {target.queue}", daemon=True).start()

    def look(self) -> float:
        """Seconds until the next look, whatever happens to this store."""
        left = self.until - time.monotonic()
        if left > 0:
            return left
        try:
            if self.store is None:
                self.store = self.target.connect()
            seconds = self.book.look(self.store)
            self.pause = FIRST_PAUSE
        except Exception as error:  # of one queue; the others go on
            self._lost(error)
            seconds, self.pause = self.pause, min(LONGEST_PAUSE, self.pause * 2)
        self.until = time.monotonic() + seconds
        return seconds

    def _lost(self, error: Exception) -> None:
        self.book.stale = True
        if self._throttle() is not None and isinstance(error, StoreUnavailable):
            log.event(logging.ERROR, "connector.lost", error=str(error), what="schedules", queue=self.book.queue)
        elif not isinstance(error, StoreUnavailable):
            log.event(logging.ERROR, "service.error", exc_info=error, service="schedules", queue=self.book.queue)
        if self.store is not None:
            with contextlib.suppress(Exception):
                self.store.close()
            self.store = None

    def news(self) -> None:
        """Look at once."""
        self.book.stale, self.until = True, 0.0
        self._wake()

    def _listen(self) -> None:
        """Wait for the index to change, without asking again and again (V1 to V5)."""
        key, seen = (self.book.queue, INDEX), -1
        while True:
            connector: Any = None
            try:
                connector = _connector(self.target.spec["connector"])
                connector.open("follow")
                until = 0.0
                while True:
                    if time.monotonic() >= until:
                        found = connector.follow({key: seen + 1}, FOLLOWS)
                        until = time.monotonic() + FOLLOWS / 2
                    else:
                        heard = connector.heard(min(HEARS, until - time.monotonic()))
                        found, until = heard or {}, 0.0 if heard is None or heard else until
                    if key in found:
                        seen = max(seen, found[key].rank if found[key] is not None else seen)
                        until = 0.0
                        self.news()
            except Exception as error:
                log.event(logging.DEBUG, "schedules.deaf", queue=self.book.queue, error=str(error))
                time.sleep(LONGEST_PAUSE)
            finally:
                if connector is not None:
                    with contextlib.suppress(Exception):
                        connector.close()


class Firing:
    """The duty. Each steward may fire every tick; that exactly one does is the store's to see to (T1)."""

    def __init__(self, release: str, started: float, by: str) -> None:
        self._mine = Release(release, started, by)
        self._shelves: dict[str, Shelf] = {}
        self._wake: Callable[[], None] = lambda: None

    def wakes(self, wake: Callable[[], None]) -> None:
        """What makes the steward call `look` at once."""
        self._wake = wake

    def learn(self, target: Served, notes: Any) -> None:
        """A target of the tree, with the schedules of its code."""
        key = json.dumps([target.queue, target.spec["connector"]], sort_keys=True)
        if key not in self._shelves:
            self._shelves[key] = Shelf(target, self._mine, self._wake)
        shelf = self._shelves[key]
        shelf.book.learn(target.label, (notes or {}).get("schedules", {}))
        shelf.until = 0.0

    def look(self, now: float) -> float:
        """Fire what is due."""
        return min([shelf.look() for shelf in self._shelves.values()], default=3600.0)


def _connector(spec: Mapping[str, Any]) -> Connector:
    """A connector of this store, not yet opened."""
    made: Connector = (
        registry().scope(list(spec.get("plugins", ()))).build("connectors", Use(spec["name"], **spec["options"]))
    )
    return made
