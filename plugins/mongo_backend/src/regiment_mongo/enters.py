"""Entries are written beside a delivery, in the consumer's document: one guarded write, fenced as an exchange is (G2)."""

from __future__ import annotations

from collections.abc import Mapping

from pymongo.errors import PyMongoError

from regiment.contracts import LARGEST_LEDGER, merged_entries
from regiment.errors import StoreError, StoreUnavailable
from regiment_mongo.base import Stale
from regiment_mongo.entries import ENTRIES, entries_of
from regiment_mongo.layout import Document
from regiment_mongo.ledger import LIVE, Row
from regiment_mongo.moving import Moves

TRIES = 100
LARGEST_DOCUMENT = 16 * 1024 * 1024 - LARGEST_LEDGER
"""Bytes that all items of a consumer may take, by their weight."""


class Enters(Moves):
    """Of one cluster."""

    _rows: dict[str, Row]

    def enter(self, queue: str, consumer: str, receipt: int, entries: Mapping[str, bytes]) -> dict[str, bytes] | None:
        name = f"{queue} {consumer}"
        if not entries:
            return self._entered(name, receipt)
        row = self._rows.get(name)
        for _ in range(TRIES):
            if row is None or row.state != LIVE or receipt not in row.held:
                document = self._consumers.find_one({"_id": name})
                row = None if document is None else self._row(document)
            if row is None or row.state != LIVE or receipt not in row.held:
                return None
            try:
                return self._write_entries(row, receipt, entries)
            except Stale:
                self._rows.pop(name, None)
                row = None
            except PyMongoError:
                self._rows.pop(name, None)
                raise
        raise StoreUnavailable(
            f"{self.shown}: consumer {consumer} of {queue!r} was changed by others {TRIES} times; try again"
        )

    def _entered(self, name: str, receipt: int) -> dict[str, bytes] | None:
        """Those that are there, in one request; not the payload."""
        one = {"$filter": {"input": "$held", "cond": {"$eq": ["$$this.r", receipt]}}}
        found = self._consumers.aggregate(
            [
                {"$match": {"_id": name, "st": LIVE}},
                {"$project": {"held": one}},
                {"$project": {"held.r": 1, f"held.{ENTRIES}": 1}},
            ]
        )
        items = [item for document in found for item in document["held"]]
        return entries_of(items[0]) if items else None

    def _write_entries(self, row: Row, receipt: int, entries: Mapping[str, bytes]) -> dict[str, bytes]:
        """Write, if nobody has changed the consumer since it was read; else `Stale`."""
        both = merged_entries(entries_of(row.held[receipt]), entries)
        kept = [[name, value] for name, value in both.items()]
        if row.bytes() > LARGEST_DOCUMENT:
            raise StoreError(
                f"{self.shown}: what the consumer holds takes {row.bytes():,} bytes, and entries have no room beside it; lease fewer "
                "tasks at a time"
            )
        change: Document = {
            "q": {"_id": row.id, "v": row.v, "st": LIVE, "held.r": receipt},
            "u": {"$set": {f"held.$.{ENTRIES}": kept}, "$inc": {"v": 1}},
        }
        reply = self.ask({"update": self._consumers.name, "updates": [change]}, self.durable())
        if reply["n"] != 1:
            raise Stale
        row.v += 1
        row.held[receipt][ENTRIES] = kept
        return both
