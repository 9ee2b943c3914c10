"""Release: settle and give back for a consumer that cannot speak for itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from regiment.contracts import Effect, Span
from regiment_mongo.base import Stale
from regiment_mongo.layout import Document
from regiment_mongo.ledger import CLOSED, Row, delayed, remember, waiting
from regiment_mongo.leftovers import Leftovers
from regiment_mongo.moments import date

TOMBSTONE = 3_600_000
"""Milliseconds that the tombstone of a closed consumer stays; no request is an hour late."""


class Releases(Leftovers):
    """The verb of keepers."""

    def release(
        self,
        queue: str,
        consumer: str,
        done: Sequence[Span],
        suspects: Mapping[int, bytes],
        *,
        only: Span | None = None,
        close: bool = False,
        effects: Mapping[int, Sequence[Effect]] = MappingProxyType({}),
    ) -> None:
        name = f"{queue} {consumer}"
        while True:
            document = self._consumers.find_one({"_id": name})
            if document is None:
                if close:
                    now = self.server_time()
                    tombstone = {
                        "q": queue,
                        "c": consumer,
                        "st": CLOSED,
                        "v": 0,
                        "h": 0,
                        "until": 0,
                        "held": [{"t": name}],
                        "gone": date(now + TOMBSTONE),
                    }
                    self._consumers.update_one({"_id": name}, {"$setOnInsert": tombstone}, upsert=True)
                break
            row = self._row(document)
            try:
                self._release(queue, row, done, suspects, only, close, effects)
                break
            except Stale:
                continue
        self.send_on(queue)

    def _release(
        self,
        queue: str,
        row: Row,
        done: Sequence[Span],
        suspects: Mapping[int, bytes],
        only: Span | None,
        close: bool,
        effects: Mapping[int, Sequence[Effect]],
    ) -> None:
        if row.out:
            # Before it is closed: what its own settlements left behind.
            self.empty(row)
        if row.state == CLOSED:
            return
        finished = [r for r in row.held if any(first <= r <= last for first, last in done)]
        over = set(finished)
        back = [r for r in sorted(row.held) if r not in over and (only is None or only[0] <= r <= only[1])]
        moment = self.moment(queue, numbers=len(back) + 1)
        self.heed(queue, moment)
        tasks = [
            self._given_back(queue, row, receipt, suspects, moment.now, number)
            for number, receipt in enumerate(back, moment.first)
        ]
        fields: Document = {}
        if finished and not close:
            fields["kd"] = remember(row.settled, finished)
        if close:
            fields |= {"st": CLOSED, "gone": date(moment.now + TOMBSTONE)}
        gone = [*finished, *back]
        if not gone and not fields:
            return
        entry = self.entry(row, f"r{min(finished)}", finished, effects) if finished and effects else None
        if close and (entry is not None or row.out):
            # Overdue at once and no tombstone yet: whoever looks after the queue finds what is left behind.
            fields["until"] = 0
            del fields["gone"]
        self._transfer(row, tasks, [], [row.held[r] for r in gone], gone, fields, entry)
        if row.out:
            self.empty(row)
        self._rows.pop(row.id, None)
        if tasks:
            facts = self._facts.get(queue)
            if facts is not None:
                facts.restart()
            self._returned(queue, row)
        elif moment.flow and gone:
            self.poke(queue)
        if moment.flow and close:
            self._terms.pop(row.id, None)
            self.hand_over(queue, row.id)

    def _given_back(
        self, queue: str, row: Row, receipt: int, suspects: Mapping[int, bytes], now: int, number: int
    ) -> Document:
        """The task that goes back: as it was, or as a suspect, counted once more."""
        item = row.held[receipt]
        if receipt not in suspects:
            return waiting(queue, item)
        count = item.get("c", 0) + 1
        suspect = {**item, "c": count}
        if suspects[receipt]:
            suspect["n"] = suspects[receipt]
        delay = row.poison[min(count, len(row.poison)) - 1] if row.poison else 0.0
        if delay > 0:
            return delayed(queue, suspect, now + int(delay * 1000), number)
        return waiting(queue, suspect)
