"""Which budget a task waits for, and what its key does, in words for `regiment why`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, cast

from regiment.broker import extras
from regiment.contracts import FLOW, FOREVER, STEER, Connector, Flowing, Standing, Ticket
from regiment_cli.text import age, many
from regiment_console.steering import find
from regiment_limits.breaker import ONE_AT_A_TIME
from regiment_limits.budgets import rate_in_words
from regiment_limits.later import written

LOOKED_AT, IN_ANY_CASE, PATIENCE = 200, 10, 0.25
"""Tasks that are looked at to find the place of one in its lane; how many of them however slow the store is, and the seconds for the
others."""


def reasons(id: str, queue: str, connector: Connector) -> list[str]:
    """All that applies to the task of this id; nothing for one without a ticket on a queue without budgets."""
    if not {FLOW, STEER} <= extras(connector):
        return []
    store: Any = cast("Flowing", connector)
    found: list[str] = []
    for one in find(store, [queue], [id]):
        ticket = store.ticket(queue, one.seen.payload) or Ticket()
        waits = one.seen.state == "ready"
        spots = dict.fromkeys([("", ""), (ticket.pool, ""), (ticket.pool, ticket.lane)])
        for standing in store.flow(queue, list(spots)) if waits else ():
            found += closed(standing)
            if standing.spot[1]:
                found += _turn(standing, _place(store, queue, one.seen.place, ticket))
        if ticket.unique:
            found.append(_key(ticket))
    return list(dict.fromkeys(found))


def closed(one: Standing) -> Iterator[str]:
    """Why nothing of this spot may go now."""
    what = written(one.spot)
    if one.gate == FOREVER:
        yield f"{what} is paused: regiment limits resume"
    elif one.gate > 0:
        yield f"{what} is closed for {age(one.gate)}{_tripped(one)}"
    rule = one.rule
    if rule is not None and rule.at_once is not None and one.running >= rule.at_once:
        yield f"{what} is full: {one.running:,} of {rule.at_once:,} run{_by(one)}"
    if rule is not None and rule.rate is not None and one.until_rate > 0:
        yield f"{what} has a rate of {rate_in_words(rule.rate)}: the next may go in {age(one.until_rate)}{_by(one)}"


def _tripped(one: Standing) -> str:
    return ": too many of its tasks failed (breaker), and one at a time goes then" if one.by == ONE_AT_A_TIME else ""


def _by(one: Standing) -> str:
    return f" (a limit set by {one.by or 'an operator'})" if one.source == "operator" else ""


def _turn(one: Standing, place: int | None) -> Iterator[str]:
    if one.waiting > 1:
        where = "" if place is None else f"it is number {place:,} of them; "
        yield f"{many(one.waiting, 'task')} wait in {written(one.spot)}; {where}the oldest goes first, and lanes take turns"


def _place(store: Any, queue: str, place: str, mine: Ticket) -> int | None:
    """Which one it is in its lane, from 1 on; None if that would take too long to find out.

    Stores do not say it: the tasks that are ready are gone through in their order, and each is asked for its ticket.
    """
    ready, number = store.look(queue, "ready", LOOKED_AT).tasks, 1
    until = time.monotonic() + PATIENCE
    for asked, seen in enumerate(ready, 1):
        if seen.place == place:
            return number
        ticket = store.ticket(queue, seen.payload) or Ticket()
        number += ticket[:2] == mine[:2]
        if asked >= IN_ANY_CASE and time.monotonic() > until:
            break
    return None


def _key(ticket: Ticket) -> str:
    """What its key does to later pushes."""
    until = {"done": "until it is done or dead", "start": "until it starts"}
    ends = until[ticket.until] if isinstance(ticket.until, str) else f"for {age(ticket.until)} from its push"
    return f"it is unique, {ends}: a push with the key {ticket.unique!r} meets it"
