"""Room among what waits, for pushes with tickets (`Rule.waiting`).

Who wants to add tasks to a spot that is bounded first writes how many into its line, a document in `spots` ("~queue spot"). Then it counts what
waits, and those that stand before it in the line. So of two, the second one sees the first one's tasks: in the line, or stored. If it is the line alone
that leaves no room, it looks again until those before it are done. An entry of a dead process goes after `GONE`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pymongo import ReturnDocument

from regiment.contracts import too_many
from regiment.errors import StoreUnavailable
from regiment_mongo.layout import Document
from regiment_mongo.moments import Moment, date
from regiment_mongo.spots import Rules, spot_of, spots_of
from regiment_mongo.standing import Standings

GONE = 10_000
"""Milliseconds after which an entry is that of a dead process."""

PAUSE = 0.003


class Rooms(Standings):
    """For `admit`."""

    @contextmanager
    def room_for(self, queue: str, moment: Moment, tasks: Sequence[Document], name: str) -> Iterator[None]:
        """While inside, these tasks may be added; `QueueFull` if there is no room for all of them."""
        rules = self.rules_of(queue, moment.flow)
        more = Counter(key for task in tasks for key in spots_of(task))
        bounded = [key for key in sorted(more) if (rule := rules.of(key)) is not None and rule.waiting]
        try:
            for key in bounded:
                self._enter(queue, rules, key, more[key], name)
            yield
        finally:
            for key in bounded:
                self._spots.update_one({"_id": f"~{queue} {key}"}, {"$pull": {"line": {"n": name}}})

    def _enter(self, queue: str, rules: Rules, key: str, more: int, name: str) -> None:
        rule, spot = rules.of(key), spot_of(key)
        assert rule is not None and rule.waiting
        end = time.monotonic() + max(2.0, self._timeout)
        now = self.server_time()
        row = self._spots.find_one_and_update(
            {"_id": f"~{queue} {key}"},
            {
                "$push": {"line": {"n": name, "k": more, "at": now}},
                "$set": {"ex": date(now + 2 * GONE)},
            },
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        while True:
            before = 0
            for entry in row["line"] if row is not None else ():
                if entry["n"] == name:
                    break
                before += entry["k"] if entry["at"] > now - GONE else 0
            waits = self._count(queue, spot, rule.waiting + 1)
            if waits + more > rule.waiting:
                raise too_many(queue, spot, rule.waiting, self._count(queue, spot), more)
            if waits + before + more <= rule.waiting:
                return
            if time.monotonic() > end:
                raise StoreUnavailable(
                    f"{self.shown}: others are pushing to {spot} of {queue!r} all the time; try again"
                )
            time.sleep(PAUSE)
            row, now = self._spots.find_one({"_id": f"~{queue} {key}"}), self.server_time()
