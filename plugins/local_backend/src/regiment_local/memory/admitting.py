"""New tasks with a ticket: what they meet, and whether there is room for them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from regiment.contracts import Met, Spot, Ticket, too_many
from regiment_local.entries import NONE
from regiment_local.memory.flow import Flow, spots_of
from regiment_local.memory.queue import Queue
from regiment_local.memory.tasks import DELAYED, Claim, Entry


def refuse_many(name: str, into: Queue, tickets: Sequence[Ticket], ids: Sequence[str] | None) -> None:
    """`QueueFull` if these would exceed what may wait at one of their spots (L10)."""
    flow, known, keys, more = into.flowing(), set[str](), set[str](), Counter[Spot]()
    for index, ticket in enumerate(tickets):
        if ids is not None:
            if ids[index] in known or knows(into, ids[index]):
                continue
            known.add(ids[index])
        if ticket.unique:
            claims = flow.keys.of(ticket.unique)
            if ticket.unique in keys or (claims and (ticket.clash == "keep" or _waits(claims[-1]))):
                continue
            keys.add(ticket.unique)
        more.update(spots_of(ticket))
    for spot, number in more.items():
        rule, budget = flow.rule(spot), flow.budgets.get(spot)
        waits = 0 if budget is None else budget.ready + budget.delayed
        if rule is not None and rule.waiting and waits + number > rule.waiting:
            raise too_many(name, spot, rule.waiting, waits, number)


def admit(
    into: Queue,
    payloads: Sequence[bytes],
    tickets: Sequence[Ticket],
    priority: int,
    delay: float,
    at: float | None,
    ids: Sequence[str] | None,
    id_window: float,
) -> list[Met]:
    """Append the payloads, or put them in the place of others, or leave them out; what they met. Called under the store's lock."""
    flow, now, met = into.flowing(), time.time(), list[Met]()
    due = at if at is not None else now + delay
    for index, (payload, ticket) in enumerate(zip(payloads, tickets, strict=True)):
        id = None if ids is None else ids[index]
        if id is not None and knows(into, id):
            met.append(Met(index, "known"))
            continue
        claims = flow.keys.of(ticket.unique)
        if claims and ticket.clash == "keep":
            met.append(Met(index, "kept", claims[0].ticket.id, claims[0].state))
            continue
        if id is not None:
            into.ids[id] = now + id_window
        if claims and _waits(claims[-1]):
            met.append(Met(index, "replaced", claims[-1].ticket.id, claims[-1].state))
            _replace(into, flow, claims[-1], bytes(payload), ticket, id, priority, due)
            continue
        entry = Entry(bytes(payload), priority, 0, now, id)
        entry.ticket = ticket
        flow.keys.claim(entry, ticket)
        _put(into, entry, due)
    into.call_ready()
    return met


def knows(into: Queue, id: str) -> bool:
    """True if this id was pushed within its window, waits or runs."""
    return into.ids.get(id, 0) > time.time() or any(entry.uid == id for entry in into.entries())


def _waits(claim: Claim) -> bool:
    return claim.state in ("ready", "delayed")


def _put(into: Queue, entry: Entry, due: float) -> None:
    if due > time.time():
        into.put_off(entry, due)
    else:
        into.append(entry)


def _replace(
    into: Queue, flow: Flow, claim: Claim, payload: bytes, ticket: Ticket, id: str | None, priority: int, due: float
) -> None:
    """The new task takes the place of the one that has this claim (U3)."""
    entry = claim.entry
    assert entry is not None and entry.ticket is not None
    entry.payload, entry.uid, entry.count, entry.note, entry.parked = payload, id, 0, None, None
    entry.ledger = NONE
    entry.ticket = ticket._replace(pool=entry.ticket.pool, lane=entry.ticket.lane)
    flow.keys.renew(claim, entry.ticket)
    if entry.where == DELAYED:
        if ticket.clash == "replace":
            due = min(due, entry.due)
        elif ticket.longest:
            due = min(due, claim.first + ticket.longest)
        into.delayed.remove(entry)
        entry.priority, entry.since = priority, time.time()
        _put(into, entry, due)
