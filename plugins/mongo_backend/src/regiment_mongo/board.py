"""The notice board of a queue, and the account of what was done to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pymongo import ReturnDocument
from pymongo.errors import BulkWriteError, DuplicateKeyError

from regiment.contracts import ACT_AGE, ACT_SIZE, MOST_ACTS, MOST_NOTICES, NOTICE_AGE, Act, Board
from regiment.errors import StoreError
from regiment_mongo.base import DUPLICATE, Base
from regiment_mongo.keep import ALIVE
from regiment_mongo.layout import Document
from regiment_mongo.moments import NOW, date


def _until(seconds: float) -> Document:
    return {"$add": ["$$NOW", int(seconds * 1000)]}


class Boards(Base):
    """What is written down for workers, and about operators."""

    def board(self, queue: str) -> Board:
        row = self._queues.find_one({"_id": queue}, {"board": 1, "paused": 1, "orders": 1})
        if row is None or not row.get("board"):
            return Board()
        # Read after the version: whoever finds something newer than that reads again when the version has changed.
        cancelled = frozenset(notice["i"] for notice in self._notices.find({"q": queue, **ALIVE}, {"i": 1}))
        return Board(int(row["board"]), bool(row.get("paused", False)), cancelled, dict(row.get("orders", ())))

    def post(
        self,
        queue: str,
        *,
        paused: bool | None,
        cancel: Sequence[str],
        clear: Sequence[str],
        orders: Mapping[str, str | None],
    ) -> int:
        """The notices first, then the version that tells of them."""
        gone = set(clear)
        wanted = {f"{queue} {id}": id for id in cancel if id not in gone}
        if wanted:
            self._note(queue, wanted, gone)
        if clear:
            self._notices.delete_many({"_id": {"$in": [f"{queue} {id}" for id in clear]}})
        fields: Document = {"board": {"$add": [{"$ifNull": ["$board", 0]}, 1]}}
        if paused is not None:
            fields["paused"] = paused
        if orders:
            # As pairs, because the name of a host has dots.
            kept = {"$filter": {"input": {"$ifNull": ["$orders", []]}, "cond": {"$not": [_told(list(orders))]}}}
            given = [[whom, what] for whom, what in orders.items() if what is not None]
            fields["orders"] = {"$concatArrays": [kept, {"$literal": given}]}
        row = self._queues.with_options(write_concern=self.durable()).find_one_and_update(
            {"_id": queue}, [{"$set": fields}], {"board": 1}, upsert=True, return_document=ReturnDocument.AFTER
        )
        self.refresh(queue)
        self.poke(queue)
        assert row is not None
        return int(row["board"])

    def _note(self, queue: str, wanted: Mapping[str, str], clear: set[str]) -> None:
        """Have these ids on the board, for their time from now on. `StoreError` if they are too many, those left out that go."""
        known = {notice["_id"] for notice in self._notices.find({"_id": {"$in": list(wanted)}}, {"_id": 1})}
        new = {name: id for name, id in wanted.items() if name not in known}
        gone = self._notices.count_documents({"_id": {"$in": [f"{queue} {id}" for id in clear]}}) if clear else 0
        there = self._notices.count_documents({"q": queue}, hint="queue") - gone
        if there + len(new) > MOST_NOTICES:
            raise StoreError(
                f"{len(new):,} more cancelled ids are too many for the board of {queue!r}: {there:,} stand there, expected at"
                f" most {MOST_NOTICES:,}; clear what is over, or drop the tasks where they wait"
            )
        end = date(self.server_time() + NOTICE_AGE * 1000)
        if known:
            self._notices.update_many({"_id": {"$in": list(known)}}, {"$set": {"ex": end}})
        if new:
            rows = [{"_id": name, "q": queue, "i": id, "ex": end} for name, id in new.items()]
            try:
                self._notices.with_options(write_concern=self.durable()).insert_many(rows, ordered=False)
            except BulkWriteError as error:
                # Somebody else has written down the same ones meanwhile.
                if any(failed.get("code") != DUPLICATE for failed in error.details.get("writeErrors", [{}])):
                    raise

    # Acts

    def act(self, queue: str, entry: bytes, token: str) -> None:
        if len(entry) > ACT_SIZE:
            raise ValueError(f"an act has {len(entry):,} bytes; expected {ACT_SIZE:,} at most")
        name = f"{queue} {token}"
        if self._acts.find_one({"_id": name, **ALIVE}, {"_id": 1}) is not None:
            return
        # A number of its own that only grows: of two acts in one millisecond the second one is newer too.
        last = {"$max": [{"$add": [{"$ifNull": ["$n", 0]}, 1]}, NOW]}
        row = self._meta.find_one_and_update(
            {"_id": "acts"}, [{"$set": {"n": last}}], upsert=True, return_document=ReturnDocument.AFTER
        )
        assert row is not None
        kept = {"q": {"$literal": queue}, "d": {"$literal": row["n"]}, "at": NOW, "ex": _until(ACT_AGE)}
        new = {"$cond": [{"$ifNull": ["$q", False]}, "$$ROOT", {"_id": "$_id", **kept, "b": {"$literal": entry}}]}
        acts = self._acts.with_options(write_concern=self.durable())
        try:
            acts.update_one({"_id": name}, [{"$replaceWith": new}], upsert=True)
        except DuplicateKeyError:
            return  # the same act, by its repeat
        beyond = self._acts.find_one({"q": queue}, {"_id": 0, "d": 1}, sort=[("d", -1)], skip=MOST_ACTS, hint="newest")
        if beyond is not None:
            self._acts.delete_many({"q": queue, "d": {"$lte": beyond["d"]}})

    def acts(self, queue: str, limit: int = 100, *, after: str | None = None) -> Sequence[Act]:
        if limit <= 0:
            return []
        query: Document = {"q": queue, **ALIVE}
        if after is not None:
            if not after.isdecimal():
                raise ValueError(f"after is {after!r}; expected the id of an act")
            query["d"] = {"$lt": int(after)}
        found = self._acts.find(query, {"d": 1, "at": 1, "b": 1}, sort=[("d", -1)], limit=limit)
        return [Act(str(act["d"]), act["at"] / 1000, bytes(act["b"])) for act in found]


def _told(names: list[str]) -> Document:
    """Whether a pair of the orders is about one of these."""
    return {"$in": [{"$arrayElemAt": ["$$this", 0]}, {"$literal": names}]}
