"""What an exchange does for the whole queue now and then: the gap rule, overdue consumers, due tasks."""

from __future__ import annotations

import time
from contextlib import suppress
from zlib import crc32

from pymongo import UpdateOne

from regiment_mongo.base import Stale
from regiment_mongo.hand import Hands
from regiment_mongo.layout import Document
from regiment_mongo.ledger import CLOSED, FENCED, LIVE, Facts, Row, waiting
from regiment_mongo.moments import Moment, date
from regiment_mongo.spots import lane_of

TAKEN_BACK = 500
PROMOTED = 500
OVERDUE = 20
CROWD = 8
VAGUE = 5
DAY = 86_400_000


class Tends(Hands):
    """Due tasks become ready, and what an overdue consumer held goes back."""

    def _tend(self, queue: str, row: Row, facts: Facts) -> None:
        """Gap rule and stamp (R8), overdue consumers (R6), due tasks; then when to look again. Three requests where
        nothing is due: a store that is 0.2 s away must not cost an idle exchange its timeout.
        """
        moment = self.moment(queue, lease=row.lease)
        facts.learn(moment)
        self.look_after(queue, row.id, facts, moment)
        times = self._overdue(queue, row, moment)
        for task in self._delayed(queue, facts, moment):
            times.append(task["at"] + self._turn_at(queue, row, moment, task["at"]))
        facts.next = self.clock.when(min(times)) if times else None
        facts.tended = time.monotonic()

    def _overdue(self, queue: str, row: Row, moment: Moment) -> list[int]:
        """Take back from who is overdue; when the next one is, if anybody."""
        others: Document = {"q": queue, "h": {"$gt": 0}, "_id": {"$ne": row.id}}
        left = TAKEN_BACK
        while True:
            found = list(self._consumers.find(others, {"until": 1}, hint="deadline").sort("until", 1).limit(OVERDUE))
            late = [d for d in found if d["until"] < moment.now - moment.shift]
            for document in late:
                left -= self._take_back(queue, document["_id"], moment, left)
                if left <= 0:
                    return [moment.now]
            if not late:
                # "Overdue" is strictly later than the deadline.
                return [found[0]["until"] + moment.shift + 1] if found else []
            others["until"] = {"$gte": moment.now - moment.shift}

    def _delayed(self, queue: str, facts: Facts, moment: Moment) -> list[Document]:
        """Promote what is due; the first task that is not."""
        waiting: Document = {"q": queue, "at": {"$gte": 0}}
        order = [("at", 1), ("d", 1)]
        first = self._tasks.find_one(waiting, {"at": 1}, sort=order, hint="delayed")
        if first is None or first["at"] > moment.now:
            return [] if first is None else [first]
        due = {"q": queue, "at": {"$lte": moment.now}}
        fields = {"at": 1, "l": 1, "p": 1} if facts.flow else {"at": 1}
        found = list(self._tasks.find(due, fields, hint="delayed").sort(order).limit(PROMOTED))
        if found:  # or another has promoted them meanwhile
            self._promote(queue, facts, found)
        facts.restart()
        first = self._tasks.find_one(waiting, {"at": 1}, sort=order, hint="delayed")
        return [] if first is None else [first]

    def _turn_at(self, queue: str, row: Row, moment: Moment, due: int) -> int:
        """Milliseconds by which this consumer comes after the first of the crowd that sleeps until the same task is due: the
        longest there is on time, the others look 5 ms after each other, at most 40 ms late. All at once, they would
        keep each other from running it.
        """
        if due <= moment.now:
            return 0
        if self.clock.vague > VAGUE:
            self.server_time()
        live = self._consumers.find({"q": queue, "st": LIVE}, {"h": 1, "until": 1}, hint="queue")
        first = list(live.limit(2 * CROWD))
        idle = [d["_id"] for d in first if d["h"] < 1 and d["until"] >= moment.now - moment.shift]
        place = idle.index(row.id) if row.id in idle else len(idle)
        if not idle and all(document["_id"] != row.id for document in first):
            place = crc32(row.id.encode()) % CROWD  # how many sleep behind so many busy ones is not known
        return 5 * min(place, CROWD)

    def _promote(self, queue: str, facts: Facts, due: list[Document]) -> None:
        """Due tasks join the tail of their priority in due order; of two who promote the same one, one does. Others are
        told (`Facts.untold`) when this exchange has taken what it wants of them.
        """
        first = self.moment(queue, numbers=len(due)).first
        done = self._tasks.bulk_write(
            [
                UpdateOne(
                    {"_id": task["_id"], "at": task["at"]},
                    {"$set": {"s": first + i, "w": task["at"], **lane_of(task)}, "$unset": {"at": 1, "d": 1}},
                )
                for i, task in enumerate(due)
            ],
            ordered=False,
        )
        facts.untold += done.modified_count

    def _take_back(self, queue: str, name: str, moment: Moment, most: int) -> int:
        """R6: fence an overdue consumer for good, then return its deliveries in front, count + 1, at most `most`."""
        document = self._consumers.find_one({"_id": name})
        if document is None or document["until"] >= moment.now - moment.shift:
            return 0
        if "hand" in document:
            self._facts[queue].restart()
            return self.give_back(queue, document, moment)
        row = self._row(document)
        if row.out and (row.state == CLOSED or not row.held):
            # Nothing to take back: what it left behind is sent on, and it is as it was.
            with suppress(Stale):
                self.empty(row)
            return 0
        if row.state == LIVE:
            guard = {"_id": name, "v": row.v, "st": LIVE, "until": document["until"]}
            if self._consumers.update_one(guard, {"$set": {"st": FENCED}, "$inc": {"v": 1}}).matched_count != 1:
                return 0
            row.v += 1
            row.state = FENCED
        if row.out:
            try:
                self.empty(row)
            except Stale:
                return 0
        out = [row.held[receipt] for receipt in sorted(row.held)[:most]]
        tasks = []
        for item in out:
            task = waiting(queue, item)
            task["c"] = task.get("c", 0) + 1
            tasks.append(task)
        fields: Document = {"gone": date(moment.now + DAY)} if len(out) == len(row.held) and not row.out else {}
        try:
            self._transfer(row, tasks, [], out, [item["r"] for item in out], fields)
        except Stale:
            return 0
        self._facts[queue].restart()
        self.refresh(queue)
        self.poke(queue)
        return len(out)
