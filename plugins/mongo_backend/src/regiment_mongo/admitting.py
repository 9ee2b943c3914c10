"""`admit`: a push with tickets. First what each payload meets, then whether there is room, then what is replaced, then all the rest at once.

The last step is one transaction on a replica set; a stand-alone server does it as it does a push of several. Its token stands open before
anything else does there, and names the `_id`s; so a repeat goes on where a call was cut off.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from os import urandom
from typing import Any

from bson import ObjectId
from pymongo import ReplaceOne
from pymongo.errors import DuplicateKeyError

from regiment.contracts import Met, Ticket, check_tickets
from regiment.errors import QueueFull, StoreUnavailable
from regiment_mongo.base import Session
from regiment_mongo.keying import Busy, Found, Keying, replaced, state_of
from regiment_mongo.layout import Document
from regiment_mongo.moments import Moment, date
from regiment_mongo.outliving import HOLDER, NEXT
from regiment_mongo.push import CLOSED, OPEN, Pushes, _refuse_too_large, numbered
from regiment_mongo.rooms import Rooms
from regiment_mongo.spots import fetched, shelved, ticket_fields

PAUSE = 0.003
"""Seconds until a key that somebody is changing is looked at again."""


class Moved(Exception):
    """Something that was found is not so any more: decide again."""


class _Seen(Exception):
    """The token was seen: what the first call answered."""


class Place:
    """A task that a call makes, or whose place it takes, and that has a key: what later payloads of the call meet."""

    def __init__(self, task: Document, above: Found | None, old: Document | None = None) -> None:
        self.task = task
        """As it is to be."""
        self.above = above
        """Who has the key before it, if it is a successor."""
        self.old = old
        """The task whose place it takes; None: it is new."""
        self.changes: list[tuple[Document, Ticket, int]] = []
        """What takes its place one after the other."""


class Plan:
    """What becomes of the payloads of one call."""

    def __init__(self, queue: str, moment: Moment, due: int | None) -> None:
        self.queue, self.moment, self.due = queue, moment, due
        self.tasks: list[Document] = []
        """Those that are new and have no key."""
        self.places: dict[str, Place] = {}
        """By key: those that have one."""
        self.met: dict[int, Met] = {}

    def new(self) -> list[Document]:
        """All that is added."""
        return self.tasks + [place.task for place in self.places.values() if place.old is None]

    def follow(self, index: int, place: Place, document: Document, ticket: Ticket, number: int) -> None:
        """A payload meets one of its own call, or that whose place the call takes."""
        if ticket.clash == "keep":
            id, state = place.task["f"][0], state_of(place.task)
            if place.above is not None:
                id, state = place.above.task["f"][0], place.above.state
            self.met[index] = Met(index, "kept", id, state)
            return
        self.met[index] = Met(index, "replaced", place.task["f"][0], state_of(place.task))
        place.changes.append((document, ticket, number))
        name = place.task.get("y")
        place.task = replaced(place.task, document, ticket, self.due, self.moment, number)
        if place.old is None:
            place.task["y"] = name
            del place.task["m"]


class Admits(Pushes, Keying, Rooms):
    """The verb of producers that have tickets."""

    def admit(
        self,
        queue: str,
        payloads: Sequence[bytes],
        tickets: Sequence[Ticket],
        *,
        priority: int,
        delay: float = 0.0,
        at: float | None = None,
        token: str,
        ids: Sequence[str] | None = None,
        id_window: float = 3600.0,
        token_window: float = 60.0,
    ) -> Sequence[Met]:
        check_tickets(payloads, tickets, ids)
        _refuse_too_large(payloads)
        if not payloads:
            return []
        self.flag(queue)
        moment = self.moment(queue, numbers=2 * len(payloads), priority=priority)
        due = int(at * 1000) if at is not None else moment.now + int(delay * 1000) if delay > 0 else None
        if due is not None and due <= moment.now:
            due = None
        name, head = f"{queue} {token}", urandom(8)
        seen = self._tokens.find_one({"_id": name})
        if seen is not None and seen["ex"] <= date(moment.now):
            self._tokens.delete_one({"_id": name, "ex": seen["ex"]})
            seen = None
        if seen is not None and seen["st"] == CLOSED:
            return [Met(*one) for one in seen.get("met", ())]
        first = numbered(ObjectId(head + bytes(4)), 0) if seen is None else seen["first"]
        open = seen is not None
        if not self._transactions and seen is None:
            ends = date(moment.now + token_window * 1000)
            self._tokens.insert_one({"_id": name, "st": OPEN, "out": [], "first": first, "ex": ends})
        documents = [
            self._document(queue, first, index, payload, priority, due, moment, tickets[index], name)
            for index, payload in enumerate(payloads)
        ]
        for document, id in zip(documents, ids, strict=True) if ids is not None else ():
            document["i"] = id
        windows = (id_window, token_window)
        found = self._admit_all(queue, name, moment, due, documents, tickets, None if open else ids, first, windows)
        if moment.new_priority:
            self.refresh(queue)
        self.poke(queue)
        return found

    def _admit_all(
        self,
        queue: str,
        name: str,
        moment: Moment,
        due: int | None,
        documents: list[Document],
        tickets: Sequence[Ticket],
        ids: Sequence[str] | None,
        first: ObjectId,
        windows: tuple[float, float],
    ) -> Sequence[Met]:
        """Decide and store, again until nothing changes in between; `ids`: those that may be known, `windows`: of ids and of the token."""
        while True:
            known = [] if ids is None else self._known(None, queue, ids, moment)
            plan = Plan(queue, moment, due)
            try:
                self._decide_all(plan, documents, tickets, set(known))
                with self.room_for(queue, moment, plan.new(), name):
                    self._take_places(plan)
                    met = [plan.met[index] for index in sorted(plan.met)]
                    self._admit_rest(plan, name, met, first, *windows)
                return met
            except Moved:
                self._undo(plan)
            except _Seen:
                self._undo(plan)
                found = self._tokens.find_one({"_id": name}) or {}
                return [Met(*one) for one in found.get("met", ())]
            except QueueFull:
                self._undo(plan)
                self._tokens.delete_one({"_id": name, "st": OPEN})
                raise

    def _document(
        self,
        queue: str,
        first: ObjectId,
        index: int,
        payload: bytes,
        priority: int,
        due: int | None,
        moment: Moment,
        ticket: Ticket,
        name: str,
    ) -> Document:
        place = moment.first + index
        task: Document = {"_id": numbered(first, index), "q": queue, "p": priority, "b": payload}
        task |= {"s": place, "w": moment.now} if due is None else {"at": due, "d": place}
        task |= ticket_fields(ticket, moment.now)
        if ticket.unique:
            task["y"] = f"{name} {index}"
        return task

    # Deciding

    def _decide_all(self, plan: Plan, documents: list[Document], tickets: Sequence[Ticket], known: set[int]) -> None:
        for index, (document, ticket) in enumerate(zip(documents, tickets, strict=True)):
            number = plan.moment.first + len(documents) + index
            if index in known:
                plan.met[index] = Met(index, "known")
            elif not ticket.unique:
                plan.tasks.append(dict(document))
            elif ticket.unique in plan.places:
                plan.follow(index, plan.places[ticket.unique], document, ticket, number)
            else:
                self._meet_key(plan, index, document, ticket, number)

    def _meet_key(self, plan: Plan, index: int, document: Document, ticket: Ticket, number: int) -> None:
        """What a payload meets that was there before the call."""
        found = self._ask_until(plan.queue, ticket, document["_id"], document["y"])
        key = f"{plan.queue} {ticket.unique}"
        if found.how == "new":
            plan.places[ticket.unique] = Place({**document, "u": HOLDER + key}, None)
        elif found.how == "next":
            plan.places[ticket.unique] = Place({**document, "u": NEXT + key}, found)
        elif found.how == "mine":
            if "m" in found.task:
                plan.met[index] = Met(index, "replaced", *found.task["m"])
        elif ticket.clash == "keep":
            plan.met[index] = Met(index, "kept", found.task["f"][0], found.state)
        else:
            old = fetched(found.task if found.next is None else found.next)
            place = plan.places[ticket.unique] = Place(dict(old), None if found.next is None else found, old)
            plan.follow(index, place, document, ticket, number)

    def _ask_until(self, queue: str, ticket: Ticket, id: ObjectId, name: str) -> Found:
        """`ask_key`, until nobody is changing the key just now."""
        end = time.monotonic() + max(2.0, self._timeout)
        while True:
            try:
                return self.ask_key(queue, ticket.unique, ticket, id, name)
            except Busy:
                if time.monotonic() > end:
                    what = f"{self.shown}: key {ticket.unique!r} of {queue!r} was changed by others all the time"
                    raise StoreUnavailable(f"{what}; try again") from None
                time.sleep(PAUSE)

    def _take_places(self, plan: Plan) -> None:
        for place in plan.places.values():
            if place.old is not None and not self.replace(
                plan.queue, place.old, partial(_changed, plan, place), plan.moment
            ):
                raise Moved

    def _undo(self, plan: Plan) -> None:
        """Give back what was reserved."""
        for place in plan.places.values():
            if place.old is None:
                self.free_reservation(place.task["_id"], place.task["y"])
                if place.task["f"][6] is not None:
                    self._keys.delete_one({"_id": f"{plan.queue} {place.task['f'][1]}", "y": place.task["y"]})

    # All the rest

    def _admit_rest(
        self, plan: Plan, name: str, met: list[Met], first: ObjectId, id_window: float, token_window: float
    ) -> None:
        for place in plan.places.values():
            if place.old is None:
                self.note_key(plan.queue, place.task)
        if self._transactions and not plan.new():
            # One write needs no transaction, which the server would keep open for a minute if this process died.
            ends = date(plan.moment.now + token_window * 1000)
            token = {
                "_id": name,
                "met": [list(one) for one in met],
                "st": CLOSED,
                "out": [],
                "first": first,
                "ex": ends,
            }
            try:
                self.ask({"insert": self._tokens.name, "documents": [token]}, self.durable())
            except DuplicateKeyError:
                raise _Seen from None
            return
        store = partial(self._all_at_once, plan, name, met, first, id_window, token_window)
        self.atomically(store, self.durable(), partial(self._announce_keys, plan))

    def _announce_keys(self, plan: Plan, session: Any) -> None:
        """Write the transaction that begins into the reservations, so that who finds them locked can end it."""
        ids = [place.task["_id"] for place in plan.places.values() if place.old is None]
        if ids:
            self._tasks.update_many({"_id": {"$in": ids}, "rs": {"$exists": True}}, {"$set": {"tx": session}})

    def _all_at_once(
        self,
        plan: Plan,
        name: str,
        met: list[Met],
        first: ObjectId,
        id_window: float,
        token_window: float,
        session: Session,
    ) -> None:
        """In a transaction; or one after the other, so that what is cut off is gone on with by a repeat."""
        moment, fields = plan.moment, {"met": [list(one) for one in met], "st": CLOSED, "out": []}
        tasks, expiry = plan.new(), date(moment.now + id_window * 1000)
        if session is not None:
            try:
                ends = date(moment.now + token_window * 1000)
                self._tokens.insert_one({"_id": name, **fields, "first": first, "ex": ends}, session=session)
            except DuplicateKeyError:
                raise _Seen from None
        named = [task for task in tasks if "i" in task]
        if named and session is not None:
            if self._known(session, plan.queue, [task["i"] for task in named], moment):
                raise Moved
            rows = [ReplaceOne({"_id": f"{plan.queue} {task['i']}"}, {"ex": expiry}, upsert=True) for task in named]
            self._ids.bulk_write(rows, ordered=False, session=session)
        elif named and self._reserve({"first": first}, named, list(range(len(named))), expiry, moment):
            raise Moved
        for place in plan.places.values():
            if place.old is None:
                mine = {"_id": place.task["_id"], "y": place.task["y"], "rs": {"$exists": True}}
                lasting = self._tasks if session else self._tasks.with_options(write_concern=self.durable())
                task = {**shelved(dict(place.task))}
                if lasting.replace_one(mine, task, session=session).matched_count != 1:
                    raise Moved
        try:
            self.store(self._tasks, [shelved(dict(task)) for task in plan.tasks], session, self.durable())
        except DuplicateKeyError:
            if session is not None:
                raise
        if session is None:
            self._tokens.update_one({"_id": name}, {"$set": fields})


def _changed(plan: Plan, place: Place, task: Document) -> Document:
    """What becomes of the task whose place is taken."""
    for document, ticket, number in place.changes:
        task = replaced(task, document, ticket, plan.due, plan.moment, number)
    return task
