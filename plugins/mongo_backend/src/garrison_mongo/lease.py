"""The lease: join, renew, exchange, release. The rules R1 to R18 are those of `docs/guarantees.md`.

What a consumer holds stands in its own document, with its turn and its guard `v`, so that fence, turn, settlement and
claim are one atomic write. `docs/mongo.md` has the states and what a crash between two writes leaves.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from garrison.contracts import Back, Dead, Settlement, Span, Taken, Terms
from garrison.errors import Fenced
from garrison_mongo.base import MAX_PAYLOAD, Base, Copied, Moment, Session, Stale, date
from garrison_mongo.layout import Document
from garrison_mongo.ledger import (
    CLOSED,
    FENCED,
    LIVE,
    Plan,
    Row,
    delayed,
    delivery,
    moved,
    remember,
    settle,
    waiting,
    weight,
)

MOST_LEASED = 5_000
"""Tasks that one exchange leases at most, whatever its limit: a consumer's document stays well below 16 MiB."""

MOST_HELD = MAX_PAYLOAD + 512 * 1024
"""Bytes that one consumer holds at most; a claim that would exceed it waits until something is settled."""

TAKEN_BACK = 500
PROMOTED = 500
TEND_EVERY = 0.25
"""Seconds between two looks at due tasks and overdue consumers while exchanges keep coming back full."""

FROM_START = 1.0
"""Seconds after which a search begins at the head of the queue again instead of behind what it took last."""

TRIES = 12
DAY = 86_400_000
TOMBSTONE = 3_600_000
"""Milliseconds that the tombstone of a closed consumer stays; no request is an hour late."""


class Facts:
    """What a connector knows of a queue between two looks at it."""

    def __init__(self) -> None:
        self.board = 0
        self.paused = False
        self.priorities: tuple[int, ...] = ()
        self.tended = 0.0
        self.started = 0.0
        self.marks: dict[int, int] = {}
        self.next: float | None = None
        """When something is due or somebody overdue, by this process's monotonic clock."""
        self.contended = 0
        self.excluded: list[ObjectId] = []

    def learn(self, moment: Moment) -> None:
        self.board, self.paused, self.priorities = moment.board, moment.paused, moment.priorities


class Leases(Base):
    """Who holds which task."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._rows: dict[str, Row] = {}
        self._facts: dict[str, Facts] = {}

    # Join and renew

    def join(self, queue: str, consumer: str, terms: Terms) -> None:
        name = f"{queue} {consumer}"
        moment = self.moment(queue, lease=terms.lease)
        document = {
            "_id": name, "q": queue, "c": consumer, "st": LIVE, "v": 0, "turn": 0, "h": 0, "held": [{"t": name}],
            "until": moment.now + int(terms.lease * 1000) - moment.shift,
            "lease": terms.lease, "poison": list(terms.poison_delays), "dl": terms.dead_limit, "da": terms.dead_age,
        }  # fmt: skip
        try:
            self._consumers.insert_one(document)
        except DuplicateKeyError:
            found = self._consumers.find_one({"_id": name}, {"st": 1})
            if found is None or found["st"] != LIVE:
                raise Fenced(
                    f"consumer {consumer} of {queue!r} was closed or taken for dead; join under a new name"
                ) from None
        self._rows.pop(name, None)

    def renew(
        self, consumers: Sequence[tuple[str, str]], seconds: float
    ) -> Sequence[tuple[str, str]]:
        lost: list[tuple[str, str]] = []
        queues: dict[str, list[str]] = {}
        for queue, consumer in consumers:
            queues.setdefault(queue, []).append(consumer)
        for queue, names in queues.items():
            ids = {f"{queue} {name}": name for name in names}
            alive = {"_id": {"$in": list(ids)}, "st": LIVE}
            found = {d["_id"]: d["lease"] for d in self._consumers.find(alive, {"lease": 1})}
            if found:
                moment = self.moment(queue, lease=min(found.values()))
                until = moment.now + int(seconds * 1000) - moment.shift
                done = self._consumers.update_many(alive, {"$max": {"until": until}})
                if done.matched_count != len(found):
                    found = {d["_id"]: 0.0 for d in self._consumers.find(alive, {"_id": 1})}
            lost += [(queue, name) for id, name in ids.items() if id not in found]
        return lost

    # For waiting, and for several clusters

    def due(self, queue: str) -> float | None:
        """When something of this queue is due, by the monotonic clock."""
        facts = self._facts.get(queue)
        return None if facts is None else facts.next

    def is_due(self, queue: str) -> bool:
        at = self.due(queue)
        return at is not None and at <= time.monotonic()

    def row(self, queue: str, consumer: str) -> Row | None:
        """The consumer as this connector knows it, else as it is stored."""
        name = f"{queue} {consumer}"
        return self._rows.get(name) or self._read(name)

    def ended(self, queue: str, consumer: str) -> bool:
        """Whether it is fenced or closed here (and not merely unknown)."""
        return (
            self._consumers.count_documents({"_id": f"{queue} {consumer}", "st": {"$ne": LIVE}})
            == 1
        )

    def knows(self, queue: str, consumer: str, receipt: int) -> bool:
        row = self._rows.get(f"{queue} {consumer}")
        return row is not None and receipt in row.held

    def exchange_in(
        self,
        queue: str,
        consumer: str,
        turn: int,
        base: int,
        settlements: Sequence[Settlement],
        limit: int,
        max_bytes: int,
        holds_nothing: bool,
    ) -> Taken:
        """`exchange` for one of several clusters, which do not see every turn: later ones are as good as the next."""
        row = self.row(queue, consumer)
        if row is not None and row.state == LIVE and row.turn < turn - 1:
            row.turn = turn - 1
        return self.exchange(
            queue, consumer, turn, base, settlements, limit, max_bytes, holds_nothing
        )

    # Exchange

    def exchange(
        self,
        queue: str,
        consumer: str,
        turn: int,
        base: int,
        settlements: Sequence[Settlement],
        limit: int,
        max_bytes: int,
        holds_nothing: bool = False,
    ) -> Taken:
        name = f"{queue} {consumer}"
        limit = min(limit, MOST_LEASED)
        facts = self._facts.get(queue) or self._facts.setdefault(queue, Facts())
        fresh = False
        for _ in range(TRIES):
            row = self._rows.get(name)
            if row is None:
                row, fresh = self._read(name), True
            if row is None or row.state != LIVE or turn < 1 or turn - row.turn not in (0, 1):
                if not fresh:
                    self._rows.pop(name, None)
                    continue
                raise Fenced(self._refusal(queue, consumer, turn, row))
            try:
                if row.turn == turn:
                    return self._repeat(queue, row, facts, limit)
                return self._execute(
                    queue, row, facts, turn, base, settlements, limit, max_bytes, holds_nothing
                )
            except Stale:
                self._rows.pop(name, None)
        raise Fenced(
            f"consumer {consumer} of {queue!r} was changed by others {TRIES} times while it spoke; join anew"
        )

    def _refusal(self, queue: str, consumer: str, turn: int, row: Row | None) -> str:
        if row is None:
            return f"consumer {consumer} of {queue!r} is unknown here; join first"
        if row.state != LIVE:
            return f"consumer {consumer} of {queue!r} was closed or taken for dead; join under a new name"
        return f"consumer {consumer} of {queue!r} sent turn {turn}; expected {row.turn} again or {row.turn + 1}"

    def _read(self, name: str) -> Row | None:
        """A consumer's document, and after it the queue's notices: what is changed later changes its guard."""
        document = self._consumers.find_one({"_id": name})
        if document is None:
            return None
        row = Row(document)
        facts = self._facts.setdefault(row.queue, Facts())
        facts.learn(self.look_at(row.queue))
        facts.marks.clear()
        self._rows[name] = row
        return row

    def _repeat(self, queue: str, row: Row, facts: Facts, limit: int) -> Taken:
        """R4: the answer of the last turn, which is what the consumer still holds of it. The claim is completed first."""
        batch = row.batch()
        if batch:
            self._tasks.delete_many({"_id": {"$in": [item["t"] for item in batch]}})
        if not batch and limit > 0:
            self.watch(queue)
        self._tend(queue, row, facts)
        if (
            not batch
            and limit > 0
            and not facts.paused
            and self._ready(queue, facts, 1, 1, start=True)
        ):
            facts.next = time.monotonic()
        now = self.about_now()
        return Taken(
            row.lost, [delivery(item, now) for item in batch], self._until(facts), facts.board
        )

    def _execute(
        self,
        queue: str,
        row: Row,
        facts: Facts,
        turn: int,
        base: int,
        settlements: Sequence[Settlement],
        limit: int,
        max_bytes: int,
        holds_nothing: bool,
    ) -> Taken:
        plan = settle(row, settlements, holds_nothing)
        if row.before is not None and row.before["turn"] == turn:
            plan = Plan(list(row.before["lost"]), [], [])
        elif plan.moves:
            self._move(queue, row, turn, plan)
            plan = Plan(plan.lost, [], [])
        if row.held and limit > 0:
            highest = max(row.held)
            if base <= highest:
                raise ValueError(f"base is {base}; expected more than {highest}, which is held")
        moment_now = time.monotonic()
        overdue = facts.next is not None and facts.next <= moment_now
        tended = overdue or moment_now - facts.tended > TEND_EVERY
        if tended:
            self._tend(queue, row, facts)
        batch: list[Document] = []
        registered = False
        for _ in range(TRIES):
            tasks = (
                [] if facts.paused or limit <= 0 else self._ready(queue, facts, limit, max_bytes)
            )
            if not tasks and limit > 0 and not registered:
                # Listen first, then look again from the start: no push falls between.
                self.watch(queue)
                registered = True
                self._tend(queue, row, facts)
                if not facts.paused:
                    tasks = self._ready(queue, facts, limit, max_bytes, start=True)
            claimed = self._fitting(row, plan, tasks, base, max_bytes)
            try:
                self._write(row, turn, base, plan, claimed)
            except DuplicateKeyError:
                self._collided(facts, [item["t"] for item in claimed], limit)
                continue
            plan = Plan(plan.lost, [], [])
            batch = self._confirm(row, claimed)
            if batch or not claimed:
                break
        else:
            self._write(row, turn, base, plan, [])
        now = self.about_now()
        return Taken(
            plan.lost, [delivery(item, now) for item in batch], self._until(facts), facts.board
        )

    def _until(self, facts: Facts) -> float | None:
        return None if facts.next is None else max(0.0, facts.next - time.monotonic())

    def _ready(
        self, queue: str, facts: Facts, limit: int, max_bytes: int, start: bool = False
    ) -> list[Document]:
        """The first ready tasks. The search begins behind what was taken last, because every search walks the index
        entries of what was removed (measured: twice the cost after 5,000); now and then it begins at the head.
        """
        now = time.monotonic()
        if start or now - facts.started > FROM_START:
            facts.marks.clear()
            facts.excluded.clear()
            facts.started = now
        size = limit + len(facts.excluded)
        found: list[Document] = []
        levels: Sequence[int | None] = facts.priorities if facts.marks else (None,)
        for level in levels:
            query: Document = {"q": queue}
            if level is None:
                query["p"], query["s"] = {"$gte": -(2**31)}, {"$gte": 0}
            else:
                query["p"], query["s"] = level, {"$gte": facts.marks.get(level, 0)}
            wanted = size - len(found)
            if facts.contended and limit < 50:
                wanted = min(wanted * 4, wanted + 16)
            # A negative limit: one reply, as many as fit into it, and no cursor left open.
            found += self._tasks.find(
                query, limit=-wanted, batch_size=wanted, sort=[("p", 1), ("s", 1)], hint="ready"
            )
            if len(found) >= size:
                break
        if facts.excluded:
            out = set(facts.excluded)
            found = [task for task in found if task["_id"] not in out]
        if facts.contended and len(found) > limit:
            # Others are claiming the same head: start a little behind it, each at a place of its own.
            skip = int.from_bytes(ObjectId().binary[-1:], "big") % (len(found) - limit + 1)
            facts.contended -= 1
            found = found[skip:]
        return found[:limit]

    def _fitting(
        self, row: Row, plan: Plan, tasks: list[Document], base: int, max_bytes: int
    ) -> list[Document]:
        """The tasks that fit, as items: their documents with a receipt, under the name `t`."""
        gone = set(plan.gone)
        room = MOST_HELD - sum(
            weight(item) for receipt, item in row.held.items() if receipt not in gone
        )
        held = len(row.held) - len(gone)
        items: list[Document] = []
        size = 0
        for number, task in enumerate(tasks, base):
            size += len(task["b"])
            room -= weight(task)
            if (items and size > max_bytes) or (room < 0 and (items or held)):
                break
            task["t"], task["r"] = task.pop("_id"), number
            del task["q"]
            items.append(task)
        return items

    def _write(self, row: Row, turn: int, base: int, plan: Plan, claimed: list[Document]) -> None:
        """The one write of an exchange: fence and turn in its filter; settlement and claim in its update. `Stale` if
        somebody changed the consumer; `DuplicateKeyError` (nothing done) if another holds one of these tasks.
        """
        gone = set(plan.gone)
        kept = {r: item for r, item in row.held.items() if r not in gone}
        fields: Document = {
            "turn": turn,
            "base": base,
            "lost": plan.lost,
            "h": len(kept) + len(claimed),
        }
        update: Document = {"$set": fields, "$inc": {"v": 1}}
        if gone or claimed:
            if kept and claimed and not gone:
                update["$push"] = {"held": {"$each": claimed}}
            elif kept and gone and not claimed:
                update["$pull"] = {"held": {"r": {"$in": plan.gone}}}
            else:
                fields["held"] = [{"t": row.id}, *kept.values(), *claimed]
        if row.before is not None:
            update["$unset"] = {"pre": 1}
        if (
            self._consumers.update_one(
                {"_id": row.id, "v": row.v, "st": LIVE}, update
            ).matched_count
            != 1
        ):
            raise Stale
        row.v += 1
        row.turn, row.base, row.lost, row.before = turn, base, plan.lost, None
        row.held = kept
        row.held.update((item["r"], item) for item in claimed)

    def _confirm(self, row: Row, claimed: list[Document]) -> list[Document]:
        """Take what was claimed out of the waiting tasks. What is not there any more was claimed from an old reading,
        after another consumer had claimed and finished it: it is struck from the document and not delivered.
        """
        if not claimed:
            return []
        ids = [item["t"] for item in claimed]
        facts = self._facts[row.queue]
        if len(ids) == 1:
            there = set(ids) if self._tasks.delete_one({"_id": ids[0]}).deleted_count else set()
            deleted = True
        else:
            there, deleted = self._there(ids), False
        if len(there) < len(ids):
            claimed = self._strike_stale(row, claimed, there)
        if not deleted and there:
            self._tasks.delete_many({"_id": {"$in": list(there)}})
        for item in claimed:
            facts.marks[item["p"]] = max(item["s"], facts.marks.get(item["p"], 0))
        return claimed

    def _there(self, ids: list[ObjectId]) -> set[ObjectId]:
        """Those of the ids that are still among the waiting tasks; a count says "all" at half the cost of a list."""
        wanted = {"_id": {"$in": ids}}
        if self._database.command("count", self._tasks.name, query=wanted, hint="_id_")["n"] == len(
            ids
        ):
            return set(ids)
        return {task["_id"] for task in self._tasks.find(wanted, {"_id": 1})}

    def _strike_stale(
        self, row: Row, claimed: list[Document], there: set[ObjectId]
    ) -> list[Document]:
        good = [item for item in claimed if item["t"] in there]
        rest = [item for r, item in row.held.items() if r < row.base]
        for number, item in enumerate(good, row.base):
            item["r"] = number
        held = [{"t": row.id}, *rest, *good]
        update = {"$set": {"held": held, "h": len(held) - 1}, "$inc": {"v": 1}}
        if (
            self._consumers.update_one(
                {"_id": row.id, "v": row.v, "st": LIVE}, update
            ).matched_count
            != 1
        ):
            raise Stale
        row.v += 1
        row.held = {item["r"]: item for item in (*rest, *good)}
        return good

    def _collided(self, facts: Facts, ids: list[ObjectId], limit: int) -> None:
        """Another consumer holds some of these; leave out what it is about to remove, and look a little further."""
        taken: set[Any] = set()
        for document in self._consumers.find({"held.t": {"$in": ids}}, {"held.t": 1}):
            taken |= {item["t"] for item in document["held"]}
        facts.excluded = [*facts.excluded, *(id for id in ids if id in taken)][-2000:]
        facts.contended = 8

    # Settlements that move a task to another place

    def _move(self, queue: str, row: Row, turn: int, plan: Plan) -> None:
        """Before the claim of a turn: copies first, then the consumer's document, which notes the answer so far."""
        moment = self.moment(queue, numbers=len(plan.moves))
        tasks, letters = [], []
        for number, (item, settlement) in enumerate(plan.moves, moment.first):
            if isinstance(settlement, Dead):
                letters.append(self._letter(queue, row, item, settlement, moment, number))
            else:
                tasks.append(moved(queue, item, settlement, moment, number))
        out = [item for item, _ in plan.moves]
        gone = [*plan.gone, *(item["r"] for item in out)]
        note = {"turn": turn, "lost": plan.lost}
        self._transfer(row, tasks, letters, out, gone, {"pre": note})
        row.before = note
        if letters:
            self._bound_letters(queue, row.dead_limit, self.moment(queue, dead=len(letters)))
        if any(isinstance(settlement, Back) for _, settlement in plan.moves):
            self._facts[queue].marks.clear()
            self._returned(queue, row)
        elif tasks:
            self._facts[queue].marks.clear()
            self.poke(queue)

    def _returned(self, queue: str, row: Row) -> None:
        """Something stands in front again: others must not begin their search behind it."""
        self._consumers.update_many(
            {"q": queue, "st": LIVE, "_id": {"$ne": row.id}}, {"$inc": {"v": 1}}
        )
        self.poke(queue)

    def _transfer(
        self,
        row: Row,
        tasks: list[Document],
        letters: list[Document],
        out: list[Document],
        gone: Sequence[int],
        fields: Document,
    ) -> None:
        """Atomically where the server can: store `tasks` and `letters`, forget `out`, take `gone` off the document.

        On a stand-alone server in this order, so that a crash leaves a copy and never nothing; the repeat makes the
        same copies under the same `_id`s. `Stale` if the consumer was changed by somebody else.
        """
        left = [item for r, item in row.held.items() if r not in set(gone)]
        update = {
            "$set": {**fields, "held": [{"t": row.id}, *left], "h": len(left)},
            "$inc": {"v": 1},
        }
        guard = {"_id": row.id, "v": row.v}

        def work(session: Session) -> None:
            if session is None and self._consumers.count_documents(guard) != 1:
                raise Stale
            for store, documents in ((self._tasks, tasks), (self._dead, letters)):
                if documents:
                    try:
                        store.insert_many(documents, ordered=False, session=session)
                    except BulkWriteError as error:
                        if any(
                            e.get("code") != 11000 for e in error.details.get("writeErrors", [])
                        ):
                            raise
                        if session is not None:
                            raise Copied from None
            if out:
                self._tasks.delete_many(
                    {"_id": {"$in": [item["t"] for item in out]}}, session=session
                )
            if self._consumers.update_one(guard, update, session=session).matched_count != 1:
                raise Stale

        try:
            self.atomically(work)
        except Copied:
            # Made by a giving back that was cut off while this set was a stand-alone server.
            there = self._there([task["_id"] for task in tasks])
            tasks = [task for task in tasks if task["_id"] not in there]
            wanted = {"_id": {"$in": [letter["_id"] for letter in letters]}}
            dead = {letter["_id"] for letter in self._dead.find(wanted, {"_id": 1})}
            letters = [letter for letter in letters if letter["_id"] not in dead]
            self.atomically(work)
        row.v += 1
        row.held = {item["r"]: item for item in left}
        row.state = fields.get("st", row.state)

    def _letter(
        self, queue: str, row: Row, item: Document, settlement: Dead, moment: Moment, number: int
    ) -> Document:
        return {
            "_id": waiting(queue, item)["_id"],
            "q": queue,
            "t": settlement.task_id,
            "b": item["b"] if settlement.payload is None else settlement.payload,
            "r": settlement.reason,
            "p": item["p"],
            "at": moment.now,
            "d": number,
            "ex": date(moment.now + row.dead_age * 1000),
            **({"i": item["i"]} if "i" in item else {}),
        }

    def _bound_letters(self, queue: str, limit: int, moment: Moment) -> None:
        """Delete the oldest letters beyond `limit`. The row's count may be too high (TTL deletes too), never too low."""
        if moment.dead <= limit:
            return
        total = self._dead.count_documents({"q": queue})
        if total > limit:
            oldest = (
                self._dead.find({"q": queue}, {"_id": 1})
                .sort([("at", 1), ("d", 1)])
                .limit(total - limit)
            )
            self._dead.delete_many({"_id": {"$in": [d["_id"] for d in oldest]}})
        self._queues.update_one(
            {"_id": queue, "dead": moment.dead}, {"$set": {"dead": min(total, limit)}}
        )

    # What every exchange does for the queue now and then

    def _tend(self, queue: str, row: Row, facts: Facts) -> None:
        """Gap rule and stamp (R8), overdue consumers (R6), due tasks; then when to look again."""
        moment = self.moment(queue, lease=row.lease)
        facts.learn(moment)
        others = {"q": queue, "h": {"$gt": 0}, "_id": {"$ne": row.id}}
        left = TAKEN_BACK
        overdue = {**others, "until": {"$lt": moment.now - moment.shift}}
        for document in (
            self._consumers.find(overdue, {"_id": 1}, hint="deadline").sort("until", 1).limit(20)
        ):
            left -= self._take_back(queue, document["_id"], moment, left)
            if left <= 0:
                break
        due = list(
            self._tasks.find({"q": queue, "at": {"$lte": moment.now}}, {"at": 1}, hint="delayed")
            .sort([("at", 1), ("d", 1)])
            .limit(PROMOTED)
        )
        if due:
            self._promote(queue, due)
            facts.marks.clear()
        facts.next = self._ahead(queue, others, moment)
        facts.tended = time.monotonic()

    def _ahead(self, queue: str, others: Document, moment: Moment) -> float | None:
        """When the earliest delayed task is due or another consumer overdue, by the monotonic clock."""
        times = []
        task = self._tasks.find_one(
            {"q": queue, "at": {"$gte": 0}}, {"at": 1}, sort=[("at", 1), ("d", 1)], hint="delayed"
        )
        if task is not None:
            times.append(task["at"])
        consumer = self._consumers.find_one(
            others, {"until": 1}, sort=[("until", 1)], hint="deadline"
        )
        if consumer is not None:
            # "Overdue" is strictly later than the deadline.
            times.append(consumer["until"] + moment.shift + 1)
        if not times:
            return None
        return time.monotonic() + float(max(0, min(times) - moment.now)) / 1000

    def _promote(self, queue: str, due: list[Document]) -> None:
        """Due tasks join the tail of their priority in due order; of two who promote the same one, one does."""
        first = self.moment(queue, numbers=len(due)).first
        self._tasks.bulk_write(
            [
                UpdateOne(
                    {"_id": task["_id"], "at": task["at"]},
                    {"$set": {"s": first + i, "w": task["at"]}, "$unset": {"at": 1, "d": 1}},
                )
                for i, task in enumerate(due)
            ],
            ordered=False,
        )
        self.poke(queue)

    def _take_back(self, queue: str, name: str, moment: Moment, most: int) -> int:
        """R6: fence an overdue consumer for good, then return its deliveries in front, count + 1, at most `most`."""
        document = self._consumers.find_one({"_id": name})
        if document is None or document["until"] >= moment.now - moment.shift:
            return 0
        row = Row(document)
        if row.state == LIVE:
            guard = {"_id": name, "v": row.v, "st": LIVE, "until": document["until"]}
            if (
                self._consumers.update_one(
                    guard, {"$set": {"st": FENCED}, "$inc": {"v": 1}}
                ).matched_count
                != 1
            ):
                return 0
            row.v += 1
            row.state = FENCED
        out = [row.held[receipt] for receipt in sorted(row.held)[:most]]
        tasks = []
        for item in out:
            task = waiting(queue, item)
            task["c"] = task.get("c", 0) + 1
            tasks.append(task)
        fields: Document = (
            {"gone": date(moment.now + DAY)}
            if len(out) == len(row.held) and row.state == FENCED
            else {}
        )
        try:
            self._transfer(row, tasks, [], out, [item["r"] for item in out], fields)
        except Stale:
            return 0
        self._facts[queue].marks.clear()
        self.refresh(queue)
        self.poke(queue)
        return len(out)

    # Release

    def release(
        self,
        queue: str,
        consumer: str,
        done: Sequence[Span],
        suspects: Mapping[int, bytes],
        *,
        only: Span | None = None,
        close: bool = False,
    ) -> None:
        name = f"{queue} {consumer}"
        while True:
            document = self._consumers.find_one({"_id": name})
            if document is None:
                if close:
                    now = self.server_time()
                    tombstone = {"q": queue, "c": consumer, "st": CLOSED, "v": 0, "h": 0, "until": 0,
                                 "held": [{"t": name}], "gone": date(now + TOMBSTONE)}  # fmt: skip
                    self._consumers.update_one(
                        {"_id": name}, {"$setOnInsert": tombstone}, upsert=True
                    )
                return
            row = Row(document)
            try:
                self._release(queue, row, done, suspects, only, close)
                return
            except Stale:
                continue

    def _release(
        self,
        queue: str,
        row: Row,
        done: Sequence[Span],
        suspects: Mapping[int, bytes],
        only: Span | None,
        close: bool,
    ) -> None:
        if row.state == CLOSED:
            return
        finished = [r for r in row.held if any(first <= r <= last for first, last in done)]
        over = set(finished)
        back = [
            r
            for r in sorted(row.held)
            if r not in over and (only is None or only[0] <= r <= only[1])
        ]
        moment = self.moment(queue, numbers=len(back) + 1)
        tasks = []
        for number, receipt in enumerate(back, moment.first):
            item = row.held[receipt]
            if receipt not in suspects:
                tasks.append(waiting(queue, item))
                continue
            count = item.get("c", 0) + 1
            suspect = {**item, "c": count}
            if suspects[receipt]:
                suspect["n"] = suspects[receipt]
            delay = row.poison[min(count, len(row.poison)) - 1] if row.poison else 0.0
            if delay > 0:
                tasks.append(delayed(queue, suspect, moment.now + int(delay * 1000), number))
            else:
                tasks.append(waiting(queue, suspect))
        fields: Document = {}
        if finished and not close:
            fields["kd"] = remember(row.settled, finished)
        if close:
            fields |= {"st": CLOSED, "gone": date(moment.now + TOMBSTONE)}
        gone = [*finished, *back]
        if not gone and not fields:
            return
        self._transfer(row, tasks, [], [row.held[r] for r in gone], gone, fields)
        self._rows.pop(row.id, None)
        if tasks:
            facts = self._facts.get(queue)
            if facts is not None:
                facts.marks.clear()
            self._returned(queue, row)

    def watch(self, queue: str) -> None:
        """Begin to listen for this queue; what is pushed from now on ends the next wait."""
        raise NotImplementedError
