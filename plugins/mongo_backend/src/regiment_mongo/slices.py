"""The extra `history`: a document for each minute and hour of a queue in which anything ended, and one for all that ever did.

Each document says which calls are in it, so that one that is repeated counts once in each, without a transaction. That of "ever" is
changed first: it fixes the time of the call, so the repeat adds to the same minute and hour. A document is read, and replaced if nobody
else has changed it meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

import pymongo
from pymongo.errors import DuplicateKeyError

from regiment.contracts.history import KEPT, SOURCE_KEPT, STEPS, Past, Slices, Tallied, added, past, refuse_wrong
from regiment_mongo.base import Base
from regiment_mongo.layout import Document, Store
from regiment_mongo.moments import EPOCH

Step = Literal["minute", "hour", "ever"]


class Histories(Base):
    """record and history of one cluster."""

    def record(self, queue: str, source: str, number: int, ended: Sequence[Tallied]) -> bool:
        refuse_wrong(ended)
        store = self._database[f"{self._prefix}.history"].with_options(write_concern=self.durable())
        if store.find_one({"_id": f"ever:0:{queue}"}, {"_id": 1}) is None:
            store.create_index([("ex", pymongo.ASCENDING)], name="ttl", expireAfterSeconds=0)
        now = self.server_time() // 1000
        said, names, fresh = _Said(source, number, ended), list[str](), False
        for step in ("ever", "hour", "minute"):
            doc, new = self._add(store, queue, step, now, said, names)
            fresh = fresh or new
            if step == "ever":
                last, now = said.last(doc)
                if last > number:
                    return False
                names = list(json.loads(doc["c"]))
        return fresh

    def _add(
        self, store: Store, queue: str, step: str, now: int, said: _Said, names: Sequence[str]
    ) -> tuple[Document, bool]:
        """The document with this call in it, and whether it was not in it before."""
        length = STEPS[step]
        at = now - now % length if length else 0
        key = f"{step}:{at}:{queue}"
        while True:
            doc = store.find_one({"_id": key})
            if doc is not None and said.last(doc)[0] >= said.number:
                return doc, False
            kept: Slices = json.loads(doc["c"]) if doc else {}
            new: Document = {
                "_id": key,
                "q": queue,
                "s": step,
                "at": at,
                "v": doc["v"] + 1 if doc else 1,
                "c": json.dumps(added(kept, said.ended, now, names)),
                "from": said.with_it(doc, now),
                "ex": EPOCH + timedelta(seconds=now + KEPT[step]),
            }
            try:
                if doc is None:
                    store.insert_one(new)
                elif not store.replace_one({"_id": key, "v": doc["v"]}, new).matched_count:
                    continue
            except DuplicateKeyError:
                continue
            return new, True

    def history(self, queue: str, step: Step, seconds: float) -> list[Past]:
        now, length = self.server_time() / 1000, STEPS[step]
        store = self._database[f"{self._prefix}.history"]
        if not length:
            keys = [f"ever:0:{queue}"]
        else:
            most = min(max(seconds, 0), KEPT[step])
            keys = [f"{step}:{at}:{queue}" for at in range(int((now - most) // length) * length, int(now) + 1, length)]
        found: list[Document] = []
        for start in range(0, len(keys), 2000):
            alive = {"_id": {"$in": keys[start : start + 2000]}, "ex": {"$gt": EPOCH + timedelta(seconds=now)}}
            found += store.find(alive, {"at": 1, "c": 1})
        return [past(queue, doc["at"], json.loads(doc["c"])) for doc in sorted(found, key=lambda doc: int(doc["at"]))]


class _Said:
    """One call: who made it, which of his it is, and what it says."""

    def __init__(self, source: str, number: int, ended: Sequence[Tallied]) -> None:
        self.source, self.number, self.ended = source, number, ended

    def last(self, doc: Document) -> tuple[int, int]:
        """The last number of this source that is in a document, and when it was added; 0 if none is."""
        return next(((number, at) for source, number, at in doc["from"] if source == self.source), (0, 0))

    def with_it(self, doc: Document | None, now: int) -> list[list[Any]]:
        """Who is in a document once this call is; those who were there long ago are forgotten."""
        others = [one for one in doc["from"] if one[0] != self.source and one[2] > now - SOURCE_KEPT] if doc else []
        return [*others, [self.source, self.number, now]]
