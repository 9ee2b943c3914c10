"""The verbs that the extra `flow` adds to the connector "memory"; each is one step under the store's lock."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from regiment.contracts import (
    Met,
    Rule,
    Spot,
    Standing,
    Ticket,
    check_rule,
    check_spot,
    check_tickets,
)
from regiment_local.memory.admitting import admit, refuse_many
from regiment_local.memory.flow import Budget, Flow, spots_of
from regiment_local.memory.opened import Opened
from regiment_local.memory.queue import Queue
from regiment_local.memory.tasks import DELAYED, LEASED, READY


class Charging(Opened):
    """admit, rule, gate, flow, standings, recount, ticket."""

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
        found = self._not_inside_itself()
        with found.lock:
            into = found.queue(queue)
            met = into.admitted.get(token)
            if met is None:
                refuse_many(queue, into, tickets, ids)
                met = admit(into, payloads, tickets, priority, delay, at, ids, id_window)
                into.admitted.put(token, met, token_window)
            return list(met)

    def rule(self, queue: str, spot: Spot, rule: Rule | None, *, operator: bool = False, by: str = "") -> None:
        check_rule(spot, rule, by)
        with self._changed().lock:
            of = self._store().queue(queue)
            of.flowing().set_rule(spot, rule, operator, by)
            of.call_ready()

    def gate(self, queue: str, spot: Spot, seconds: float | None) -> None:
        check_spot(spot)
        with self._changed().lock:
            of = self._store().queue(queue)
            of.flowing().set_gate(spot, seconds)
            of.call_ready()

    def flow(self, queue: str, spots: Sequence[Spot]) -> Sequence[Standing]:
        with self._store().lock:
            flow = _looked_at(self._store().look(queue))
            return [flow.standing(spot) for spot in spots]

    def standings(
        self, queue: str, limit: int = 100, *, pool: str | None = None, after: Spot | None = None
    ) -> Sequence[Standing]:
        with self._store().lock:
            flow = _looked_at(self._store().look(queue))
            spots = (spot for spot in flow.spots(pool) if after is None or spot > after)
            return [flow.standing(spot) for spot in islice(spots, max(0, limit))]

    def recount(self, queue: str) -> Sequence[tuple[Spot, int, int]]:
        with self._changed().lock:
            of = self._store().look(queue)
            return [] if of.flow is None else of.flow.recount(_true(of))

    def ticket(self, queue: str, payload: bytes) -> Ticket | None:
        with self._store().lock:
            found = (entry for entry in self._store().look(queue).entries() if entry.payload == payload)
            return next((entry.ticket for entry in found), None)


def _true(of: Queue) -> Flow:
    """Budgets without rules, with the counts of what is in this queue."""
    counted = Flow(())
    held = [entry for consumer in of.consumers.values() for entry in consumer.held.values()]
    for entries, where in ((of.ready, READY), (of.delayed, DELAYED), (held, LEASED)):
        for entry in entries:
            for spot in spots_of(entry.ticket):
                budget = counted.budgets.setdefault(spot, Budget())
                setattr(budget, where, getattr(budget, where) + 1)
    return counted


def _looked_at(of: Queue) -> Flow:
    """The budgets of this queue; of one without tickets and rules counted for this look."""
    return of.flow if of.flow is not None else _true(of)
