"""Notes which tasks run and how far they are: a duty of the steward, so that neither workers nor keeper pay for it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from regiment.contracts import AtWork, Connector, Keep, Record, Served, When
from regiment.errors import StoreUnavailable
from regiment.task import new_id
from regiment_results.records import FINAL, RUNNING, Progress, key_of, note

EVERY = 1.0
"""Seconds between two looks; what has not run for so long is not noted."""
MOST = 1000
"""Tasks of one question."""
PATIENCE = 0.5
"""Seconds that one look may take for one queue; what it does not reach comes next time."""


class Tracking:
    """The duty. It writes only where the push was noted and nothing has ended meanwhile; so it needs no settings of the queue."""

    def __init__(self, ttl: float, listed: bool = False) -> None:
        self._ttl, self._listed, self._host = ttl, listed, os.uname().nodename
        self._targets: dict[str, Served] = {}
        self._connectors: dict[str, Connector] = {}
        self._noted: dict[str, dict[str, AtWork]] = {}

    def learn(self, target: Served, notes: Any) -> None:
        """A target whose tasks are to be noted."""
        self._targets[target.label] = target

    def look(self, now: float) -> float:
        """Note what runs, once for each change."""
        for label, target in self._targets.items():
            found = {one.id: one for one in target.at_work(EVERY)}
            noted = self._noted.get(label, {})
            news = [one for one in found.values() if not _same(one, noted.get(one.id))]
            kept = {id: one for id, one in noted.items() if id in found}
            if news:
                try:
                    kept |= self._note(label, target, news[:MOST], now)
                except StoreUnavailable:
                    self._close(label)
            self._noted[label] = kept
        return EVERY

    def _close(self, label: str) -> None:
        connector = self._connectors.pop(label, None)
        if connector is not None:
            connector.close()

    def _note(self, label: str, target: Served, news: Sequence[AtWork], now: float) -> dict[str, AtWork]:
        if label not in self._connectors:
            self._connectors[label] = target.connect()
        store: Any = self._connectors[label]
        kept, until = {}, time.monotonic() + PATIENCE
        records: Sequence[Record | None] = store.records(target.queue, [key_of(one.id) for one in news])
        for one, record in zip(news, records, strict=True):
            if time.monotonic() > until:
                break
            kept[one.id] = one
            if record is None or record.rank >= FINAL:
                continue
            done, total, text = one.progress or (0, 0, "")
            progress = Progress(done, total, text, round(now - one.seconds, 3), f"{self._host}:{one.pid}")
            key = key_of(one.id)
            keep = Keep(key, note(RUNNING, progress), self._ttl, record.rank, self._listed)
            store.apply(target.queue, [keep], token=new_id(), when=[When(key, record.version)])
        return kept


def _same(one: AtWork, noted: AtWork | None) -> bool:
    """Whether a note says all that is to be said."""
    return noted is not None and (one.pid, one.progress) == (noted.pid, noted.progress)
