"""What waits in the queues of a store, for `regiment top`: looked at in a thread, so that a store that hangs holds up no frame."""

from __future__ import annotations

import threading
import time

from regiment.broker import Broker
from regiment.contracts import Connector, Counts
from regiment_cli.serving import counts_of, served_by, trees
from regiment_cli.text import age, table

MOST_QUEUES = 10
"""Queues of which a frame shows what waits: those with most."""
HEAD = ("queue", "ready", "oldest", "running", "delayed", "dead", "workers", "ends")


class Backlog:
    """Looks at a store each `interval` seconds."""

    def __init__(self, broker: Broker, queues: list[str], interval: float) -> None:
        self._broker, self._queues, self._interval = broker, queues, interval
        self._store: Connector | None = None
        self._first = threading.Event()
        self.text = ""
        """What a frame shows; empty if the store has no queues."""

    def start(self, patience: float) -> None:
        """Begin, and wait for the first look at most so long."""
        threading.Thread(target=self._run, name="backlog", daemon=True).start()
        self._first.wait(patience)

    def _run(self) -> None:
        while True:
            try:
                if self._store is None:
                    self._store = self._broker.open("look")
                self.text = self._look(self._store)
            except Exception as error:  # of whatever kind: the rest of the frame is of this host, and goes on
                self._store, self.text = None, f"the store does not answer: {error}"
            self._first.set()
            time.sleep(self._interval)

    def _look(self, store: Connector) -> str:
        served = served_by(trees(store))
        names = self._queues or sorted({*store.queues(), *served})
        counts = counts_of(store, names)
        shown = sorted(counts.items(), key=lambda one: (-one[1].ready, -one[1].leased, one[0]))[:MOST_QUEUES]
        if not shown:
            return ""
        rows = [_row(name, one, *served.get(name, (0, 0.0))) for name, one in shown]
        text = table(rows, HEAD, right=HEAD[1:])
        rest = len(counts) - len(shown)
        return text + (f"\n{rest:,} more: regiment queues" if rest else "")


def _row(name: str, one: Counts, workers: int, rate: float) -> tuple[object, ...]:
    oldest = "-" if one.oldest is None else age(one.oldest)
    mark = f"{name} (paused)" if one.paused else name
    return mark, one.ready, oldest, one.leased, one.delayed, one.dead, workers, f"{rate:,.1f}/s"
