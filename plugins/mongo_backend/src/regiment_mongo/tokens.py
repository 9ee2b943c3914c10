"""A task that was pushed alone carries its push's token itself; when it leaves, that much of it stays until the token's end.

So such a push is one write of one document. The token of a push of several, or with ids, stands in `tokens`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pymongo import WriteConcern
from pymongo.errors import DuplicateKeyError

from regiment_mongo.base import Session
from regiment_mongo.layout import Document
from regiment_mongo.moments import NOW, PLACE, date
from regiment_mongo.outliving import Outliving

LEFT: Document = dict.fromkeys(("q", "p", "b", "s", "w", "at", "d", "te", "c", "n", "k", "i"), 1)
"""What is taken off a task's document, so that its token alone is left."""

CHARGED: Document = {**LEFT, **dict.fromkeys(("l", "f", "u", "y", "m"), 1)}
"""The same of a task with a ticket."""


def left_of(items: Iterable[Document]) -> Document:
    """What is taken off the documents of these tasks."""
    return CHARGED if any("f" in item for item in items) else LEFT


class Tokens(Outliving):
    """Tasks with a token of their own."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._seen_priorities: set[tuple[str, int]] = set()

    def _push_one(
        self,
        queue: str,
        payload: bytes,
        priority: int,
        due: int | Document | None,
        token: str,
        token_window: float,
    ) -> None:
        """Store one task unless its token is known. `due`: milliseconds of the server's clock, or an expression of them.

        On a replica set the place and the time come with the write itself: `PLACE` grows with every write of the set, so of
        two pushes the one that began after the other's answer stands behind it, whoever made them.
        """
        place: Any = PLACE
        key = (queue, priority)
        if not self._transactions or key not in self._seen_priorities:
            moment = self.moment(queue, numbers=1, priority=priority)
            if not self._transactions:
                place = moment.first
            if moment.new_priority:
                self.refresh(queue)
            self._seen_priorities.add(key)
        name = f"{queue} {token}"
        task = {
            "tk": {"$literal": name},
            "te": {"$add": [NOW, int(token_window * 1000)]},
            "q": {"$literal": queue},
            "p": {"$literal": priority},
            "b": {"$literal": payload},
        }
        new: Document = {**task, "s": place, "w": NOW}
        if due is not None:
            new = {"$cond": [{"$lte": [due, NOW]}, new, {**task, "at": due, "d": place}]}
        known = {"$ifNull": ["$q", "$ex", False]}
        change = {"q": {"tk": name}, "u": [{"$replaceWith": {"$cond": [known, "$$ROOT", new]}}], "upsert": True}
        while True:
            try:
                stored = self._store_and_tell(queue, {"update": self._tasks.name, "updates": [change]})
            except DuplicateKeyError:
                continue  # two made it at the same moment, and this one came second
            if "upserted" in stored or not self._forgotten(name):
                return

    def _store_and_tell(self, queue: str, command: Document) -> Document:
        """Write, and tell who waits; returns when both are as durable as a push has to be.

        A set's log keeps its order within a term. So the hint goes out as soon as the primary has the task, and what is
        waited for is the hint: workers do not wait for the journal, and a disk's flush is paid once.
        """
        while self._is_set:
            stored = self.ask(command)
            told = self.tell(queue, self.durable())
            if _term(stored) == _term(told):
                return stored
        stored = self.ask(command, self.durable())
        self.poke(queue)
        return stored

    def _forgotten(self, name: str) -> bool:
        """Whether this token's time is over (then it is taken off its document, which may be a task that waits still)."""
        found = self._tasks.find_one({"tk": name}, {"te": 1, "ex": 1})
        if found is None:
            return True
        now = self.server_time()
        if found["te"] > now if "te" in found else found["ex"] > date(now):
            return False
        self._tasks.update_one({"_id": found["_id"], "tk": name}, {"$unset": {"tk": 1, "te": 1}})
        return True

    def _forget(
        self,
        items: Sequence[Document],
        session: Session = None,
        concern: WriteConcern | None = None,
    ) -> int:
        """Take these ready tasks (as they are held) from the waiting ones, down to their tokens; how many were there."""
        now = self.clock.now()
        tokens = [item for item in items if item.get("te", 0) > now]
        others = [item["t"] for item in items if item.get("te", 0) <= now]
        count = 0
        if others:
            gone = {"q": {"_id": _any(others)}, "limit": 0}
            count += self.ask({"delete": self._tasks.name, "deletes": [gone]}, concern, session)["n"]
        if tokens:
            there = {"_id": _any(item["t"] for item in tokens), "s": {"$gte": 0}}
            left = {"$set": {"ex": date(max(item["te"] for item in tokens))}, "$unset": left_of(tokens)}
            change = {"q": there, "u": left, "multi": True}
            count += self.ask({"update": self._tasks.name, "updates": [change]}, concern, session)["n"]
        return count

    def _forget_where(self, query: Document, index: str) -> int:
        """The same for all waiting tasks that match, in one pass: what had no token ends now, and the TTL index removes it."""
        left: list[Document] = [
            {"$set": {"ex": {"$toDate": {"$ifNull": ["$te", NOW]}}}},
            {"$unset": list(CHARGED if self._flows else LEFT)},
        ]
        return self._tasks.update_many(query, left, hint=index).modified_count


def _term(reply: Document) -> Any:
    """In which term a set's primary has written this; None of a member that runs outside its set for a while."""
    return reply.get("opTime", {}).get("t")


def _any(ids: Iterable[Any]) -> Any:
    found = list(ids)
    return found[0] if len(found) == 1 else {"$in": found}
