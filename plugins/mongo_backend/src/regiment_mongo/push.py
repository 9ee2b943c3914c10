"""Push: all payloads or none, once for each token and each id."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from os import urandom
from typing import Any

from bson import ObjectId
from pymongo import ReplaceOne, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError, DuplicateKeyError

from regiment.errors import PayloadTooLarge
from regiment_mongo.base import DUPLICATE, MAX_PAYLOAD, Session
from regiment_mongo.layout import Document
from regiment_mongo.moments import NOW, Moment, date
from regiment_mongo.tokens import Tokens

OPEN, CLOSED = 0, 1
"""Whether a token's push may still be under way; only a stand-alone server ever shows OPEN."""


class _SeenBefore(Exception):
    """The token is there already."""


class Pushes(Tokens):
    """The verb of producers."""

    def push(
        self,
        queue: str,
        payloads: Sequence[bytes],
        *,
        priority: int,
        delay: float = 0.0,
        at: float | None = None,
        token: str,
        ids: Sequence[str] | None = None,
        id_window: float = 3600.0,
        token_window: float = 60.0,
    ) -> Sequence[int]:
        if ids is not None and len(ids) != len(payloads):
            raise ValueError(f"push got {len(ids)} ids for {len(payloads)} payloads; expected one for each")
        _refuse_too_large(payloads)
        if not payloads:
            return []
        due: Any = None if at is None else int(at * 1000)
        if len(payloads) == 1 and ids is None:
            if at is None and delay > 0:
                due = {"$add": [NOW, int(delay * 1000)]}
            self._push_one(queue, payloads[0], priority, due, token, token_window)
            return []
        moment = self.moment(queue, numbers=len(payloads), priority=priority)
        if at is None and delay > 0:
            due = moment.now + int(delay * 1000)
        if due is not None and due <= moment.now:
            due = None
        documents = partial(_documents, queue, payloads, priority, due, moment, ids)
        left, again = self._store_once(f"{queue} {token}", queue, documents, ids, moment, id_window, token_window)
        if again:
            return left
        if moment.new_priority:
            self.refresh(queue)
        if len(left) < len(payloads):
            self.poke(queue)
        return left

    def push_within(self, host: Pushes, queue: str, send: Any, session: ClientSession, token: str) -> list[int]:
        """Store a push in a transaction of the caller's, whose client has the collections of this object; `host`, which is open
        for regiment, gives time and places, outside of it: no two transactions want the same row then.
        """
        _refuse_too_large(send.payloads)
        moment = host.moment(queue, numbers=len(send.payloads), priority=send.priority)
        if moment.new_priority:
            host.refresh(queue)
        due = int(send.at * 1000) if send.at is not None else None
        if due is None and send.delay > 0:
            due = moment.now + int(send.delay * 1000)
        due = None if due is not None and due <= moment.now else due
        documents = _documents(queue, send.payloads, send.priority, due, moment, send.ids)
        return self._store(f"{queue} {token}", queue, documents, send.ids, moment, send.id_window, 60.0, session)

    def _store_once(
        self,
        name: str,
        queue: str,
        make: Callable[[], list[Document]],
        ids: Sequence[str] | None,
        moment: Moment,
        id_window: float,
        token_window: float,
    ) -> tuple[list[int], bool]:
        """Store what `make` makes, unless the token `name` was seen: what is left out, and True if it was seen."""
        while True:
            documents = make()
            store = partial(self._store, name, queue, documents, ids, moment, id_window, token_window)
            try:
                return self.atomically(store, self.durable()), False
            except _SeenBefore:
                seen = self._tokens.find_one({"_id": name})
                if seen is None:
                    continue
                if seen["ex"] <= date(moment.now):
                    self._tokens.delete_one({"_id": name, "ex": seen["ex"]})
                elif seen["st"] == CLOSED:
                    return list(seen["out"]), True
                else:
                    expiry = date(moment.now + id_window * 1000)
                    return self._complete(seen, documents, expiry, moment), False

    def _store(
        self,
        name: str,
        queue: str,
        documents: list[Document],
        ids: Sequence[str] | None,
        moment: Moment,
        id_window: float,
        token_window: float,
        session: Session,
    ) -> list[int]:
        left = [] if ids is None else self._known(session, queue, ids, moment)
        out = set(left)
        kept = [document for index, document in enumerate(documents) if index not in out]
        token = {
            "_id": name,
            "st": OPEN if session is None else CLOSED,
            "out": left,
            "first": documents[0]["_id"],
            "ex": date(moment.now + token_window * 1000),
        }
        try:
            self._tokens.insert_one(token, session=session)
        except DuplicateKeyError:
            raise _SeenBefore from None
        expiry = date(moment.now + id_window * 1000)
        if session is None:
            return self._finish(token, documents, expiry, moment)
        if ids is not None and kept:
            rows = [ReplaceOne({"_id": f"{queue} {d['i']}"}, {"ex": expiry}, upsert=True) for d in kept]
            self._ids.bulk_write(rows, ordered=False, session=session)
        self.store(self._tasks, kept, session)
        return left

    def _finish(self, token: Document, documents: list[Document], expiry: datetime, moment: Moment) -> list[int]:
        """Stand-alone: reserve the ids, store the tasks, then note that the push is complete. Returns what is left out."""
        out = set(token["out"])
        wanted = [index for index in range(len(documents)) if index not in out]
        out |= self._reserve(token, documents, [i for i in wanted if "i" in documents[i]], expiry, moment)
        kept = [document for index, document in enumerate(documents) if index not in out and document]
        with suppress(DuplicateKeyError):
            self.store(self._tasks, kept, concern=self.durable())
        left = sorted(out)
        self._tokens.update_one({"_id": token["_id"]}, {"$set": {"st": CLOSED, "out": left}})
        return left

    def _reserve(
        self,
        token: Document,
        documents: list[Document],
        indexes: list[int],
        expiry: datetime,
        moment: Moment,
    ) -> set[int]:
        """Write down the ids as this push's own; returns the indexes of those that another push was quicker with."""
        if not indexes:
            return set()
        mine = [{"by": token["first"]}, {"ex": {"$lte": date(moment.now)}}]
        rows = [
            UpdateOne(
                {"_id": f"{documents[i]['q']} {documents[i]['i']}", "$or": mine},
                {"$set": {"ex": expiry, "by": token["first"]}},
                upsert=True,
            )
            for i in indexes
        ]
        try:
            self._ids.bulk_write(rows, ordered=False)
        except BulkWriteError as error:
            failed = error.details.get("writeErrors", [])
            if any(e.get("code") != DUPLICATE for e in failed):
                raise
            return {indexes[e["index"]] for e in failed}
        return set()

    def _complete(self, seen: Document, documents: list[Document], expiry: datetime, moment: Moment) -> list[int]:
        """Stand-alone: an earlier try was cut off; store what it did not. A task that it stored and that was already
        finished looks like one that was not stored, and runs twice: what `warnings` says of stand-alone servers.
        """
        for index, document in enumerate(documents):
            document["_id"] = numbered(seen["first"], index)
        wanted = [document["_id"] for document in documents]
        there = {d["_id"] for d in self._tasks.find({"_id": {"$in": wanted}}, {"_id": 1})}
        for consumer in self._consumers.find({"held.t": {"$in": wanted}}, {"held.t": 1}):
            there |= {item["t"] for item in consumer["held"]}
        left = [{} if document["_id"] in there else document for document in documents]
        return self._finish(seen, left, expiry, moment)

    def _known(self, session: Session, queue: str, ids: Sequence[str], moment: Moment) -> list[int]:
        """Indexes of the ids that were pushed within their window, or wait or run now, or stand here twice."""
        names = [f"{queue} {id}" for id in ids]
        wanted = list(ids)
        known: set[Any] = {
            d["_id"][len(queue) + 1 :]
            for d in self._ids.find({"_id": {"$in": names}, "ex": {"$gt": date(moment.now)}}, session=session)
        }
        waiting = self._tasks.find({"q": queue, "i": {"$in": wanted}}, {"i": 1}, session=session)
        known |= {d["i"] for d in waiting}
        held = self._consumers.find(
            {"q": queue, "st": {"$lt": 2}, "held.i": {"$in": wanted}},
            {"held.i": 1},
            session=session,
        )
        known |= {item["i"] for consumer in held for item in consumer["held"] if "i" in item}
        left = []
        for index, id in enumerate(ids):
            if id in known:
                left.append(index)
            known.add(id)
        return left


def _refuse_too_large(payloads: Sequence[bytes]) -> None:
    for payload in payloads:
        if len(payload) > MAX_PAYLOAD:
            raise PayloadTooLarge(
                f"a payload has {len(payload):,} bytes; MongoDB's documents leave room for {MAX_PAYLOAD:,}."
                " Store the data elsewhere and push a reference"
            )


def numbered(first: ObjectId, index: int) -> ObjectId:
    """The `index`-th `_id` of a push: eight random bytes and a number, so that a repeat can name each again."""
    return ObjectId(first.binary[:8] + index.to_bytes(4, "big"))


def _documents(
    queue: str,
    payloads: Sequence[bytes],
    priority: int,
    due: int | None,
    moment: Moment,
    ids: Sequence[str] | None,
) -> list[Document]:
    head, first, now = urandom(8), moment.first, moment.now
    if due is None:
        documents: list[Document] = [
            {
                "_id": ObjectId(head + i.to_bytes(4, "big")),
                "q": queue,
                "p": priority,
                "s": first + i,
                "w": now,
                "b": payload,
            }
            for i, payload in enumerate(payloads)
        ]
    else:
        documents = [
            {
                "_id": ObjectId(head + i.to_bytes(4, "big")),
                "q": queue,
                "p": priority,
                "at": due,
                "d": first + i,
                "b": payload,
            }
            for i, payload in enumerate(payloads)
        ]
    if ids is not None:
        for document, id in zip(documents, ids, strict=True):
            document["i"] = id
    return documents
