"""The one thread that looks at the store, and only while somebody looks at a page: what many see costs the store what one does."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from regiment import log
from regiment.contracts import Connector, Counts, Examined, Finding, Role
from regiment.errors import StoreError
from regiment_cli.serving import counts_of, served_by, trees_of
from regiment_console import fleet
from regiment_dashboard import trends
from regiment_dashboard.trends import Trends

EVERY = 1.0
"""Seconds between two looks."""
INTEREST = 15.0
"""Seconds after a request for which the store is looked at."""
JUDGED = 10.0
"""Seconds between two looks at what needs attention, which costs more."""
COUNTED = 20.0
"""Seconds between two looks at what has ended; keepers tell it once a minute."""
POINTS = 120
"""Looks of which a queue's curve is drawn."""


class Standing(NamedTuple):
    """How a queue is."""

    counts: Counts
    workers: int
    rate: float
    curve: tuple[int, ...]
    """What was ready or ran at each look, the newest last."""


class Seen(NamedTuple):
    """What the last look has seen."""

    version: int
    """Another number for each change."""
    at: float
    """When the store answered last, in seconds since the epoch; 0: never."""
    problem: str = ""
    """Why it does not answer; empty if it does."""
    queues: Mapping[str, Standing] = {}
    trees: Sequence[Mapping[str, Any]] = ()
    findings: Sequence[Finding] = ()
    """What needs attention, the worst first."""
    trends: Trends = {}
    """What ended in the last hour and day; empty if the store keeps no history."""


class Watch:
    """Looks once a second, in a thread of its own, while `wanted` is called."""

    def __init__(self, open: Callable[[Role], Connector]) -> None:
        self._open = open
        self._store: Connector | None = None
        self._curves: dict[str, deque[int]] = {}
        self._wanted, self._judged = 0.0, 0.0
        self._findings: list[Finding] = []
        self._trends: Trends = {}
        self._counted = 0.0
        self._changed = threading.Condition()
        self._over = False
        self._thread: threading.Thread | None = None
        self.seen = Seen(0, 0.0)

    def wanted(self) -> Seen:
        """What was seen; and have the store be looked at for a while. Waits for the first look at most 5 s."""
        with self._changed:
            if self._thread is None and not self._over:
                # Not before: where the pages are mounted nobody tells them that it begins, and a process may have forked since.
                self._thread = threading.Thread(target=self.run, name="watch", daemon=True)
                self._thread.start()
            fresh = time.monotonic() - self._wanted < INTEREST
            self._wanted = time.monotonic()
            self._changed.notify_all()
            if not fresh:
                before = self.seen.version
                self._changed.wait_for(lambda: self._over or self.seen.version != before, 5.0)
            return self.seen

    def again(self) -> None:
        """Somebody has changed something: look anew now, and wait for it at most 5 s."""
        with self._changed:
            self._judged, before = 0.0, self.seen.version
            self._wanted = time.monotonic()
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._over or self.seen.version != before, 5.0)

    def run(self) -> None:
        """Look until told to stop."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._over or time.monotonic() - self._wanted < INTEREST)
                if self._over:
                    break
            self._look()
            with self._changed:
                asked = self._judged
                self._changed.wait_for(lambda: self._over or self._judged != asked, EVERY)  # noqa: B023
        if self._store is not None:
            self._store.close()

    def stop(self) -> None:
        """Have `run` return."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _look(self) -> None:
        try:
            if self._store is None:
                self._store = self._open("look")
            seen = self._of(self._store)
        except StoreError as error:
            seen = self.seen._replace(problem=str(error))
        except Exception as error:  # else nobody would look any more, and old numbers would pass for new ones
            log.event(logging.ERROR, "dashboard.error", exc_info=error)
            seen = self.seen._replace(problem=f"what it says cannot be read: {type(error).__name__}: {error}")
        with self._changed:
            self.seen = seen._replace(version=self.seen.version + 1)
            self._changed.notify_all()

    def _of(self, store: Connector) -> Seen:
        records = list(store.presence().values())
        served, queues = served_by(trees_of(records)), {}
        for name, counts in counts_of(store, sorted({*store.queues(), *served})).items():
            curve = self._curves.setdefault(name, deque(maxlen=POINTS))
            curve.append(counts.ready + counts.leased)
            queues[name] = Standing(counts, *served.get(name, (0, 0.0)), tuple(curve))
        self._curves = {name: self._curves[name] for name in queues}
        if time.monotonic() - self._judged > JUDGED:
            found = [one for one in fleet.rules(Examined(store, {})) if one.level != "ok"]
            self._findings = sorted(found, key=lambda one: one.level != "fail")
            self._judged = time.monotonic()
        if time.monotonic() - self._counted > COUNTED or self._trends.keys() - {trends.ALL} != queues.keys():
            self._trends = trends.read(store, list(queues), time.time())
            self._counted = time.monotonic()
        return Seen(0, time.time(), "", queues, shown(records), tuple(self._findings), self._trends)


def shown(records: Iterable[bytes]) -> list[Mapping[str, Any]]:
    """The trees of all hosts, as their keepers announce them; a record that cannot be read hides no other."""
    found: list[Mapping[str, Any]] = []
    for data in records:
        try:
            record = json.loads(data)
            workers = [
                {
                    **one,
                    "pid": int(one["pid"]),
                    "queue": str(one["queue"]),
                    "tasks": int(one["tasks"]),
                    "rate": float(one["rate"]),
                }
                for one in record["workers"]
            ]
            found.append(
                {
                    "host": str(record["host"]),
                    "pid": int(record["pid"]),
                    "release": str(record.get("release", "")),
                    "workers": workers,
                }
            )
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            continue
    return sorted(found, key=lambda tree: (tree["host"], tree["pid"]))
