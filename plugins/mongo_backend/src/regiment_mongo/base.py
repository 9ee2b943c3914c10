"""One cluster: its client, its collections, its clock, and the one write that asks a queue for numbers and the time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Self, TypeVar

import pymongo
from bson import ObjectId
from pymongo import MongoClient, ReadPreference, ReturnDocument, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, OperationFailure
from pymongo.read_concern import ReadConcern

from regiment.contracts import Role
from regiment.errors import StoreError
from regiment_mongo import layout, moments, promises
from regiment_mongo.address import Address
from regiment_mongo.client import make_client
from regiment_mongo.clock import Clock
from regiment_mongo.errors import translated
from regiment_mongo.layout import Document, Store
from regiment_mongo.moments import EPOCH, Moment
from regiment_mongo.pin import Pin, can_pin

T = TypeVar("T")
Session = ClientSession | None

MAX_PAYLOAD = 15 * 1024 * 1024
"""Bytes; a document of MongoDB has at most 16 MiB, and a task brings its own fields along."""

DUPLICATE = 11000
"""The server's code for a second document under a unique key."""

MESSAGE = 16 * 1024 * 1024
"""Bytes of documents that are sent at once, about; a server takes 48,000,000."""

MOST_SENT = 10_000
"""Documents that are sent at once; a server takes 100,000."""

LASTING = WriteConcern(w="majority", j=True)
"""In the journals of most members: no crash and no election undoes it."""

LOCAL = {"level": "local"}
"""Each request names its own read concern, or the URL's, or the cluster's default, would do."""

BUILD = 60.0
"""Seconds that indexes may take to build."""


def successor(task: ObjectId) -> ObjectId:
    """The `_id` under which a task that was held as `task` goes back among the waiting.

    An `_id` is held at most once and never comes back, so a late delete or a late claim of the old one finds
    nothing; it is derived and not random, so that a repeat of the giving back makes no second copy.
    """
    return ObjectId(blake2b(task.binary, digest_size=12).digest())


class Stale(Exception):
    """A guard did not match: somebody else changed the consumer's document first. Read it again."""


class Copied(Exception):
    """A copy that a transaction was to make is there already."""


class Base:
    """Client, collections and clock of one cluster."""

    def __init__(self, address: Address, prefix: str, write_concern: str, timeout: float) -> None:
        self.address = address
        self.shown = address.shown
        self._prefix, self._concern, self._timeout = prefix, write_concern, timeout
        self._pid = 0
        self._client: MongoClient[Document] | None = None
        self._transactions = self._is_set = False
        self._made = self._lapsed = self._flows = False
        self._opening = threading.RLock()
        self._pin, self._pins = Pin(), False
        self.clock = Clock()

    def open(self, role: Role) -> None:
        with self._opening:
            self._open(role)

    def _open(self, role: Role) -> None:
        if self._client is not None and self._pid == os.getpid():
            return
        self._role = role
        with translated(self.shown, worked=self._lapsed):
            client = make_client(self.address.url, self._timeout)
            try:
                self._bind(client)
            except BaseException:
                client.close()
                raise
            self._client, self._pid, self._lapsed = client, os.getpid(), False

    def _bind(self, client: MongoClient[Document]) -> None:
        with pymongo.timeout(max(self._timeout, 0.5)):
            hello = client.admin.command("hello")
            self._is_set = "setName" in hello
            routed = hello.get("msg") == "isdbgrid"
            self._transactions = self._is_set or routed
            self._pins = not routed and can_pin(client)
            database = client.get_database(
                self.address.database,
                read_preference=ReadPreference.PRIMARY,
                read_concern=ReadConcern("local"),
                write_concern=WriteConcern(w=1),
            )
            self._database = database
            self._made, self._flows = layout.check(database, self._prefix, self.shown)
        if self._role != "look":
            names = layout.FOR_PUSH if self._role == "push" else tuple(layout.INDEXES)
            with pymongo.timeout(max(self._timeout, 0.5)):
                whole = self._made and not layout.lacking(database, self._prefix, names, self._flows)
            if not whole:
                self.lay_out()

        self.name_collections(database)

    def guest(self, client: MongoClient[Document]) -> Self:
        """The same collections over a client of the caller's, for what is asked in his session alone; it is never opened."""
        made = type(self)(self.address, self._prefix, self._concern, self._timeout)
        made._transactions = True
        options: dict[str, Any] = {"read_preference": ReadPreference.PRIMARY, "read_concern": ReadConcern("local")}
        made.name_collections(client.get_database(self.address.database, **options))
        return made

    def name_collections(self, database: Database[Document]) -> None:
        """The collections of this database, over its client."""
        self._database = database

        def store(name: str) -> Store:
            return database[f"{self._prefix}.{name}"]

        self._tasks, self._consumers, self._queues = (
            store("tasks"),
            store("consumers"),
            store("queues"),
        )
        self._dead, self._ids, self._tokens = store("dead"), store("ids"), store("tokens")
        self._values, self._locks, self._presence = (
            store("values"),
            store("locks"),
            store("presence"),
        )
        self._wakes = store("wakes")
        self._records, self._joins = store("records"), store("joins")
        self._outbox, self._follows = store("outbox"), store("follows")
        self._notices, self._acts, self._meta = store("notices"), store("acts"), store("meta")
        self._spots, self._rates, self._keys = store("spots"), store("rates"), store("keys")

    def lay_out(self) -> None:
        """Make what is missing of collections and indexes."""
        # Building indexes may take longer than a request.
        with pymongo.timeout(BUILD):
            layout.create(self._database, self._prefix, self.shown, self._flows)
        self._made = True

    def close(self) -> None:
        self._lapsed = False
        self._drop()

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None and self._pid == os.getpid():
            client.close()

    def renew_client(self, changed: bool = False) -> None:
        """Have the next request make another client where this one helps nobody: the driver forgets a member of a set that it
        sees as a stand-alone server, and with the last one it looks for none again; or (`changed`) the server is of another
        kind than it was.
        """
        with self._opening:
            client = self._client
            if client is None or self._pid != os.getpid():
                return
            if changed or not client.topology_description.server_descriptions():
                self._lapsed = True
                self._drop()

    @property
    def is_open(self) -> bool:
        return self._client is not None

    @property
    def client(self) -> MongoClient[Document]:
        """The open client; `StoreError` where there is none, or where it was opened on the other side of a fork."""
        if self._client is None:
            if not self._lapsed:
                raise StoreError(f"{self.shown} is not open; call open() first")
            self.open(self._role)
            assert self._client is not None
        if self._pid != os.getpid():
            raise StoreError(
                f"{self.shown} was opened by process {self._pid}; after a fork, make a connector of its own"
            )
        return self._client

    def durable(self) -> WriteConcern:
        """What a push waits for (`write_concern`)."""
        if self._concern == "majority":
            return LASTING
        return WriteConcern(w=1, j=self._concern == "journal")

    def together(self) -> AbstractContextManager[None]:
        """Of what is asked inside, each stands on what was answered before it, or fails. (`pin.py` tells how; where it cannot be,
        `firm` makes each stand by itself.)
        """
        return self._pin.hold(self.client) if self._pins else nullcontext()

    @property
    def firm(self) -> WriteConcern | None:
        """What a write waits for on which another builds `together`: for nothing where one connection ties them."""
        return None if self._pins else LASTING

    def atomically(
        self,
        work: Callable[[Session], T],
        concern: WriteConcern | None = None,
        before: Callable[[Any], None] = lambda id: None,
    ) -> T:
        """Do `work` in a transaction; on a stand-alone server one statement after the other. `before` is told the id of the
        transaction's session.

        So the order of the statements in `work` has to be one in which a crash loses nothing, and each has to be
        harmless on repeat: copies are made before originals go.
        """
        if not self._transactions:
            return work(None)
        with self.client.start_session() as session:
            before(session.session_id["id"])
            return session.with_transaction(
                work, ReadConcern("local"), concern or WriteConcern(w=1), ReadPreference.PRIMARY
            )

    def end(self, session: Any) -> None:
        """End a session with its transaction, which the server would keep open for a minute after its process was killed. Who
        is alive begins the transaction again. A server ends only sessions of the same user.
        """
        self.client.admin.command("killSessions", [{"id": session}])

    def ask(self, command: Document, concern: WriteConcern | None = None, session: Session = None) -> Document:
        """One command as it stands: a fifth less work than the driver's methods (measured), which also repeat a write
        themselves and have the server note each for it. Neither is needed where a turn or a token answers a repeat.
        """
        if session is None:
            if "find" in command or "count" in command:
                command.setdefault("readConcern", LOCAL)
            else:
                command["writeConcern"] = concern.document if concern is not None else {"w": 1}
        held = self._pin.connection
        reply: Document = (
            self._database.command(command, session=session)
            if held is None or session is not None
            else held.command(self._database.name, command, client=self._client)
        )
        failed = [*reply.get("writeErrors", ()), *filter(None, [reply.get("writeConcernError")])]
        if failed:
            # Of several errors the worst: "is there already" is what a repeat expects, a key that is held is not.
            worst = min(failed, key=lambda error: (error["code"] == DUPLICATE, "{ u:" not in error["errmsg"]))
            kind = DuplicateKeyError if worst["code"] == DUPLICATE else OperationFailure
            raise kind(worst["errmsg"], worst["code"], reply)
        return reply

    def store(
        self,
        store: Store,
        documents: Sequence[Document],
        session: Session = None,
        concern: WriteConcern | None = None,
    ) -> None:
        """Insert them all, in messages that a server takes; half the client's CPU of `insert_many` (measured: 6 µs for 11).
        `DuplicateKeyError` if some are there already; on a stand-alone server the others are stored then.
        """
        present = None
        for part in _messages(documents):
            try:
                self.ask({"insert": store.name, "ordered": False, "documents": part}, concern, session)
            except DuplicateKeyError as error:
                if session is not None:
                    raise
                present = error
        if present is not None:
            raise present

    # Time and numbers

    def moment(
        self,
        queue: str,
        *,
        numbers: int = 0,
        lease: float | None = None,
        priority: int | None = None,
        dead: int = 0,
    ) -> Moment:
        """One write to the queue's row: the server's time, `numbers` new places in the order, the notices.

        With `lease` (seconds) it applies the gap rule (R8) and sets the stamp: all deadlines of a queue are kept less
        its `shift`, so moving every one of them by the gap is this one atomic write.
        """
        fields = moments.asked(numbers, lease, priority, dead, ordered=self._transactions)
        sent = time.monotonic()
        row = self._queues.find_one_and_update(
            {"_id": queue},
            [{"$set": fields}],
            projection={"cancelled": 0},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        assert row is not None
        self.clock.saw(int(row["now"]), sent)
        return moments.read(row, numbers)

    def look_at(self, queue: str) -> Moment:
        """The same without a write, for those who only look."""
        row = self._queues.find_one({"_id": queue}, {"cancelled": 0}) or {}
        row["now"] = self.server_time()
        return moments.read(row, 0)

    def server_time(self) -> int:
        """Milliseconds of the server's clock, asked for now."""
        # Commands answer with dates that have no zone; they are UTC.
        sent = time.monotonic()
        local: datetime = self.client.admin.command("hello")["localTime"].replace(tzinfo=EPOCH.tzinfo)
        now = round((local - EPOCH) / timedelta(milliseconds=1))
        self.clock.saw(now, sent)
        return now

    # Waking

    def poke(self, queue: str, kind: str = "q") -> None:
        """Tell who waits for this queue (or, kind "l", this lock). A hint: what is lost costs one recheck."""
        try:
            self._wakes.with_options(write_concern=WriteConcern(w=0)).insert_one({"k": kind, "q": queue})
        except (pymongo.errors.PyMongoError, OSError):
            pass

    def tell(self, queue: str, concern: WriteConcern) -> Document:
        """The same as a write that is waited for."""
        hint = {"k": "q", "q": queue}
        return self.ask({"insert": self._wakes.name, "documents": [hint]}, concern)

    def refresh(self, queue: str) -> None:
        """Have every living consumer read its document and the queue's notices again before its next claim."""
        self._consumers.update_many({"q": queue, "st": 0}, {"$inc": {"v": 1}})

    # For `check --connect`

    @property
    def concern(self) -> str:
        """What a push waits for."""
        return self._concern

    def absent(self) -> list[str]:
        """Collections and indexes that are not there, or are otherwise; none where nothing was ever made."""
        return layout.lacking(self._database, self._prefix, flow=self._flows) if self._made else []

    def warnings(self) -> list[str]:
        """What this cluster cannot promise, one sentence each."""
        found = self.address.unguarded
        with translated(self.shown), pymongo.timeout(self._timeout):
            found += promises.lacking(self.client, self.shown, self._concern, safe=self._transactions)
            absent = self.absent()
        if absent:
            found.append(
                f"{self.shown} lacks {', '.join(absent)}, or has them otherwise; what is missing is made when a worker starts"
            )
        return found


def _messages(documents: Sequence[Document]) -> Iterator[Sequence[Document]]:
    """Parts of at most `MOST_SENT` documents and about `MESSAGE` bytes, but of one document at least."""
    first = size = 0
    for index, document in enumerate(documents):
        more = len(document["b"]) + 256
        if index > first and (size + more > MESSAGE or index - first == MOST_SENT):
            yield documents[first:index]
            first, size = index, 0
        size += more
    if first < len(documents):
        yield documents[first:]
