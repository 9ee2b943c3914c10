"""A consumer's document as the connector knows it, and what settlements would make of it. Nothing here speaks to a store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import Any, NamedTuple

from bson import ObjectId, Timestamp

from regiment.contracts import Again, Back, Dead, Delivery, Done, Park, Settlement
from regiment_mongo.base import successor
from regiment_mongo.effects import version
from regiment_mongo.entries import ENTRIES, size_of
from regiment_mongo.layout import Document
from regiment_mongo.moments import Moment
from regiment_mongo.turns import Turns

LIVE, FENCED, CLOSED = 0, 1, 2

MARKS = frozenset({"slots", "us"})
"""Fields of a consumer that has tasks with numbers or keys: all of these."""

KEPT_SPANS = 200
"""How many spans of receipts that the keeper settled are remembered, so that their worker does not hear "lost"."""


LEAST_DISTRUST, MOST_DISTRUST = 1.0, 60.0
"""Seconds without reading ahead after a dispute; twice as long after each that follows soon."""


class Row:
    """A consumer: its guard `v`, its turn, and what it holds (receipt -> item, the item as it is stored)."""

    def __init__(self, document: Document) -> None:
        self.id: str = document["_id"]
        self.queue: str = document["q"]
        self.state: int = document["st"]
        self.v: int = document["v"]
        self.turn: int = document.get("turn", 0)
        self.base: int = document.get("base", 0)
        self.lost: list[int] = list(document.get("lost", ()))
        self.before: Document | None = document.get("pre")
        """What was settled ahead of the claim in a turn that is not complete: its turn and its answer."""
        self.settled: list[list[int]] = [list(span) for span in document.get("kd", ())]
        self.lease: float = document.get("lease", 30.0)
        self.poison: list[float] = list(document.get("poison", (0.0,)))
        self.once: bool = document.get("once", False)
        """`delivery="at_most_once"`: what it claims and settles must not be undone."""
        self.dead_limit: int = document.get("dl", 100_000)
        self.dead_age: float = document.get("da", 90 * 86_400.0)
        self.held: dict[int, Document] = {item["r"]: item for item in document["held"][1:]}
        self.out: list[Document] = [
            entry if "v" in entry else {**entry, "v": version(document["ov"])} for entry in document.get("out", ())
        ]
        """What it leaves behind and the document still has (`outbox.py`)."""
        self.slots: int = document.get("sl", 0)
        """How many tasks it runs at a time; 0 if the document does not say."""
        self.marked: Set[str] = document.keys() & MARKS
        """Of `MARKS`, what the document has."""
        self.sent: Any = None
        """The connection over which all of that was relayed; True if it was relayed for good."""

    def batch(self) -> list[Document]:
        """The items of the last turn, by receipt."""
        return [self.held[r] for r in sorted(self.held) if r >= self.base]

    def mark(self, items: Iterable[Document], fields: Document, update: Document) -> None:
        """Have an update with which the consumer holds these items say which numbers and keys they have, if any."""
        marks = marks_of(items)
        fields.update(marks)
        gone = self.marked - marks.keys()
        if gone:
            update.setdefault("$unset", {}).update(dict.fromkeys(gone, 1))

    def bytes(self) -> int:
        """About how much room its items take in the document."""
        return sum(weight(item) for item in self.held.values())


class Claim(NamedTuple):
    """That a consumer has claimed something."""

    consumer: str
    turn: int
    at: Timestamp | None
    """When it was written, by the clock of a replica set; None if there is none, or while its answer is awaited."""
    sent: bool = False
    """Whether what was claimed may have been removed."""


class Facts:
    """What a connector knows of a queue between two looks at it."""

    def __init__(self) -> None:
        self.board = 0
        self.paused = False
        self.priorities: tuple[int, ...] = ()
        self.tended = 0.0
        self.rested = False
        """Whether the last exchange looked at all of that and found nothing to lease."""
        self.started = 0.0
        """When the search last began at the head, by this process's monotonic clock, as all moments here."""
        self.marks: dict[int, int] = {}
        """Behind which place the search goes on, by priority."""
        self.ahead: list[Document] = []
        """Ready tasks that were read and not claimed yet, in their order."""
        self.read = 0.0
        """When they were read."""
        self.old = False
        """Whether what is being claimed was read ahead."""
        self.reach = 1
        """For how many exchanges to read at a time."""
        self.light = False
        """Whether the payloads that were read last were small."""
        self.alone, self.distrust = 0.0, LEAST_DISTRUST
        """From when on nobody else seems to claim here, and for how many seconds the next dispute moves that."""
        self.next: float | None = None
        """When something is due or somebody overdue."""
        self.untold = 0
        """How many tasks this connector has promoted that others have not been told of."""
        self.unproven: Claim | None = None
        """The claim that was sent and is not compared yet with what was among the waiting tasks."""
        self.applied = 0
        """Which call of `apply` was the last after which nothing is left to be sent on."""
        self.gathered = 0.0
        """When this connector last looked for what consumers have left."""
        self.flow = 0
        """Which change of the queue's rules was the last; 0: it has no lanes."""
        self.turns = Turns()
        self.told: dict[str, float] = {}
        """By consumer: the moment that it was told to look again, since something that is closed opens then."""
        self.contended = 0
        self.excluded: list[ObjectId] = []

    def in_lanes(self) -> bool:
        """Whether the queue has seen a ticket or a rule."""
        return self.flow > 0

    def restart(self) -> None:
        """Search from the head again."""
        self.marks.clear()
        self.ahead.clear()
        self.turns.forget()

    def dispute(self, now: float) -> None:
        """Another consumer holds, or has finished, what this one wanted: what was read ahead is likely not there either."""
        self.ahead.clear()
        if now > self.alone + self.distrust:
            self.distrust = LEAST_DISTRUST
        self.alone = now + self.distrust
        self.distrust = min(MOST_DISTRUST, self.distrust * 2)

    def learn(self, moment: Moment) -> None:
        self.board, self.paused, self.priorities = moment.board, moment.paused, moment.priorities
        self.flow = moment.flow


class Plan(NamedTuple):
    """What settlements ask for, receipt by receipt. `moves` are those that leave the document for another place."""

    lost: list[int]
    gone: list[int]
    moves: list[tuple[Document, Back | Again | Park | Dead]]
    out: Document | None = None
    """What they leave behind, as an entry of the outbox."""

    def taken(self) -> list[int]:
        """The receipts that have effects: taken by `Done`, `Again` or `Dead`."""
        return [*self.gone, *(item["r"] for item, how in self.moves if isinstance(how, (Again, Dead)))]


def marks_of(items: Iterable[Document]) -> Document:
    """The numbers and keys of what a consumer holds."""
    slots = [slot for item in items if "x" in item for slot in item["x"]]
    keys = [item["u"] for item in items if "u" in item]
    return {**({"slots": slots} if slots else {}), **({"us": keys} if keys else {})}


def weight(item: Document) -> int:
    return len(item["b"]) + len(item.get("n") or b"") + 128 + (size_of(item) if ENTRIES in item else 0)


def settle(row: Row, settlements: Sequence[Settlement], holds_nothing: bool) -> Plan:
    """Judge settlements against what the consumer holds; a receipt that its own keeper settled is not lost (R9)."""
    held = dict(row.held)
    lost: list[int] = []
    gone: list[int] = []
    moves: list[tuple[Document, Back | Again | Park | Dead]] = []
    for settlement in settlements:
        if isinstance(settlement, (Done, Back)):
            for receipt in range(settlement.first, settlement.last + 1):
                item = held.pop(receipt, None)
                if item is None:
                    if isinstance(settlement, Back) or not _inside(row.settled, receipt):
                        lost.append(receipt)
                elif isinstance(settlement, Done):
                    gone.append(receipt)
                else:
                    moves.append((item, settlement))
        else:
            item = held.pop(settlement.receipt, None)
            if item is None:
                lost.append(settlement.receipt)
            else:
                moves.append((item, settlement))
    if holds_nothing:
        moves += [(item, Back(receipt, receipt)) for receipt, item in held.items()]
    return Plan(lost, gone, moves)


def _inside(spans: list[list[int]], receipt: int) -> bool:
    return any(first <= receipt <= last for first, last in spans)


def remember(spans: list[list[int]], receipts: Sequence[int]) -> list[list[int]]:
    """`spans` with these receipts too; the oldest are forgotten."""
    for receipt in sorted(receipts):
        if spans and spans[-1][1] == receipt - 1:
            spans[-1][1] = receipt
        else:
            spans.append([receipt, receipt])
    return spans[-KEPT_SPANS:]


def waiting(queue: str, item: Document) -> Document:
    """An item as a ready task again: its place, priority, count, note and parking unchanged."""
    task: Document = {"_id": successor(item["t"]), "q": queue}
    task.update((k, v) for k, v in item.items() if k not in ("t", "r", "te", "x"))
    return task


def delayed(queue: str, item: Document, due: int, number: int) -> Document:
    """An item as a delayed task."""
    task = waiting(queue, item)
    task.pop("s", None)
    task.pop("w", None)
    task["at"], task["d"] = due, number
    return task


def moved(queue: str, item: Document, settlement: Back | Again | Park, moment: Moment, number: int) -> Document:
    """The task that a settlement makes of an item; `number` is a fresh place at the tail."""
    if isinstance(settlement, Back):
        return waiting(queue, item)
    if isinstance(settlement, Park):
        task = delayed(queue, item, moment.now + int(settlement.delay * 1000), number)
        task.setdefault("k", moment.now)
        return task
    fresh = {k: v for k, v in item.items() if k not in ("c", "n", "k")}
    fresh["b"] = settlement.payload
    if settlement.priority is not None:
        fresh["p"] = settlement.priority
    if settlement.delay > 0:
        return delayed(queue, fresh, moment.now + int(settlement.delay * 1000), number)
    task = waiting(queue, fresh)
    task["s"], task["w"] = number, moment.now
    return task


def delivery(item: Document, now: float) -> Delivery:
    parked: Any = item.get("k")
    since = 0.0 if parked is None else max(0.001, (now - parked) / 1000)
    return Delivery(item["r"], item["b"], item.get("c", 0), item.get("n"), since)
