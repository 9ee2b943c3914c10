"""Keys as a push meets them. One task at most waits with a key, because a unique index says so; so a push first reserves it.

A reservation is a document among the tasks with `u` alone: no worker sees it, and while it is there no task with this key can come to
wait. Then the push looks for a successor, and then among the consumers for a task that runs. What it finds decides; its last step makes a task of
the reservation, if it is there still. Whoever brings a task with this key back (a return) removes a reservation that is in its way; the push then
looks again. One whose process was killed is removed by the next push of the key after `RESERVED`, else by the index `window`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from regiment.contracts import Ticket
from regiment_mongo.base import Stale
from regiment_mongo.entries import ENTRIES
from regiment_mongo.glance import placed
from regiment_mongo.hand import Begun, Hands
from regiment_mongo.layout import Document
from regiment_mongo.ledger import CLOSED, waiting
from regiment_mongo.moments import Moment, date
from regiment_mongo.moving import LIVING
from regiment_mongo.outbox import TOMBSTONE
from regiment_mongo.outliving import HOLDER, NEXT
from regiment_mongo.spots import ticket_fields

RESERVED = 5_000
"""Milliseconds after which a reservation is taken for that of a dead process."""

FORGOTTEN = 60_000
"""Milliseconds after which the index removes it."""


class Busy(Exception):
    """Somebody is changing this key just now: look again."""


class Found(NamedTuple):
    """What has a key."""

    how: str
    """"new": nobody, and it is reserved; "next": one that runs, and it is reserved for its successor; "waits", "runs", "ended"; "mine":
    the task of this very push.
    """
    task: Document
    """The task; of a key that outlives it, that says whose it was."""
    next: Document | None = None
    """The successor, where another has the key."""

    @property
    def state(self) -> str:
        """As `Met` has it."""
        return {"runs": "leased", "next": "leased", "ended": "ended"}.get(self.how) or state_of(self.task)


class Keying(Hands):
    """For pushes."""

    def ask_key(self, queue: str, key: str, ticket: Ticket, id: ObjectId, name: str) -> Found:
        """Reserve a key, or say who has it; `Busy` if that changes just now. `id`: of the task that would have it; `name`: whose push it is."""
        now = self.server_time()
        reservation: Document = {
            "_id": id,
            "u": f"{HOLDER}{queue} {key}",
            "y": name,
            "rs": now,
            "ex": date(now + FORGOTTEN),
        }
        waits = self._waiting_with(queue, key, now)
        reserved = HOLDER not in waits or (waits[HOLDER].get("y") == name and "rs" in waits[HOLDER])
        if reserved:
            reserved = self._reserve_key(reservation, now)
            # A successor that came before that is seen now, and none comes after it.
            waits = self._waiting_with(queue, key, now)
        holder, successor = waits.get(HOLDER), waits.get(NEXT)
        if holder is not None and holder.get("y") == name and "rs" not in holder:
            return Found("mine", holder)
        if successor is not None and successor.get("y") == name:
            return Found("mine", successor)
        runs = self._running_with(queue, key, now, name)
        if runs is not None and runs.get("y") == name:
            return Found("mine", runs)
        if runs is not None:
            if reserved and (successor is not None or ticket.clash == "keep"):
                self.free_reservation(id, name)
            if ticket.clash == "keep" or successor is not None:
                return Found("runs", runs, successor)
            if not reserved:
                raise Busy
            return Found("next", runs)
        if not reserved and (holder is None or "rs" in holder):
            raise Busy
        if not reserved and holder is not None:
            return Found("waits", holder, successor)
        if successor is not None:
            self.free_reservation(id, name)
            return Found("waits", successor)
        return self._outlived(queue, key, ticket, reservation, now)

    def _outlived(self, queue: str, key: str, ticket: Ticket, reservation: Document, now: int) -> Found:
        """Of a key that nobody has: unless it outlives its task."""
        kept = self._keys.find_one({"_id": f"{queue} {key}", "ex": {"$gt": date(now)}})
        if kept is not None and kept["y"] != reservation["y"] and ticket.clash == "keep":
            self.free_reservation(reservation["_id"], reservation["y"])
            return Found("ended", {"f": [kept["i"]]})
        return Found("new", reservation)

    def _reserve_key(self, reservation: Document, now: int) -> bool:
        """Whether the key is reserved for this push now, or was by an earlier try of it."""
        mine = {"_id": reservation["_id"], "rs": {"$exists": True}}
        try:
            change = {"q": {**mine, "u": reservation["u"]}, "u": {"$set": reservation}, "upsert": True}
            self.ask({"update": self._tasks.name, "updates": [change]}, self.durable())
            return True
        except DuplicateKeyError:
            return False

    def free_reservation(self, id: ObjectId, name: str) -> None:
        """Give a key back that was reserved."""
        self._tasks.delete_one({"_id": id, "y": name, "rs": {"$exists": True}})

    def _waiting_with(self, queue: str, key: str, now: int) -> dict[str, Document]:
        """Who waits with a key: the holder, the successor. One whose time with the key is over has it no longer."""
        names = [f"{kind}{queue} {key}" for kind in (HOLDER, NEXT)]
        found = {}
        for task in self._tasks.find({"u": {"$in": names}}, hint="keys"):
            if "f" in task and task["f"][6] is not None and task["f"][6] <= now:
                self._tasks.update_one({"_id": task["_id"], "u": task["u"]}, {"$unset": {"u": 1}})
                raise Busy
            if "tx" in task and task["rs"] >= now - LIVING:
                raise Busy
            if "rs" in task and task["rs"] < now - LIVING:
                if "tx" in task:
                    # Its process died within a transaction, which the server would keep open for a minute.
                    self.end(task["tx"])
                self._tasks.delete_many({"_id": task["_id"], "rs": {"$lt": now - RESERVED}})
            found[task["u"][0]] = task
        return found

    def _running_with(self, queue: str, key: str, now: int, name: str) -> Document | None:
        """The task that runs with a key."""
        names = [f"{kind}{queue} {key}" for kind in (HOLDER, NEXT)]
        found: list[Document] = []
        for document in self._consumers.find({"us": {"$in": names}}, hint="keys"):
            if "hand" in document:
                raise Busy
            items = [item for item in document["held"][1:] if item.get("u") in names]
            found += [item for item in items if item["f"][6] is None or item["f"][6] > now]
        # A successor that has just been claimed, before the one that it comes after.
        return max(found, key=lambda item: int(item["f"][5]), default=None)

    # Replacing

    def replace(self, queue: str, old: Document, change: Callable[[Document], Document], moment: Moment) -> bool:
        """Have a task that waits be what `change` makes of it, by a hand; False if it is not there any more, or not as it was."""
        begun = Begun(queue, {old["_id"]: placed(old) or ""}, [])
        try:
            with self.together():
                document = self._written(queue, begun, moment)
                if document is None:
                    return False
                row = self._row(document)
                self._compare(row, document)
                if not row.held:
                    return False
                self._take_out(list(row.held.values()))
            [item] = row.held.values()
            task = change(waiting(queue, item))
            self.note_key(queue, task, item)
            self._transfer(row, [task], [], [], list(row.held), {"st": CLOSED, "gone": date(moment.now + TOMBSTONE)})
        except Stale:
            return False
        return True


def replaced(task: Document, new: Document, ticket: Ticket, at: int | None, moment: Moment, number: int) -> Document:
    """What becomes of a task that waits when another one takes its place; `_id`, key, pool and lane are its own."""
    old = task
    task = {field: value for field, value in old.items() if field not in ("c", "n", "k", "i", "m", "te", "tk", ENTRIES)}
    first = old["f"][5]
    fields = ticket_fields(ticket, moment.now)["f"]
    fields[5] = first
    task.update({"b": new["b"], "f": fields, "y": new["y"], "m": [old["f"][0], state_of(old)]})
    if "i" in new:
        task["i"] = new["i"]
    if "at" in task:
        task["p"] = new["p"]
        due = moment.now if at is None else at
        if ticket.clash == "later":
            due = min(due, first + int(ticket.longest * 1000)) if ticket.longest else due
        else:
            due = min(due, task["at"])
        if due <= moment.now:
            del task["at"], task["d"]
            task["s"], task["w"] = number, moment.now
        else:
            task["at"] = due
    return task


def state_of(task: Document) -> str:
    """What a task that waits does, as `Met` has it."""
    return "ready" if "s" in task else "delayed"
