"""Effects without a lease: `apply`, which is a document in `outbox` before it is anything else.

**All or nothing, once.** The document is named by queue and token; it has the effects. When it is there and *decided*, they will be there: this
call relays them, and where it is cut off, its repeat, a later renewal, release or exchange of the queue does (the queue's row counts calls,
`ob`; who sees a number that he has not looked after yet looks into `outbox`). A repeat finds the document and answers what it says.

**Conditions** (`when`) on several records are one step, on a stand-alone server too, because they are locked, decided, changed and unlocked:

1. The document is written, *open*.
2. Each record of a condition is locked with its name, in the order of their keys, by one guarded write that also sees the version. (An absent
   record gets a document without a value.) Nobody keeps or drops a locked record, but a relay of this very document.
3. If one does not hold, the document is deleted if it is still *open*: nothing was done, and the token counts for nothing.
4. If all are locked, one guarded write makes it *decided*, if it is still *open*. That is the moment: all conditions hold then, since nothing
   changes a locked record. Its version is given by the same write.
5. It is relayed, *done*, and the locks go.

Whoever meets a lock does not wait: he does these steps himself, whatever process has begun them, and each may be done by several at once. Locks
are taken in one order, so nobody helps in a circle. A helper that is late finds the document no longer open: its decision, or its deletion,
matches nothing, and a lock that it takes too late is taken off by whoever meets it, because its document is done or gone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from bson import ObjectId
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from regiment.contracts import Applied, Effect, When
from regiment_mongo.effects import KEEP, Line, mark, sends, version, write
from regiment_mongo.layout import Document
from regiment_mongo.moments import NOW, date
from regiment_mongo.outbox import Outbox
from regiment_mongo.records import _ALIVE as ALIVE
from regiment_mongo.records import TOMBSTONE, rid

OPEN, DECIDED, RELAYED = 0, 1, 2

GRACE = 1_000
"""Milliseconds for which whoever left something is expected to send it on himself."""

AT_A_TIME = 20
"""Documents of the outbox that one look sends on at most."""


class Applies(Outbox):
    """Effects of nobody's settlement."""

    def apply(
        self,
        queue: str,
        effects: Sequence[Effect],
        *,
        token: str,
        token_window: float = 60.0,
        when: Sequence[When] = (),
    ) -> Applied:
        lines = [write(effect, queue) for effect in effects]
        while True:
            found = self._begin(queue, token, lines, token_window, when)
            now = found["on"] / 1000
            if found["st"] == OPEN and not self._decide(found):
                there = self.found([rid(queue, one.key) for one in when])
                return Applied(False, found={one.key: there.get(rid(queue, one.key)) for one in when}, now=now)
            answer = self._carry_out(found["_id"], found["n"])
            if answer is not None:
                return Applied(True, answer["left"], answer["version"], now=now)

    def accept(self, entry: Document, lines: Sequence[Line]) -> None:
        """From another cluster: under a version of this one's clock."""
        found = self._begin(lines[0][1], f"!{entry['t']}", lines, TOMBSTONE / 1000, ())
        self._carry_out(found["_id"], found["n"])

    def _begin(self, queue: str, token: str, lines: Sequence[Line], window: float, when: Sequence[When]) -> Document:
        """The document of this token, written now or before."""
        name = f"{queue} {token}"
        sent = time.monotonic()
        row = self._queues.find_one_and_update(
            {"_id": queue},
            [{"$set": {"ob": {"$add": [{"$ifNull": ["$ob", 0]}, 1]}, "now": NOW}}],
            projection={"now": 1},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        assert row is not None
        now = int(row["now"])
        self.clock.saw(now, sent)
        nonce = ObjectId()
        entry = {**self.stow(str(nonce), lines), "on": now}
        fields: Document = {
            **entry,
            "q": queue,
            "p": 1,
            "st": OPEN if when else DECIDED,
            "win": int(window * 1000),
            "w": sorted([one.key, one.version] for one in when),
        }
        while True:
            try:
                with self.together():
                    self.ask(
                        {
                            "findAndModify": self._outbox.name,
                            "query": {"_id": name, "n": nonce},
                            "update": {"$set": fields, "$currentDate": {"ov": {"$type": "timestamp"}}},
                            "upsert": True,
                            "new": True,
                            "fields": {"ov": 1},
                        },
                        self.firm,
                    )
                return {"_id": name, "n": nonce, **fields}
            except DuplicateKeyError:
                pass
            found = self._outbox.find_one({"_id": name}, hint="_id_")
            if found is None:
                continue
            if found["st"] == RELAYED and found["gc"] <= date(now):
                self._outbox.delete_one({"_id": name, "n": found["n"], "st": RELAYED})
                continue
            self.forget([entry])
            return found

    # Conditions

    def _decide(self, found: Document) -> bool:
        """Lock and decide; False if a condition does not hold, and then the document is gone."""
        own = {"_id": found["_id"], "n": found["n"], "st": OPEN}
        for key, wanted in found["w"]:
            if not self._lock(rid(found["q"], key), wanted, found):
                deleted = self.ask({"delete": self._outbox.name, "deletes": [{"q": own, "limit": 1}]}, self.firm)["n"]
                if deleted:
                    self._free(found)
                    self.forget([found])
                    return False
                there = self._outbox.find_one({"_id": found["_id"], "n": found["n"]}, {"st": 1}, hint="_id_")
                return there is not None
        decided = {"$set": {"st": DECIDED}, "$currentDate": {"ov": {"$type": "timestamp"}}}
        self.ask({"findAndModify": self._outbox.name, "query": own, "update": decided}, self.firm)
        there = self._outbox.find_one({"_id": found["_id"], "n": found["n"]}, {"st": 1}, hint="_id_")
        if there is None:
            self._free(found)  # another has seen that one does not hold
        return there is not None

    def _lock(self, id: str, wanted: int, found: Document) -> bool:
        """Lock a record for this document if it has the version that is wanted; who has it locked is helped first."""
        mine = {"d": found["_id"], "n": found["n"]}
        holds: Any = {"$not": [ALIVE]} if wanted == 0 else {"$and": [ALIVE, {"$eq": ["$v", wanted]}]}
        free = {"$or": [{"$lte": ["$lk", None]}, {"$eq": ["$lk.n", found["n"]]}]}
        stays = {"$max": ["$gc", {"$add": ["$$NOW", TOMBSTONE]}]}
        # A record without end has none while it is locked either.
        locked = {
            "$mergeObjects": [
                "$$ROOT",
                {"lk": {"$literal": mine}},
                {"$cond": [{"$and": [ALIVE, {"$lte": ["$gc", None]}]}, {}, {"gc": stays}]},
            ]
        }
        while True:
            try:
                row = self.ask(
                    {
                        "findAndModify": self._records.name,
                        "query": {"_id": id},
                        "update": [{"$replaceWith": {"$cond": [{"$and": [holds, free]}, locked, "$$ROOT"]}}],
                        "upsert": wanted == 0,
                        "new": True,
                        "fields": {"lk": 1},
                    },
                    self.firm,
                )["value"]
            except DuplicateKeyError:
                continue  # two made it at the same moment
            lock = None if row is None else row.get("lk")
            if lock is not None and lock["n"] == found["n"]:
                return True
            if lock is None:
                return False
            self.unlock(id)

    def unlock(self, id: str) -> None:
        row = self._records.find_one({"_id": id}, {"lk": 1}, hint="_id_")
        if row is None or "lk" not in row:
            return
        lock = row["lk"]
        found = self._outbox.find_one({"_id": lock["d"], "n": lock["n"]}, hint="_id_")
        if found is not None and found["st"] != RELAYED and (found["st"] == DECIDED or self._decide(found)):
            self._carry_out(found["_id"], found["n"])
        self._records.update_one({"_id": id, "lk.n": lock["n"]}, {"$unset": {"lk": 1}})

    def _free(self, found: Document) -> None:
        ids = [rid(found["q"], key) for key, _ in found["w"]]
        if ids:
            change = {"q": {"_id": {"$in": ids}, "lk.n": found["n"]}, "u": {"$unset": {"lk": 1}}, "multi": True}
            self.ask({"update": self._records.name, "updates": [change]}, self.firm)

    # What is decided

    def _carry_out(self, name: str, nonce: ObjectId) -> Document | None:
        """Relay what is decided, and note its answer; None if it is gone. All goes over one connection, and the last write
        waits for what a push waits for, so that nothing before it is undone either.
        """
        with self.together():
            look: Document = {"find": self._outbox.name, "filter": {"_id": name, "n": nonce}, "singleBatch": True}
            rows = self.ask({**look, "hint": "_id_", "limit": 1})["cursor"]["firstBatch"]
            if not rows or rows[0]["st"] == OPEN:
                return None
            found = rows[0]
            if found["st"] == RELAYED:
                return dict(found["ans"])
            found["v"], found["t"] = version(found["ov"]), str(nonce)
            lines = self.lines_of(found)
            whole, left = self.relay(found)
            answer = {"left": _own(lines, found["q"], left), "version": self._kept_version(found, lines)}
            if not whole:
                return answer
            self._free(found)
            end = {"ans": answer, "st": RELAYED, "gc": date(found["on"] + found["win"])}
            done = {"$set": end, "$unset": {"e": 1, "p": 1, "w": 1}}
            change = {"q": {"_id": name, "n": nonce, "st": DECIDED}, "u": done}
            mine = self.ask({"update": self._outbox.name, "updates": [change]}, self.durable())["n"] == 1
        if not mine:
            # Another was faster, and may have forgotten what this one was to read: his answer counts.
            there = self._outbox.find_one({"_id": name, "n": nonce}, {"ans": 1}, hint="_id_")
            return answer if there is None or "ans" not in there else dict(there["ans"])
        self.forget([found])
        return answer

    def _kept_version(self, found: Document, lines: Sequence[Line]) -> int:
        """The version of the records that it has kept at its own queue."""
        ids = list({rid(line[1], line[2]) for line in lines if line[0] == KEEP and line[1] == found["q"]})
        if not ids:
            return 0
        query = {"_id": {"$in": ids}, "ts": mark(found["t"]), "v": {"$gte": found["v"]}}
        versions = [int(row["v"]) for row in self._records.find(query, {"v": 1}, hint="_id_")]
        return found["v"] if found["v"] in versions else min(versions, default=0)

    # What others left

    def _sweep(self, queue: str) -> bool:
        """Finish what calls of `apply` have begun; True if nothing is left."""
        rows = list(
            self._outbox.find({"q": queue, "p": 1}, {"on": 1, "n": 1, "st": 1, "w": 1, "q": 1}, hint="pending").limit(
                AT_A_TIME
            )
        )
        for row in rows:
            if row["on"] <= self.clock.now() - GRACE and (row["st"] == DECIDED or self._decide(row)):
                self._carry_out(row["_id"], row["n"])
        return not rows


def _own(lines: Sequence[Line], queue: str, left: set[int]) -> list[int]:
    """Numbers of the payloads of a step, as numbers among those of one queue."""
    found: list[int] = []
    own = 0
    for first, line in sends(lines):
        if line[1] == queue:
            found += [own + index for index in range(len(line[2])) if first + index in left]
            own += len(line[2])
    return found
