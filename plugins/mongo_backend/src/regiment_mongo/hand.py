"""An operator's hand on tasks that wait: it takes them as a consumer does, changes them, and puts them back.

A hand is a document among the consumers, with the tasks that it changes in `held`. The unique index lets one of both have a task, a worker or
a hand. What it has taken is then no longer among the waiting tasks. It puts a changed task back under a new `_id`, as every return does, in
one transaction with the end of its document; so a worker that has read the old one finds nothing. A hand that stands still, because its
process was killed, is overdue after `HELD`, and any exchange of its queue gives back what it held, as it was, and counts nothing.

`sure` in the document: what it holds was compared with the waiting tasks after it was written (the claim may have come from an old read), and
is from then on taken out of them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from bson import ObjectId
from bson.errors import InvalidId
from pymongo.errors import DuplicateKeyError

from regiment.errors import StoreUnavailable
from regiment_mongo.base import Stale
from regiment_mongo.glance import placed
from regiment_mongo.layout import Document
from regiment_mongo.ledger import CLOSED, FENCED, Row, marks_of, waiting
from regiment_mongo.leftovers import Leftovers
from regiment_mongo.moments import Moment, date
from regiment_mongo.outbox import TOMBSTONE
from regiment_mongo.spots import fetched
from regiment_mongo.tokens import left_of

HELD = 10.0
"""Seconds after which a hand that does not move any more gives back what it holds; at least five times the timeout."""

HANDFUL = 8 * 1024 * 1024
"""Bytes of payloads that a hand takes at a time, about."""

HAND = "steer-"
"""With what the name of a hand begins among the consumers."""

TRIES = 5
"""How often a hand tries to take what others hold a part of."""

REMEMBERED = 100
"""Calls without an answer that a connector remembers, for their repeat."""


class Change(NamedTuple):
    """What is to become of tasks."""

    drop: bool
    priority: int | None
    delay: float | None


class Begun:
    """A call of which no end is known yet."""

    def __init__(self, queue: str, places: dict[ObjectId, str], rest: list[str]) -> None:
        self.name = f"{queue} {HAND}{os.urandom(8).hex()}"
        self.places, self.rest = places, rest
        self.taken: list[ObjectId] = []


class Hands(Leftovers):
    """For operators, and for the exchanges that look after what their hands have left."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._begun: dict[Any, Begun] = {}
        self.held_for = max(HELD, 5 * self._timeout)

    def steer(self, queue: str, places: Sequence[str], change: Change) -> tuple[list[str], list[str]]:
        """Change the tasks at these places: where that was done, and the places that are for another call, because what stands
        there is large. After an error, the same call goes on where this one ended.
        """
        key = (queue, tuple(places), change)
        begun = self._begun.get(key) or Begun(queue, *self._fit(queue, places))
        if not begun.places:
            return [], begun.rest
        if len(self._begun) >= REMEMBERED:
            self._begun.clear()
        self._begun[key] = begun
        done = self._steer(queue, begun, change)
        del self._begun[key]
        return [begun.places[id] for id in done], begun.rest

    def _fit(self, queue: str, places: Sequence[str]) -> tuple[dict[ObjectId, str], list[str]]:
        """Those that are there and fit into a hand, in the order given, and those that come after them."""
        wanted = {id: place for place in places if (id := _id(place)) is not None}
        sizes = {"s": 1, "at": 1, "z": {"$binarySize": "$b"}}
        found = self._tasks.find({"_id": {"$in": list(wanted)}, "q": queue}, sizes)
        there = {task["_id"]: task["z"] for task in found if placed(task) == wanted[task["_id"]]}
        fitting, size = dict[ObjectId, str](), 0
        for number, (id, place) in enumerate(wanted.items()):
            if id in there:
                size += there[id]
                if fitting and size > HANDFUL:
                    return fitting, list(wanted.values())[number:]
                fitting[id] = place
        return fitting, []

    def _steer(self, queue: str, begun: Begun, change: Change) -> list[ObjectId]:
        moment = self.moment(queue, numbers=len(begun.places), priority=change.priority)
        for _ in range(TRIES):
            try:
                if not self._by_hand(queue, begun, change, moment):
                    return []
                break
            except Stale:
                continue  # the server forgot its last steps, or others have given back what the hand held: look again
        else:
            raise StoreUnavailable(f"{self.shown}: what a hand held was changed by others {TRIES} times; try again")
        # Who has read these tasks finds at his claim that they are gone. To send him back to his document, at every call, could
        # keep him from ever claiming anything.
        if change.priority is not None and moment.new_priority:
            self.refresh(queue)
        if not change.drop:
            self.poke(queue)
        return begun.taken

    def _by_hand(self, queue: str, begun: Begun, change: Change, moment: Moment) -> bool:
        """Take them and put them back changed; False if there is nothing (any more) to be changed."""
        document = self._consumers.find_one({"_id": begun.name})
        if document is None or document["st"] == FENCED:
            with self.together():
                row = self._grasp(queue, begun, moment, document)
                if row is None:
                    return False
                begun.taken = [item["t"] for item in row.held.values()]
                self._take_out(list(row.held.values()))
            self._put(queue, row, change, moment)
        return True

    def _grasp(self, queue: str, begun: Begun, moment: Moment, document: Document | None) -> Row | None:
        """Take them, or go on with what was taken before; None if there is nothing (any more)."""
        if document is None:
            document = self._written(queue, begun, moment)
            if document is None:
                return None
        row = self._row(document)
        self._compare(row, document)
        return row if row.held else None

    def _written(self, queue: str, begun: Begun, moment: Moment) -> Document | None:
        """The document of a hand with all of the tasks that nobody holds."""
        ids = list(begun.places)
        until = moment.now - moment.shift + int(1000 * self.held_for)
        for _ in range(TRIES):
            read = {task["_id"]: task for task in self._tasks.find({"_id": {"$in": ids}})}
            items = [read[id] for id in ids if id in read and placed(read[id]) == begun.places[id]]
            if not items:
                return None
            for number, task in enumerate(items, 1):
                task["t"], task["r"] = task.pop("_id"), number
                del task["q"]
                task.pop("tk", None)
                fetched(task)
            document: Document = {
                "_id": begun.name,
                "q": queue,
                "c": begun.name.removeprefix(f"{queue} "),
                "st": FENCED,
                "v": 0,
                "h": len(items),
                "held": [{"t": begun.name}, *items],
                "until": until,
                "once": True,
                "hand": True,
                **marks_of(items),
            }
            try:
                self.ask({"insert": self._consumers.name, "documents": [document]}, self.firm)
                return document
            except DuplicateKeyError:
                others = self._consumers.find({"held.t": {"$in": ids}}, {"held.t": 1})
                held = {item["t"] for other in others for item in other["held"]}
                ids = [id for id in ids if id not in held]
        return None

    def _compare(self, row: Row, document: Document) -> None:
        """Have the hand be there on this connection, with nothing in it that had left the waiting tasks before."""
        items = list(row.held.values())
        if not document.get("sure"):
            asked = {"_id": {"$in": [item["t"] for item in items]}}
            find = {"find": self._tasks.name, "filter": asked, "projection": {"s": 1, "at": 1}, "hint": "_id_"}
            found = self.ask({**find, "batchSize": len(items) + 1, "singleBatch": True})["cursor"]["firstBatch"]
            there = {task["_id"]: placed(task) for task in found}
            items = [item for item in items if there.get(item["t"]) == placed({**item, "_id": item["t"]})]
        fields: Document = {"held": [{"t": row.id}, *items], "h": len(items), "sure": True}
        if not items:
            fields["gone"] = date(self.clock.now() + TOMBSTONE)
        update: Document = {"$set": fields, "$inc": {"v": 1}}
        row.mark(items, fields, update)
        change = {"q": {"_id": row.id, "v": row.v, "st": FENCED}, "u": update}
        if self.ask({"update": self._consumers.name, "updates": [change]}, self.firm)["n"] != 1:
            raise Stale
        row.v += 1
        row.held = {item["r"]: item for item in items}
        row.marked = marks_of(items).keys()

    def _take_out(self, items: Sequence[Document]) -> None:
        """Out of the waiting tasks, down to their tokens, ready or delayed."""
        now = self.clock.now()
        tokens = [item for item in items if item.get("te", 0) > now]
        others = [item["t"] for item in items if item.get("te", 0) <= now]
        if others:
            gone = {"q": {"_id": {"$in": others}}, "limit": 0}
            self.ask({"delete": self._tasks.name, "deletes": [gone]}, self.firm)
        if tokens:
            left = {"$set": {"ex": date(max(item["te"] for item in tokens))}, "$unset": left_of(tokens)}
            change = {"q": {"_id": {"$in": [item["t"] for item in tokens]}}, "u": left, "multi": True}
            self.ask({"update": self._tasks.name, "updates": [change]}, self.firm)

    def _put(self, queue: str, row: Row, change: Change, moment: Moment) -> None:
        """The end of a hand: what it held is changed, or dropped, when its document says that it holds nothing."""
        items = [row.held[receipt] for receipt in sorted(row.held)]
        tasks: list[Document] = []
        if change.drop:
            names = [f"{queue} {item['i']}" for item in items if "i" in item]
            if names:
                self._ids.delete_many({"_id": {"$in": names}})
            self.free_keys(
                [{"_id": None, "q": queue, **item} for item in items if item.get("f", [])[6:] not in ([], [None])]
            )
        else:
            tasks = [changed(queue, item, change, moment, number) for number, item in enumerate(items, moment.first)]
        end = {"st": CLOSED, "gone": date(moment.now + TOMBSTONE)}
        self._transfer(row, tasks, [], [], list(row.held), end)

    def give_back(self, queue: str, document: Document, moment: Moment) -> int:
        """What a hand holds that does not move any more goes back as it was; how many."""
        row = self._row(document)
        try:
            with self.together():
                self._compare(row, document)
                self._take_out(list(row.held.values()))
            tasks = [waiting(queue, item) for item in row.held.values()]
            if tasks:
                self._transfer(row, tasks, [], [], list(row.held), {"gone": date(moment.now + TOMBSTONE)})
        except Stale:
            return 0
        self.refresh(queue)
        self.poke(queue)
        return len(tasks)


def changed(queue: str, item: Document, change: Change, moment: Moment, number: int) -> Document:
    """The waiting task that a change makes of an item; `number` is a fresh place at the tail."""
    task = waiting(queue, item)
    if change.priority is not None:
        task["p"] = change.priority
    if change.delay is not None and change.delay > 0:
        task.pop("s", None), task.pop("w", None)
        task["at"], task["d"] = moment.now + int(change.delay * 1000), number
    elif "s" in task:
        task["s"] = number
    elif change.delay is not None:
        del task["at"], task["d"]
        task["s"], task["w"] = number, moment.now
    return task


def _id(place: str) -> ObjectId | None:
    """Of the task that this place once named; None if it names none that waits."""
    try:
        return ObjectId(place[1:25]) if place[:1] in ("r", "d") and place[25:26] == "." else None
    except InvalidId:
        return None
