"""Time and places in the order, as a queue's row gives them.

Times in documents are milliseconds of the server's clock as whole numbers; `ex` and `gone` are dates, for TTL indexes.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from regiment_mongo.layout import Document

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017


NOW: Document = {"$toLong": "$$NOW"}
"""Milliseconds of the server's clock, in an expression."""

PLACE: Document = {
    "$add": [
        {"$multiply": [{"$subtract": [{"$tsSecond": "$$CLUSTER_TIME"}, 1_600_000_000]}, 1 << 32]},
        {"$multiply": [{"$tsIncrement": "$$CLUSTER_TIME"}, 1 << 14]},
    ]
}
"""A place in the order, in an expression, where there is a replica set: its logical clock, which every write moves on and
which no failover sets back. 16,384 places for each write: a push of more than 30,000 at once can overlap what comes next.
"""


def date(ms: float) -> datetime:
    """A moment of the server's clock as a date, for TTL indexes."""
    return EPOCH + timedelta(milliseconds=min(ms, 2.5e14))


class Moment(NamedTuple):
    """What a queue's row said, and when."""

    now: int
    shift: int
    first: int
    """First of the numbers that were asked for."""
    board: int
    paused: bool
    priorities: tuple[int, ...]
    new_priority: bool
    dead: int
    applied: int = 0
    """How many calls of `apply` there were."""
    leaving: bool = False
    """True if tasks of this queue leave something behind, or did."""
    flow: int = 0
    """Which change of the queue's rules was the last; 0: it has never seen a ticket or a rule."""


def asked(numbers: int, lease: float | None, priority: int | None, dead: int, *, ordered: bool) -> Document:
    """The fields that `Base.moment` sets; `ordered` where there is a replica set, whose clock gives places in the order."""
    now = NOW
    fields: Document = {"now": now}
    if numbers:
        last: Document = {"$ifNull": ["$seq", 0]}
        fields["seq"] = {"$add": [{"$max": [last, PLACE]} if ordered else last, numbers]}
    if dead:
        fields["dead"] = {"$add": [{"$ifNull": ["$dead", 0]}, dead]}
    if priority is not None:
        known = {"$ifNull": ["$ps", []]}
        fields["np"] = {"$not": [{"$in": [priority, known]}]}
        fields["ps"] = {"$setUnion": [known, [priority]]}
    if lease is not None:
        gap = {"$subtract": [now, {"$ifNull": ["$stamp", now]}]}
        # A clock that was set back takes the deadlines along, or the dead would keep theirs for so long. A small
        # step back is no jump: of two requests, the one that began first may come second.
        jumped = {"$gt": [{"$abs": gap}, lease * 1000 / 3]}
        fields["shift"] = {"$add": [{"$ifNull": ["$shift", 0]}, {"$cond": [jumped, gap, 0]}]}
        fields["stamp"] = now
    return fields


def read(row: Document, numbers: int) -> Moment:
    """What the row said, after `numbers` places were asked for."""
    return Moment(
        int(row["now"]),
        int(row.get("shift", 0)),
        int(row.get("seq", 0)) - numbers + 1,
        int(row.get("board", 0)),
        bool(row.get("paused", False)),
        tuple(sorted(row.get("ps", ()))),
        bool(row.get("np", False)),
        int(row.get("dead", 0)),
        int(row.get("ob", 0)),
        bool(row.get("ef", False)),
        int(row.get("fl", 0)),
    )
