"""What costs more than counting, asked for behind the looks: what has ended, groups of dead letters, rules that look into a queue.

One request after the other, in a thread of its own, at most one each `EACH` seconds on average. So what is shown of many queues is
older than what is shown of few, and the store has as much to do for both.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from regiment import log
from regiment.contracts import Connector, Counts, Finding, Role
from regiment.errors import StoreError
from regiment_console import fleet
from regiment_dashboard import trends
from regiment_dashboard.gathering import Gathered, Gathering
from regiment_dashboard.pacing import Over, Pace, Paced
from regiment_dashboard.standing import Seen
from regiment_dashboard.trends import Trends

EACH, AT_ONCE = 1.25, 20
"""Seconds for each request, on average; and requests that may follow each other at once, after a pause."""
COUNTED = 20.0
"""Seconds between two looks at what has ended; keepers tell it once a minute."""
AGAIN = 10.0
"""Seconds between two looks into a queue, if there is time."""
SOONER = 60.0
"""Seconds by which a queue comes sooner that was paused, goes on, or has more or fewer dead letters."""
PATIENCE = 2.0
"""Seconds that a page waits for what is missing of the groups of dead letters, or of the first look."""
FEW = 10
"""Requests for which a page waits."""


class Judged(NamedTuple):
    """What the rules have found in a queue."""

    at: float
    counts: Counts
    findings: Sequence[Finding]


class Behind:
    """Asks while `wanted` says that somebody looks. `seen` is the last look."""

    def __init__(self, open: Callable[[Role], Connector], seen: Callable[[], Seen], wanted: Callable[[], bool]) -> None:
        self._open, self._seen = open, seen
        self._store: Connector | None = None
        self._pace = Pace(EACH, AT_ONCE, wanted)
        self._letters = Gathering()
        self._judged: dict[str, Judged] = {}
        self._counted, self._of = -COUNTED, frozenset[str]()
        self._idle = threading.Condition()
        self._version = -1
        """The look for which everything was done that could be done at once."""
        self.trends: Trends = {}

    # What others ask

    def findings(self) -> list[Finding]:
        """What the rules have found in all queues."""
        queues = self._seen().queues
        return [found for name, one in dict(self._judged).items() if name in queues for found in one.findings]

    def groups(self, queues: Sequence[str]) -> Gathered:
        """The groups of dead letters of these queues; waits a moment if little is missing."""
        dead = self._dead(queues)
        missing = self._letters.missing(dead)
        if missing:
            self._pace.hurry(min(missing + 2, FEW))
            until = time.monotonic() + (PATIENCE if missing <= FEW else 0.1)
            with self._idle:
                while not self._pace.over and self._letters.missing(dead) and (left := until - time.monotonic()) > 0:
                    self._idle.wait(min(left, 0.05))
        return self._letters.groups(dead)

    def newest(self, queue: str, group: str | None) -> tuple[list[tuple[str, dict[str, Any] | None]], str | None]:
        """The newest letters of a group, each with what is known of it, and the newest of the queue."""
        self.groups([queue])
        return self._letters.newest(queue, group)

    def forget(self, queue: str, ids: Sequence[str]) -> None:
        """These letters were replayed or deleted here."""
        self._letters.forget(queue, ids)

    def caught_up(self, queue: str | None = None) -> None:
        """Wait for what can be known at once after the last look, at most `PATIENCE`; of a queue anew."""
        version = self._seen().version
        if queue is not None:
            self._judged.pop(queue, None)
        self._pace.hurry(FEW)
        with self._idle:
            self._idle.wait_for(lambda: self._version >= version or self._pace.over, PATIENCE)

    def stop(self) -> None:
        """Have `run` return."""
        self._pace.stop()

    def _dead(self, queues: Sequence[str]) -> Mapping[str, int]:
        seen = self._seen().queues
        return {name: seen[name].counts.dead for name in queues if name in seen}

    # The thread

    def run(self) -> None:
        """Ask until told to stop."""
        while True:
            try:
                version = self._seen().version
                if not version or not self._one():
                    self._rest(version)
            except Over:
                break
            except StoreError:
                self._store = None  # the looks say why
                self._rest(self._seen().version)
            except Exception as error:  # else nobody would ask any more
                log.event(logging.ERROR, "dashboard.error", exc_info=error)
                self._rest(self._seen().version)
        if self._store is not None:
            self._store.close()

    def _rest(self, version: int) -> None:
        with self._idle:
            self._version = version
            self._idle.notify_all()
        self._pace.pause(EACH / 2)

    def _one(self) -> bool:
        """Ask for what is wanted most; False if nothing is."""
        if self._store is None:
            self._pace.take()
            self._store = self._open("look")
        store = cast("Connector", Paced(self._store, self._pace, self._waits))
        seen = self._seen()
        if time.monotonic() - self._counted > COUNTED or self._of != seen.queues.keys():
            self.trends = trends.read(store, list(seen.queues), time.time())
            self._counted, self._of = time.monotonic(), frozenset(seen.queues)
            return True
        return self._letters.step(store, self._dead(list(seen.queues))) or self._judge(store, seen)

    def _waits(self) -> None:
        """A request has to wait for its turn: who waits for what can be known at once has it."""
        with self._idle:
            self._version = self._seen().version
            self._idle.notify_all()

    def _judge(self, store: Connector, seen: Seen) -> bool:
        """Look into the queue that needs it most."""
        self._judged = {name: one for name, one in self._judged.items() if name in seen.queues}
        now, due = time.monotonic(), list[tuple[float, str]]()
        for name, one in seen.queues.items():
            last, counts = self._judged.get(name), one.counts
            if not (counts.ready or counts.delayed or counts.leased or counts.dead or counts.paused):
                self._judged[name] = Judged(now, counts, ())
            elif last is None:
                due.append((0.0, name))
            elif (
                changed := (last.counts.dead, last.counts.paused) != (counts.dead, counts.paused)
            ) or now - last.at > AGAIN:
                due.append((last.at - SOONER * changed, name))
        if not due:
            return False
        name = min(due)[1]
        counts = seen.queues[name].counts
        self._judged[name] = Judged(now, counts, list(fleet.asked_of(store, name, counts, seen.known)))
        return True
