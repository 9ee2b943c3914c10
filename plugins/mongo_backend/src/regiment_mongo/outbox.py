"""The outbox in a consumer's document: settlement, claim and what is left behind are one guarded write; then it is relayed.

**When an entry may leave the document.** The next write of the consumer leaves it out. That write must not survive where the relay does not: if
another member has become primary in between, it may have the entry's step and not what was relayed. So the entry goes only over the very
connection over which it was relayed (`pin.py` tells why that is enough), or after a relay that waited for majority and journal. Otherwise
it is relayed once more first, which changes nothing that is there.

**When it may be relayed.** Not before its step stands on the server that is spoken to: over one connection after the step's own write, or after
a look at the document over that connection. Else a child could be there whose parent runs again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from regiment.contracts import Effect
from regiment_mongo.base import Stale
from regiment_mongo.effects import INLINE, lines, size, version
from regiment_mongo.layout import Document
from regiment_mongo.ledger import CLOSED, LIVE, Plan, Row
from regiment_mongo.moments import Moment, date
from regiment_mongo.relaying import Relays

TRACE = 2.0**-20
"""What `h` is where a consumer holds nothing and its outbox has something: enough for the index of the overdue, and too little to count."""

MOST_ENTRIES = 64
"""Entries that wait for a cluster that cannot be reached; a consumer with more leases nothing."""

GONE = {"out": 1, "ov": 1, "oa": 1}
"""The fields of an outbox."""

TOMBSTONE = 3_600_000
"""Milliseconds that the tombstone of a closed consumer stays; no request is an hour late."""


class Outbox(Relays):
    """What consumers leave behind."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._leaving: set[str] = set()
        """Queues whose row says that tasks leave something behind."""

    def heed(self, queue: str, moment: Moment) -> None:
        """Learn whether the queue's row says that its tasks leave something behind."""
        if moment.leaving:
            self._leaving.add(queue)
        else:
            self._leaving.discard(queue)

    def entry(
        self, row: Row, token: str, taken: Sequence[int], effects: Mapping[int, Sequence[Effect]]
    ) -> Document | None:
        """The entry of a step that takes these receipts; None if it leaves nothing."""
        found = lines(effects, taken, row.queue)
        if not found:
            return None
        if row.queue not in self._leaving:
            change = {"q": {"_id": row.queue}, "u": {"$set": {"ef": True}}, "upsert": True}
            self.ask({"update": self._queues.name, "updates": [change]}, self.firm)
            self._leaving.add(row.queue)
        return self.stow(f"{row.id} {token}", found, INLINE - _inline(row))

    def leave(self, row: Row, entry: Document | None, fields: Document, update: Document) -> None:
        """Have a write that may clear the outbox do so, with a new entry if there is one. The connection is held."""
        self.forward(row)
        kept = [] if row.sent is not None else row.out
        if entry is not None:
            update["$currentDate"] = {"ov": {"$type": "timestamp"}}
            fields["oa"] = entry["on"]
        if kept or entry is not None:
            fields["out"] = [*kept, *([] if entry is None else [entry])]
            fields["h"] = fields["h"] or TRACE
        else:
            update.setdefault("$unset", {}).update(GONE)

    def left(self, row: Row, entry: Document | None, at: Any) -> None:
        """That write is answered: `at` is the moment it was given."""
        gone = row.out if row.sent is not None else []
        row.out = [] if row.sent is not None else row.out
        if entry is not None:
            entry["v"] = version(at)
            row.out = [*row.out, entry]
        row.sent = None
        self.forget(gone)

    def write_entry(self, guard: Document, update: Document, concern: Any, session: Any = None) -> tuple[Any, Document]:
        """A guarded write that tells the moment it was given, and its answer; `Stale` if the guard does not match."""
        command = {
            "findAndModify": self._consumers.name,
            "query": guard,
            "update": update,
            "new": True,
            "fields": {"ov": 1},
        }
        reply = self.ask(command, concern, session)
        if reply.get("value") is None:
            raise Stale
        return reply["value"]["ov"], reply

    def forward(self, row: Row, stands: bool = False) -> None:
        """Relay what the outbox has, unless that happened over the connection that is held. `stands`: the row was written or
        seen over it; else it is looked at, and `Stale` if it was changed.
        """
        connection = self._pin.connection
        if not row.out or (row.sent is not None and (row.sent is connection or row.sent is True)):
            return
        row.sent = None
        if not stands:
            self._look_whether_it_stands(row)
        whole = [self.relay(entry)[0] for entry in row.out]
        if all(whole):
            lasting = self._slowly or connection is None
            row.sent = True if lasting else connection

    def _look_whether_it_stands(self, row: Row) -> None:
        count: Document = {"count": self._consumers.name, "query": {"_id": row.id, "v": row.v}, "hint": "_id_"}
        if not self._pins and self._is_set:
            count["readConcern"] = {"level": "majority"}
        if self.ask(count)["n"] != 1:
            raise Stale

    def crowded(self, row: Row) -> bool:
        """Whether so much waits for a cluster that cannot be reached that nothing more should begin."""
        return len(row.out) > MOST_ENTRIES

    def empty(self, row: Row) -> bool:
        """For a consumer that does not speak: relay its outbox for good, and take it off the document unless that was changed.
        Whether all of it could be relayed.
        """
        with self.together(), self.lasting_relays():
            self.forward(row)
        if row.sent is None:
            return False
        fields: Document = {"h": len(row.held)}
        if row.state == CLOSED or (row.state != LIVE and not row.held):
            fields["gone"] = date(self.clock.now() + TOMBSTONE)
        change = {"q": {"_id": row.id, "v": row.v}, "u": {"$set": fields, "$unset": GONE}}
        self.ask({"update": self._consumers.name, "updates": [change]})
        gone, row.out, row.sent = row.out, [], None
        self.forget(gone)
        return True

    def settle_plan(self, row: Row, plan: Plan, token: str, effects: Mapping[int, Sequence[Effect]]) -> Plan:
        """The plan with its entry: effects of the receipts that it takes by `Done`, `Again` or `Dead`."""
        if not effects:
            return plan
        return plan._replace(out=self.entry(row, token, plan.taken(), effects))


def _inline(row: Row) -> int:
    """About how many bytes of its document its outbox takes."""
    return sum(size(line) for entry in row.out for line in entry.get("e", ()))
