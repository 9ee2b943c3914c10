"""Keys with a time, which may outlive their tasks: in `keys`, until then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from regiment_mongo.layout import Document
from regiment_mongo.moments import date
from regiment_mongo.ruling import Ruled

HOLDER, NEXT = "=", "+"
"""With what `u` begins: of the task that has a key, of its successor."""


class Outliving(Ruled):
    """Who had a key."""

    def note_key(self, queue: str, task: Document, old: Document | None = None) -> None:
        """Have a key with a time be known until then; of a task that took another's place, that one's is forgotten."""
        keyed = len(task.get("f", ())) > 1
        if keyed and task["f"][6] is not None:
            fields = {"y": task["y"], "i": task["f"][0], "ex": date(task["f"][6])}
            self._keys.update_one({"_id": f"{queue} {task['f'][1]}"}, {"$set": fields}, upsert=True)
        elif old is not None and old["f"][6] is not None:
            self._keys.delete_one({"_id": f"{queue} {old['f'][1]}", "y": old.get("y")})

    def timed_keys(self, queue: str) -> list[Document]:
        """Tasks that wait with a key that has a time."""
        found: list[Document] = []
        for kind in (HOLDER, NEXT):
            span = {"$gte": f"{kind}{queue} ", "$lt": f"{kind}{queue}!"}
            query = {"u": span, "f.6": {"$gt": 0}}
            found += self._tasks.find(query, {"y": 1, "f": 1, "q": 1}, hint="keys")
        return found

    def free_keys(self, tasks: Sequence[Document]) -> None:
        """Of tasks that were purged, not claimed meanwhile; or dropped (`_id` is None)."""
        ids = [task["_id"] for task in tasks if task["_id"] is not None]
        held: set[Any] = set()
        for one in self._consumers.find({"held.t": {"$in": ids}}, {"held.t": 1}) if ids else ():
            held |= {item["t"] for item in one["held"]}
        for task in tasks:
            if task["_id"] not in held:
                self._keys.delete_one({"_id": f"{task['q']} {task['f'][1]}", "y": task["y"]})
