"""The one thread that looks at the store, and only while somebody looks at a page: what many see costs the store what one does."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from regiment import log
from regiment.contracts import Connector, Finding, Role
from regiment.errors import StoreError
from regiment_cli.serving import counts_of, served_by, trees_of
from regiment_console import fleet
from regiment_dashboard.behind import Behind
from regiment_dashboard.crew import shown
from regiment_dashboard.standing import Seen, Standing

EVERY = 1.0
"""Seconds between two looks."""
INTEREST = 15.0
"""Seconds after a request for which the store is looked at."""
JUDGED = 10.0
"""Seconds between two looks at what needs attention, as far as nobody has to be asked for it."""
LISTED = 4
"""Looks after which it is asked anew which queues and which workers there are: more than their numbers."""
SHARE = 4.0
"""How many times as long as a look takes nobody looks after it, where that is more than `EVERY`."""
POINTS = 120
"""Looks of which a queue's curve is drawn."""


class Watch:
    """Looks once a second, in a thread of its own, while `wanted` is called. What costs more is asked for behind it."""

    def __init__(self, open: Callable[[Role], Connector]) -> None:
        self._open = open
        self._store: Connector | None = None
        self._curves: dict[str, deque[int]] = {}
        self._wanted, self._judged = 0.0, 0.0
        self._told: list[Finding] = []
        self._names: Sequence[str] = ()
        self._records: list[bytes] = []
        self._number = 0
        self._changed = threading.Condition()
        self._over = False
        self._threads: list[threading.Thread] = []
        self.behind = Behind(open, lambda: self.seen, lambda: time.monotonic() - self._wanted < INTEREST)
        self.seen = Seen(0, 0.0)

    def wanted(self) -> Seen:
        """What was seen; and have the store be looked at for a while. Waits for the first look at most 5 s."""
        with self._changed:
            if not self._threads and not self._over:
                # Not before: where the pages are mounted nobody tells them that it begins, and a process may have forked since.
                self._threads = [
                    threading.Thread(target=run, name=name, daemon=True)
                    for run, name in ((self.run, "watch"), (self.behind.run, "behind"))
                ]
                for thread in self._threads:
                    thread.start()
            fresh = time.monotonic() - self._wanted < INTEREST
            self._wanted = time.monotonic()
            if not fresh:
                self._changed.notify_all()
                before = self.seen.version
                self._changed.wait_for(lambda: self._over or self.seen.version != before, 5.0)
        if not fresh:
            self.behind.caught_up()
        return self.seen._replace(findings=self._findings(), trends=self.behind.trends)

    def glance(self) -> Seen | None:
        """What was seen, without findings and trends, if the store is looked at anyway: as `wanted`, and never waits. None if it is not."""
        now = time.monotonic()
        if not self._threads or now - self._wanted >= INTEREST:
            return None
        self._wanted = now
        return self.seen if self.seen.version else None

    def again(self, queue: str) -> None:
        """Somebody has changed something of a queue: look anew now, and wait for it at most 5 s."""
        with self._changed:
            self._judged, self._number, before = 0.0, 0, self.seen.version
            self._wanted = time.monotonic()
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._over or self.seen.version != before, 5.0)
        self.behind.caught_up(queue)

    def run(self) -> None:
        """Look until told to stop."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._over or time.monotonic() - self._wanted < INTEREST)
                if self._over:
                    break
            began = time.monotonic()
            self._look()
            pause = max(EVERY, (time.monotonic() - began) * SHARE)
            with self._changed:
                asked = self._judged
                self._changed.wait_for(lambda: self._over or self._judged != asked, pause)  # noqa: B023
        if self._store is not None:
            self._store.close()

    def stop(self) -> None:
        """Have `run` return."""
        self.behind.stop()
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _look(self) -> None:
        try:
            if self._store is None:
                self._store, self._number = self._open("look"), 0
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
        if self._number % LISTED == 0:
            self._records, self._names = list(store.presence().values()), store.queues()
        self._number += 1
        known = trees_of(self._records)
        served, queues = served_by(known), {}
        for name, counts in counts_of(store, sorted({*self._names, *served})).items():
            curve = self._curves.setdefault(name, deque(maxlen=POINTS))
            curve.append(counts.ready + counts.leased)
            queues[name] = Standing(counts, *served.get(name, (0, 0.0)), tuple(curve))
        self._curves = {name: self._curves[name] for name in queues}
        if time.monotonic() - self._judged > JUDGED:
            self._told = list(fleet.told({name: one.counts for name, one in queues.items()}, known))
            self._judged = time.monotonic()
        return Seen(0, time.time(), "", queues, shown(self._records), known)

    def _findings(self) -> list[Finding]:
        found = [*self._told, *self.behind.findings()]
        return sorted(found, key=lambda one: (one.level != "fail", not one.rule.startswith("F"), one.rule))
