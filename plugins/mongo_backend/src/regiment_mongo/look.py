"""Looking at queues, and the verbs of people: purge and dead letters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from bson import ObjectId
from bson.errors import InvalidId
from pymongo import UpdateOne

from regiment.contracts import Letter, Peeked
from regiment_mongo.base import LASTING, Session, successor
from regiment_mongo.entries import ENTRIES
from regiment_mongo.layout import Document
from regiment_mongo.moments import date
from regiment_mongo.spots import fetched, shelved
from regiment_mongo.tokens import Tokens

CHUNK = 1000
_REASON = {"b": 0}
"""What is left out of a letter where only its reason is asked for."""


class Looks(Tokens):
    """What is where."""

    def queues(self) -> Sequence[str]:
        # distinct() over an indexed field jumps from value to value; it does not read every task.
        names = {
            *self._tasks.distinct("q", {"q": {"$gt": ""}, "s": {"$gte": 0}}),
            *self._dead.distinct("q"),
        }
        names |= set(self._tasks.distinct("q", {"q": {"$gt": ""}, "at": {"$gte": 0}}))
        names |= set(self._consumers.distinct("q", {"q": {"$gt": ""}, "st": {"$lt": 2}}))
        names |= {row["_id"] for row in self._queues.find({"board": {"$gt": 0}}, {"_id": 1})}
        return sorted(names)

    def peek(self, queue: str, state: Literal["ready", "delayed", "leased"], limit: int = 100) -> Sequence[Peeked]:
        if limit <= 0:
            return []
        if state == "ready":
            tasks: list[Document] = []
            for part in self.by_priority(queue):
                query = {"q": queue, "p": part, "s": {"$gte": 0}}
                found = self._tasks.find(query, hint="ready").sort([("p", 1), ("s", 1)])
                tasks += found.limit(limit - len(tasks))
                if len(tasks) == limit:
                    break
            return [Peeked(t["b"], state, fetched(t)["p"], 0.0, t.get("c", 0)) for t in tasks]
        if state == "delayed":
            now = self.server_time()
            later = (
                self._tasks.find({"q": queue, "at": {"$gte": 0}}, hint="delayed")
                .sort([("at", 1), ("d", 1)])
                .limit(limit)
            )
            return [Peeked(t["b"], state, t["p"], max(0.0, (t["at"] - now) / 1000), t.get("c", 0)) for t in later]
        if state != "leased":
            raise ValueError(f"state is {state!r}; expected ready, delayed or leased")
        items = [
            (item["p"], item.get("s", 0), item, document["c"])
            for document in self._consumers.find({"q": queue, "st": {"$lt": 2}, "h": {"$gt": 0}})
            for item in document["held"][1:]
        ]
        items.sort(key=lambda found: found[:2])
        return [Peeked(item["b"], state, p, 0.0, item.get("c", 0), name) for p, _, item, name in items[:limit]]

    def purge(self, queue: str) -> int:
        # Ready and delayed ones each by their index; what is leased is in no consumer's way here.
        ready = {"q": queue, "p": {"$gte": -(2**31)}, "s": {"$gte": 0}}
        delayed = {"q": queue, "at": {"$gte": 0}}
        timed = self.timed_keys(queue) if self.has_lanes() else []
        count = self._forget_where(ready, "ready") + self._forget_where(delayed, "delayed")
        if self._flows:
            count += self._forget_where({**ready, "p": {"$gte": ""}}, "ready")
            self.free_keys(timed)
        if count:
            self.refresh(queue)  # of those who have read these tasks and not claimed them yet
        return count

    # Dead letters

    def dead(self, queue: str, limit: int = 100, *, after: str | None = None, whole: bool = True) -> Sequence[Letter]:
        query: Document = {"q": queue, "ex": {"$gt": date(self.server_time())}}
        parts: list[Document] = [{}]
        if after is not None:
            behind = self._dead.find_one({"_id": _letter_id(after), "q": queue}, {"at": 1, "d": 1})
            if behind is None:
                return []
            # Two searches, as one for either would walk all the letters before this page.
            parts = [{"at": behind["at"], "d": {"$lt": behind["d"]}}, {"at": {"$lt": behind["at"]}}]
        found: list[Document] = []
        for part in parts:
            left = limit - len(found)
            if left > 0:
                found += self._dead.find(
                    query | part,
                    None if whole else _REASON,
                    sort=[("at", -1), ("d", -1)],
                    limit=left,
                )
        return [_letter(document) for document in found]

    def dead_before(self, queue: str, limit: int, at: float, inclusive: bool, whole: bool = True) -> Sequence[Letter]:
        """Letters before a moment (or of it too), newest first: what stands behind a letter of another cluster."""
        if limit <= 0:
            return []
        moment = round(at * 1000) + (1 if inclusive else 0)
        query = {"q": queue, "at": {"$lt": moment}, "ex": {"$gt": date(self.server_time())}}
        fields = None if whole else _REASON
        found = self._dead.find(query, fields, sort=[("at", -1), ("d", -1)], limit=limit)
        return [_letter(document) for document in found]

    def letters(self, queue: str, id: str) -> Sequence[Letter]:
        either = [{"q": queue, "t": id}, {"q": queue, "_id": _letter_id(id)}]
        found = self._dead.find({"$or": either, "ex": {"$gt": date(self.server_time())}})
        return [_letter(document) for document in found.sort([("at", -1), ("d", -1)])]

    def revive(self, queue: str, letters: Mapping[str, bytes | None]) -> int:
        count = 0
        wanted = list(letters.items())
        for begin in range(0, len(wanted), CHUNK):
            payloads = {_letter_id(id): payload for id, payload in wanted[begin : begin + CHUNK]}
            found = list(self._dead.find({"q": queue, "_id": {"$in": list(payloads)}}).sort([("at", 1), ("d", 1)]))
            if not found:
                continue
            levels = {document["p"] for document in found}
            moment = self.moment(queue, numbers=len(found), dead=-len(found))
            for level in levels:
                if self.moment(queue, priority=level).new_priority:
                    self.refresh(queue)
            tasks, plain = [], []
            for number, letter in enumerate(found, moment.first):
                payload = payloads[letter["_id"]]
                task = {
                    "_id": successor(letter["_id"]),
                    "q": queue,
                    "p": letter["p"],
                    "s": number,
                    "w": moment.now,
                }
                task["b"] = letter["b"] if payload is None else payload
                task.update((field, letter[field]) for field in ("l", "f", ENTRIES) if field in letter)
                if len(letter.get("f", ())) > 1 and letter["f"][2] == "done":
                    count += self.revive_with_key(queue, task, letter["_id"])
                else:
                    tasks.append(shelved(task))
                    plain.append(letter["_id"])
            count += self._revive(tasks, plain) if tasks else 0
        if count:
            self.poke(queue)
        return count

    def revive_with_key(self, queue: str, task: Document, letter: ObjectId) -> int:
        """Revive a letter whose task had a key until it was done, if that is free; how many were revived."""
        raise NotImplementedError

    def _revive(self, tasks: list[Document], letters: list[ObjectId]) -> int:
        def work(session: Session) -> int:
            # By upsert: a repeat, or a second reviver, finds the copy and changes nothing.
            rows = [
                UpdateOne({"_id": task.pop("_id")}, {"$setOnInsert": task}, upsert=True) for task in map(dict, tasks)
            ]
            # Stand-alone, the letters go when the tasks are written down.
            stored = self._tasks if session else self._tasks.with_options(write_concern=LASTING)
            stored.bulk_write(rows, ordered=False, session=session)
            return self._dead.delete_many({"_id": {"$in": letters}}, session=session).deleted_count

        return self.atomically(work, self.durable())

    def drop(self, queue: str, ids: Sequence[str] | None = None) -> int:
        query: Document = {"q": queue}
        if ids is not None:
            query["_id"] = {"$in": [_letter_id(id) for id in ids]}
        dropped = self._dead.delete_many(query).deleted_count
        if dropped:
            self.moment(queue, dead=-dropped)
        return dropped


def _letter_id(id: str) -> ObjectId | str:
    try:
        return ObjectId(id)
    except InvalidId:
        return id


def _letter(document: Document) -> Letter:
    return Letter(
        str(document["_id"]),
        document["t"],
        document.get("b", b""),
        document["r"],
        document["at"] / 1000,
        document["p"],
    )
