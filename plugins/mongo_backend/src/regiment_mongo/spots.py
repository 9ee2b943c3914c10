"""Spots, lanes and tickets as they are stored, and which rule holds. Nothing here speaks to a store.

A ready task of a lane has for `p` a text, its priority in ten digits and its lane, where another has a number. So the index `ready` sorts such
tasks by priority, pool, lane and place; a search for numbers does not see them; and a release that knows no lanes leases none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from regiment.contracts import Rule, Spot, Ticket, as_rule
from regiment_mongo.layout import Document

SHIFT = 2**31
"""What is added to a priority, so that its digits sort as it does."""

DIGITS = 10

QUEUE: Spot = ("", "")


def lane_key(pool: str, lane: str) -> str:
    """A lane as one text: pools sort by name, and in a pool its lanes; "" is where tasks without a ticket stand."""
    if not pool and not lane:
        return ""
    return pool.replace("\1", "\1\3").replace("\0", "\1\2") + "\0" + lane


def spot_of(key: str) -> Spot:
    """The pool and the lane of such a text."""
    pool, _, lane = key.partition("\0")
    return pool.replace("\1\2", "\0").replace("\1\3", "\1"), lane


def pool_range(pool: str) -> tuple[str, str]:
    """From which text on, and below which, the lanes of a pool are."""
    begin = lane_key(pool, "") or "\0"
    return begin, begin[:-1] + "\1"


def level(priority: int) -> str:
    """With what `p` of the tasks in lanes begins that have this priority."""
    return f"{priority + SHIFT:0{DIGITS}d}"


def shelved(task: Document) -> Document:
    """A task as it stands among the waiting ones."""
    if "l" in task and "s" in task and not isinstance(task["p"], str):
        task["p"] = level(task["p"]) + task["l"]
    return task


def lane_of(task: Document) -> Document:
    """What becomes of a delayed task's priority when it is ready: nothing where it has no lane."""
    return {"p": level(task["p"]) + task["l"]} if "l" in task else {}


def fetched(task: Document) -> Document:
    """The same with its priority as a number."""
    if isinstance(task["p"], str):
        task["p"] = int(task["p"][:DIGITS]) - SHIFT
    return task


def spots_of(item: Document) -> tuple[str, ...]:
    """The spots that a task is charged to, as texts: the queue, its pool and its lane. Pool "" is the queue."""
    key = item.get("l", "")
    if not key:
        return ("",)
    pool, lane = key[: key.index("\0") + 1], key[key.index("\0") + 1 :]
    found = ("",) if pool == "\0" else ("", pool)
    return (*found, key) if lane else found


def spot_key(spot: Spot) -> str:
    """A spot as a text; that of a pool is that of its lane ""."""
    return lane_key(*spot)


# Tickets


def ticket_fields(ticket: Ticket, now: int) -> Document:
    """What a task's document has of its ticket: `l`, its lane, and `f`: its id, then what its key is, when it was first pushed (`now`), and
    until when a key with a time is held.
    """
    fields: Document = {"f": [ticket.id]}
    if ticket.unique:
        end = now + int(ticket.until * 1000) if isinstance(ticket.until, (int, float)) else None
        fields["f"] += [ticket.unique, ticket.until, ticket.clash, ticket.longest, now, end]
    key = lane_key(ticket.pool, ticket.lane)
    return {**fields, "l": key} if key else fields


def ticket_in(task: Document) -> Ticket | None:
    """The ticket of a task; None if it has none."""
    if "f" not in task:
        return None
    pool, lane = spot_of(task.get("l", ""))
    id, *rest = task["f"]
    if not rest:
        return Ticket(pool, lane, id=id)
    unique, until, clash, longest = rest[:4]
    return Ticket(pool, lane, unique, until, clash, longest, id)


# Rules


def packed(rule: Rule) -> list[Any]:
    """A rule as it is stored."""
    rate = None if rule.rate is None else list(rule.rate)
    lanes = None if rule.lanes is None else packed(rule.lanes)
    return [rule.at_once, rate, rule.burst, rule.weight, rule.waiting, lanes]


class Held(NamedTuple):
    """The rule that a spot has of its own."""

    rule: Rule
    source: str
    by: str


class Rules:
    """The rules and gates of a queue at one version."""

    def __init__(self, version: int, documents: Mapping[str, Document]) -> None:
        self.version = version
        self.own: dict[str, Held] = {}
        self.gates: dict[str, float] = {}
        """Until when a spot is closed, in milliseconds of the server's clock."""
        self.numberless = True
        """True if tasks may run that have no number of a spot that asks for one: they were leased before its rule."""
        for key, document in documents.items():
            for field, source in (("o", "operator"), ("c", "code")):
                if field in document:
                    self.own[key] = Held(as_rule(document[field][0]), source, document[field][1])
                    break
            if "g" in document:
                self.gates[key] = document["g"]
        rules = [held.rule for held in self.own.values()]
        rules += [rule.lanes for rule in rules if rule.lanes is not None]
        self.counts = any(rule.at_once for rule in rules)
        """True if any spot has a budget of tasks that run."""

    def of(self, key: str) -> Rule | None:
        """The rule of a spot: its own, or what its pool says of its lanes."""
        own = self.own.get(key)
        if own is not None:
            return own.rule
        pool, _, lane = key.partition("\0")
        if not lane:
            return None
        above = self.own.get(pool + "\0" if pool else "")
        return None if above is None else above.rule.lanes
