"""Tasks with a key that come otherwise than by `admit`: letters that are revived, and what a step sends."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from hashlib import blake2b

from bson import ObjectId

from regiment.contracts import Ticket
from regiment_mongo.admitting import Admits, Moved
from regiment_mongo.base import Session
from regiment_mongo.keying import replaced
from regiment_mongo.layout import Document
from regiment_mongo.moments import Moment, date
from regiment_mongo.outliving import HOLDER, NEXT
from regiment_mongo.spots import fetched, shelved


class Revives(Admits):
    """Tasks with a key that come otherwise than by `admit`."""

    def revive_with_key(self, queue: str, task: Document, letter: ObjectId) -> int:
        ticket = Ticket(unique=task["f"][1])
        name = f"{queue} revived {letter}"

        def work(session: Session) -> int:
            self._make(task, name, session)
            return self._dead.delete_one({"_id": letter}, session=session).deleted_count

        while True:
            found = self._ask_until(queue, ticket, task["_id"], name)
            if found.how == "mine":
                return self._dead.delete_one({"_id": letter}).deleted_count
            if found.how != "new":
                return 0
            task |= {"u": f"{HOLDER}{queue} {ticket.unique}", "y": name}
            with suppress(Moved):
                return self.atomically(work, self.durable())

    def send_with_key(self, task: Document, ticket: Ticket, due: int | None, moment: Moment) -> bool:
        queue, name = task["q"], task["tk"]
        task = {**task, "_id": ObjectId(blake2b(name.encode(), digest_size=12).digest()), "y": name}
        key = f"{queue} {ticket.unique}"
        while self._tasks.find_one({"tk": name}, {"_id": 1}) is None:
            found = self._ask_until(queue, ticket, task["_id"], name)
            if found.how in ("new", "next"):
                task["u"] = (HOLDER if found.how == "new" else NEXT) + key
                self.note_key(queue, task)
                with suppress(Moved):
                    self._make(task, name, None)
            elif found.how == "mine":
                break
            elif ticket.clash == "keep":
                return True
            else:
                old = fetched(found.task if found.next is None else found.next)
                new = partial(
                    replaced,
                    new=task,
                    ticket=ticket,
                    at=due,
                    moment=moment,
                    number=int(task["s" if "s" in task else "d"]),
                )
                if self.replace(queue, old, new, moment):
                    self._tasks.insert_one({"tk": name, "ex": date(task["te"])})
        return False

    def _make(self, task: Document, name: str, session: Session) -> None:
        """Have a reservation be a task; `Moved` if it is gone."""
        mine = {"_id": task["_id"], "y": name, "rs": {"$exists": True}}
        lasting = self._tasks if session else self._tasks.with_options(write_concern=self.durable())
        if lasting.replace_one(mine, shelved(dict(task)), session=session).matched_count != 1:
            raise Moved
